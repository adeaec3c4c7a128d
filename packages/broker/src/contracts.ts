/**
 * What the broker's rooms (partition, meta, front, node) expect of each other. Each room declares its needs here once, so
 * that all of them run alike in a process and in a simulation.
 */
import type { NodeId, Shard, ShardId } from '@seriatim/multiraft';
import type { ErrorCode } from '@seriatim/protocol';
import type { ReplicaId } from '@seriatim/raft';
import type { SubscribedPartition } from './subscription-contracts.ts';

/** Given by the meta shard, never used again. */
export type TopicId = number & { readonly brand: 'TopicId' };
/** Dense position of a record in its partition, from 0. Never a Raft index. */
export type Offset = number & { readonly brand: 'Offset' };

/**
 * Messages for one partition, in columns, one row a run (messages of one group, next to each other). `body` holds each message
 * as protobuf field 15 (tag 0x7a, length, bytes), run after run without gaps: it is copied as it is to disk and to consumers.
 */
export interface AppendBatch {
  readonly shard: ShardId;
  /** 0: the producer is not idempotent. Safe integers. */
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly runs: number;
  /** Where the group's name lies in `body` (inside the run's first message); equal start and end: no group (plain Produce). */
  readonly groupStart: number[];
  readonly groupEnd: number[];
  /** The route's epoch as the sender knows it, the life of the group; 0 without group. */
  readonly life: number[];
  /** Messages in the run. */
  readonly count: number[];
  /** Producer's sequence of the first message; 0 when not idempotent. */
  readonly producerSequence: number[];
  /** Group sequence that the run's first message must get; 0, or no column: any. Only with a producer. */
  readonly expectedSequence?: readonly number[] | undefined;
  /** CRC-32 of the run's bytes in `body`. */
  readonly checksum: number[];
  /** End of the run in `body`; it starts where the one before ends. */
  readonly bodyEnd: number[];
  readonly body: Uint8Array;
}

export const RUN_STORED = 0;
export const RUN_DUPLICATE = 1;
export const RUN_REFUSED = 2;
export const RUN_UNKNOWN = 3;

/** Why a run was refused, or is unknown. */
export interface RunError {
  readonly run: number;
  readonly code: ErrorCode;
  readonly message: string;
  /** Only with SEQUENCE_CONFLICT: the group's last sequence. */
  readonly currentSequence?: number | undefined;
}

/** Answer to an {@link AppendBatch}, one row a run. */
export interface AppendReceipt {
  readonly type: 'receipt';
  readonly timestamp: number;
  readonly status: number[];
  readonly firstOffset: number[];
  readonly firstSequence: number[];
  /** Set for RUN_REFUSED and RUN_UNKNOWN. */
  readonly errors: readonly RunError[];
}
/** The whole batch was not taken (`notApplied`) or its fate is not known. */
export interface AppendRefusal {
  readonly type: 'refusal';
  readonly code: ErrorCode;
  readonly message: string;
  readonly notApplied: boolean;
}
export type AppendAnswer = AppendReceipt | AppendRefusal;

/** Opens, or goes on as, an instance of a named producer in one partition. */
export interface WriterOpening {
  readonly shard: ShardId;
  readonly producerId: number;
  /** Lower ones are refused from then on. */
  readonly epoch: number;
  /** Groups asked for, by UTF-8 name, with the lives of their routes. */
  readonly groups: readonly { readonly name: Uint8Array; readonly life: number }[];
}

/** Where a named producer stands in a group. `known`: false when the group has displaced it and can't say. */
export interface WriterPosition {
  readonly known: boolean;
  /** 0: none. */
  readonly lastProducerSequence: number;
  readonly lastGroupSequence: number;
}

/** Where appends go: a partition led here, or a peer that leads it. */
export interface Appender {
  /** Never rejects; answers by `deadline` (monotonic milliseconds). */
  append(batch: AppendBatch, deadline: number): Promise<AppendAnswer>;
}

