/**
 * What a group remembers of one writer: its last run, so that a retry of exactly that run is answered with the original
 * receipt. A row has {@link WRITER_STRIDE} numbers; group records hold the first writer's row inline, later ones are here.
 */
import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';

/** Most writers that a group remembers, the inline one included. */
export const GROUP_WRITERS_MAX = 64;

/** Places in a row. The producer's id; 0: the row is free. */
export const WRITER_PRODUCER = 0;
/** Its epoch: a lower one is fenced. */
export const WRITER_EPOCH = 1;
/** Producer's sequence of the first message of its last run. */
export const WRITER_SEQUENCE = 2;
/** Messages of the run. */
export const WRITER_COUNT = 3;
/** CRC-32 of the run's bytes. */
export const WRITER_CHECKSUM = 4;
/** Receipt of the run: offset of its first message, */
export const WRITER_FIRST_OFFSET = 5;
/** its sequence in the group, */
export const WRITER_FIRST_SEQUENCE = 6;
/** and its time stamp. */
export const WRITER_TIMESTAMP = 7;
/** Log index of its last run. The one with the smallest is displaced first; within an entry the smaller offset. */
export const WRITER_INDEX = 8;
/** Numbers in a row. */
export const WRITER_STRIDE = 9;

const ROWS_AT_FIRST = 2;

/** The writers of one group beyond the inline one, at most {@link GROUP_WRITERS_MAX} - 1. */
export class WriterRows {
  /**
   * Highest producer id that was displaced here. Sequence 1 of an unknown producer up to it is refused: it may be a late
   * retry of what a displaced writer stored (G3 prefers refusing to storing twice).
   */
  displacedProducer = 0;
  #rows: Float64Array = new Float64Array(ROWS_AT_FIRST * WRITER_STRIDE);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get rows(): Float64Array {
    return this.#rows;
  }

  /** Where the producer's row begins in {@link rows}, or -1. */
  find(producer: number): number {
    const rows = this.#rows;
    const end = this.#count * WRITER_STRIDE;
    for (let at = 0; at < end; at += WRITER_STRIDE) if (rows[at] === producer) return at;
    return -1;
  }

  /** Where a new row begins; it must be filled at once. */
  add(): number {
    const at = this.#count++ * WRITER_STRIDE;
    if (at === this.#rows.length) {
      const larger = new Float64Array(this.#rows.length * 2);
      larger.set(this.#rows);
      this.#rows = larger;
    }
    return at;
  }

  /** Where the row idle longest begins; -1 without rows. */
  longestIdle(): number {
    const rows = this.#rows;
    const end = this.#count * WRITER_STRIDE;
    let found = -1;
    for (let at = 0; at < end; at += WRITER_STRIDE)
      if (found < 0 || idleLonger(rows, at, rows, found)) found = at;
    return found;
  }

  copy(): WriterRows {
    const copy = new WriterRows();
    copy.displacedProducer = this.displacedProducer;
    copy.#rows = this.#rows.slice();
    copy.#count = this.#count;
    return copy;
  }

  write(writer: ByteWriter): void {
    writer.varint(this.displacedProducer);
    writer.varint(this.#count);
    for (let at = 0; at < this.#count * WRITER_STRIDE; at++) writer.varint(this.#rows[at] as number);
  }

  static read(reader: ByteReader): WriterRows {
    const writers = new WriterRows();
    writers.displacedProducer = reader.varint();
    const count = reader.varint();
    for (let row = 0; row < count; row++) {
      const at = writers.add();
      for (let field = 0; field < WRITER_STRIDE; field++) writers.#rows[at + field] = reader.varint();
    }
    return writers;
  }
}

/** True when writer row `a` was used before writer row `b`. Offsets rise along the log, so this is a total order. */
export function idleLonger(a: Float64Array, atA: number, b: Float64Array, atB: number): boolean {
  const indexA = a[atA + WRITER_INDEX] as number;
  const indexB = b[atB + WRITER_INDEX] as number;
  if (indexA !== indexB) return indexA < indexB;
  return (a[atA + WRITER_FIRST_OFFSET] as number) < (b[atB + WRITER_FIRST_OFFSET] as number);
}
