/** Nodes and the replicas they carry: forming, registration, feature level, replacement of lost replicas. */
import { META_SHARD, type NodeId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import type { ReplicaPlacement } from '../contracts.ts';
import { MetaFormatError } from './fields.ts';
import { DONE, type MetaTables } from './meta-tables.ts';
import {
  FEATURE_LEVEL,
  type MetaCommand,
  type MetaResult,
  NODE_ID_MAX,
  PRODUCER_BLOCK_MAX,
  type Replacement,
} from './model.ts';

type Of<T extends MetaCommand['type']> = Extract<MetaCommand, { readonly type: T }>;

/** Names the cluster and the first members of the meta shard; the first such command wins. */
export function form(tables: MetaTables, command: Of<'form'>): MetaResult {
  if (tables.clusterId !== '') return DONE;
  tables.clusterId = command.clusterId;
  tables.metaReplicas = command.nodes.map((node) => ({ replica: node as number as ReplicaId, node }));
  return DONE;
}

/** Notes where a node is reached and that it started; an older start than the one known is refused. */
export function registerNode(tables: MetaTables, command: Of<'registerNode'>): MetaResult {
  if (command.id < 1 || command.id > NODE_ID_MAX) {
    return {
      type: 'refused',
      code: 'INVALID_REQUEST',
      message: `node id ${command.id}; allowed are 1 to ${NODE_ID_MAX}`,
    };
  }
  const known = tables.nodes.get(command.id);
  if (known !== undefined && known.bootNumber > command.bootNumber) {
    return {
      type: 'refused',
      code: 'NOT_READY',
      message: `node ${command.id} registers start ${command.bootNumber}, but start ${known.bootNumber} is known: its disk went back in time`,
    };
  }
  const { type: _, ...node } = command;
  tables.nodes.set(command.id, node);
  return DONE;
}

/** Raises the cluster's feature level, when all registered nodes know it. */
export function raiseFeatureLevel(tables: MetaTables, command: Of<'raiseFeatureLevel'>): MetaResult {
  for (const node of tables.nodes.values()) {
    if (node.featureLevel < command.level) {
      return {
        type: 'refused',
        code: 'INVALID_REQUEST',
        message: `feature level ${command.level}: node ${node.id} knows only ${node.featureLevel}`,
      };
    }
  }
  if (command.level > FEATURE_LEVEL) {
    throw new MetaFormatError(
      `the cluster's feature level is ${command.level}, this program knows ${FEATURE_LEVEL}: upgrade this node`,
    );
  }
  tables.featureLevel = Math.max(tables.featureLevel, command.level);
  return DONE;
}

/** Hands out a block of producer ids. */
export function reserveProducerIds(tables: MetaTables, command: Of<'reserveProducerIds'>): MetaResult {
  if (command.count < 1 || command.count > PRODUCER_BLOCK_MAX) {
    return {
      type: 'refused',
      code: 'INVALID_REQUEST',
      message: `${command.count} producer ids asked for; allowed are 1 to ${PRODUCER_BLOCK_MAX}`,
    };
  }
  const first = tables.next.producer;
  tables.next.producer += command.count;
  return { type: 'producerIds', first, count: command.count };
}

/**
 * First step of bringing back a node that lost its disk: every replica it had gets a new id, which begins as a learner. An
 * operation that still runs for the node gives way: what it had not finished is replaced again, since that is lost as well.
 */
export function replaceReplicas(tables: MetaTables, command: Of<'replaceReplicas'>): MetaResult {
  for (const operation of tables.operations.values()) {
    if (operation.kind !== 'replaceReplicas' || operation.node !== command.node) continue;
    if (operation.token === command.token) return metaReplica(tables, command.node);
    if (operation.state === 'running') {
      tables.putOperation({ ...operation, state: 'done', endedAt: command.time });
    }
  }
  const replacements: Replacement[] = [];
  // The meta replica first: its id is below the others of this operation, which is how its node tells new from lost.
  tables.metaReplicas = tables.metaReplicas.map((placed) => {
    if (placed.node !== command.node) return placed;
    const next = tables.takeReplica();
    replacements.push({ shard: META_SHARD, old: placed.replica, next, done: false });
    return { replica: next, node: placed.node };
  });
  for (const topic of [...tables.topics.values()]) {
    const partitions = topic.partitions.map((partition) => {
      const replicas = partition.replicas.map((placed): ReplicaPlacement => {
        if (placed.node !== command.node) return placed;
        const next = tables.takeReplica();
        replacements.push({ shard: partition.shard, old: placed.replica, next, done: false });
        return { replica: next, node: placed.node };
      });
      return { ...partition, replicas };
    });
    tables.putTopic({ ...topic, partitions });
  }
  tables.putOperation({
    kind: 'replaceReplicas',
    id: tables.takeOperation(),
    token: command.token,
    state: 'running',
    startedAt: command.time,
    endedAt: 0,
    node: command.node,
    replacements,
  });
  return metaReplica(tables, command.node);
}

function metaReplica(tables: MetaTables, node: NodeId): MetaResult {
  const placed = tables.metaReplicas.find((candidate) => candidate.node === node);
  if (placed !== undefined) {
    return { type: 'replica', replica: placed.replica, members: tables.metaReplicas };
  }
  return {
    type: 'refused',
    code: 'INVALID_REQUEST',
    message: `node ${node} has no replica of the meta shard to replace`,
  };
}

/** Notes that a new replica has taken the place of the old one in its shard; the last one ends the operation. */
export function replicaReplaced(tables: MetaTables, command: Of<'replicaReplaced'>): MetaResult {
  const operation = tables.running(command.operation);
  if (operation?.kind !== 'replaceReplicas') return DONE;
  const replacements = operation.replacements.map((item) =>
    item.shard === command.shard ? { ...item, done: true } : item,
  );
  const ended = replacements.every(({ done }) => done);
  tables.putOperation({
    ...operation,
    replacements,
    state: ended ? 'done' : 'running',
    endedAt: ended ? command.time : 0,
  });
  return DONE;
}
