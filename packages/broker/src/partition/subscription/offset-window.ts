/**
 * Which records between the floor and the scan position are not settled, and of which group they are: a ring by offset. A
 * group that is behind has none in it, whatever it waits for; so the floor is the first that is open.
 */

import { invariant } from './invariant.ts';

const CAPACITY_AT_FIRST = 1024;

/** See the head of this file. */
export class OffsetWindow {
  /** Key + 1 of an open record; 0: settled, or its group is behind. */
  #ring: Int32Array = new Int32Array(CAPACITY_AT_FIRST);
  #floor: number;
  #end: number;

  constructor(floor: number) {
    this.#floor = floor;
    this.#end = floor;
  }

  /** Everything below is settled or of groups that are behind. */
  get floor(): number {
    return this.#floor;
  }
  /** The scan position: records below were looked at. */
  get end(): number {
    return this.#end;
  }

  /** Key of the group that the floor waits for; -1: there is none. */
  get blockingKey(): number {
    if (this.#floor >= this.#end) return -1;
    return (this.#ring[this.#floor & (this.#ring.length - 1)] as number) - 1;
  }

  /** Moves the scan position over records that are settled, or that their group reads later. */
  pass(end: number): void {
    if (end <= this.#end) return;
    // Without anything open the records passed need no place in the ring.
    if (this.#floor < this.#end) this.#reserve(end);
    else this.#floor = end;
    this.#end = end;
  }

  /** Marks records as not settled; those at the scan position move it. */
  open(offset: number, count: number, key: number): void {
    const end = offset + count;
    invariant(offset <= this.#end, `offset ${offset} opened behind the scan position ${this.#end}`);
    this.#reserve(Math.max(end, this.#end));
    const mask = this.#ring.length - 1;
    for (let at = offset; at < end; at++) this.#ring[at & mask] = key + 1;
    if (end > this.#end) this.#end = end;
  }

  /** Marks records as settled, or left to the group's own reading, and moves the floor. */
  close(offset: number, count: number): void {
    const mask = this.#ring.length - 1;
    const end = Math.min(offset + count, this.#end);
    for (let at = Math.max(offset, this.#floor); at < end; at++) this.#ring[at & mask] = 0;
    if (offset > this.#floor) return;
    let floor = this.#floor;
    while (floor < this.#end && this.#ring[floor & mask] === 0) floor++;
    this.#floor = floor;
  }

  /** The ring holds zeros outside floor and end. */
  #reserve(end: number): void {
    const needed = end - this.#floor;
    const old = this.#ring;
    if (needed <= old.length) return;
    let capacity = old.length;
    while (capacity < needed) capacity *= 2;
    const larger = new Int32Array(capacity);
    for (let at = this.#floor; at < this.#end; at++) {
      larger[at & (capacity - 1)] = old[at & (old.length - 1)] as number;
    }
    this.#ring = larger;
  }
}
