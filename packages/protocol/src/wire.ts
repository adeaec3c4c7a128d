/** Protobuf's wire format, as far as the hot paths write and read it by hand: varints, lengths, packed arrays. */
import { Buffer } from 'node:buffer';

/** Field number and wire type 2 (length-delimited) as a one-byte tag, for fields 1–15. */
export const lengthTag = (field: number): number => (field << 3) | 2;
/** Field number and wire type 0 (varint) as a one-byte tag, for fields 1–15. */
export const varintTag = (field: number): number => field << 3;

/** Bytes of `value` as a varint. `value` is a safe integer, not negative. */
export function varintSize(value: number): number {
  let size = 1;
  for (let limit = 128; value >= limit; limit *= 128) size++;
  return size;
}

/** A growing buffer of protobuf bytes. `take()` ends it; `reset()` starts again in the same memory. */
export class WireWriter {
  bytes: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafe(capacity);
  }

  reset(): void {
    this.length = 0;
  }

  /** The bytes written so far; shares memory with the writer. */
  take(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  /** A varint of a safe integer that is not negative. */
  varint(value: number): void {
    this.reserve(10);
    const { bytes } = this;
    let rest = value;
    let position = this.length;
    // Bit operations see 32 bits only: above that, digits are taken off by division.
    while (rest >= 0x8000_0000) {
      bytes[position++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 0x80) {
      bytes[position++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[position++] = rest;
    this.length = position;
  }

  /** A field of wire type 0; 0 is proto3's default and is left out. */
  varintField(field: number, value: number): void {
    if (value === 0) return;
    this.varint(varintTag(field));
    this.varint(value);
  }

  /** An int64 field: negative numbers take ten bytes, as two's complement. */
  int64Field(field: number, value: number): void {
    if (value >= 0) {
      this.varintField(field, value);
      return;
    }
    this.varint(varintTag(field));
    this.reserve(10);
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 128n; rest >>= 7n) this.bytes[this.length++] = Number(rest & 127n) | 0x80;
    this.bytes[this.length++] = Number(rest);
  }

  /** A string field; the empty string is left out. */
  stringField(field: number, value: string): void {
    if (value === '') return;
    const size = Buffer.byteLength(value);
    this.varint(lengthTag(field));
    this.varint(size);
    this.reserve(size);
    this.length += this.bytes.write(value, this.length, 'utf8');
  }

  /** Bytes as they are, without tag or length. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** The first `count` of `values` as one packed array; an empty one is left out. */
  packedField(field: number, values: ArrayLike<number>, count: number = values.length): void {
    if (count === 0) return;
    let size = 0;
    for (let index = 0; index < count; index++) {
      const value = values[index] as number;
      size += value < 128 ? 1 : varintSize(value);
    }
    this.varint(lengthTag(field));
    this.varint(size);
    this.reserve(size + 10);
    for (let index = 0; index < count; index++) {
      const value = values[index] as number;
      if (value < 128) this.bytes[this.length++] = value;
      else this.varint(value);
    }
  }
}

/** Reads what a broker answered. Throws a RangeError where the bytes end early or a number passes 2^53. */
export class WireReader {
  readonly bytes: Buffer;
  position: number;
  readonly end: number;

  constructor(bytes: Buffer, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  get done(): boolean {
    return this.position >= this.end;
  }

  /** An unsigned varint; as int64 too where `signed`. */
  varint(signed = false): number {
    const { bytes } = this;
    let value = 0;
    let scale = 1;
    const start = this.position;
    for (let position = start; position < this.end; position++) {
      const byte = bytes[position] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.position = position + 1;
        if (value <= Number.MAX_SAFE_INTEGER) return value;
        return this.wide(start, position, signed);
      }
      scale *= 128;
      if (position - start === 9) break;
    }
    throw new RangeError(`a varint at byte ${start} does not end`);
  }

  private wide(start: number, last: number, signed: boolean): number {
    let value = 0n;
    for (let position = last; position >= start; position--) {
      value = (value << 7n) | BigInt((this.bytes[position] as number) & 0x7f);
    }
    const number = Number(signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value));
    if (!Number.isSafeInteger(number))
      throw new RangeError(`the number ${value} at byte ${start} passes 2^53`);
    return number;
  }

  /** A length and the end of what follows; the position moves to its start. */
  delimitedEnd(): number {
    const length = this.varint();
    const end = this.position + length;
    if (end > this.end) throw new RangeError(`a length at byte ${this.position} runs over the end`);
    return end;
  }

  string(): string {
    const end = this.delimitedEnd();
    const text = this.bytes.toString('utf8', this.position, end);
    this.position = end;
    return text;
  }

  /** Appends a packed or a single value of a repeated field. */
  repeated(wireType: number, into: number[], signed = false): void {
    if (wireType === 0) {
      into.push(this.varint(signed));
      return;
    }
    const end = this.delimitedEnd();
    const { bytes } = this;
    let position = this.position;
    while (position < end) {
      const byte = bytes[position] as number;
      if (byte < 0x80) {
        into.push(byte);
        position++;
      } else {
        this.position = position;
        into.push(this.varint(signed));
        position = this.position;
      }
    }
    if (position > end) throw new RangeError(`the last number before byte ${end} runs over its field's end`);
    this.position = end;
  }

  /** Skips a field that this version does not know. */
  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.position += 8;
    else if (wireType === 2) this.position = this.delimitedEnd();
    else if (wireType === 5) this.position += 4;
    else throw new RangeError(`wire type ${wireType} at byte ${this.position}`);
  }
}
