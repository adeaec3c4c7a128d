/**
 * Bodies of REQUEST_APPEND between nodes. Request: u8 version, v shard, v producer id, v epoch, v runs, each (v name start
 * in its run, v name bytes, v life, v count, v producer's sequence, u32 CRC-32, v body bytes), then the body. Answer: u8
 * version, u8 type (0 receipt, 1 refusal); receipt: v time stamp, v runs, each (u8 status, v first offset, v first sequence), v
 * errors, each (v run, text code, text message); refusal: u8 not applied, text code, text message. Text: v bytes, UTF-8.
 * Version 2 is used only where it is needed, so that nodes of the first version understand all else: behind each run's producer
 * sequence comes v expected sequence, behind each error's message v current sequence + 1 or 0.
 */
import type { ShardId } from '@seriatim/multiraft';
import { ERRORS, type ErrorCode, RefusalError } from '@seriatim/protocol';
import { type AppendAnswer, type AppendBatch, RUN_UNKNOWN, type RunError } from '../contracts.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

const VERSION = 1;
const VERSION_WITH_EXPECTATIONS = 2;
const RECEIPT = 0;
const REFUSAL = 1;
/** No batch that fits the request limit has more; keeps a broken count from making huge columns. */
const RUNS_MAX = 1_000_000;

function broken(message: string): Error {
  return new RefusalError('INVALID_REQUEST', `append between nodes: ${message}`);
}

/** The request in parts; the last one is the batch's own body, not copied. */
export function encodeAppendBatch(batch: AppendBatch): readonly Uint8Array[] {
  const writer = new ByteWriter(64 + batch.runs * 24);
  const { expectedSequence } = batch;
  writer.u8(expectedSequence === undefined ? VERSION : VERSION_WITH_EXPECTATIONS);
  writer.varint(batch.shard);
  writer.varint(batch.producerId);
  writer.varint(batch.producerEpoch);
  writer.varint(batch.runs);
  let start = 0;
  for (let run = 0; run < batch.runs; run++) {
    const end = batch.bodyEnd[run] as number;
    const nameStart = batch.groupStart[run] as number;
    const nameEnd = batch.groupEnd[run] as number;
    writer.varint(nameStart === nameEnd ? 0 : nameStart - start);
    writer.varint(nameEnd - nameStart);
    writer.varint(batch.life[run] as number);
    writer.varint(batch.count[run] as number);
    writer.varint(batch.producerSequence[run] as number);
    if (expectedSequence !== undefined) writer.varint(expectedSequence[run] ?? 0);
    writer.u32(batch.checksum[run] as number);
    writer.varint(end - start);
    start = end;
  }
  return [writer.view(), batch.body];
}

/** The batch, with views of `bytes`. Throws a RefusalError INVALID_REQUEST for bytes that are no batch. */
export function decodeAppendBatch(bytes: Uint8Array): AppendBatch {
  const reader = new ByteReader(broken);
  reader.open(bytes);
  const expecting = readVersion(reader) === VERSION_WITH_EXPECTATIONS;
  const shard = reader.varint() as ShardId;
  const producerId = reader.varint();
  const producerEpoch = reader.varint();
  const runs = reader.varint();
  if (runs > RUNS_MAX || runs > reader.remaining) throw broken(`${runs} runs are too many`);
  const columns = {
    groupStart: [] as number[],
    groupEnd: [] as number[],
    life: [] as number[],
    count: [] as number[],
    producerSequence: [] as number[],
    checksum: [] as number[],
    bodyEnd: [] as number[],
  };
  const expectedSequence: number[] = [];
  let start = 0;
  for (let run = 0; run < runs; run++) {
    const nameStart = start + reader.varint();
    const nameEnd = nameStart + reader.varint();
    columns.life.push(reader.varint());
    columns.count.push(reader.varint());
    columns.producerSequence.push(reader.varint());
    if (expecting) expectedSequence.push(reader.varint());
    columns.checksum.push(reader.u32());
    start += reader.varint();
    if (nameEnd > start) throw broken(`group of run ${run} lies outside the run`);
    columns.groupStart.push(nameStart);
    columns.groupEnd.push(nameEnd);
    columns.bodyEnd.push(start);
  }
  if (reader.remaining !== start) throw broken(`body has ${reader.remaining} bytes, its runs ${start}`);
  const batch = { shard, producerId, producerEpoch, runs, ...columns, body: reader.view(start) };
  return expecting ? { ...batch, expectedSequence } : batch;
}

