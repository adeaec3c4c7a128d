/** A shard host that tells a listener about the leadership of each shard opened through it, whoever opens it. */
import type {
  Leadership,
  NodeId,
  Shard,
  ShardHost,
  ShardId,
  ShardSpec,
  StateMachine,
} from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';

/** Told after the shard's own state machine was. */
export interface LeadershipListener {
  observed(shard: ShardId, leadership: Leadership, locate: (replica: ReplicaId) => NodeId | undefined): void;
  closed(shard: ShardId): void;
}

/** Decorates `host`; everything but the listening goes through to it. */
export function observedHost(host: ShardHost, listener: LeadershipListener): ShardHost {
  return {
    open: (spec: ShardSpec): Promise<Shard> => {
      const stateMachine = spec.stateMachine;
      const observed: StateMachine = {
        apply: (entries) => stateMachine.apply(entries),
        image: () => stateMachine.image(),
        restore: (chunks) => stateMachine.restore(chunks),
        describe: (entry) => stateMachine.describe(entry),
        onLeadership: (leadership) => {
          stateMachine.onLeadership(leadership);
          listener.observed(spec.shard, leadership, spec.locate);
        },
      };
      return host.open({ ...spec, stateMachine: observed });
    },
    close: async (shard) => {
      await host.close(shard);
      listener.closed(shard);
    },
    get: (shard) => host.get(shard),
    shards: () => host.shards(),
    stop: () => host.stop(),
    pauses: () => host.pauses(),
  };
}
