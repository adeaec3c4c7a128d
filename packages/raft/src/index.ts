export { decodeConfiguration, encodeConfiguration } from './configuration.ts';
export { Raft } from './raft.ts';
export { initialRestored } from './raft-config.ts';
export * from './types.ts';