/** The answer to an append, for {@link decodeAppendAnswer}. */
export function encodeAppendAnswer(answer: AppendAnswer): Uint8Array {
  const writer = new ByteWriter(answer.type === 'receipt' ? 32 + answer.status.length * 12 : 256);
  const conflicts =
    answer.type === 'receipt' && answer.errors.some((error) => error.currentSequence !== undefined);
  writer.u8(conflicts ? VERSION_WITH_EXPECTATIONS : VERSION);
  if (answer.type === 'refusal') {
    writer.u8(REFUSAL);
    writer.u8(answer.notApplied ? 1 : 0);
    writeText(writer, answer.code);
    writeText(writer, answer.message);
    return writer.view();
  }
  writer.u8(RECEIPT);
  writer.varint(answer.timestamp);
  writer.varint(answer.status.length);
  for (let run = 0; run < answer.status.length; run++) {
    writer.u8(answer.status[run] as number);
    writer.varint(answer.firstOffset[run] as number);
    writer.varint(answer.firstSequence[run] as number);
  }
  writer.varint(answer.errors.length);
  for (const error of answer.errors) {
    writer.varint(error.run);
    writeText(writer, error.code);
    writeText(writer, error.message);
    if (conflicts) writer.varint((error.currentSequence ?? -1) + 1);
  }
  return writer.view();
}

/** Throws a RefusalError INVALID_REQUEST for bytes that are no answer. */
export function decodeAppendAnswer(bytes: Uint8Array): AppendAnswer {
  const reader = new ByteReader(broken);
  reader.open(bytes);
  const conflicts = readVersion(reader) === VERSION_WITH_EXPECTATIONS;
  const type = reader.u8();
  if (type === REFUSAL) {
    const notApplied = reader.u8() === 1;
    return { type: 'refusal', notApplied, code: readCode(reader), message: readText(reader) };
  }
  if (type !== RECEIPT) throw broken(`answer type ${type} is not known here`);
  const timestamp = reader.varint();
  const runs = reader.varint();
  if (runs > reader.remaining) throw broken(`${runs} runs are too many`);
  const status: number[] = [];
  const firstOffset: number[] = [];
  const firstSequence: number[] = [];
  for (let run = 0; run < runs; run++) {
    const code = reader.u8();
    if (code > RUN_UNKNOWN) throw broken(`run status ${code} is not known here`);
    status.push(code);
    firstOffset.push(reader.varint());
    firstSequence.push(reader.varint());
  }
  const errors: RunError[] = [];
  const count = reader.varint();
  if (count > reader.remaining) throw broken(`${count} errors are too many`);
  for (let at = 0; at < count; at++) {
    const error = { run: reader.varint(), code: readCode(reader), message: readText(reader) };
    const current = conflicts ? reader.varint() : 0;
    errors.push(current === 0 ? error : { ...error, currentSequence: current - 1 });
  }
  return { type: 'receipt', timestamp, status, firstOffset, firstSequence, errors };
}

function readVersion(reader: ByteReader): number {
  const version = reader.u8();
  if (version === VERSION || version === VERSION_WITH_EXPECTATIONS) return version;
  throw broken(`version ${version} is not known here`);
}

function writeText(writer: ByteWriter, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  writer.varint(bytes.length);
  writer.bytes(bytes);
}

function readText(reader: ByteReader): string {
  return Buffer.from(reader.view(reader.varint())).toString('utf8');
}

/** A newer node may answer with a code that this one does not know: then it is INTERNAL, with the name in the message. */
function readCode(reader: ByteReader): ErrorCode {
  const code = readText(reader);
  return Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'INTERNAL';
}
