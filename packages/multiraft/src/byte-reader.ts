/**
 * Reads what {@link ByteWriter} wrote, from bytes that may be anything. It never throws: the first thing that is wrong is kept in
 * {@link ByteReader.wrong}, and from then on every read gives zeros.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #position: number;
  #wrong: string | null = null;

  constructor(bytes: Uint8Array, position = 0) {
    this.#bytes = bytes;
    this.#position = position;
  }

  /** What was wrong, with its position; null: nothing so far. */
  get wrong(): string | null {
    return this.#wrong;
  }

  /** True at the end of the bytes, or after something was wrong. */
  get done(): boolean {
    return this.#wrong !== null || this.#position >= this.#bytes.length;
  }

  byte(): number {
    if (this.#wrong !== null) return 0;
    const value = this.#bytes[this.#position];
    if (value === undefined) return this.fail('the frame ends in a byte field');
    this.#position += 1;
    return value;
  }

  varint(): number {
    if (this.#wrong !== null) return 0;
    let value = 0;
    let scale = 1;
    for (let n = 0; n < 8; n += 1) {
      const byte = this.#bytes[this.#position];
      if (byte === undefined) return this.fail('the frame ends in a number');
      this.#position += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        return value <= Number.MAX_SAFE_INTEGER ? value : this.fail('a number is above 2^53 - 1');
      }
      scale *= 128;
    }
    return this.fail('a number is longer than 8 bytes');
  }

  /** A view of the next `length` bytes, not a copy. */
  bytes(length: number): Uint8Array {
    if (this.#wrong !== null || length > this.#bytes.length - this.#position) {
      this.fail(`${length} bytes run over the end of the frame`);
      return new Uint8Array(0);
    }
    const from = this.#position;
    this.#position += length;
    return this.#bytes.subarray(from, this.#position);
  }

  /** Everything up to the end, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.#wrong === null ? this.#bytes.length - this.#position : 0);
  }

  /** Notes what is wrong (the first time) and gives 0. */
  fail(reason: string): number {
    this.#wrong ??= `${reason} (byte ${this.#position})`;
    return 0;
  }
}
