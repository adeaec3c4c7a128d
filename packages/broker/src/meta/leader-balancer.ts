/**
 * Spreads the partitions' leaders: each belongs on the first node of its placement, and {@link placeReplicas} has spread those. It
 * decides only; who asks is the controller. Gentle by design: few at a time, to nodes that have been up for a while, with a
 * back-off per shard, so that a leader that does not stay is not chased.
 */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import type { LeaderDirectory, PartitionView } from '../contracts.ts';

/** Times and limits, milliseconds and counts. */
export interface BalanceConfig {
  /** A node must have been up for this long before it is given leaders (3,000). */
  readonly settledMilliseconds: number;
  /** A leader must have led for this long before it is asked to hand over (2,000). */
  readonly leaderMilliseconds: number;
  /** First pause after a hand-over of a shard was asked for; doubles with each further one (2,000). */
  readonly backOffMilliseconds: number;
  /** Longest pause (300,000). */
  readonly backOffMillisecondsMax: number;
  /** Time with its preferred leader after which a shard's pause is short again (60,000). */
  readonly calmMilliseconds: number;
  /** Hand-overs asked for in one round (2). */
  readonly transfersMax: number;
}

/** Used where nothing else is said. */
export const DEFAULT_BALANCE: BalanceConfig = {
  settledMilliseconds: 3_000,
  leaderMilliseconds: 2_000,
  backOffMilliseconds: 2_000,
  backOffMillisecondsMax: 300_000,
  calmMilliseconds: 60_000,
  transfersMax: 2,
};

/** Ask `from`, which leads `shard`, to hand over to `replica` on node `to`. */
export interface LeaderTransfer {
  readonly shard: ShardId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly replica: ReplicaId;
}

interface ShardMemory {
  leader: NodeId;
  term: number;
  /** When this leader was first seen. */
  since: number;
  pause: number;
  notBefore: number;
}

/** Remembers since when nodes are up and who led, and says which leaders should move now. */
export class LeaderBalancer {
  readonly #config: BalanceConfig;
  readonly #upSince = new Map<NodeId, number>();
  readonly #shards = new Map<ShardId, ShardMemory>();

  constructor(config: BalanceConfig = DEFAULT_BALANCE) {
    this.#config = config;
  }

  /**
   * One round at `now` (monotonic milliseconds): what to ask for. A transfer that is given counts as asked, so that its shard
   * rests whatever comes of it.
   */
  round(
    now: number,
    partitions: Iterable<PartitionView>,
    leaders: LeaderDirectory,
    alive: (node: NodeId) => boolean,
  ): LeaderTransfer[] {
    const transfers: LeaderTransfer[] = [];
    const seen = new Set<ShardId>();
    const up = new Map<NodeId, boolean>();
    const settled = (node: NodeId): boolean => {
      const known = up.get(node) ?? this.#isSettled(node, now, alive(node));
      up.set(node, known);
      return known;
    };
    for (const { shard, replicas } of partitions) {
      seen.add(shard);
      for (const { node } of replicas) settled(node);
      const leader = leaders.leader(shard);
      const preferred = replicas[0];
      if (leader === undefined || preferred === undefined) continue;
      const memory = this.#remember(shard, leader.node, leader.term, now);
      if (leader.node === preferred.node) {
        if (now - memory.since >= this.#config.calmMilliseconds)
          memory.pause = this.#config.backOffMilliseconds;
        continue;
      }
      const due = now >= memory.notBefore && now - memory.since >= this.#config.leaderMilliseconds;
      if (!due || !settled(preferred.node) || transfers.length >= this.#config.transfersMax) continue;
      memory.notBefore = now + memory.pause;
      memory.pause = Math.min(memory.pause * 2, this.#config.backOffMillisecondsMax);
      transfers.push({ shard, from: leader.node, to: preferred.node, replica: preferred.replica });
    }
    for (const shard of this.#shards.keys()) if (!seen.has(shard)) this.#shards.delete(shard);
    return transfers;
  }

  #isSettled(node: NodeId, now: number, alive: boolean): boolean {
    if (!alive) {
      this.#upSince.delete(node);
      return false;
    }
    const since = this.#upSince.get(node) ?? now;
    this.#upSince.set(node, since);
    return now - since >= this.#config.settledMilliseconds;
  }

  #remember(shard: ShardId, leader: NodeId, term: number, now: number): ShardMemory {
    const known = this.#shards.get(shard);
    if (known === undefined) {
      const pause = this.#config.backOffMilliseconds;
      const memory = { leader, term, since: now, pause, notBefore: 0 };
      this.#shards.set(shard, memory);
      return memory;
    }
    if (known.leader !== leader || known.term !== term) {
      known.leader = leader;
      known.term = term;
      known.since = now;
    }
    return known;
  }
}
