/**
 * Cuts a byte stream into frames: a length (4 bytes, little endian, of what follows) and that many bytes. A frame that lies
 * whole in one chunk is a view of it; one that spans chunks is gathered in a buffer of its own, allocated once.
 */

/** Bytes of the length in front of each frame. */
export const FRAME_HEADER_BYTES = 4;

/** Takes chunks as they come and calls `onFrame` for each whole frame, in order. */
export class FrameReader {
  #bytesMax: number;
  readonly #onFrame: (frame: Uint8Array) => void;
  /** Bytes of a length that was cut by the end of a chunk. */
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  /** The frame being gathered; null between frames. */
  #partial: Uint8Array | null = null;
  #partialFilled = 0;

  constructor(bytesMax: number, onFrame: (frame: Uint8Array) => void) {
    this.#bytesMax = bytesMax;
    this.#onFrame = onFrame;
  }

  /** Allows larger frames from now on, once the other side has said who it is. */
  allow(bytesMax: number): void {
    this.#bytesMax = bytesMax;
  }

  /** Returns null, or why the stream can't be read any further; `onFrame` may have been called before. */
  push(chunk: Uint8Array): string | null {
    let position = 0;
    while (position < chunk.length) {
      if (this.#partial !== null) {
        position += this.#fill(this.#partial, chunk, position);
        continue;
      }
      const available = chunk.length - position;
      let length: number;
      if (this.#headerFilled === 0 && available >= FRAME_HEADER_BYTES) {
        length = readLength(chunk, position);
        position += FRAME_HEADER_BYTES;
      } else {
        const taken = Math.min(FRAME_HEADER_BYTES - this.#headerFilled, available);
        this.#header.set(chunk.subarray(position, position + taken), this.#headerFilled);
        this.#headerFilled += taken;
        position += taken;
        if (this.#headerFilled < FRAME_HEADER_BYTES) return null;
        this.#headerFilled = 0;
        length = readLength(this.#header, 0);
      }
      if (length === 0) return 'a frame of 0 bytes';
      if (length > this.#bytesMax) return `a frame of ${length} bytes, the limit is ${this.#bytesMax}`;
      if (chunk.length - position >= length) {
        this.#onFrame(chunk.subarray(position, position + length));
        position += length;
      } else {
        this.#partial = Buffer.allocUnsafeSlow(length);
        this.#partialFilled = 0;
      }
    }
    return null;
  }

  #fill(partial: Uint8Array, chunk: Uint8Array, position: number): number {
    const taken = Math.min(partial.length - this.#partialFilled, chunk.length - position);
    partial.set(chunk.subarray(position, position + taken), this.#partialFilled);
    this.#partialFilled += taken;
    if (this.#partialFilled === partial.length) {
      this.#partial = null;
      this.#onFrame(partial);
    }
    return taken;
  }
}

const readLength = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)) >>>
  0;
