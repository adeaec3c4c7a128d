/**
 * The image of the meta state: a document (everything but routes) as JSON, cut in chunks behind one head chunk, then the chunks of each
 * topic's route table in the order of the document's topics.
 */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { Index, ReplicaId } from '@seriatim/raft';
import type { ReplicaPlacement, TopicId } from '../contracts.ts';
import {
  type Fields,
  fields,
  flag,
  list,
  MetaFormatError,
  parseFields,
  text,
  whole,
  wholes,
} from './fields.ts';
import { MetaTables } from './meta-tables.ts';
import type { NodeRecord, Operation, PartitionRecord, TopicRecord } from './model.ts';
import { RouteTable } from './route-table.ts';
import { readSubscription, readSubscriptionOperation } from './subscription-fields.ts';

/** Version 2 has subscriptions. It is written once there was one: until then nodes that do not know it can read the image. */
const VERSION = 2;
const FIRST_VERSION = 1;
/** Version, document's bytes, document's chunks. */
const HEAD_BYTES = 9;
const CHUNK_BYTES_MAX = 64 * 1024;

/** The whole state as chunks of at most 64 KiB, all copied before this returns. Equal states give equal images. */
export function writeImage(tables: MetaTables, applied: Index): readonly Uint8Array[] {
  const document = new TextEncoder().encode(
    JSON.stringify({
      applied,
      clusterId: tables.clusterId,
      featureLevel: tables.featureLevel,
      metaReplicas: tables.metaReplicas,
      next: tables.next,
      nodes: [...tables.nodes.values()],
      topics: [...tables.topics.values()],
      operations: [...tables.operations.values()],
      writers: [...tables.writers].map(([name, writer]) => ({ name, ...writer })),
      subscriptions: [...tables.subscriptions.all()].map((record) => ({
        ...record,
        actions: tables.subscriptions.actions(record.id),
      })),
    }),
  );
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < document.length; at += CHUNK_BYTES_MAX) {
    chunks.push(document.slice(at, at + CHUNK_BYTES_MAX));
  }
  const head = new Uint8Array(HEAD_BYTES);
  const view = new DataView(head.buffer);
  view.setUint8(0, tables.next.subscription > 1 ? VERSION : FIRST_VERSION);
  view.setUint32(1, document.length, true);
  view.setUint32(5, chunks.length, true);
  chunks.unshift(head);
  for (const topic of tables.topics.keys()) {
    for (const chunk of tables.routes.get(topic)?.image() ?? []) chunks.push(chunk);
  }
  return chunks;
}

/** Reads an image; throws {@link MetaFormatError} when it is none or of an unknown version. */
export function readImage(chunks: Iterable<Uint8Array>): { tables: MetaTables; applied: Index } {
  const iterator = chunks[Symbol.iterator]();
  const head = take(iterator);
  const version = head[0] ?? 0;
  if (version < FIRST_VERSION || version > VERSION || head.length !== HEAD_BYTES) {
    throw new MetaFormatError(
      `meta image of version ${head[0] ?? 'none'}, this program knows ${FIRST_VERSION} to ${VERSION}: upgrade this node`,
    );
  }
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const document = new Uint8Array(view.getUint32(1, true));
  let at = 0;
  for (let count = view.getUint32(5, true); count > 0; count--) {
    const chunk = take(iterator);
    if (at + chunk.length > document.length)
      throw new MetaFormatError('meta image: its document is too long');
    document.set(chunk, at);
    at += chunk.length;
  }
  if (at !== document.length) throw new MetaFormatError('meta image: its document is too short');
  const from = parseFields(document, 'meta image');
  const tables = readDocument(from, version);
  for (const topic of tables.topics.values()) {
    tables.routes.set(topic.id, RouteTable.restore(topic.partitions.length, topic.groupsMax, iterator));
  }
  if (iterator.next().done !== true) throw new MetaFormatError('meta image: chunks behind its end');
  return { tables, applied: whole(from, 'applied') as Index };
}

function take(iterator: Iterator<Uint8Array>): Uint8Array {
  const { value, done } = iterator.next();
  if (done === true) throw new MetaFormatError('meta image: a chunk is missing');
  return value;
}

