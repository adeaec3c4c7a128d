/** A question for records and its answer as bytes, for readers whose node does not lead the partition. */
import type { ShardId } from '@seriatim/multiraft';
import { RefusalError, WireReader, WireWriter } from '@seriatim/protocol';
import type { Offset, RecordStretch } from '../contracts.ts';

const VERSION = 1;

/** Where a reader wants to start, or to go on. */
export type ReadFrom = 'offset' | 'earliest' | 'latest';
const FROM: readonly ReadFrom[] = ['offset', 'earliest', 'latest'];

/** One question to the leader of a partition. */
export interface ReadRequest {
  readonly shard: ShardId;
  readonly from: ReadFrom;
  /** Of use with `offset` only. */
  readonly offset: number;
  readonly bytesMax: number;
  /** Empty: every group. */
  readonly group: string;
  /** At the end, wait this long for more before an empty answer, milliseconds. */
  readonly waitMilliseconds: number;
  /** The high watermark of the answer must have been confirmed by a quorum after the question. */
  readonly confirm: boolean;
}

/** Records from where was asked on; none when there are none (yet). */
export interface ReadAnswer {
  readonly highWatermark: number;
  readonly stretch: RecordStretch;
}

/** A question's bytes. */
export function encodeReadRequest(request: ReadRequest): Uint8Array {
  const writer = new WireWriter(64 + request.group.length * 3);
  writer.varint(VERSION);
  writer.varint(request.shard);
  writer.varint(FROM.indexOf(request.from));
  writer.varint(request.offset);
  writer.varint(request.bytesMax);
  writer.varint(request.waitMilliseconds);
  writer.varint(request.confirm ? 1 : 0);
  const group = Buffer.from(request.group, 'utf8');
  writer.varint(group.length);
  writer.raw(group);
  return writer.take();
}

/** Reads a question. Throws INVALID_REQUEST for bytes that are none. */
export function decodeReadRequest(bytes: Uint8Array): ReadRequest {
  try {
    const reader = open(bytes);
    const shard = reader.varint() as ShardId;
    const from = FROM[reader.varint()];
    if (from === undefined) throw new RangeError('an unknown start');
    return {
      shard,
      from,
      offset: reader.varint(),
      bytesMax: reader.varint(),
      waitMilliseconds: reader.varint(),
      confirm: reader.varint() === 1,
      group: reader.string(),
    };
  } catch (error) {
    throw new RefusalError('INVALID_REQUEST', `read from another node: ${String(error)}`, { cause: error });
  }
}

/** Parts of an answer; the records are not copied. */
export function encodeReadAnswer(answer: ReadAnswer): readonly Uint8Array[] {
  const { stretch } = answer;
  const writer = new WireWriter(64 + stretch.runLengths.length * 24);
  writer.varint(VERSION);
  writer.varint(answer.highWatermark);
  writer.varint(stretch.baseOffset);
  writer.varint(stretch.nextOffset);
  for (const column of columnsOf(stretch)) {
    writer.varint(column.length);
    for (const value of column) writer.varint(value);
  }
  const length = Buffer.alloc(4);
  length.writeUInt32LE(writer.length, 0);
  return [length, writer.take(), ...stretch.body];
}

/** Reads an answer; its records share memory with `bytes`. */
export function decodeReadAnswer(bytes: Uint8Array): ReadAnswer {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const headEnd = 4 + buffer.readUInt32LE(0);
  const reader = open(buffer.subarray(4, headEnd));
  const highWatermark = reader.varint();
  const baseOffset = reader.varint() as Offset;
  const nextOffset = reader.varint() as Offset;
  const column = (): number[] => {
    const values: number[] = [];
    for (let left = reader.varint(); left > 0; left--) values.push(reader.varint());
    return values;
  };
  return {
    highWatermark,
    stretch: {
      baseOffset,
      nextOffset,
      runLengths: column(),
      runSequences: column(),
      runLives: column(),
      runTimestamps: column(),
      runOffsets: column(),
      body: [buffer.subarray(headEnd)],
    },
  };
}

const columnsOf = (stretch: RecordStretch): readonly (readonly number[])[] => [
  stretch.runLengths,
  stretch.runSequences,
  stretch.runLives,
  stretch.runTimestamps,
  stretch.runOffsets,
];

function open(bytes: Uint8Array): WireReader {
  const reader = new WireReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  const version = reader.varint();
  if (version !== VERSION) throw new RangeError(`version ${version}, known is ${VERSION}`);
  return reader;
}

/** The part of a stretch below `end`. The body's bytes are walked only where a cut is needed. */
export function cutStretch(stretch: RecordStretch, end: number): RecordStretch {
  if (stretch.nextOffset <= end) return stretch;
  const cut = {
    runLengths: [] as number[],
    runSequences: [] as number[],
    runLives: [] as number[],
    runTimestamps: [] as number[],
    runOffsets: [] as number[],
  };
  let offset: number = stretch.baseOffset;
  let messages = 0;
  stretch.runLengths.forEach((length, run) => {
    const first = stretch.runOffsets[run] ?? offset;
    offset = first + length;
    const kept = Math.min(length, end - first);
    if (kept <= 0) return;
    messages += kept;
    cut.runLengths.push(kept);
    cut.runSequences.push(stretch.runSequences[run] ?? 0);
    cut.runLives.push(stretch.runLives[run] ?? 0);
    cut.runTimestamps.push(stretch.runTimestamps[run] ?? 0);
    if (stretch.runOffsets.length > 0) cut.runOffsets.push(first);
  });
  const body = firstMessages(stretch.body, messages);
  return { baseOffset: stretch.baseOffset, nextOffset: end as Offset, ...cut, body };
}

/** The parts that hold the first `count` messages. No message crosses the border of a part. */
function firstMessages(body: readonly Uint8Array[], count: number): Uint8Array[] {
  const kept: Uint8Array[] = [];
  let left = count;
  for (const part of body) {
    if (left === 0) break;
    const reader = new WireReader(Buffer.from(part.buffer, part.byteOffset, part.length));
    while (left > 0 && !reader.done) {
      reader.position++;
      reader.position = reader.delimitedEnd();
      left--;
    }
    kept.push(part.subarray(0, reader.position));
  }
  return kept;
}
