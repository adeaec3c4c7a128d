/** The bytes of one simulated file: what is written, and what of it a loss of power would leave. */
import type { Random } from './random.ts';

const PAGE_BYTES = 1_024;
/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

/** What happens to bytes that were not synced when power is lost. */
export type Loss = 'none' | 'all' | 'torn';

/**
 * Contents in pages; a page that was never written is zeros and takes no memory. For each page written since the last sync the
 * page as of that sync is kept, so that a crash can bring it back, whole or sector by sector.
 */
export class SimulatedFile {
  readonly #pages = new Map<number, Uint8Array>();
  #before = new Map<number, Uint8Array | null>();
  #size = 0;
  #syncedSize = 0;

  get size(): number {
    return this.#size;
  }

  write(position: number, bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const at = position + from;
      const page = Math.floor(at / PAGE_BYTES);
      const start = at % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - start, bytes.length - from);
      this.#writablePage(page).set(bytes.subarray(from, from + length), start);
      from += length;
    }
    this.#size = Math.max(this.#size, position + bytes.length);
  }

  read(position: number, length: number): Uint8Array {
    const end = Math.min(this.#size, position + length);
    const result = new Uint8Array(Math.max(0, end - position));
    let at = position;
    while (at < end) {
      const start = at % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - start, end - at);
      const page = this.#pages.get(Math.floor(at / PAGE_BYTES));
      if (page !== undefined) result.set(page.subarray(start, start + count), at - position);
      at += count;
    }
    return result;
  }

  truncate(length: number): void {
    if (length < this.#size) {
      const lastPage = Math.floor(length / PAGE_BYTES);
      if (length % PAGE_BYTES > 0 && this.#pages.has(lastPage))
        this.#writablePage(lastPage).fill(0, length % PAGE_BYTES);
      for (const page of [...this.#pages.keys()]) {
        if (page * PAGE_BYTES < length) continue;
        this.#keepBefore(page);
        this.#pages.delete(page);
      }
    }
    this.#size = length;
  }

  extend(length: number): void {
    this.#size = Math.max(this.#size, length);
  }

  /** Everything written so far survives. */
  sync(): void {
    this.#before = new Map();
    this.#syncedSize = this.#size;
  }

  /** Power is lost. */
  crash(loss: Loss, random: Random): void {
    if (loss === 'all' || (loss === 'torn' && random.chance(0.5))) this.#size = this.#syncedSize;
    if (loss !== 'none') {
      for (const [page, before] of this.#before) this.#restore(page, before, loss, random);
      for (const page of [...this.#pages.keys()])
        if (page * PAGE_BYTES >= this.#size) this.#pages.delete(page);
    }
    this.sync();
  }

  /** Flips one bit of a synced byte. */
  flip(position: number, bit: number): void {
    const page = this.#pages.get(Math.floor(position / PAGE_BYTES));
    const at = position % PAGE_BYTES;
    if (page !== undefined) page[at] = (page[at] ?? 0) ^ (1 << bit);
  }

  #restore(page: number, before: Uint8Array | null, loss: Loss, random: Random): void {
    const now = this.#pages.get(page) ?? new Uint8Array(PAGE_BYTES);
    const old = before ?? new Uint8Array(PAGE_BYTES);
    for (let at = 0; at < PAGE_BYTES; at += SECTOR_BYTES) {
      if (loss === 'torn' && random.chance(0.5)) continue;
      now.set(old.subarray(at, at + SECTOR_BYTES), at);
    }
    this.#pages.set(page, now);
  }

  #writablePage(number: number): Uint8Array {
    this.#keepBefore(number);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(PAGE_BYTES);
      this.#pages.set(number, page);
    }
    return page;
  }

  #keepBefore(number: number): void {
    if (this.#before.has(number)) return;
    const page = this.#pages.get(number);
    this.#before.set(number, page === undefined ? null : page.slice());
  }
}
