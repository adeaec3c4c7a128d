/** The replicas of partitions on this node: opened where the placement says, closed and forgotten where it no longer does. */
import type { Clock, NodeId, RecoveredShard, ShardHost, ShardId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import type { DeadLetterWriter } from '../consume-contracts.ts';
import type { LocalPartitions, MetaView, Partition } from '../contracts.ts';
import {
  defaultPartitionConfig,
  type OpenPartition,
  openPartition,
  type PartitionConfig,
  type RecordSource,
} from '../partition/index.ts';
import type { SubscriptionDefinitions } from '../subscription-contracts.ts';

/** What a replica to be opened is. */
export interface WantedReplica {
  readonly topic: { readonly id: Partition['topic'] };
  readonly partition: { readonly partition: number; readonly shard: ShardId };
  readonly replica: ReplicaId;
  readonly initial: Parameters<ShardHost['open']>[0]['initial'];
}

/** What opening takes. */
export interface NodePartitionsOptions {
  readonly clock: Clock;
  readonly host: ShardHost;
  readonly view: MetaView;
  /** Node of a replica; asked for each message. */
  readonly locate: (shard: ShardId, replica: ReplicaId) => NodeId | undefined;
  readonly sourceOf: (shard: ShardId) => RecordSource;
  /** Shards found on disk at start; each is used once. */
  readonly recovered: Map<ShardId, RecoveredShard>;
  /** Removes a closed shard's files. */
  readonly removeFiles: (shard: ShardId) => Promise<void>;
  readonly clockTrusted: () => boolean;
  /** False: appends are refused until there is more room on the disk. */
  readonly diskHasRoom: () => boolean;
  readonly retentionMilliseconds: number;
  /** See PartitionOptions. */
  readonly definitions?: SubscriptionDefinitions | undefined;
  readonly deadLetters?: DeadLetterWriter | undefined;
}

/** See the head of this file. */
export class NodePartitions implements LocalPartitions {
  readonly #options: NodePartitionsOptions;
  readonly #config: PartitionConfig;
  readonly #open = new Map<ShardId, OpenPartition>();

  constructor(options: NodePartitionsOptions) {
    this.#options = options;
    this.#config = {
      ...defaultPartitionConfig,
      retentionIntervalMilliseconds: options.retentionMilliseconds,
    };
    options.definitions?.onSubscriptionChange((topic) => {
      for (const partition of this.#open.values()) {
        if (partition.topic === topic) partition.definitionsChanged();
      }
    });
  }

  get(shard: ShardId): Partition | undefined {
    return this.#open.get(shard);
  }

  all(): Iterable<Partition> {
    return this.#open.values();
  }

  /** Opens a replica with what is on disk of it; rejects when the disk belongs to another one. */
  async open(wanted: WantedReplica): Promise<void> {
    const { clock, host, view, sourceOf, recovered, clockTrusted, diskHasRoom, locate } = this.#options;
    const { shard, partition } = wanted.partition;
    const found = recovered.get(shard) ?? null;
    const opened = await openPartition({
      shard,
      partition,
      clock,
      clockTrusted,
      diskHasRoom,
      topic: wanted.topic.id,
      definitions: this.#options.definitions,
      deadLetters: this.#options.deadLetters,
      source: sourceOf(shard),
      config: this.#config,
      retention: () => view.topicById(wanted.topic.id) ?? { retentionMilliseconds: 0, retentionBytes: 0 },
      openShard: (stateMachine) =>
        host.open({
          shard,
          stateMachine,
          replica: wanted.replica,
          initial: wanted.initial,
          followersRead: false,
          locate: (replica) => locate(shard, replica),
          recovered: found?.replica === wanted.replica ? found : null,
        }),
    });
    recovered.delete(shard);
    this.#open.set(shard, opened);
  }

  /** Closes a replica; nothing happens when it is not open. */
  async close(shard: ShardId): Promise<void> {
    this.#open.get(shard)?.close();
    this.#open.delete(shard);
    await this.#options.host.close(shard);
  }

  /** Forgets a closed replica and its files. */
  async remove(shard: ShardId): Promise<void> {
    this.#options.recovered.delete(shard);
    await this.#options.removeFiles(shard);
  }

  /** Ends all waits; shards are closed by their host. */
  closeAll(): void {
    for (const partition of this.#open.values()) partition.close();
    this.#open.clear();
  }
}
