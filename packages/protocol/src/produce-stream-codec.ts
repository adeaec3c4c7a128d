/** The frames of OrderedProduceStream, written and read by hand: a small one around each request and answer. */
import type { Buffer } from 'node:buffer';
import { ERRORS, type ErrorCode, RefusalError } from './errors.ts';
import { lengthTag, varintTag, WireReader, WireWriter } from './wire.ts';

/** Bytes that a frame needs beside what it carries, at most: tags, call, time, length. */
const FRAME_BYTES_MAX = 32;

/** An OrderedProduceCall. */
export interface ProduceCall {
  readonly call: number;
  /** Milliseconds; 0: not given. */
  readonly timeoutMs: number;
  /** An OrderedProduceRequest; a view. */
  readonly request: Buffer;
}

/** An OrderedProduceReply: an OrderedProduceResponse (a view), or why there is none. */
export interface ProduceReply {
  readonly call: number;
  readonly answer: Buffer | RefusalError;
}

/** The bytes of a call; the request is copied. */
export function encodeProduceCall({ call, timeoutMs, request }: ProduceCall): Buffer {
  const writer = new WireWriter(request.length + FRAME_BYTES_MAX);
  writer.varintField(1, call);
  writer.varintField(2, timeoutMs);
  writer.varint(lengthTag(15));
  writer.varint(request.length);
  writer.raw(request);
  return writer.take();
}

/** Reads a call as strictly as requests are read. Throws a RefusalError INVALID_REQUEST. */
export function decodeProduceCall(bytes: Buffer): ProduceCall {
  const reader = new WireReader(bytes);
  let call = 0;
  let timeoutMs = 0;
  let request: Buffer | null = null;
  let seen = 0;
  try {
    while (!reader.done) {
      const at = reader.position;
      const tag = reader.varint();
      const field = tag >>> 3;
      if (field > 15 || (seen & (1 << field)) !== 0)
        throw new RangeError(`field ${field} at byte ${at}, again or unknown`);
      seen |= 1 << field;
      if (tag === varintTag(1)) call = reader.varint();
      else if (tag === varintTag(2)) timeoutMs = reader.varint();
      else if (tag === lengthTag(15)) {
        const end = reader.delimitedEnd();
        request = bytes.subarray(reader.position, end);
        reader.position = end;
      } else throw new RangeError(`field ${field} at byte ${at}, unknown or of another wire type`);
    }
  } catch (error) {
    const reason = error instanceof RangeError ? error.message : 'broken encoding';
    throw new RefusalError('INVALID_REQUEST', `OrderedProduceCall: ${reason}`, { cause: error });
  }
  if (request === null)
    throw new RefusalError('INVALID_REQUEST', 'OrderedProduceCall: the request is missing');
  return { call, timeoutMs, request };
}

/** The bytes of an answer. */
export function encodeProduceReply({ call, answer }: ProduceReply): Buffer {
  if (answer instanceof RefusalError) return encodeRefusal(call, answer);
  const writer = new WireWriter(answer.length + FRAME_BYTES_MAX);
  writer.varintField(1, call);
  writer.varint(lengthTag(2));
  writer.varint(answer.length);
  writer.raw(answer);
  return writer.take();
}

/** Reads an answer; fields that this version does not know are skipped. Throws a RangeError where the bytes are none. */
export function decodeProduceReply(bytes: Buffer): ProduceReply {
  const reader = new WireReader(bytes);
  let call = 0;
  let answer: Buffer | RefusalError = bytes.subarray(0, 0);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === varintTag(1)) call = reader.varint();
    else if (tag === lengthTag(2)) {
      const end = reader.delimitedEnd();
      answer = bytes.subarray(reader.position, end);
      reader.position = end;
    } else if (tag === lengthTag(3)) {
      const end = reader.delimitedEnd();
      answer = decodeRefusal(new WireReader(bytes, reader.position, end));
      reader.position = end;
    } else reader.skip(tag & 7);
  }
  return { call, answer };
}

function encodeRefusal(call: number, refusal: RefusalError): Buffer {
  const inner = new WireWriter(128 + refusal.message.length);
  inner.stringField(1, refusal.code);
  inner.stringField(2, refusal.message);
  inner.varintField(3, refusal.outcome === 'not-applied' ? 1 : 0);
  inner.stringField(4, refusal.leaderAddress ?? '');
  const writer = new WireWriter(inner.length + FRAME_BYTES_MAX);
  writer.varintField(1, call);
  writer.varint(lengthTag(3));
  writer.varint(inner.length);
  writer.raw(inner.take());
  return writer.take();
}

function decodeRefusal(reader: WireReader): RefusalError {
  let code = '';
  let message = '';
  let notApplied = false;
  let leaderAddress = '';
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === lengthTag(1)) code = reader.string();
    else if (tag === lengthTag(2)) message = reader.string();
    else if (tag === varintTag(3)) notApplied = reader.varint() !== 0;
    else if (tag === lengthTag(4)) leaderAddress = reader.string();
    else reader.skip(tag & 7);
  }
  const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'INTERNAL';
  return new RefusalError(known, message, {
    outcome: notApplied ? 'not-applied' : 'unknown',
    leaderAddress: leaderAddress === '' ? undefined : leaderAddress,
  });
}
