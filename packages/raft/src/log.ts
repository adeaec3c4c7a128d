import { invariant } from './invariant.ts';
import { higher, lower, shift } from './position.ts';
import { TermRuns } from './terms.ts';
import type { Entry, EntryType, Index, Restored, SnapshotMeta, Term } from './types.ts';

/** What an entry costs in memory besides its data, roughly. */
const ENTRY_OVERHEAD_BYTES = 64;
/** Stands where an entry left memory until the array is shortened. */
const EVICTED: Entry = { index: 0 as Index, term: 0 as Term, type: 'noop', data: new Uint8Array(0) };
const NO_ENTRIES: readonly Entry[] = Object.freeze([]);

/**
 * A replica's log as the core sees it: the newest entries in memory, the terms of older ones, and how far it is written,
 * committed and applied. Older entries lie in the log store.
 *
 * Indexes, in the order they always have: `first - 1 ≤ applied ≤ handed ≤ commit ≤ last`, `handed ≤ durable ≤ last`.
 */
export class RaftLog {
  /** First index that the log store can still read. */
  first: Index;
  /** Last index, written or not. */
  last: Index;
  /** Up to here this log, as it is now, is on the own disk. */
  durable: Index;
  /** Up to here no replica will ever hold anything else (paper 5.3). */
  commit: Index;
  /** Up to here entries were given out to be applied. */
  handed: Index;
  /** Up to here the state machine has applied. */
  applied: Index;
  /** First index not yet given out to be written. */
  unwritten: Index;

  readonly #cacheBytesMax: number;
  #entries: Entry[];
  #head = 0;
  #cacheFirst: Index;
  #cacheBytes = 0;
  #terms: TermRuns;

  constructor(restored: Restored, cacheBytesMax: number) {
    const { snapshot, entries } = restored;
    this.#cacheBytesMax = cacheBytesMax;
    this.first = lower(restored.first, shift(snapshot.index, 1));
    this.#cacheFirst = shift(snapshot.index, 1);
    this.#terms = new TermRuns(snapshot.index, snapshot.term);
    this.#entries = [];
    this.last = snapshot.index;
    for (const entry of entries) {
      this.#push(entry);
    }
    this.durable = this.last;
    this.commit = higher(snapshot.index, lower(restored.commit, this.last));
    this.handed = snapshot.index;
    this.applied = snapshot.index;
    this.unwritten = shift(this.last, 1);
  }

  /** First index whose entry is in memory. */
  get cacheFirst(): Index {
    return this.#cacheFirst;
  }

  /** Term of the last index. */
  get lastTerm(): Term {
    const term = this.#terms.at(this.last);
    invariant(term !== undefined, 'the last term is always known');
    return term;
  }

  /** Term of an index; undefined when it is behind the last one or too old to be known. */
  term(index: Index): Term | undefined {
    return index > this.last ? undefined : this.#terms.at(index);
  }

  /** Largest index at or below `index` (and the last one) whose term is at most `term`. */
  lastAtMost(index: Index, term: Term): Index {
    return this.#terms.lastAtMost(lower(index, this.last), term);
  }

