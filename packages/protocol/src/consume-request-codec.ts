/** ConsumeRequest: credit and settlements in columns, one row a settlement; written by consumers, read strictly by servers. */
import { type Buffer, isUtf8 } from 'node:buffer';
import { RefusalError } from './errors.ts';
import {
  SETTLEMENT_KIND_EXTEND,
  SETTLEMENT_KIND_NACK,
  SETTLEMENT_KIND_REJECT,
} from './subscription-types.ts';
import { lengthTag, varintTag, WireReader, WireWriter } from './wire.ts';

/** Settlement rows, or holds that are named, in one request. */
export const CONSUME_ROWS_MAX = 65_536;
/** Credit granted with one request: messages, and bytes. */
export const CONSUME_CREDIT_MESSAGES_MAX = 1_000_000;
export const CONSUME_CREDIT_BYTES_MAX: number = 256 * 1024 * 1024;
/** Largest delay of a NACK, milliseconds. */
export const NACK_DELAY_MILLISECONDS_MAX = 86_400_000;
/** In place of the delay of a NACK: the subscription's back-off. */
export const NACK_BACKOFF = 0xffff_ffff;
const VARINT_BYTES_MAX = 10;
/** Longest hold that an EXTEND asks for, milliseconds. */
export const HOLD_MILLISECONDS_MAX = 3_600_000;

/** ConsumeOpen, with the holds that the consumer names in columns. */
export interface ConsumeOpen {
  readonly topic: string;
  readonly subscription: string;
  readonly consumer: string;
  readonly session: string;
  readonly resumeGroups: readonly string[];
  readonly resumePartitions: readonly number[];
  readonly resumeLives: readonly number[];
  readonly resumeTokenEpochs: readonly number[];
  readonly resumeTokenCounters: readonly number[];
  readonly resumeSequences: readonly number[];
  readonly resumeHeadOffsets: readonly number[];
  readonly resumeHeadAttempts: readonly number[];
  readonly resumeSettledSequences: readonly number[];
}

/** A ConsumeRequest; see the proto file. */
export interface ConsumeRequest {
  /** Only in the first request of a stream. */
  readonly open: ConsumeOpen | null;
  readonly creditMessages: number;
  readonly creditBytes: number;
  readonly settleKinds: readonly number[];
  readonly settlePartitions: readonly number[];
  readonly settleTokenEpochs: readonly number[];
  readonly settleTokenCounters: readonly number[];
  readonly settleSequences: readonly number[];
  readonly settleMilliseconds: readonly number[];
  /** One for each NACK and REJECT row, in order. */
  readonly settleReasons: readonly string[];
  readonly leave: boolean;
}

/** The request's bytes. */
export function encodeConsumeRequest(request: ConsumeRequest): Buffer {
  const writer = new WireWriter(64 + request.settleKinds.length * 16);
  if (request.open !== null) {
    const open = encodeOpen(request.open);
    writer.varint(lengthTag(1));
    writer.varint(open.length);
    writer.raw(open);
  }
  writer.varintField(2, request.creditMessages);
  writer.varintField(3, request.creditBytes);
  writer.packedField(4, request.settleKinds);
  writer.packedField(5, request.settlePartitions);
  writer.packedField(6, request.settleTokenEpochs);
  writer.packedField(7, request.settleTokenCounters);
  writer.packedField(8, request.settleSequences);
  writer.packedField(9, request.settleMilliseconds);
  for (const reason of request.settleReasons) repeatedString(writer, 10, reason);
  writer.varintField(11, request.leave ? 1 : 0);
  return writer.take();
}

function encodeOpen(open: ConsumeOpen): Buffer {
  const writer = new WireWriter(128 + open.resumeGroups.length * 32);
  writer.stringField(1, open.topic);
  writer.stringField(2, open.subscription);
  writer.stringField(3, open.consumer);
  writer.stringField(4, open.session);
  for (const group of open.resumeGroups) repeatedString(writer, 5, group);
  writer.packedField(6, open.resumePartitions);
  writer.packedField(7, open.resumeLives);
  writer.packedField(8, open.resumeTokenEpochs);
  writer.packedField(9, open.resumeTokenCounters);
  writer.packedField(10, open.resumeSequences);
  writer.packedField(11, open.resumeHeadOffsets);
  writer.packedField(12, open.resumeHeadAttempts);
  writer.packedField(13, open.resumeSettledSequences);
  return writer.take();
}

