/** Keeps the replicas open on this node the same as the placement says. */
import { type Clock, META_SHARD, type NodeId, type ShardId } from '@seriatim/multiraft';
import type { Configuration, ReplicaId } from '@seriatim/raft';
import type { MetaView } from '../contracts.ts';
import { pause, Waiters } from './deadline.ts';
import type { ShardOwner } from './meta-tables.ts';
import { FIRST_REPLICA, type TopicRecord } from './model.ts';

/** A replica that this node shall have. */
export interface LocalReplica extends ShardOwner {
  readonly replica: ReplicaId;
  /** First configuration; empty voters: a learner that waits to be contacted. */
  readonly initial: Configuration;
  /** This replica is the preferred leader: when its shard is new, it should campaign at once. */
  readonly preferred: boolean;
}

/** Part of the meta state that placement follows from. */
export interface PlacementSource extends Pick<MetaView, 'onChange'> {
  topics(): readonly TopicRecord[];
  shardOwner(shard: ShardId): ShardOwner | undefined;
  readonly nextShard: number;
}

/** What the watcher needs of its node. */
export interface PlacementWatcherOptions {
  readonly node: NodeId;
  readonly clock: Clock;
  readonly source: PlacementSource;
  /** Replica id of this node in the meta shard. */
  readonly metaReplica: ReplicaId;
  /** Shards found on disk at start, with the replica that wrote them; without the meta shard or with it. */
  readonly found: ReadonlyMap<ShardId, ReplicaId>;
  /** Opens a replica, with what is on disk of it. */
  readonly open: (replica: LocalReplica) => Promise<void>;
  /** Closes a replica; it may not be open. */
  readonly close: (shard: ShardId) => Promise<void>;
  /** Removes the files of a closed shard. */
  readonly remove: (shard: ShardId) => Promise<void>;
  /** Told when opening, closing or removing failed; it is tried again. */
  readonly onFailure: (shard: ShardId, error: unknown) => void;
  /** Pause after a failure, milliseconds (1,000). */
  readonly retryMilliseconds?: number;
  /** Shards opened or closed at the same time (8). */
  readonly parallelMax?: number;
}

/**
 * Compares placement and node after each change and does what is missing, one step per shard at a time. Shard and replica ids are
 * never used again, so a shard that was given out and has no owner is deleted for certain, while one that the local meta
 * replica does not know yet (it restarted and is behind) is left alone.
 */
export class PlacementWatcher {
  readonly #options: PlacementWatcherOptions;
  readonly #open = new Map<ShardId, ReplicaId>();
  /** Files of shards that are not open, by the replica that wrote them. */
  readonly #files: Map<ShardId, ReplicaId>;
  readonly #busy = new Set<ShardId>();
  readonly #failed = new Set<ShardId>();
  readonly #idle = new Waiters();
  #stopped = false;
  #scheduled = false;

  constructor(options: PlacementWatcherOptions) {
    this.#options = options;
    this.#files = new Map(options.found);
    this.#files.delete(META_SHARD);
    options.source.onChange(() => this.#schedule());
  }

  /** Begins; to be called once the local meta replica is open. */
  start(): void {
    this.#schedule();
  }

  /** True while the shard is open, being opened or closed, or has files here. */
  holds(shard: ShardId): boolean {
    return this.#open.has(shard) || this.#files.has(shard) || this.#busy.has(shard);
  }

  /** Replicas that placement wants here and that are not open. */
  missing(): number {
    let missing = 0;
    for (const shard of this.#wanted().keys()) if (!this.#open.has(shard)) missing += 1;
    return missing;
  }

  /** Ends; resolves when no step is under way. Replicas stay open: closing them is the node's. */
  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#busy.size > 0) await new Promise<void>((resolve) => this.#idle.add(resolve));
  }

  /** After the events at hand: a listener must not open shards in the middle of an apply. */
  #schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#options.clock.soon(() => {
      this.#scheduled = false;
      this.#reconcile();
    });
  }

  #reconcile(): void {
    if (this.#stopped) return;
    const wanted = this.#wanted();
    for (const shard of new Set([...this.#open.keys(), ...this.#files.keys()])) {
      if (this.#isFree(shard) && this.#isVoid(shard, wanted.get(shard)))
        this.#begin(shard, () => this.#drop(shard));
    }
    for (const [shard, replica] of wanted) {
      if (!this.#isFree(shard) || this.#open.has(shard)) continue;
      // Files of a later replica: this node's meta replica is behind and will hear of it.
      if ((this.#files.get(shard) ?? 0) > replica.replica) continue;
      this.#begin(shard, () => this.#openReplica(replica));
    }
  }

  #isFree(shard: ShardId): boolean {
    return (
      !this.#busy.has(shard) && !this.#failed.has(shard) && this.#busy.size < (this.#options.parallelMax ?? 8)
    );
  }

  /** True when what is here of the shard belongs to a replica that is not wanted any more. */
  #isVoid(shard: ShardId, wanted: LocalReplica | undefined): boolean {
    const here = this.#open.get(shard) ?? this.#files.get(shard);
    if (here === undefined) return false;
    if (wanted !== undefined) return here < wanted.replica;
    // The owner decides only once this node's meta replica has seen the shard given out.
    if (shard >= this.#options.source.nextShard) return false;
    const owner = this.#options.source.shardOwner(shard);
    if (owner === undefined) return true;
    return !owner.partition.replicas.some(({ node }) => node === this.#options.node);
  }

  /** Replicas placed on this node. One that was placed before this node lost its disk is void: its new one comes. */
  #wanted(): Map<ShardId, LocalReplica> {
    const { metaReplica, node, source } = this.#options;
    const floor = metaReplica >= FIRST_REPLICA ? metaReplica : 0;
    const wanted = new Map<ShardId, LocalReplica>();
    for (const topic of source.topics()) {
      for (const partition of topic.partitions) {
        const placed = partition.replicas.find((candidate) => candidate.node === node);
        if (placed === undefined || placed.replica < floor) continue;
        const founder = partition.founders.includes(placed.replica);
        wanted.set(partition.shard, {
          topic,
          partition,
          replica: placed.replica,
          initial: {
            voters: founder ? partition.founders : [],
            outgoing: [],
            learners: [],
            learnersNext: [],
          },
          preferred: partition.replicas[0] === placed,
        });
      }
    }
    return wanted;
  }

  #begin(shard: ShardId, step: () => Promise<void>): void {
    this.#busy.add(shard);
    step()
      .catch((error: unknown) => {
        this.#failed.add(shard);
        this.#options.onFailure(shard, error);
        void pause(this.#options.clock, this.#options.retryMilliseconds ?? 1_000).then(() => {
          this.#failed.delete(shard);
          this.#schedule();
        });
      })
      .finally(() => {
        this.#busy.delete(shard);
        this.#idle.wake();
        this.#schedule();
      });
  }

  async #openReplica(replica: LocalReplica): Promise<void> {
    const { shard } = replica.partition;
    await this.#options.open(replica);
    this.#open.set(shard, replica.replica);
    this.#files.delete(shard);
  }

  async #drop(shard: ShardId): Promise<void> {
    await this.#options.close(shard);
    const replica = this.#open.get(shard);
    if (replica !== undefined) this.#files.set(shard, replica);
    this.#open.delete(shard);
    await this.#options.remove(shard);
    this.#files.delete(shard);
  }
}
