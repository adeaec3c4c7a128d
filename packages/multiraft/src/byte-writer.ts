/** Numbers are written into slabs that are never reused; large byte ranges become parts of their own. */
const SLAB_BYTES = 16 * 1024;
/** Bytes up to this length are copied: a part of its own costs more than the copy. */
const COPIED_BYTES_MAX = 512;
/** Longest varint: 53 bits in groups of 7. */
const VARINT_BYTES_MAX = 8;

/**
 * Builds a frame as a list of parts. A transport may hold the parts until they are on the wire, so a slab's written bytes
 * never change afterwards; the rest of a slab serves the next frames.
 */
export class ByteWriter {
  #slab: Uint8Array = new Uint8Array(SLAB_BYTES);
  #start = 0;
  #end = 0;
  #parts: Uint8Array[] = [];
  #finishedBytes = 0;

  /** Bytes since the last {@link take}. */
  get length(): number {
    return this.#finishedBytes + this.#end - this.#start;
  }

  /** One byte. */
  byte(value: number): void {
    this.#reserve(1);
    this.#slab[this.#end++] = value;
  }

  /** A whole number from 0 to 2^53 - 1, little-endian base 128. */
  varint(value: number): void {
    this.#reserve(VARINT_BYTES_MAX);
    let rest = value;
    while (rest > 0x7fff_ffff) {
      this.#slab[this.#end++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      this.#slab[this.#end++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#slab[this.#end++] = rest;
  }

  /** Bytes as they are; long ones are not copied and must not change. */
  bytes(bytes: Uint8Array): void {
    if (bytes.length <= COPIED_BYTES_MAX) {
      this.#reserve(bytes.length);
      this.#slab.set(bytes, this.#end);
      this.#end += bytes.length;
      return;
    }
    this.#cut();
    this.#parts.push(bytes);
    this.#finishedBytes += bytes.length;
  }

  /** The parts written so far; the writer starts anew. */
  take(): readonly Uint8Array[] {
    this.#cut();
    const parts = this.#parts;
    this.#parts = [];
    this.#finishedBytes = 0;
    return parts;
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#slab.length) return;
    this.#cut();
    this.#slab = new Uint8Array(SLAB_BYTES);
    this.#start = 0;
    this.#end = 0;
  }

  #cut(): void {
    if (this.#end === this.#start) return;
    this.#parts.push(this.#slab.subarray(this.#start, this.#end));
    this.#finishedBytes += this.#end - this.#start;
    this.#start = this.#end;
  }
}