  /** True when a log that ends with (`index`, `term`) is at least as new as this one: term first, then index (paper 5.4.1). */
  isUpToDate(index: Index, term: Term): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.last);
  }

  /** Appends one new entry of a leader. */
  append(term: Term, type: EntryType, data: Uint8Array): Entry {
    const entry: Entry = { index: shift(this.last, 1), term, type, data };
    this.#push(entry);
    return entry;
  }

  /** Appends an entry received from the leader, as it is. */
  appendReceived(entry: Entry): void {
    this.#push(entry);
  }

  /** Drops `index` and everything behind it: they contradict the leader's log. Never reaches a committed entry. */
  truncateFrom(index: Index): void {
    invariant(index > this.commit, `truncation at ${index} reaches the commit index ${this.commit}`);
    invariant(index > this.#cacheFirst - 1, `truncation at ${index} reaches evicted entries`);
    const keep = this.#head + (index - this.#cacheFirst);
    for (let i = keep; i < this.#entries.length; i++) {
      this.#cacheBytes -= costOf(this.#entries[i] ?? EVICTED);
    }
    this.#entries.length = keep;
    this.#terms.truncateFrom(index);
    this.last = shift(index, -1);
    this.durable = lower(this.durable, this.last);
    this.unwritten = lower(this.unwritten, index);
  }

  /** Starts anew behind an image that this log contradicts or does not reach (paper 7). */
  reset(meta: SnapshotMeta): void {
    invariant(meta.index > this.commit, `image ${meta.index} is behind the commit index ${this.commit}`);
    // What was committed here stays true and written until the image is; nothing else of this log is.
    this.durable = lower(this.durable, this.commit);
    this.#entries = [];
    this.#head = 0;
    this.#cacheBytes = 0;
    this.#cacheFirst = shift(meta.index, 1);
    this.#terms = new TermRuns(meta.index, meta.term);
    this.first = this.#cacheFirst;
    this.last = meta.index;
    this.commit = meta.index;
    this.handed = meta.index;
    this.applied = meta.index;
    this.unwritten = this.#cacheFirst;
  }

  /** The entry at `index`, which must be in memory. */
  entry(index: Index): Entry {
    const entry = this.#entries[this.#head + (index - this.#cacheFirst)];
    invariant(entry !== undefined && index >= this.#cacheFirst, `entry ${index} is not in memory`);
    return entry;
  }

  /** Entries from `from` to `to`, both included, all of them in memory. */
  slice(from: Index, to: Index): readonly Entry[] {
    if (to < from) {
      return NO_ENTRIES;
    }
    invariant(from >= this.#cacheFirst && to <= this.last, `entries ${from} to ${to} are not in memory`);
    const start = this.#head + (from - this.#cacheFirst);
    return this.#entries.slice(start, start + (to - from) + 1);
  }

  /** Entries from `from` on, as many as fit into `bytesMax` bytes of data, at least one. */
  sliceBytes(from: Index, bytesMax: number): readonly Entry[] {
    let to = from;
    let bytes = this.entry(from).data.length;
    while (to < this.last) {
      bytes += this.entry(shift(to, 1)).data.length;
      if (bytes > bytesMax) {
        break;
      }
      to = shift(to, 1);
    }
    return this.slice(from, to);
  }

  /** Bytes of data from `from` to `to`, both included. */
  bytes(from: Index, to: Index): number {
    let sum = 0;
    for (let index = from; index <= to; index = shift(index, 1)) {
      sum += this.entry(index).data.length;
    }
    return sum;
  }

  /** The state machine has applied up to `index`; entries that nobody here needs leave memory. */
  appliedTo(index: Index): void {
    invariant(index <= this.handed, `applied ${index} was never handed out (${this.handed})`);
    this.applied = higher(this.applied, index);
    this.evict();
  }

  /** Lets applied and durable entries beyond the cache's limit go. */
  evict(): void {
    const limit = lower(this.applied, this.durable);
    while (this.#cacheBytes > this.#cacheBytesMax && this.#cacheFirst <= limit) {
      this.#cacheBytes -= costOf(this.entry(this.#cacheFirst));
      this.#entries[this.#head] = EVICTED;
      this.#head++;
      this.#cacheFirst = shift(this.#cacheFirst, 1);
    }
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }

  /** The log store dropped everything below `first`. */
  compactedTo(first: Index): void {
    this.first = higher(this.first, lower(first, shift(this.applied, 1)));
    const floor = shift(this.first, -1);
    if (floor > this.#terms.floor && floor <= this.last) {
      this.#terms.dropBelow(lower(floor, shift(this.#cacheFirst, -1)));
    }
  }

  #push(entry: Entry): void {
    invariant(entry.index === this.last + 1, `entry ${entry.index} does not follow ${this.last}`);
    this.#terms.append(entry.index, entry.term);
    this.#entries.push(entry);
    this.#cacheBytes += costOf(entry);
    this.last = entry.index;
  }
}

function costOf(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}