/** Unlike a singular field, an empty element of a repeated one is written. */
function repeatedString(writer: WireWriter, field: number, value: string): void {
  if (value !== '') {
    writer.stringField(field, value);
    return;
  }
  writer.varint(lengthTag(field));
  writer.varint(0);
}

/**
 * Reads a request as strictly as requests are read: known fields with their wire types, singular ones once, columns of equal length, numbers in
 * their ranges. Throws a RefusalError INVALID_REQUEST that names the field.
 */
export function decodeConsumeRequest(bytes: Buffer): ConsumeRequest {
  const reader = new WireReader(bytes);
  const columns: number[][] = Array.from({ length: 6 }, () => []);
  const singles = { creditMessages: 0, creditBytes: 0, leave: 0 };
  const settleReasons: string[] = [];
  let open: ConsumeOpen | null = null;
  strictly('ConsumeRequest', reader, [1, 2, 3, 11], (field, tag) => {
    if (field === 1 && tag === lengthTag(1)) open = decodeOpen(inner(reader));
    else if (field >= 4 && field <= 9) readColumn(reader, tag, columns[field - 4] as number[]);
    else if (tag === lengthTag(10)) settleReasons.push(strictString(reader));
    else if (tag === varintTag(2)) singles.creditMessages = reader.varint();
    else if (tag === varintTag(3)) singles.creditBytes = reader.varint();
    else if (tag === varintTag(11)) singles.leave = reader.varint();
    else return false;
    return true;
  });
  const [kinds, partitions, epochs, counters, sequences, milliseconds] = columns as [
    number[],
    number[],
    number[],
    number[],
    number[],
    number[],
  ];
  const request = {
    open,
    creditMessages: singles.creditMessages,
    creditBytes: singles.creditBytes,
    settleKinds: kinds,
    settlePartitions: partitions,
    settleTokenEpochs: epochs,
    settleTokenCounters: counters,
    settleSequences: sequences,
    settleMilliseconds: milliseconds,
    settleReasons,
    leave: singles.leave !== 0,
  };
  check(request);
  return request;
}

function decodeOpen(reader: WireReader): ConsumeOpen {
  const columns: number[][] = Array.from({ length: 8 }, () => []);
  const texts = ['', '', '', ''];
  const resumeGroups: string[] = [];
  strictly('ConsumeOpen', reader, [1, 2, 3, 4], (field, tag) => {
    if (field >= 1 && field <= 4 && tag === lengthTag(field)) texts[field - 1] = strictString(reader);
    else if (tag === lengthTag(5)) resumeGroups.push(strictString(reader));
    else if (field >= 6 && field <= 13) readColumn(reader, tag, columns[field - 6] as number[]);
    else return false;
    return true;
  });
  const [partitions, lives, epochs, counters, sequences, headOffsets, headAttempts, settledSequences] =
    columns as [number[], number[], number[], number[], number[], number[], number[], number[]];
  for (const column of columns) sameLength('resume', column.length, resumeGroups.length);
  const [topic, subscription, consumer, session] = texts as [string, string, string, string];
  return {
    topic,
    subscription,
    consumer,
    session,
    resumeGroups,
    resumePartitions: partitions,
    resumeLives: lives,
    resumeTokenEpochs: epochs,
    resumeTokenCounters: counters,
    resumeSequences: sequences,
    resumeHeadOffsets: headOffsets,
    resumeHeadAttempts: headAttempts,
    resumeSettledSequences: settledSequences,
  };
}

