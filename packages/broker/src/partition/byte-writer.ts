/** Largest whole number a varint may hold here: what a JS number holds exactly. */
const VARINT_MAX = Number.MAX_SAFE_INTEGER;
const VARINT_BYTES_MAX = 8;

/** Bytes that grow while they are written. Reused between uses by {@link reset}, so that steady work allocates nothing. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 1024) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** Little endian. */
  u32(value: number): void {
    this.#reserve(4);
    const at = this.#length;
    const bytes = this.#bytes;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
    this.#length = at + 4;
  }

  /** LEB128, 0 to 2^53 - 1. */
  varint(value: number): void {
    this.#reserve(VARINT_BYTES_MAX);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value;
    if (rest < 0 || rest > VARINT_MAX) throw new RangeError(`varint out of range: ${value}`);
    while (rest > 0x7fffffff) {
      bytes[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  bytes(source: Uint8Array, start = 0, end: number = source.length): void {
    const size = end - start;
    this.#reserve(size);
    // Copying a few bytes one by one beats making a view for `set`.
    if (size <= 32) {
      const target = this.#bytes;
      let at = this.#length;
      for (let from = start; from < end; from++) target[at++] = source[from] as number;
    } else {
      this.#bytes.set(
        start === 0 && end === source.length ? source : source.subarray(start, end),
        this.#length,
      );
    }
    this.#length += size;
  }

  /** What was written, as a view that the next write may change. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, as a copy. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
