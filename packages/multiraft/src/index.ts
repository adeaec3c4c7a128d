export { defaultHostConfig } from './host-config.ts';
export { MultiRaft } from './multi-raft.ts';
export * from './ports.ts';
export * from './types.ts';
