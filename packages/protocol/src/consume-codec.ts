/** ConsumeResponse: runs and answers in columns, then the stored bytes of the messages as they lie on disk. */
import type { Buffer } from 'node:buffer';
import type { ConsumeEvent } from './subscription-types.ts';
import { lengthTag, WireReader, WireWriter } from './wire.ts';

/** What a response says beside its messages. One row a run; see ConsumeResponse in the proto file. */
export interface ConsumeColumns {
  readonly partition: number;
  readonly runLengths: readonly number[];
  readonly runOffsets: readonly number[];
  readonly runSequences: readonly number[];
  readonly runLives: readonly number[];
  readonly runTimestampsMs: readonly number[];
  readonly runAttempts: readonly number[];
  readonly runTokenCounters: readonly number[];
  readonly tokenEpoch: number;
  readonly holdMilliseconds: number;
  /** 0: says nothing about settlements. */
  readonly settledRows: number;
  readonly refusedRows: readonly number[];
  readonly refusedCodes: readonly string[];
  readonly events: readonly ConsumeEvent[];
}

/** The response's bytes. `body` holds messages as field 15 (tag, length, bytes) and is copied without being looked at. */
export function encodeConsumeResponse(columns: ConsumeColumns, body: readonly Uint8Array[]): Buffer {
  let bodyBytes = 0;
  for (const part of body) bodyBytes += part.length;
  const writer = new WireWriter(64 + columns.runLengths.length * 32 + bodyBytes);
  writer.varintField(1, columns.partition);
  writer.packedField(2, columns.runLengths);
  writer.packedField(3, columns.runOffsets);
  writer.packedField(4, columns.runSequences);
  writer.packedField(5, columns.runLives);
  writer.packedField(6, columns.runTimestampsMs);
  writer.packedField(7, columns.runAttempts);
  writer.packedField(8, columns.runTokenCounters);
  writer.varintField(9, columns.tokenEpoch);
  writer.varintField(10, columns.holdMilliseconds);
  writer.varintField(11, columns.settledRows);
  writer.packedField(12, columns.refusedRows);
  for (const code of columns.refusedCodes) writer.stringField(13, code);
  for (const event of columns.events) {
    const bytes = encodeEvent(event);
    writer.varint(lengthTag(14));
    writer.varint(bytes.length);
    writer.raw(bytes);
  }
  for (const part of body) writer.raw(part);
  return writer.take();
}

function encodeEvent(event: ConsumeEvent): Buffer {
  const writer = new WireWriter(64);
  writer.varintField(1, event.kind);
  writer.varintField(2, event.partition);
  writer.stringField(3, event.group);
  writer.varintField(4, event.life);
  writer.varintField(5, event.tokenEpoch);
  writer.varintField(6, event.tokenCounter);
  writer.varintField(7, event.firstSequence);
  writer.varintField(8, event.lastSequence);
  writer.stringField(9, event.leaderAddress);
  writer.stringField(10, event.code);
  return writer.take();
}

/** A ConsumeResponse as read: its messages are still bytes, at `messageStarts` to `messageEnds` of `bytes`. */
export interface DecodedConsumeResponse extends ConsumeColumns {
  readonly bytes: Buffer;
  readonly messageStarts: readonly number[];
  readonly messageEnds: readonly number[];
}

/** Reads a response's columns and finds its messages. Throws a RangeError where the bytes are not one. */
export function decodeConsumeResponse(bytes: Buffer): DecodedConsumeResponse {
  const reader = new WireReader(bytes);
  // By field number: columns 2 to 8 and 12, single numbers 1 and 9 to 11.
  const columns: number[][] = Array.from({ length: 13 }, () => []);
  const singles: number[] = new Array<number>(12).fill(0);
  const refusedCodes: string[] = [];
  const events: ConsumeEvent[] = [];
  const messageStarts: number[] = [];
  const messageEnds: number[] = [];
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    const field = tag >>> 3;
    if (field === 15) {
      const end = reader.delimitedEnd();
      messageStarts.push(reader.position);
      messageEnds.push(end);
      reader.position = end;
    } else if ((field >= 2 && field <= 8) || field === 12)
      reader.repeated(wireType, columns[field] as number[], field === 6);
    else if (field === 1 || (field >= 9 && field <= 11)) singles[field] = reader.varint();
    else if (field === 13) refusedCodes.push(reader.string());
    else if (field === 14) events.push(decodeEvent(reader));
    else reader.skip(wireType);
  }
  const column = (field: number): readonly number[] => columns[field] as number[];
  const single = (field: number): number => singles[field] as number;
  return {
    partition: single(1),
    runLengths: column(2),
    runOffsets: column(3),
    runSequences: column(4),
    runLives: column(5),
    runTimestampsMs: column(6),
    runAttempts: column(7),
    runTokenCounters: column(8),
    tokenEpoch: single(9),
    holdMilliseconds: single(10),
    settledRows: single(11),
    refusedRows: column(12),
    refusedCodes,
    events,
    bytes,
    messageStarts,
    messageEnds,
  };
}

function decodeEvent(outer: WireReader): ConsumeEvent {
  const end = outer.delimitedEnd();
  const reader = new WireReader(outer.bytes, outer.position, end);
  outer.position = end;
  const numbers: number[] = new Array<number>(9).fill(0);
  let group = '';
  let leaderAddress = '';
  let code = '';
  while (!reader.done) {
    const tag = reader.varint();
    const field = tag >>> 3;
    if (field === 3) group = reader.string();
    else if (field === 9) leaderAddress = reader.string();
    else if (field === 10) code = reader.string();
    else if (field >= 1 && field <= 8) numbers[field] = reader.varint();
    else reader.skip(tag & 7);
  }
  const number = (field: number): number => numbers[field] as number;
  return {
    kind: number(1),
    partition: number(2),
    group,
    life: number(4),
    tokenEpoch: number(5),
    tokenCounter: number(6),
    firstSequence: number(7),
    lastSequence: number(8),
    leaderAddress,
    code,
  };
}
