import { invariant } from './invariant.ts';
import { higher, lower } from './position.ts';
import type { HardState, Index } from './types.ts';

interface PendingWrite {
  readonly writeId: number;
  /** Up to here the log of *now* is on disk once this write is. Falls when the log is truncated meanwhile. */
  durable: Index;
  readonly hardState: HardState;
}

/**
 * Writes on their way to disk, in order. A write made for entries that were overwritten since then must not make
 * their successors durable (the ABA of asynchronous writes), so truncation lowers what each pending write vouches for.
 */
export class PendingWrites {
  /** Term and vote that a crash would leave behind. */
  hardState: HardState;
  /** Term and vote given out to be written last. */
  handed: HardState;
  #pending: PendingWrite[] = [];
  #lastId = 0;

  constructor(hardState: HardState) {
    this.hardState = hardState;
    this.handed = hardState;
  }

  /** Id of the newest write given out; 0 before the first. */
  get lastId(): number {
    return this.#lastId;
  }

  /** True while some write is not yet durable. */
  get busy(): boolean {
    return this.#pending.length > 0;
  }

  /** A write is given out that ends with `last`, and with these term and vote. Returns its id. */
  begin(last: Index, hardState: HardState): number {
    this.#lastId++;
    this.handed = hardState;
    this.#pending.push({ writeId: this.#lastId, durable: last, hardState });
    return this.#lastId;
  }

  /** Entries from behind `last` on were dropped from memory: no pending write vouches for what takes their place. */
  truncatedTo(last: Index): void {
    for (const write of this.#pending) {
      write.durable = lower(write.durable, last);
    }
  }

  /** `writeId` and all before it are durable. Returns up to where the log is durable by them; null: nothing new. */
  complete(writeId: number): Index | null {
    invariant(writeId <= this.#lastId, `write ${writeId} was never given out`);
    let durable: Index | null = null;
    let count = 0;
    for (const write of this.#pending) {
      if (write.writeId > writeId) {
        break;
      }
      durable = durable === null ? write.durable : higher(durable, write.durable);
      this.hardState = write.hardState;
      count++;
    }
    if (count > 0) {
      this.#pending = this.#pending.slice(count);
    }
    return durable;
  }
}
