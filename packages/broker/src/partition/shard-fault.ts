/**
 * The state of one shard is broken or written by a newer version: that shard stops, the others of the node go on.
 * Thrown out of a state machine, where the host turns it into its `onShardFault`.
 */
export class ShardFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ShardFault';
  }
}

/** Throws a {@link ShardFault} when something that must hold of replicated state does not. */
export function mustHold(holds: boolean, message: string): asserts holds {
  if (!holds) throw new ShardFault(message);
}
