/** FetchResponse: columns in front, then the stored bytes of the messages as they lie on disk. */
import type { Buffer } from 'node:buffer';
import { WireReader, WireWriter } from './wire.ts';

/** A stretch of one partition's records, one row a run. See FetchResponse in the proto file. */
export interface FetchColumns {
  readonly partition: number;
  readonly baseOffset: number;
  readonly highWatermark: number;
  readonly runLengths: readonly number[];
  readonly runSequences: readonly number[];
  readonly runLives: readonly number[];
  readonly runTimestampsMs: readonly number[];
  /** Only with a group filter; else empty. */
  readonly runOffsets: readonly number[];
}

/** The response's bytes. `body` holds messages as field 15 (tag, length, bytes) and is copied without being looked at. */
export function encodeFetchResponse(columns: FetchColumns, body: readonly Uint8Array[]): Buffer {
  let bodyBytes = 0;
  for (const part of body) bodyBytes += part.length;
  const writer = new WireWriter(64 + columns.runLengths.length * 24 + bodyBytes);
  writer.varintField(1, columns.partition);
  writer.varintField(2, columns.baseOffset);
  writer.varintField(3, columns.highWatermark);
  writer.packedField(4, columns.runLengths);
  writer.packedField(5, columns.runSequences);
  writer.packedField(6, columns.runLives);
  writer.packedField(7, columns.runTimestampsMs);
  writer.packedField(8, columns.runOffsets);
  for (const part of body) writer.raw(part);
  return writer.take();
}

/** A FetchResponse as read: its messages are still bytes, at `messageStarts` to `messageEnds` of `bytes`. */
export interface DecodedFetchResponse extends FetchColumns {
  readonly bytes: Buffer;
  readonly messageStarts: readonly number[];
  readonly messageEnds: readonly number[];
}

/** Reads a response's columns and finds its messages. Throws a RangeError where the bytes are not one. */
export function decodeFetchResponse(bytes: Buffer): DecodedFetchResponse {
  const reader = new WireReader(bytes);
  const runLengths: number[] = [];
  const runSequences: number[] = [];
  const runLives: number[] = [];
  const runTimestampsMs: number[] = [];
  const runOffsets: number[] = [];
  const messageStarts: number[] = [];
  const messageEnds: number[] = [];
  let partition = 0;
  let baseOffset = 0;
  let highWatermark = 0;
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    const field = tag >>> 3;
    if (field === 15) {
      const end = reader.delimitedEnd();
      messageStarts.push(reader.position);
      messageEnds.push(end);
      reader.position = end;
    } else if (field === 1) partition = reader.varint();
    else if (field === 2) baseOffset = reader.varint();
    else if (field === 3) highWatermark = reader.varint();
    else if (field === 4) reader.repeated(wireType, runLengths);
    else if (field === 5) reader.repeated(wireType, runSequences);
    else if (field === 6) reader.repeated(wireType, runLives);
    else if (field === 7) reader.repeated(wireType, runTimestampsMs, true);
    else if (field === 8) reader.repeated(wireType, runOffsets);
    else reader.skip(wireType);
  }
  return {
    partition,
    baseOffset,
    highWatermark,
    runLengths,
    runSequences,
    runLives,
    runTimestampsMs,
    runOffsets,
    bytes,
    messageStarts,
    messageEnds,
  };
}
