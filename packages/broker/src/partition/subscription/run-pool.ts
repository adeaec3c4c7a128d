/**
 * Runs read ahead or delivered and not settled, as rows of columns with links, so that no message and no run costs an object.
 * A list is two row numbers ({@link RunList}) kept by its owner.
 */

import { messageEnd } from '../field-walk.ts';

/** End of a list. */
export const NO_RUN = -1;

/** Runs of one group in the order of their offsets. */
export interface RunList {
  first: number;
  last: number;
}

const ROWS_AT_FIRST = 256;
const NO_BYTES = new Uint8Array(0);

/** See the head of this file. Rows are used again; one that left its list must not be read. */
export class RunPool {
  /** Entry that the run's bytes lie in; empty once it was delivered. */
  readonly data: Uint8Array[] = [];
  start: Int32Array = new Int32Array(ROWS_AT_FIRST);
  end: Int32Array = new Int32Array(ROWS_AT_FIRST);
  count: Int32Array = new Int32Array(ROWS_AT_FIRST);
  next: Int32Array = new Int32Array(ROWS_AT_FIRST);
  offset: Float64Array = new Float64Array(ROWS_AT_FIRST);
  sequence: Float64Array = new Float64Array(ROWS_AT_FIRST);
  timestamp: Float64Array = new Float64Array(ROWS_AT_FIRST);
  #rows = 0;
  #free = NO_RUN;

  /** Adds a run to the end of a list; its bytes lie in `data[start, end)`. */
  push(
    list: RunList,
    offset: number,
    sequence: number,
    count: number,
    timestamp: number,
    data: Uint8Array,
    start: number,
    end: number,
  ): void {
    const run = this.#take();
    this.offset[run] = offset;
    this.sequence[run] = sequence;
    this.count[run] = count;
    this.timestamp[run] = timestamp;
    this.data[run] = data;
    this.start[run] = start;
    this.end[run] = end;
    this.append(list, run);
  }

  /** Adds a row that is in no list. */
  append(list: RunList, run: number): void {
    this.next[run] = NO_RUN;
    if (list.last === NO_RUN) list.first = run;
    else this.next[list.last] = run;
    list.last = run;
  }

  /** Takes the first run out of its list. */
  shift(list: RunList): number {
    const run = list.first;
    list.first = this.next[run] as number;
    if (list.first === NO_RUN) list.last = NO_RUN;
    return run;
  }

  /** Parts the first run of a list: it keeps `count` messages, the others become a run behind it. */
  split(list: RunList, count: number): void {
    const run = list.first;
    const data = this.data[run] as Uint8Array;
    const end = this.end[run] as number;
    let middle = this.start[run] as number;
    for (let passed = 0; passed < count; passed++) middle = messageEnd(data, middle, end);
    const rest = this.#take();
    this.offset[rest] = (this.offset[run] as number) + count;
    this.sequence[rest] = (this.sequence[run] as number) + count;
    this.count[rest] = (this.count[run] as number) - count;
    this.timestamp[rest] = this.timestamp[run] as number;
    this.data[rest] = data;
    this.start[rest] = middle;
    this.end[rest] = end;
    this.next[rest] = this.next[run] as number;
    this.count[run] = count;
    this.end[run] = middle;
    this.next[run] = rest;
    if (list.last === run) list.last = rest;
  }

  /** Keeps position and length, drops the bytes. */
  forgetBytes(run: number): void {
    this.data[run] = NO_BYTES;
  }

  release(run: number): void {
    this.data[run] = NO_BYTES;
    this.next[run] = this.#free;
    this.#free = run;
  }

  releaseAll(list: RunList): void {
    while (list.first !== NO_RUN) this.release(this.shift(list));
  }

  #take(): number {
    if (this.#free !== NO_RUN) {
      const run = this.#free;
      this.#free = this.next[run] as number;
      return run;
    }
    if (this.#rows === this.next.length) this.#grow();
    return this.#rows++;
  }

  #grow(): void {
    const rows = this.#rows * 2;
    const larger = <T extends Int32Array | Float64Array>(target: T, source: T): T => {
      target.set(source);
      return target;
    };
    this.start = larger(new Int32Array(rows), this.start);
    this.end = larger(new Int32Array(rows), this.end);
    this.count = larger(new Int32Array(rows), this.count);
    this.next = larger(new Int32Array(rows), this.next);
    this.offset = larger(new Float64Array(rows), this.offset);
    this.sequence = larger(new Float64Array(rows), this.sequence);
    this.timestamp = larger(new Float64Array(rows), this.timestamp);
  }
}
