// For those who run a node inside a process: tests, tools.

export { ConfigError, loadConfig, type NodeConfig, settingNames } from './node/config.ts';
export { type Logger, openLog } from './node/log.ts';
export { defaultPeerLimits, type PeerLimits } from './node/outgoing-link.ts';
export { PeerLinks, type PeerLinksOptions } from './node/peer-links.ts';
export { RealClock } from './node/real-clock.ts';
export { type NodeOptions, type RunningNode, startNode } from './node/start.ts';

// What the rooms expect of each other for subscriptions.

export type * from './consume-contracts.ts';
export type * from './subscription-contracts.ts';