/** A replica of a partition, as placed by the meta shard. */
export interface ReplicaPlacement {
  readonly replica: ReplicaId;
  readonly node: NodeId;
}
export interface PartitionView {
  readonly partition: number;
  readonly shard: ShardId;
  readonly replicas: readonly ReplicaPlacement[];
}
export interface TopicView {
  readonly id: TopicId;
  readonly name: string;
  readonly partitions: readonly PartitionView[];
  readonly replicas: number;
  readonly retentionMilliseconds: number;
  readonly retentionBytes: number;
  /** False while it is being created or deleted: produce is refused. */
  readonly ready: boolean;
}
export interface NodeView {
  readonly id: NodeId;
  /** Advertised addresses, host:port. */
  readonly clientAddress: string;
  readonly peerAddress: string;
  readonly pid: number;
  readonly bootNumber: number;
}

/** A group's place: partition number and epoch. */
export interface RouteView {
  readonly partition: number;
  readonly epoch: number;
}

/** A named producer, as its newest instance was opened. */
export interface WriterView {
  readonly producerId: number;
  readonly epoch: number;
}

/** What became of an opening. */
export interface OpenedWriter extends WriterView {
  /** False: the newest instance is another one, with this epoch. */
  readonly opened: boolean;
}

/** The local replica of the meta state, read only. */
export interface MetaView {
  readonly clusterId: string;
  nodes(): readonly NodeView[];
  node(id: NodeId): NodeView | undefined;
  topics(): readonly TopicView[];
  topic(name: string): TopicView | undefined;
  topicById(id: TopicId): TopicView | undefined;
  shardOwner(shard: ShardId): { readonly topic: TopicView; readonly partition: PartitionView } | undefined;
  /**
   * Looks a group up by its UTF-8 bytes in `bytes[start, end)`. Returns a row number of the topic's route table or -1;
   * {@link routePartition} and {@link routeEpoch} read the row. Does not allocate.
   */
  findRoute(topic: TopicId, bytes: Uint8Array, start: number, end: number): number;
  routePartition(topic: TopicId, row: number): number;
  routeEpoch(topic: TopicId, row: number): number;
  /** Rows of a topic's routes for listing, lazily: group name, partition, epoch. */
  routes(
    topic: TopicId,
  ): Iterable<{ readonly group: string; readonly partition: number; readonly epoch: number }>;
  routeCount(topic: TopicId): number;
  /** Groups per partition of a topic. */
  loads(topic: TopicId): readonly number[];
  /** The newest instance of a named producer that this replica knows of. */
  writer(name: string): WriterView | undefined;
  /** Called after each applied stretch that changed nodes, topics or placement. */
  onChange(listener: () => void): void;
}

/** Assigns groups that have no route yet; gathers the groups of many requests into one command to the meta leader. */
export interface RouteAssigner {
  /** Resolves when the local meta state has the routes, rejects with a {@link RefusalError} (nothing applied) by `deadline`. */
  assign(topic: TopicId, groups: readonly Uint8Array[], deadline: number): Promise<void>;
}

/** Which node leads a shard, as far as this node knows: from its own replica, else from what the nodes tell each other. */
export interface LeaderDirectory {
  /** The node that leads, with its term; undefined: none known. */
  leader(shard: ShardId): { readonly node: NodeId; readonly term: number } | undefined;
  /** The returned function ends it. */
  onChange(listener: (shard: ShardId) => void): () => void;
}

