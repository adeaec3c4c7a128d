/** What a node's settings mean to the host of its shards. */
import { defaultHostConfig, type HostConfig } from '@seriatim/multiraft';
import type { NodeConfig } from './config.ts';

/** The host's defaults with the times that are set. */
export function hostConfig(config: NodeConfig): HostConfig {
  return { ...defaultHostConfig, ...config.raft };
}
