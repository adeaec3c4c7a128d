/** The words of the meta state: what its commands say, what it keeps, what an application answers. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { ErrorCode } from '@seriatim/protocol';
import type { ReplicaId } from '@seriatim/raft';
import type {
  NodeView,
  PartitionView,
  ReplicaPlacement,
  TopicId,
  TopicView,
  WriterView,
} from '../contracts.ts';
import type {
  StartPosition,
  SubscriptionCommand,
  SubscriptionId,
  SubscriptionOperation,
  SubscriptionView,
} from '../subscription-contracts.ts';

/** The newest format and behaviour that this program knows; the cluster's level rises to it when all nodes know it. */
export const FEATURE_LEVEL = 2;
/** Every node knows the commands and images of subscriptions. */
export const SUBSCRIPTIONS_LEVEL = 2;
/** Partitions of one topic. */
export const PARTITIONS_MAX = 1024;
/** Replicas of one partition. */
export const REPLICAS_MAX = 7;
/** Replica ids below this are those of the meta shard's first members and equal their node's id. */
export const FIRST_REPLICA = 1_000;
/** Highest node id that a configuration may name. */
export const NODE_ID_MAX: number = FIRST_REPLICA - 1;
/** Shard ids of partitions begin here; 1 is the meta shard. */
export const FIRST_SHARD = 2;
/** Producer ids that one command may reserve. */
export const PRODUCER_BLOCK_MAX = 1_000_000;
/** Names of producers; further ones are refused, because a name that was forgotten could not be fenced. */
export const NAMED_WRITERS_MAX = 100_000;
/** Ended operations kept for operators to see. */
export const ENDED_OPERATIONS_MAX = 64;

/** A node as registered, with the feature level its program knows. */
export interface NodeRecord extends NodeView {
  readonly featureLevel: number;
}

/** A partition with what only the meta room needs: the members its shard was born with. */
export interface PartitionRecord extends PartitionView {
  /** Voters of the shard's first configuration; a replica that is not among them begins as a learner. */
  readonly founders: readonly ReplicaId[];
}

/** A topic as the meta state keeps it. */
export interface TopicRecord extends TopicView {
  readonly partitions: readonly PartitionRecord[];
  readonly groupsMax: number;
  /** Random word of the request that created it: the same request sent again finds its own topic. */
  readonly token: string;
}

/** A named producer: the same id for ever, and the epoch of its newest instance. */
export interface WriterRecord extends WriterView {
  /** The word of the newest instance: its opening sent again takes no further epoch. */
  readonly instance: string;
}

/** A subscription as the meta state keeps it. */
export interface SubscriptionRecord extends SubscriptionView {
  /** Where it was created to begin; `start` is the last reset's. */
  readonly firstStart: StartPosition;
}

/** One replica that a {@link ReplaceReplicasOperation} replaces. */
export interface Replacement {
  readonly shard: ShardId;
  readonly old: ReplicaId;
  readonly next: ReplicaId;
  readonly done: boolean;
}

interface OperationBase {
  /** Given by the meta shard, never used again. */
  readonly id: number;
  readonly token: string;
  readonly state: 'running' | 'done';
  /** Milliseconds since 1970, as its proposer said. */
  readonly startedAt: number;
  /** 0 while it runs. */
  readonly endedAt: number;
}
/** Waits until every partition of a new topic has a leader. */
export interface CreateTopicOperation extends OperationBase {
  readonly kind: 'createTopic';
  readonly topic: TopicId;
  readonly name: string;
}
/** Waits until every node has closed the replicas of a deleted topic and removed their files. */
export interface DeleteTopicOperation extends OperationBase {
  readonly kind: 'deleteTopic';
  readonly topic: TopicId;
  readonly name: string;
  readonly shards: readonly ShardId[];
  readonly nodes: readonly NodeId[];
}
/** Gives all replicas of a node that lost its disk new ids; ends when each has replaced the old one. */
export interface ReplaceReplicasOperation extends OperationBase {
  readonly kind: 'replaceReplicas';
  readonly node: NodeId;
  readonly replacements: readonly Replacement[];
}
/** Waits until every partition of the topic has the subscription's generation, or has forgotten it. */
export type SubscriptionOperationRecord = OperationBase & SubscriptionOperation;
/** Work over more than one shard, driven forward by the meta leader. */
export type Operation =
  | CreateTopicOperation
  | DeleteTopicOperation
  | ReplaceReplicasOperation
  | SubscriptionOperationRecord;

/** Group names of one topic, in columns; name `i` lies in `bytes` from `ends[i - 1]` (0 for the first) to `ends[i]`. */
export interface GroupColumns {
  readonly topic: TopicId;
  readonly ends: Uint32Array;
  readonly bytes: Uint8Array;
}

/** Everything that changes the meta state. Each may be applied twice with the same effect. */
export type MetaCommand =
  | { readonly type: 'form'; readonly clusterId: string; readonly nodes: readonly NodeId[] }
  | ({ readonly type: 'registerNode' } & NodeRecord)
  | {
      readonly type: 'createTopic';
      readonly name: string;
      readonly partitions: number;
      readonly replicas: number;
      readonly retentionMilliseconds: number;
      readonly retentionBytes: number;
      readonly groupsMax: number;
      readonly token: string;
      readonly time: number;
    }
  | { readonly type: 'deleteTopic'; readonly name: string; readonly token: string; readonly time: number }
  | { readonly type: 'endOperation'; readonly operation: number; readonly time: number }
  | { readonly type: 'reserveProducerIds'; readonly count: number }
  | {
      readonly type: 'openWriter';
      readonly name: string;
      readonly instance: string;
      readonly previousEpoch: number;
    }
  | { readonly type: 'raiseFeatureLevel'; readonly level: number }
  | {
      readonly type: 'replaceReplicas';
      readonly node: NodeId;
      readonly token: string;
      readonly time: number;
    }
  | {
      readonly type: 'replicaReplaced';
      readonly operation: number;
      readonly shard: ShardId;
      readonly time: number;
    }
  | { readonly type: 'assignRoutes'; readonly topics: readonly GroupColumns[] }
  | { readonly type: 'removeRoutes'; readonly topics: readonly GroupColumns[] }
  | SubscriptionCommand;

/** What an applied command answers its proposer. */
export type MetaResult =
  | { readonly type: 'done' }
  | { readonly type: 'topic'; readonly topic: TopicId }
  | { readonly type: 'producerIds'; readonly first: number; readonly count: number }
  /** `opened`: false when the newest epoch is another one than the command names. */
  | ({ readonly type: 'writer'; readonly opened: boolean } & WriterView)
  /** The node's new replica of the meta shard, and where all its replicas are. */
  | {
      readonly type: 'replica';
      readonly replica: ReplicaId;
      readonly members: readonly ReplicaPlacement[];
    }
  /** `assigned` new routes; `full`: groups left out because their topic is at its `groupsMax`. */
  | { readonly type: 'routes'; readonly assigned: number; readonly full: number }
  /** `operation`: what the caller waits for; 0: nothing, it is ready. */
  | {
      readonly type: 'subscription';
      readonly subscription: SubscriptionId;
      readonly operation: number;
    }
  | { readonly type: 'refused'; readonly code: ErrorCode; readonly message: string };
