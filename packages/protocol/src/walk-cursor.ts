import { Buffer, isUtf8 } from 'node:buffer';
import type { ErrorCode } from './errors.ts';
import { WalkError } from './walk-error.ts';

const NOTHING: Buffer = Buffer.alloc(0);

/** A position in a request's bytes and the strict reading of protobuf's primitives at it. */
export class WalkCursor {
  bytes: Buffer = NOTHING;
  position = 0;
  /** The message that is being read; -1: none, the request's own fields are. */
  messageIndex = -1;

  /** An error at this place: INVALID_MESSAGE inside a message, else INVALID_REQUEST, unless `code` says otherwise. */
  fail(what: string, value?: number, limit?: number, code?: ErrorCode): WalkError {
    const inside = this.messageIndex >= 0;
    return new WalkError(code ?? (inside ? 'INVALID_MESSAGE' : 'INVALID_REQUEST'), what, {
      messageIndex: inside ? this.messageIndex : undefined,
      value,
      limit,
    });
  }

  /** The bytes end in the middle of something. */
  cut(): WalkError {
    return this.fail('stops in the middle, after this many bytes', this.bytes.length);
  }

  /** Marks a singular field as seen; refuses the second time. */
  once(seen: number, bit: number, name: string): number {
    if ((seen & bit) !== 0) throw this.fail(`field ${name} is given twice`);
    return seen | bit;
  }

  /** Why the tag byte at `at` is none of the expected ones; `known` says which fields exist here. */
  unexpected(at: number, known: readonly number[]): WalkError {
    const tag = this.varint(at);
    const field = Math.floor(tag / 8);
    if (!known.includes(field)) return this.fail('unknown field', field);
    if (this.position > at + 1) return this.fail('a tag is not in its shortest form; field', field);
    return this.fail(`wire type ${tag & 7} is wrong for field`, field);
  }

  /** The length at `from`; `position` is then behind it. Whether the bytes are there is the caller's to check. */
  length(from: number): number {
    const first = this.bytes[from] as number;
    if (first < 0x80) {
      this.position = from + 1;
      return first;
    }
    const value = this.varint(from);
    if (this.bytes[this.position - 1] === 0) throw this.fail('a length is not in its shortest form', value);
    return value;
  }

  /** A varint at `from`, exact up to 2^53 and rising above; `position` is then behind it. */
  varint(from: number): number {
    const { bytes } = this;
    let value = 0;
    let scale = 1;
    for (let position = from; position < from + 10; position++) {
      if (position >= bytes.length) throw this.cut();
      const byte = bytes[position] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.position = position + 1;
        return value;
      }
      scale *= 128;
    }
    throw this.fail('a number is longer than 10 bytes');
  }

  /** A varint at `position` of at most `limit`. */
  number(name: string, limit: number): number {
    const value = this.varint(this.position);
    if (value > limit) throw this.fail(`${name} is too large`, value, limit);
    return value;
  }

  /** Passes over a 64-bit varint at `from`, which must end before `end`. */
  skipInt64(from: number, end: number, name: string): number {
    for (let position = from; position < from + 10; position++) {
      if (position >= end) throw this.fail(`field ${name} runs over the end of its message`);
      const byte = this.bytes[position] as number;
      if (byte >= 0x80) continue;
      if (position === from + 9 && byte > 1) break;
      return position + 1;
    }
    throw this.fail(`field ${name} has more than 64 bits`);
  }

  /** A string of the request's own at `position`, behind its tag. */
  string(name: string): string {
    const length = this.length(this.position);
    const end = this.position + length;
    if (end > this.bytes.length) throw this.cut();
    const content = this.bytes.subarray(this.position, end);
    if (!isUtf8(content)) throw this.fail(`field ${name} is not UTF-8`);
    this.position = end;
    return content.toString('utf8');
  }

  /** Behind its tag at `position`: one packed array (`packed`) or one single value of a repeated number. */
  repeated(packed: boolean, name: string, limit: number, countMax: number, into: number[]): void {
    let end = this.position + 1; // a single value: the loop runs once
    if (packed) {
      const length = this.length(this.position);
      end = this.position + length;
      if (end > this.bytes.length) throw this.cut();
    }
    while (this.position < end) {
      if (into.length === countMax) {
        throw this.fail(
          `${name} has more values than messages are allowed`,
          undefined,
          countMax,
          'BATCH_TOO_LARGE',
        );
      }
      into.push(this.number(name, limit));
      if (!packed) return;
    }
    if (this.position > end) throw this.fail(`${name} runs over its length`);
  }
}
