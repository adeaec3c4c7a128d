/** Builds little-endian bytes in one buffer that grows; whole numbers up to 2^53 are stored as 64-bit floats. */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = 1_024) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity);
  }

  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  /** Starts anew in the same memory. */
  clear(): void {
    this.#length = 0;
  }

  u8(value: number): this {
    // In two steps: taking may move to a larger buffer, and the left side of an assignment is looked up first.
    const position = this.#take(1);
    this.#bytes[position] = value;
    return this;
  }

  u16(value: number): this {
    this.#take(2);
    this.#bytes.writeUInt16LE(value, this.#length - 2);
    return this;
  }

  u32(value: number): this {
    this.#take(4);
    this.#bytes.writeUInt32LE(value, this.#length - 4);
    return this;
  }

  f64(value: number): this {
    this.#take(8);
    this.#bytes.writeDoubleLE(value, this.#length - 8);
    return this;
  }

  bytes(value: Uint8Array): this {
    const position = this.#take(value.length);
    this.#bytes.set(value, position);
    return this;
  }

  /** Appends `count` zeros. */
  zeros(count: number): this {
    const position = this.#take(count);
    this.#bytes.fill(0, position, position + count);
    return this;
  }

  /** Overwrites four bytes written before. */
  setU32(position: number, value: number): void {
    this.#bytes.writeUInt32LE(value, position);
  }

  /** Overwrites eight bytes written before. */
  setF64(position: number, value: number): void {
    this.#bytes.writeDoubleLE(value, position);
  }

  /** What was written, not copied: valid until the next change. */
  view(from = 0, to: number = this.#length): Buffer {
    return this.#bytes.subarray(from, to);
  }

  #take(count: number): number {
    const position = this.#length;
    const needed = position + count;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, position);
      this.#bytes = grown;
    }
    this.#length = needed;
    return position;
  }
}

/** Reads what {@link ByteWriter} wrote. Reading past the end throws a RangeError: checksums were checked before. */
export class ByteReader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#position;
  }

  get done(): boolean {
    return this.#position >= this.#bytes.length;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#step(1));
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#step(2));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#step(4));
  }

  f64(): number {
    return this.#bytes.readDoubleLE(this.#step(8));
  }

  /** A view, not a copy. */
  bytes(length: number): Buffer {
    const from = this.#step(length);
    if (this.#position > this.#bytes.length) throw new RangeError('bytes end early');
    return this.#bytes.subarray(from, this.#position);
  }

  skip(length: number): void {
    this.#position += length;
  }

  #step(length: number): number {
    const from = this.#position;
    this.#position += length;
    return from;
  }
}
