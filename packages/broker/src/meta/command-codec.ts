/**
 * Commands as bytes: a version byte, a form byte, then JSON for the rare ones and columns for routes, of which tens of thousands
 * come in a second.
 */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { TopicId } from '../contracts.ts';
import { type Fields, MetaFormatError, parseFields, text, whole, wholes } from './fields.ts';
import type { GroupColumns, MetaCommand } from './model.ts';
import { readSubscriptionCommand } from './subscription-fields.ts';

const VERSION = 1;
const FORM_JSON = 1;
const FORM_ASSIGN_ROUTES = 2;
const FORM_REMOVE_ROUTES = 3;
const HEADER_BYTES = 2;
/** Topic id, count of names, bytes of names. */
const TOPIC_HEADER_BYTES = 16;

/** Bytes of a command, as proposed. */
export function encodeCommand(command: MetaCommand): Uint8Array {
  switch (command.type) {
    case 'assignRoutes':
      return encodeColumns(FORM_ASSIGN_ROUTES, command.topics);
    case 'removeRoutes':
      return encodeColumns(FORM_REMOVE_ROUTES, command.topics);
    default: {
      const json = new TextEncoder().encode(JSON.stringify(command));
      const bytes = new Uint8Array(HEADER_BYTES + json.length);
      bytes[0] = VERSION;
      bytes[1] = FORM_JSON;
      bytes.set(json, HEADER_BYTES);
      return bytes;
    }
  }
}

/** Reads a command; throws {@link MetaFormatError} for a version, form or type that this program does not know. */
export function decodeCommand(bytes: Uint8Array): MetaCommand {
  if (bytes[0] !== VERSION) {
    throw new MetaFormatError(
      `meta command has version ${bytes[0] ?? 'none'}, this program knows ${VERSION}: upgrade this node`,
    );
  }
  switch (bytes[1]) {
    case FORM_JSON:
      return decodeFields(parseFields(bytes.subarray(HEADER_BYTES), 'meta command'));
    case FORM_ASSIGN_ROUTES:
      return { type: 'assignRoutes', topics: decodeColumns(bytes) };
    case FORM_REMOVE_ROUTES:
      return { type: 'removeRoutes', topics: decodeColumns(bytes) };
    default:
      throw new MetaFormatError(`meta command has the unknown form ${bytes[1] ?? 'none'}: upgrade this node`);
  }
}

function decodeFields(from: Fields): MetaCommand {
  const type = text(from, 'type');
  switch (type) {
    case 'form':
      return { type, clusterId: text(from, 'clusterId'), nodes: wholes(from, 'nodes') as NodeId[] };
    case 'registerNode':
      return {
        type,
        id: whole(from, 'id') as NodeId,
        clientAddress: text(from, 'clientAddress'),
        peerAddress: text(from, 'peerAddress'),
        pid: whole(from, 'pid'),
        bootNumber: whole(from, 'bootNumber'),
        featureLevel: whole(from, 'featureLevel'),
      };
    case 'createTopic':
      return {
        type,
        name: text(from, 'name'),
        partitions: whole(from, 'partitions'),
        replicas: whole(from, 'replicas'),
        retentionMilliseconds: whole(from, 'retentionMilliseconds'),
        retentionBytes: whole(from, 'retentionBytes'),
        groupsMax: whole(from, 'groupsMax'),
        token: text(from, 'token'),
        time: whole(from, 'time'),
      };
    case 'deleteTopic':
      return { type, name: text(from, 'name'), token: text(from, 'token'), time: whole(from, 'time') };
    default:
      return decodeOperationFields(type, from);
  }
}

function decodeOperationFields(type: string, from: Fields): MetaCommand {
  switch (type) {
    case 'endOperation':
      return { type, operation: whole(from, 'operation'), time: whole(from, 'time') };
    case 'reserveProducerIds':
      return { type, count: whole(from, 'count') };
    case 'openWriter':
      return {
        type,
        name: text(from, 'name'),
        instance: text(from, 'instance'),
        previousEpoch: whole(from, 'previousEpoch'),
      };
    case 'raiseFeatureLevel':
      return { type, level: whole(from, 'level') };
    case 'replaceReplicas':
      return {
        type,
        node: whole(from, 'node') as NodeId,
        token: text(from, 'token'),
        time: whole(from, 'time'),
      };
    case 'replicaReplaced':
      return {
        type,
        operation: whole(from, 'operation'),
        shard: whole(from, 'shard') as ShardId,
        time: whole(from, 'time'),
      };
    default: {
      const command = readSubscriptionCommand(type, from);
      if (command !== null) return command;
      throw new MetaFormatError(`meta command has the unknown type "${type}": upgrade this node`);
    }
  }
}

/** Names of one topic put into columns. */
export function groupColumns(topic: TopicId, groups: readonly Uint8Array[]): GroupColumns {
  const ends = new Uint32Array(groups.length);
  let end = 0;
  for (let row = 0; row < groups.length; row++) {
    end += groups[row]?.length ?? 0;
    ends[row] = end;
  }
  const bytes = new Uint8Array(end);
  for (let row = 0; row < groups.length; row++) {
    const name = groups[row];
    if (name !== undefined) bytes.set(name, (ends[row] ?? 0) - name.length);
  }
  return { topic, ends, bytes };
}

function encodeColumns(form: number, topics: readonly GroupColumns[]): Uint8Array {
  let size = HEADER_BYTES + 4;
  for (const topic of topics) size += TOPIC_HEADER_BYTES + topic.ends.length * 4 + topic.bytes.length;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes[0] = VERSION;
  bytes[1] = form;
  view.setUint32(HEADER_BYTES, topics.length, true);
  let at = HEADER_BYTES + 4;
  for (const topic of topics) {
    view.setFloat64(at, topic.topic, true);
    view.setUint32(at + 8, topic.ends.length, true);
    view.setUint32(at + 12, topic.bytes.length, true);
    at += TOPIC_HEADER_BYTES;
    for (const end of topic.ends) {
      view.setUint32(at, end, true);
      at += 4;
    }
    bytes.set(topic.bytes, at);
    at += topic.bytes.length;
  }
  return bytes;
}

function decodeColumns(bytes: Uint8Array): GroupColumns[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const topics: GroupColumns[] = [];
    const count = view.getUint32(HEADER_BYTES, true);
    let at = HEADER_BYTES + 4;
    for (let n = 0; n < count; n++) {
      const topic = view.getFloat64(at, true) as TopicId;
      const rows = view.getUint32(at + 8, true);
      const size = view.getUint32(at + 12, true);
      at += TOPIC_HEADER_BYTES;
      if (at + rows * 4 + size > bytes.length) throw new RangeError('columns run over the command');
      const ends = decodeEnds(view, at, rows, size);
      at += rows * 4;
      topics.push({ topic, ends, bytes: bytes.subarray(at, at + size) });
      at += size;
    }
    if (at !== bytes.length) throw new RangeError(`${bytes.length - at} bytes behind the last column`);
    return topics;
  } catch (error) {
    throw new MetaFormatError(`meta command with routes is broken: ${String(error)}`);
  }
}

function decodeEnds(view: DataView, at: number, rows: number, size: number): Uint32Array {
  const ends = new Uint32Array(rows);
  let previous = 0;
  for (let row = 0; row < rows; row++) {
    const end = view.getUint32(at + row * 4, true);
    if (end < previous || end > size) throw new RangeError(`name ${row} ends at ${end}`);
    ends[row] = end;
    previous = end;
  }
  if (previous !== size) throw new RangeError('names and their bytes differ in length');
  return ends;
}
