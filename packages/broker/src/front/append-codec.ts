/** An {@link AppendBatch} and its answer as bytes, for the one hop between the node that was asked and the one that leads. */
import type { ShardId } from '@seriatim/multiraft';
import { ERRORS, type ErrorCode, RefusalError, WireReader, WireWriter } from '@seriatim/protocol';
import type { AppendAnswer, AppendBatch } from '../contracts.ts';

const VERSION = 1;
const ANSWER_RECEIPT = 0;
const ANSWER_REFUSAL = 1;

/** Parts of a request; the body is not copied. */
export function encodeAppendRequest(batch: AppendBatch): readonly Uint8Array[] {
  const writer = new WireWriter(64 + batch.runs * 20);
  writer.varint(VERSION);
  writer.varint(batch.shard);
  writer.varint(batch.producerId);
  writer.varint(batch.producerEpoch);
  writer.varint(batch.runs);
  let start = 0;
  for (let run = 0; run < batch.runs; run++) {
    const groupStart = at(batch.groupStart, run);
    const end = at(batch.bodyEnd, run);
    const groupBytes = at(batch.groupEnd, run) - groupStart;
    writer.varint(groupBytes);
    writer.varint(groupBytes === 0 ? 0 : groupStart - start);
    writer.varint(at(batch.life, run));
    writer.varint(at(batch.count, run));
    writer.varint(at(batch.producerSequence, run));
    writer.varint(at(batch.checksum, run));
    writer.varint(end - start);
    start = end;
  }
  const length = Buffer.alloc(4);
  length.writeUInt32LE(writer.length, 0);
  return [length, writer.take(), batch.body];
}

/** Reads a request; its body shares memory with `bytes`. Throws INVALID_REQUEST for bytes that are none. */
export function decodeAppendRequest(bytes: Uint8Array): AppendBatch {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    const headEnd = 4 + buffer.readUInt32LE(0);
    if (headEnd > buffer.length) throw new RangeError('the head runs over the end');
    return readBatch(new WireReader(buffer, 4, headEnd), buffer.subarray(headEnd));
  } catch (error) {
    throw new RefusalError('INVALID_REQUEST', `append from another node: ${String(error)}`, { cause: error });
  }
}

function readBatch(reader: WireReader, body: Buffer): AppendBatch {
  const version = reader.varint();
  if (version !== VERSION) throw new RangeError(`version ${version}, known is ${VERSION}`);
  const shard = reader.varint() as ShardId;
  const producerId = reader.varint();
  const producerEpoch = reader.varint();
  const runs = reader.varint();
  const columns = emptyColumns();
  let start = 0;
  for (let run = 0; run < runs; run++) {
    const groupBytes = reader.varint();
    const groupStart = start + reader.varint();
    columns.groupStart.push(groupStart);
    columns.groupEnd.push(groupStart + groupBytes);
    columns.life.push(reader.varint());
    columns.count.push(reader.varint());
    columns.producerSequence.push(reader.varint());
    columns.checksum.push(reader.varint());
    start += reader.varint();
    columns.bodyEnd.push(start);
    if (groupStart + groupBytes > start) throw new RangeError(`the group of run ${run} is outside of it`);
  }
  if (start !== body.length) throw new RangeError(`${body.length} bytes of body, ${start} announced`);
  return { shard, producerId, producerEpoch, runs, ...columns, body };
}

/** Columns of a batch without rows. */
export function emptyColumns(): Pick<
  AppendBatch,
  'groupStart' | 'groupEnd' | 'life' | 'count' | 'producerSequence' | 'checksum' | 'bodyEnd'
> {
  return {
    groupStart: [],
    groupEnd: [],
    life: [],
    count: [],
    producerSequence: [],
    checksum: [],
    bodyEnd: [],
  };
}

/** An answer's bytes. */
export function encodeAppendAnswer(answer: AppendAnswer): Uint8Array {
  const writer = new WireWriter(256);
  writer.varint(VERSION);
  if (answer.type === 'refusal') {
    writer.varint(ANSWER_REFUSAL);
    writer.varint(answer.notApplied ? 1 : 0);
    text(writer, answer.code);
    text(writer, answer.message);
    return writer.take();
  }
  writer.varint(ANSWER_RECEIPT);
  writer.varint(answer.timestamp);
  writer.varint(answer.status.length);
  for (let run = 0; run < answer.status.length; run++) {
    writer.varint(at(answer.status, run));
    writer.varint(at(answer.firstOffset, run));
    writer.varint(at(answer.firstSequence, run));
  }
  writer.varint(answer.errors.length);
  for (const error of answer.errors) {
    writer.varint(error.run);
    text(writer, error.code);
    text(writer, error.message);
  }
  return writer.take();
}

/** Reads an answer; what can't be read leaves the outcome unknown. */
export function decodeAppendAnswer(bytes: Uint8Array): AppendAnswer {
  try {
    return readAnswer(new WireReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)));
  } catch (error) {
    return {
      type: 'refusal',
      code: 'INTERNAL',
      message: `the leader's answer: ${String(error)}`,
      notApplied: false,
    };
  }
}

function readAnswer(reader: WireReader): AppendAnswer {
  const version = reader.varint();
  if (version !== VERSION) throw new RangeError(`version ${version}, known is ${VERSION}`);
  if (reader.varint() === ANSWER_REFUSAL) {
    const notApplied = reader.varint() === 1;
    return { type: 'refusal', notApplied, code: code(reader.string()), message: reader.string() };
  }
  const timestamp = reader.varint();
  const runs = reader.varint();
  const status: number[] = [];
  const firstOffset: number[] = [];
  const firstSequence: number[] = [];
  for (let run = 0; run < runs; run++) {
    status.push(reader.varint());
    firstOffset.push(reader.varint());
    firstSequence.push(reader.varint());
  }
  const errors: { run: number; code: ErrorCode; message: string }[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    errors.push({ run: reader.varint(), code: code(reader.string()), message: reader.string() });
  }
  return { type: 'receipt', timestamp, status, firstOffset, firstSequence, errors };
}

const code = (name: string): ErrorCode => {
  if (!Object.hasOwn(ERRORS, name)) throw new RangeError(`unknown error code ${name}`);
  return name as ErrorCode;
};

function text(writer: WireWriter, value: string): void {
  const bytes = Buffer.from(value, 'utf8');
  writer.varint(bytes.length);
  writer.raw(bytes);
}

const at = (column: ArrayLike<number>, row: number): number => column[row] ?? 0;