function readDocument(from: Fields, version: number): MetaTables {
  const tables = new MetaTables();
  tables.clusterId = text(from, 'clusterId');
  tables.featureLevel = whole(from, 'featureLevel');
  tables.metaReplicas = list(from, 'metaReplicas', readReplica);
  const next = fields(from['next'], 'next');
  tables.next.topic = whole(next, 'topic');
  tables.next.shard = whole(next, 'shard');
  tables.next.replica = whole(next, 'replica');
  tables.next.operation = whole(next, 'operation');
  tables.next.producer = whole(next, 'producer');
  for (const node of list(from, 'nodes', readNode)) tables.nodes.set(node.id, node);
  for (const topic of list(from, 'topics', readTopic)) tables.putTopic(topic);
  for (const operation of list(from, 'operations', readOperation))
    tables.operations.set(operation.id, operation);
  // The first images of version 1 had none.
  if (from['writers'] !== undefined) list(from, 'writers', (value) => readWriter(tables, value));
  if (version > FIRST_VERSION) {
    tables.next.subscription = whole(next, 'subscription');
    for (const { record, actions } of list(from, 'subscriptions', readSubscription)) {
      tables.subscriptions.restore(record, actions);
    }
  }
  return tables;
}

function readWriter(tables: MetaTables, value: unknown): void {
  const from = fields(value, 'writer');
  tables.writers.set(text(from, 'name'), {
    producerId: whole(from, 'producerId'),
    epoch: whole(from, 'epoch'),
    instance: text(from, 'instance'),
  });
}

/** A replica's placement out of JSON. */
export function readReplica(value: unknown): ReplicaPlacement {
  const from = fields(value, 'replica');
  return { replica: whole(from, 'replica') as ReplicaId, node: whole(from, 'node') as NodeId };
}

function readNode(value: unknown): NodeRecord {
  const from = fields(value, 'node');
  return {
    id: whole(from, 'id') as NodeId,
    clientAddress: text(from, 'clientAddress'),
    peerAddress: text(from, 'peerAddress'),
    pid: whole(from, 'pid'),
    bootNumber: whole(from, 'bootNumber'),
    featureLevel: whole(from, 'featureLevel'),
  };
}

function readTopic(value: unknown): TopicRecord {
  const from = fields(value, 'topic');
  return {
    id: whole(from, 'id') as TopicId,
    name: text(from, 'name'),
    partitions: list(from, 'partitions', readPartition),
    replicas: whole(from, 'replicas'),
    retentionMilliseconds: whole(from, 'retentionMilliseconds'),
    retentionBytes: whole(from, 'retentionBytes'),
    ready: flag(from, 'ready'),
    groupsMax: whole(from, 'groupsMax'),
    token: text(from, 'token'),
  };
}

function readPartition(value: unknown): PartitionRecord {
  const from = fields(value, 'partition');
  return {
    partition: whole(from, 'partition'),
    shard: whole(from, 'shard') as ShardId,
    replicas: list(from, 'replicas', readReplica),
    founders: wholes(from, 'founders') as ReplicaId[],
  };
}

function readOperation(value: unknown): Operation {
  const from = fields(value, 'operation');
  const state = text(from, 'state');
  if (state !== 'running' && state !== 'done')
    throw new MetaFormatError(`unknown operation state "${state}"`);
  const base = {
    id: whole(from, 'id'),
    token: text(from, 'token'),
    state,
    startedAt: whole(from, 'startedAt'),
    endedAt: whole(from, 'endedAt'),
  } as const;
  const kind = text(from, 'kind');
  switch (kind) {
    case 'createTopic':
      return { kind, ...base, topic: whole(from, 'topic') as TopicId, name: text(from, 'name') };
    case 'deleteTopic':
      return {
        kind,
        ...base,
        topic: whole(from, 'topic') as TopicId,
        name: text(from, 'name'),
        shards: wholes(from, 'shards') as ShardId[],
        nodes: wholes(from, 'nodes') as NodeId[],
      };
    case 'replaceReplicas':
      return {
        kind,
        ...base,
        node: whole(from, 'node') as NodeId,
        replacements: list(from, 'replacements', (item) => {
          const row = fields(item, 'replacement');
          return {
            shard: whole(row, 'shard') as ShardId,
            old: whole(row, 'old') as ReplicaId,
            next: whole(row, 'next') as ReplicaId,
            done: flag(row, 'done'),
          };
        }),
      };
    default: {
      const operation = readSubscriptionOperation(kind, from);
      // In this order, as it was put: equal states give equal images.
      if (operation !== null) return { ...operation, ...base };
      throw new MetaFormatError(`unknown operation kind "${kind}": upgrade this node`);
    }
  }
}
