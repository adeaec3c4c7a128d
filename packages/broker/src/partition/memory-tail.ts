import type { Entry } from '@seriatim/raft';

/** An applied entry with records, as the tail keeps it. */
export interface TailEntry {
  readonly entry: Entry;
  readonly baseOffset: number;
  readonly records: number;
  readonly timestamp: number;
  /** Group numbers with records in it, each once. */
  readonly groups: readonly number[];
}

/** The newest applied entries with records, dense in offsets, up to a number of bytes; the bytes are shared with Raft's cache. */
export class MemoryTail {
  #items: TailEntry[] = [];
  /** Items before it were dropped; the array is cut when they are half of it. */
  #first = 0;
  #bytes = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** First offset held; Infinity when empty. */
  get firstOffset(): number {
    return this.#items[this.#first]?.baseOffset ?? Number.POSITIVE_INFINITY;
  }

  push(item: TailEntry): void {
    this.#items.push(item);
    this.#bytes += item.entry.data.length;
    while (this.#bytes > this.#bytesMax && this.#first < this.#items.length - 1) {
      this.#bytes -= (this.#items[this.#first++] as TailEntry).entry.data.length;
    }
    if (this.#first > 64 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
  }

  clear(): void {
    this.#items = [];
    this.#first = 0;
    this.#bytes = 0;
  }

  /** The item of a log index, looked for from the newest: descriptions are asked right after applying. */
  byIndex(index: number): TailEntry | undefined {
    for (let at = this.#items.length - 1; at >= this.#first; at--) {
      const item = this.#items[at] as TailEntry;
      if (item.entry.index === index) return item;
      if (item.entry.index < index) return undefined;
    }
    return undefined;
  }

  /** Entries from the one that holds `offset` on, up to about `bytesMax`, at least one; none when `offset` is not held. */
  from(offset: number, bytesMax: number): TailEntry[] {
    const entries: TailEntry[] = [];
    if (offset < this.firstOffset) return entries;
    let bytes = 0;
    for (let at = this.#search(offset); at < this.#items.length && (bytes === 0 || bytes < bytesMax); at++) {
      const item = this.#items[at] as TailEntry;
      entries.push(item);
      bytes += item.entry.data.length;
    }
    return entries;
  }

  /** Place of the last item whose base offset is at most `offset`. */
  #search(offset: number): number {
    let low = this.#first;
    let high = this.#items.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#items[middle] as TailEntry).baseOffset <= offset) low = middle;
      else high = middle;
    }
    return low;
  }
}
