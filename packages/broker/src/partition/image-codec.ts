/**
 * The image of a partition's state: a stream cut into chunks of at most 64 KiB. Layout (v: varint): u8 version, v applied
 * index, v next offset, v low watermark, v first index kept, v highest forgotten epoch, v last time stamp, v groups; the
 * groups' names by rising number, each v length and bytes; their rows as they lie in memory, so that an image costs a copy
 * (GroupRecords.rowBytes); v groups with further writers, each v group and writers (WriterRows.write); v groups with
 * intervals, each v group, v intervals, each (v partition, v first sequence, v last sequence); from version 2 on v fenced
 * producers, each v id, v epoch; from version 3 on the subscriptions (SubscriptionsState.write). It is the same on every
 * replica with the same applied index, so its checksum is the applied-state hash.
 */
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import type { GroupNames } from './group-names.ts';
import { GroupRecords } from './group-records.ts';
import { mustHold, ShardFault } from './shard-fault.ts';
import { SubscriptionsState } from './subscription/subscription-state.ts';
import { WriterFences } from './writer-fences.ts';

const IMAGE_VERSION = 3;
/** First version with each part; older images are read as if it were empty. */
const FENCES_SINCE = 2;
const SUBSCRIPTIONS_SINCE = 3;
/** Largest chunk of an image, as the log store asks for. */
export const IMAGE_CHUNK_BYTES_MAX: number = 64 * 1024;
/** Chunks are cut when they have this much: one more group, with all its writers, still fits. */
const CUT_BYTES = IMAGE_CHUNK_BYTES_MAX - 8 * 1024;

/** The parts of the state that are single numbers. */
export interface StateNumbers {
  readonly appliedIndex: number;
  readonly nextOffset: number;
  readonly lowWatermark: number;
  readonly firstIndex: number;
  readonly highestForgotten: number;
  readonly lastTimestamp: number;
}

/** `records` and `subscriptions` must not change while the chunks are taken; names of the groups in it must stay. */
export function* writeImage(
  numbers: StateNumbers,
  names: GroupNames,
  records: GroupRecords,
  fences: ReturnType<WriterFences['rows']>,
  subscriptions: SubscriptionsState,
): Generator<Uint8Array> {
  const writer = new ByteWriter(IMAGE_CHUNK_BYTES_MAX);
  writer.u8(IMAGE_VERSION);
  writer.varint(numbers.appliedIndex);
  writer.varint(numbers.nextOffset);
  writer.varint(numbers.lowWatermark);
  writer.varint(numbers.firstIndex);
  writer.varint(numbers.highestForgotten);
  writer.varint(numbers.lastTimestamp);
  writer.varint(records.count);
  for (let group = 0; group < records.count; group++) {
    const name = names.name(group);
    writer.varint(name.length);
    writer.bytes(name);
    if (writer.length >= CUT_BYTES) yield* cut(writer);
  }
  yield* cut(writer);
  yield* records.rowBytes();
  for (const _ of records.writeExtras(writer)) if (writer.length >= CUT_BYTES) yield* cut(writer);
  for (const _ of WriterFences.write(fences, writer)) if (writer.length >= CUT_BYTES) yield* cut(writer);
  for (const _ of subscriptions.write(writer)) if (writer.length >= CUT_BYTES) yield* cut(writer);
  yield* cut(writer);
}

/** Gives what was written as chunks and empties the writer. */
function* cut(writer: ByteWriter): Generator<Uint8Array> {
  const bytes = writer.copy();
  writer.reset();
  for (let at = 0; at < bytes.length; at += IMAGE_CHUNK_BYTES_MAX) {
    yield bytes.subarray(at, Math.min(bytes.length, at + IMAGE_CHUNK_BYTES_MAX));
  }
}

/** Reads an image into `names`, which must be empty. Throws {@link ShardFault} for an unknown version or bytes that end early. */
export function readImage(
  chunks: Iterable<Uint8Array>,
  names: GroupNames,
): {
  readonly numbers: StateNumbers;
  readonly records: GroupRecords;
  readonly fences: WriterFences;
  readonly subscriptions: SubscriptionsState;
} {
  const bytes = Buffer.concat([...chunks]);
  const reader = new ByteReader((message) => new ShardFault(`partition image: ${message}`));
  reader.open(bytes);
  const version = reader.u8();
  mustHold(
    version >= 1 && version <= IMAGE_VERSION,
    `partition image version ${version} is not known here; upgrade this node`,
  );
  const numbers = {
    appliedIndex: reader.varint(),
    nextOffset: reader.varint(),
    lowWatermark: reader.varint(),
    firstIndex: reader.varint(),
    highestForgotten: reader.varint(),
    lastTimestamp: reader.varint(),
  };
  const count = reader.varint();
  for (let group = 0; group < count; group++) {
    const length = reader.varint();
    const start = reader.skip(length);
    if (names.add(bytes, start, start + length) !== group) {
      throw new ShardFault(`partition image: the name of group ${group} is there twice`);
    }
  }
  const records = GroupRecords.read(reader, count);
  const fences = version < FENCES_SINCE ? new WriterFences() : WriterFences.read(reader);
  const subscriptions =
    version < SUBSCRIPTIONS_SINCE ? new SubscriptionsState() : SubscriptionsState.read(reader);
  mustHold(reader.remaining === 0, 'partition image: bytes behind its end');
  return { numbers, records, fences, subscriptions };
}
