/** Everything the meta state keeps, as plain maps; the command files beside this one change it. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import type { PartitionView, ReplicaPlacement, TopicId } from '../contracts.ts';
import {
  ENDED_OPERATIONS_MAX,
  FIRST_REPLICA,
  FIRST_SHARD,
  type MetaResult,
  type NodeRecord,
  type Operation,
  type PartitionRecord,
  type TopicRecord,
  type WriterRecord,
} from './model.ts';
import type { RouteTable } from './route-table.ts';
import { SubscriptionTable } from './subscription-table.ts';

/** Counters of ids that are never used again: the next one of each kind. */
export interface NextIds {
  topic: number;
  shard: number;
  replica: number;
  operation: number;
  producer: number;
  subscription: number;
}

/** Where a shard belongs. */
export interface ShardOwner {
  readonly topic: TopicRecord;
  readonly partition: PartitionRecord;
}

/** The data of the meta state. Records are replaced, never changed, so that readers may keep them. */
export class MetaTables {
  clusterId = '';
  featureLevel = 0;
  metaReplicas: readonly ReplicaPlacement[] = [];
  readonly next: NextIds = {
    topic: 1,
    shard: FIRST_SHARD,
    replica: FIRST_REPLICA,
    operation: 1,
    producer: 1,
    subscription: 1,
  };
  readonly nodes: Map<NodeId, NodeRecord> = new Map();
  readonly topics: Map<TopicId, TopicRecord> = new Map();
  readonly topicsByName: Map<string, TopicRecord> = new Map();
  readonly owners: Map<ShardId, ShardOwner> = new Map();
  readonly operations: Map<number, Operation> = new Map();
  readonly routes: Map<TopicId, RouteTable> = new Map();
  /** Named producers. */
  readonly writers: Map<string, WriterRecord> = new Map();
  readonly subscriptions: SubscriptionTable = new SubscriptionTable();

  /** Adds a topic or puts its new record in place of the old one. */
  putTopic(topic: TopicRecord): void {
    this.topics.set(topic.id, topic);
    this.topicsByName.set(topic.name, topic);
    for (const partition of topic.partitions) this.owners.set(partition.shard, { topic, partition });
  }

  /** Forgets a topic with its routes and subscriptions; its name is free again. */
  dropTopic(topic: TopicRecord): void {
    this.topics.delete(topic.id);
    this.topicsByName.delete(topic.name);
    this.routes.delete(topic.id);
    for (const partition of topic.partitions) this.owners.delete(partition.shard);
    for (const subscription of this.subscriptions.of(topic.id)) this.subscriptions.drop(subscription);
  }

  /** Adds an operation or puts its new record in place; the oldest ended ones beyond the limit are forgotten. */
  putOperation(operation: Operation): void {
    this.operations.set(operation.id, operation);
    const ended = [...this.operations.values()].filter(({ state }) => state === 'done');
    for (const { id } of ended.slice(0, Math.max(0, ended.length - ENDED_OPERATIONS_MAX))) {
      this.operations.delete(id);
    }
  }

  /** A running operation, or undefined when it ended or never was. */
  running(id: number): Operation | undefined {
    const operation = this.operations.get(id);
    return operation?.state === 'running' ? operation : undefined;
  }

  /** Every partition of every topic. */
  *partitions(): Iterable<PartitionView> {
    for (const topic of this.topics.values()) yield* topic.partitions;
  }

  /** Node of a meta replica. The first members' ids are their nodes' ids, also before the state says so. */
  metaNode(replica: ReplicaId): NodeId | undefined {
    const placed = this.metaReplicas.find((candidate) => candidate.replica === replica);
    if (placed !== undefined) return placed.node;
    return replica < FIRST_REPLICA ? (replica as number as NodeId) : undefined;
  }

  /** The next operation id. */
  takeOperation(): number {
    const id = this.next.operation;
    this.next.operation += 1;
    return id;
  }

  /** The next replica id. */
  takeReplica(): ReplicaId {
    const replica = this.next.replica as ReplicaId;
    this.next.replica += 1;
    return replica;
  }
}

/** The answer of a command that only had to be done. */
export const DONE: MetaResult = { type: 'done' };
