/** Which replica lives where: what the meta shard will say, held by the simulation. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { Configuration, ReplicaId } from '@seriatim/raft';

/** A replica on a node. `initial`: it belongs to the first configuration of its shard. */
export interface Placement {
  readonly replica: ReplicaId;
  readonly shard: ShardId;
  readonly node: NodeId;
  readonly initial: boolean;
}

const EMPTY: Configuration = { voters: [], outgoing: [], learners: [], learnersNext: [] };

/** Replica ids are never used twice; a node holds one replica of a shard at most. */
export class Directory {
  readonly #placements = new Map<ReplicaId, Placement>();
  readonly #nodes = new Map<ReplicaId, NodeId>();
  readonly #initial = new Map<ShardId, Configuration>();
  #nextReplica = 1;

  /** A new shard on these nodes. */
  create(shard: ShardId, nodes: readonly NodeId[]): void {
    const voters = nodes.map((node) => this.#add(shard, node, true).replica);
    this.#initial.set(shard, { ...EMPTY, voters });
  }

  /** One more replica, which waits to be contacted. */
  add(shard: ShardId, node: NodeId): Placement {
    return this.#add(shard, node, false);
  }

  remove(replica: ReplicaId): void {
    this.#placements.delete(replica);
  }

  /** Also of replicas that were removed. */
  node(replica: ReplicaId): NodeId | undefined {
    return this.#nodes.get(replica);
  }

  placement(replica: ReplicaId): Placement | undefined {
    return this.#placements.get(replica);
  }

  ofNode(node: NodeId): Placement[] {
    return [...this.#placements.values()].filter((placement) => placement.node === node);
  }

  ofShard(shard: ShardId): Placement[] {
    return [...this.#placements.values()].filter((placement) => placement.shard === shard);
  }

  /** What a new replica of this placement starts with. */
  initial(placement: Placement): Configuration {
    return placement.initial ? (this.#initial.get(placement.shard) ?? EMPTY) : EMPTY;
  }

  firstConfiguration(shard: ShardId): Configuration {
    return this.#initial.get(shard) ?? EMPTY;
  }

  #add(shard: ShardId, node: NodeId, initial: boolean): Placement {
    const replica = this.#nextReplica++ as ReplicaId;
    const placement = { replica, shard, node, initial };
    this.#placements.set(replica, placement);
    this.#nodes.set(replica, node);
    return placement;
  }
}