/** A request to another node over the peer links, answered once or refused by the deadline; kinds are {@link REQUEST_APPEND}… */
export interface PeerCalls {
  /** Rejects with a {@link RefusalError}: PEER_UNREACHABLE (not applied when it was never sent, else unknown) or DEADLINE. */
  call(to: NodeId, kind: number, parts: readonly Uint8Array[], deadline: number): Promise<Uint8Array>;
  /** Registers who answers a kind; the handler never rejects except with a RefusalError, which travels back typed. */
  handle(
    kind: number,
    handler: (from: NodeId, body: Uint8Array, deadline: number) => Promise<readonly Uint8Array[]>,
  ): void;
}
/** Peer request kinds. Each room encodes and decodes the bodies of its own. */
export const REQUEST_APPEND = 1;
export const REQUEST_META_COMMAND = 2;
export const REQUEST_META_ADMIN = 3;
export const REQUEST_PARTITION_STATUS = 4;
export const REQUEST_GROUP_STATUS = 5;
export const REQUEST_FETCH = 6;
export const REQUEST_OPEN_WRITER = 26;

/** A partition's replica on this node. */
export interface Partition extends Appender, SubscribedPartition {
  readonly shard: Shard;
  readonly topic: TopicId;
  readonly partition: number;
  /**
   * Fences lower epochs by a command in the log and then tells where the producer stands, in the order asked. Rejects with a RefusalError
   * by `deadline`: PRODUCER_FENCED, STALE_ROUTE, NOT_LEADER, OVERLOADED; NOT_COMMITTED with outcome unknown.
   */
  openWriter(opening: WriterOpening, deadline: number): Promise<readonly WriterPosition[]>;
  /** First offset not yet readable here (everything below is committed and applied here). */
  readonly highWatermark: Offset;
  /** First offset still stored. */
  readonly lowWatermark: Offset;
  /** Resolves with the high watermark confirmed by a quorum at or after this call; refuses when this is not the leader. */
  confirmedHighWatermark(deadline: number): Promise<Offset>;
  /**
   * Records from `offset` on, about `bytesMax` of body, at least one; empty when `offset` is the high watermark.
   * Refuses with OFFSET_OUT_OF_RANGE below the low or above the high watermark. With `group` only its runs are given.
   */
  read(offset: Offset, bytesMax: number, group: string | null): Promise<RecordStretch>;
  /** Resolves when the high watermark passes `offset`, or the partition closes; `cancel` ends the wait. */
  waitFor(offset: Offset, signal: AbortSignal): Promise<void>;
  /** The applied record of a group, or null. */
  group(name: string): GroupStatus | null;
  groupCount(): number;
}
export interface GroupStatus {
  readonly life: number;
  readonly lastSequence: number;
  readonly lastOffset: number;
  readonly lastTimestamp: number;
}
/** Records next to each other, in columns, one row a run; `body` is a list of stretches of field-15 messages. */
export interface RecordStretch {
  readonly baseOffset: Offset;
  /** First offset behind this stretch (also past filtered runs): where to read on. */
  readonly nextOffset: Offset;
  readonly runLengths: number[];
  readonly runSequences: number[];
  readonly runLives: number[];
  readonly runTimestamps: number[];
  readonly runOffsets: number[];
  readonly body: readonly Uint8Array[];
}

/** The partitions that have a replica on this node. */
export interface LocalPartitions {
  get(shard: ShardId): Partition | undefined;
  all(): Iterable<Partition>;
}

/** Changes that a client may ask of the cluster; each forwards to the meta leader once when it is not this node. */
export interface Admin {
  createTopic(
    request: {
      readonly name: string;
      readonly partitions: number;
      readonly replicas: number;
      readonly retentionMilliseconds: number;
      readonly retentionBytes: number;
    },
    deadline: number,
  ): Promise<TopicView>;
  deleteTopic(name: string, deadline: number): Promise<void>;
  /** Allocates producer ids; they are given out from blocks reserved in meta. */
  producerId(deadline: number): Promise<number>;
  /** Opens an instance of a named producer, if `previousEpoch` is the newest; the same instance again finds its epoch. */
  openWriter(
    request: { readonly name: string; readonly instance: string; readonly previousEpoch: number },
    deadline: number,
  ): Promise<OpenedWriter>;
}
