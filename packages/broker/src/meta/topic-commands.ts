/** Creating and deleting topics: what the commands of both do to the tables. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { TopicId } from '../contracts.ts';
import { DONE, type MetaTables } from './meta-tables.ts';
import {
  type MetaCommand,
  type MetaResult,
  PARTITIONS_MAX,
  type PartitionRecord,
  REPLICAS_MAX,
} from './model.ts';
import { placeReplicas } from './placement.ts';
import { RouteTable } from './route-table.ts';
import { endSubscriptionOperation } from './subscription-commands.ts';

type Of<T extends MetaCommand['type']> = Extract<MetaCommand, { readonly type: T }>;

/**
 * First step of creating a topic: ids and placement are fixed and the nodes begin to open replicas. The topic takes no
 * messages before {@link endOperation}.
 */
export function createTopic(tables: MetaTables, command: Of<'createTopic'>): MetaResult {
  const existing = tables.topicsByName.get(command.name);
  if (existing !== undefined) {
    if (existing.token === command.token) return { type: 'topic', topic: existing.id };
    return {
      type: 'refused',
      code: 'TOPIC_EXISTS',
      message: `topic "${command.name}" exists; choose another name or delete it first`,
    };
  }
  const refusal = checkCounts(tables, command);
  if (refusal !== null) return refusal;
  const id = tables.next.topic as TopicId;
  tables.next.topic += 1;
  const rows = placeReplicas(
    [...tables.nodes.keys()],
    existingRows(tables),
    command.partitions,
    command.replicas,
  );
  tables.putTopic({
    id,
    name: command.name,
    partitions: rows.map((nodes, partition) => newPartition(tables, nodes, partition)),
    replicas: command.replicas,
    retentionMilliseconds: command.retentionMilliseconds,
    retentionBytes: command.retentionBytes,
    ready: false,
    groupsMax: command.groupsMax,
    token: command.token,
  });
  tables.routes.set(id, new RouteTable(command.partitions, command.groupsMax));
  tables.putOperation({
    kind: 'createTopic',
    id: tables.takeOperation(),
    token: command.token,
    state: 'running',
    startedAt: command.time,
    endedAt: 0,
    topic: id,
    name: command.name,
  });
  return { type: 'topic', topic: id };
}

function checkCounts(tables: MetaTables, command: Of<'createTopic'>): MetaResult | null {
  if (command.partitions < 1 || command.partitions > PARTITIONS_MAX) {
    return {
      type: 'refused',
      code: 'INVALID_PARTITION_COUNT',
      message: `${command.partitions} partitions asked for topic "${command.name}"; allowed are 1 to ${PARTITIONS_MAX}`,
    };
  }
  const replicasMax = Math.min(REPLICAS_MAX, tables.nodes.size);
  if (command.replicas < 1 || command.replicas > replicasMax) {
    return {
      type: 'refused',
      code: 'INVALID_REPLICA_COUNT',
      message:
        `${command.replicas} replicas asked for topic "${command.name}"; allowed are 1 to ${replicasMax} ` +
        `(the cluster knows ${tables.nodes.size} nodes)`,
    };
  }
  return null;
}

function* existingRows(tables: MetaTables): Iterable<PartitionRecord['replicas']> {
  for (const partition of tables.partitions()) yield partition.replicas;
}

function newPartition(tables: MetaTables, nodes: readonly NodeId[], partition: number): PartitionRecord {
  const shard = tables.next.shard as ShardId;
  tables.next.shard += 1;
  const replicas = nodes.map((node) => ({ replica: tables.takeReplica(), node }));
  return { partition, shard, replicas, founders: replicas.map(({ replica }) => replica) };
}

/** First step of deleting a topic: it is gone for clients, its name is free, the nodes begin to remove its files. */
export function deleteTopic(tables: MetaTables, command: Of<'deleteTopic'>): MetaResult {
  for (const operation of tables.operations.values()) {
    if (operation.kind === 'deleteTopic' && operation.token === command.token) return DONE;
  }
  const topic = tables.topicsByName.get(command.name);
  if (topic === undefined) {
    return { type: 'refused', code: 'UNKNOWN_TOPIC', message: `topic "${command.name}" does not exist` };
  }
  tables.dropTopic(topic);
  for (const operation of tables.operations.values()) {
    if (operation.kind === 'deleteTopic' || operation.kind === 'replaceReplicas') continue;
    // Nothing is left to be led, and no partition to ask.
    if (operation.topic === topic.id && operation.state === 'running') {
      tables.putOperation({ ...operation, state: 'done', endedAt: command.time });
    }
  }
  const nodes = new Set<NodeId>();
  for (const partition of topic.partitions) for (const { node } of partition.replicas) nodes.add(node);
  tables.putOperation({
    kind: 'deleteTopic',
    id: tables.takeOperation(),
    token: command.token,
    state: 'running',
    startedAt: command.time,
    endedAt: 0,
    topic: topic.id,
    name: topic.name,
    shards: topic.partitions.map(({ shard }) => shard),
    nodes: [...nodes].sort((left, right) => left - right),
  });
  return DONE;
}

/** Last step of an operation: a created topic takes messages from here on, a subscription has consumers or is gone. */
export function endOperation(tables: MetaTables, command: Of<'endOperation'>): MetaResult {
  const operation = tables.running(command.operation);
  if (operation === undefined) return DONE;
  if (operation.kind === 'createTopic') {
    const topic = tables.topics.get(operation.topic);
    if (topic !== undefined) tables.putTopic({ ...topic, ready: true });
  }
  if ('subscription' in operation) endSubscriptionOperation(tables, operation);
  tables.putOperation({ ...operation, state: 'done', endedAt: command.time });
  return DONE;
}
