/** The newest entries of a shard in memory: those not yet in a file, and some that are, for readers at the end. */
import type { Index, Term } from '@seriatim/raft';
import type { SegmentRecord } from './segment-format.ts';

const COMPACT_MIN = 1_024;

/** Records by index, dense. */
export class SegmentTail {
  #records: SegmentRecord[] = [];
  #head = 0;
  #bytes = 0;
  /** Index of the first record held, or that the next one will have. */
  first: Index;
  /** Term of the entry before `first`. */
  previousTerm: Term;

  constructor(first: Index, previousTerm: Term) {
    this.first = first;
    this.previousTerm = previousTerm;
  }

  get length(): number {
    return this.#records.length - this.#head;
  }

  push(record: SegmentRecord): void {
    this.#records.push(record);
    this.#bytes += record.entry.data.length;
  }

  /** Record by position from the first. */
  at(position: number): SegmentRecord | undefined {
    return this.#records[this.#head + position];
  }

  /** Lets the oldest go, at most up to `written`, while there are more than `bytesMax` bytes. */
  evict(written: Index, bytesMax: number): void {
    while (this.#bytes > bytesMax && this.first <= written) {
      const oldest = this.#records[this.#head];
      if (oldest === undefined) break;
      this.#bytes -= oldest.entry.data.length;
      this.previousTerm = oldest.entry.term;
      this.first = (oldest.entry.index + 1) as Index;
      this.#head++;
    }
    if (this.#head < COMPACT_MIN || this.#head * 2 < this.#records.length) return;
    this.#records = this.#records.slice(this.#head);
    this.#head = 0;
  }

  /** Records from position `from` on with about `bytesMax` bytes of data, at least one if there is one. */
  take(from: number, bytesMax: number): SegmentRecord[] {
    const taken: SegmentRecord[] = [];
    let bytes = 0;
    for (let i = this.#head + from; i < this.#records.length; i++) {
      const record = this.#records[i] as SegmentRecord;
      bytes += record.entry.data.length;
      if (taken.length > 0 && bytes > bytesMax) break;
      taken.push(record);
    }
    return taken;
  }

  /** Position of the last described record with an offset at or below `offset`; -1: all are above, or none is described. */
  positionOfOffset(offset: number): number {
    for (let i = this.#records.length - 1; i >= this.#head; i--) {
      const description = this.#records[i]?.description;
      if (description && description.offset <= offset) return i - this.#head;
    }
    return -1;
  }
}