/** Calls `take` for each field; `once` may come one time. Everything that is not what it should be becomes INVALID_REQUEST. */
function strictly(
  type: string,
  reader: WireReader,
  once: readonly number[],
  take: (field: number, tag: number) => boolean,
): void {
  let seen = 0;
  try {
    while (!reader.done) {
      const at = reader.position;
      const tag = reader.varint();
      const field = Math.floor(tag / 8);
      if (once.includes(field)) {
        if ((seen & (1 << field)) !== 0)
          throw new RangeError(`field ${field} is given twice, again at byte ${at}`);
        seen |= 1 << field;
      }
      if (!take(field, tag))
        throw new RangeError(`field ${field} at byte ${at}, unknown or of another wire type`);
    }
    if (reader.position > reader.end) throw new RangeError('the last field runs over the end');
  } catch (error) {
    if (error instanceof RefusalError) throw error;
    const reason = error instanceof RangeError ? error.message : 'broken encoding';
    throw new RefusalError('INVALID_REQUEST', `${type}: ${reason}`, { cause: error });
  }
}

/** A packed array or a single value of it. */
function readColumn(reader: WireReader, tag: number, into: number[]): void {
  const wireType = tag % 8;
  if (wireType !== 0 && wireType !== 2)
    throw new RangeError(`field ${Math.floor(tag / 8)} has wire type ${wireType}`);
  const at = reader.position;
  // Before it is read: no column of rows is longer.
  if (wireType === 2 && reader.delimitedEnd() - reader.position > VARINT_BYTES_MAX * CONSUME_ROWS_MAX) {
    throw new RangeError(`field ${Math.floor(tag / 8)} has more than ${CONSUME_ROWS_MAX} values, the limit`);
  }
  reader.position = at;
  reader.repeated(wireType, into);
  if (into.length > CONSUME_ROWS_MAX) {
    throw new RangeError(`field ${Math.floor(tag / 8)} has more than ${CONSUME_ROWS_MAX} values, the limit`);
  }
}

function inner(reader: WireReader): WireReader {
  const end = reader.delimitedEnd();
  const part = new WireReader(reader.bytes, reader.position, end);
  reader.position = end;
  return part;
}

function strictString(reader: WireReader): string {
  const at = reader.position;
  const end = reader.delimitedEnd();
  if (!isUtf8(reader.bytes.subarray(reader.position, end)))
    throw new RangeError(`the text at byte ${at} is not UTF-8`);
  const text = reader.bytes.toString('utf8', reader.position, end);
  reader.position = end;
  return text;
}

function check(request: ConsumeRequest): void {
  const rows = request.settleKinds.length;
  for (const column of [
    request.settlePartitions,
    request.settleTokenEpochs,
    request.settleTokenCounters,
    request.settleSequences,
    request.settleMilliseconds,
  ]) {
    sameLength('settle', column.length, rows);
  }
  atMost('credit_messages', request.creditMessages, CONSUME_CREDIT_MESSAGES_MAX);
  atMost('credit_bytes', request.creditBytes, CONSUME_CREDIT_BYTES_MAX);
  let reasons = 0;
  for (let row = 0; row < rows; row++) {
    const kind = request.settleKinds[row] as number;
    const milliseconds = request.settleMilliseconds[row] as number;
    atMost('settle_kinds', kind, SETTLEMENT_KIND_EXTEND);
    if (kind === SETTLEMENT_KIND_NACK || kind === SETTLEMENT_KIND_REJECT) reasons++;
    if (milliseconds === 0 || (kind === SETTLEMENT_KIND_NACK && milliseconds === NACK_BACKOFF)) continue;
    if (kind === SETTLEMENT_KIND_NACK) atMost('delay of a NACK', milliseconds, NACK_DELAY_MILLISECONDS_MAX);
    else if (kind === SETTLEMENT_KIND_EXTEND)
      atMost('length of an EXTEND', milliseconds, HOLD_MILLISECONDS_MAX);
    else atMost('settle_milliseconds of an ACK or REJECT', milliseconds, 0);
  }
  if (request.settleReasons.length !== reasons) {
    const told = request.settleReasons.length;
    throw invalid(`${told} settle_reasons for ${reasons} NACK and REJECT rows; there must be one for each`);
  }
}

function sameLength(what: string, length: number, expected: number): void {
  if (length !== expected)
    throw invalid(`${what}_* columns have ${length} and ${expected} values; they must be parallel`);
}

function atMost(what: string, value: number, max: number): void {
  if (value > max) throw invalid(`${what} is ${value}, the limit is ${max}`);
}

function invalid(message: string): RefusalError {
  return new RefusalError('INVALID_REQUEST', `ConsumeRequest: ${message}`);
}
