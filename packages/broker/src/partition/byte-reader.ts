/** Reads what {@link ByteWriter} wrote. `fault` makes the error for bytes that end early or hold too large a number. */
export class ByteReader {
  position = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #end = 0;
  readonly #fault: (message: string) => Error;

  constructor(fault: (message: string) => Error) {
    this.#fault = fault;
  }

  open(bytes: Uint8Array, position = 0, end: number = bytes.length): void {
    this.#bytes = bytes;
    this.position = position;
    this.#end = end;
  }

  get remaining(): number {
    return this.#end - this.position;
  }

  u8(): number {
    if (this.position >= this.#end) throw this.#fault('bytes end early');
    return this.#bytes[this.position++] as number;
  }

  u32(): number {
    const at = this.position;
    if (at + 4 > this.#end) throw this.#fault('bytes end early');
    const bytes = this.#bytes;
    this.position = at + 4;
    const low = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
    return (low | ((bytes[at + 3] as number) << 24)) >>> 0;
  }

  varint(): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.position;
    let value = 0;
    // 28 bits by shifting, which is fast; what lies above by multiplying, which is exact.
    for (let shift = 0; shift < 28; shift += 7) {
      if (at >= end) throw this.#fault('bytes end early');
      const byte = bytes[at++] as number;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.position = at;
        return value;
      }
    }
    let scale = 2 ** 28;
    for (let count = 0; count < 4; count++) {
      if (at >= end) throw this.#fault('bytes end early');
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        this.position = at;
        return value;
      }
      scale *= 0x80;
    }
    throw this.#fault('varint over 2^53 - 1');
  }

  /** Passes over `length` bytes and returns where they begin in what was opened. */
  skip(length: number): number {
    const at = this.position;
    if (at + length > this.#end) throw this.#fault('bytes end early');
    this.position = at + length;
    return at;
  }

  /** A view of the next `length` bytes. */
  view(length: number): Uint8Array {
    const at = this.skip(length);
    return this.#bytes.subarray(at, at + length);
  }
}
