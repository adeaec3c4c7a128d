// For those who run a node inside a process: tests, tools.

export { ConfigError, loadConfig, type NodeConfig, settingNames } from './node/config.ts';
export { type Logger, openLog } from './node/log.ts';
export { RealClock } from './node/real-clock.ts';
export { type NodeOptions, type RunningNode, startNode } from './node/start.ts';
