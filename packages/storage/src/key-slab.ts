/**
 * Key bytes of a {@link GroupTable}, in pages of 64 KiB. A record is: number (4 bytes), length (2), key. Removed records leave
 * holes; when holes make up a quarter of the pages, the page with the most of them is emptied into the others, so that one
 * removal never costs more than one page's copy (well under a millisecond).
 */
import { invariant } from './invariant.ts';

const PAGE_BITS = 16;
const PAGE_BYTES = 1 << PAGE_BITS;
const PAGE_MASK = PAGE_BYTES - 1;
const RECORD_HEADER_BYTES = 6;
/** Marks a number without a key. */
const NOWHERE = 0xffffffff;
const NUMBERS_MIN = 256;

interface Page {
  readonly bytes: Uint8Array;
  used: number;
  live: number;
}

/** Longest key that a slab takes, in bytes. */
export const KEY_BYTES_MAX = 4_096;

/** Keys by number. Numbers are given by the caller, dense from 0. */
export class KeySlab {
  #at = new Uint32Array(NUMBERS_MIN).fill(NOWHERE);
  readonly #pages: Page[] = [];
  readonly #emptyPages: number[] = [];
  #current = -1;
  #live = 0;
  #keyBytes = 0;

  /** Bytes of all keys, without headers and holes. */
  get keyBytes(): number {
    return this.#keyBytes;
  }

  /** Memory held. */
  get memoryBytes(): number {
    return this.#pages.length * PAGE_BYTES + this.#at.byteLength;
  }

  /** Whether `number` has a key. */
  has(number: number): boolean {
    return number >= 0 && number < this.#at.length && this.#at[number] !== NOWHERE;
  }

  /** Stores the key of a number that has none. */
  add(number: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    invariant(length > 0 && length <= KEY_BYTES_MAX, `a key has 1 to ${KEY_BYTES_MAX} bytes, not ${length}`);
    this.#reserve(number);
    invariant(this.#at[number] === NOWHERE, `number ${number} has a key already`);
    const { page, position, number: pageNumber } = this.#place(RECORD_HEADER_BYTES + length);
    const target = page.bytes;
    target[position] = number & 0xff;
    target[position + 1] = (number >>> 8) & 0xff;
    target[position + 2] = (number >>> 16) & 0xff;
    target[position + 3] = number >>> 24;
    target[position + 4] = length & 0xff;
    target[position + 5] = length >>> 8;
    for (let from = start, to = position + RECORD_HEADER_BYTES; from < end; from++, to++) {
      target[to] = bytes[from] as number;
    }
    this.#at[number] = pageNumber * PAGE_BYTES + position;
    this.#keyBytes += length;
  }

  /** Forgets the key of a number. */
  remove(number: number): void {
    invariant(this.has(number), `number ${number} has no key`);
    const at = this.#at[number] as number;
    const length = this.length(number);
    const pageNumber = at >>> PAGE_BITS;
    const page = this.#page(pageNumber);
    this.#at[number] = NOWHERE;
    this.#keyBytes -= length;
    page.live -= RECORD_HEADER_BYTES + length;
    this.#live -= RECORD_HEADER_BYTES + length;
    if (page.live === 0) this.#recycle(pageNumber);
    const busyBytes = (this.#pages.length - this.#emptyPages.length) * PAGE_BYTES;
    if (busyBytes - this.#live > busyBytes / 4 + 2 * PAGE_BYTES) this.#emptyWorstPage();
  }

  /** Length of a number's key in bytes. */
  length(number: number): number {
    const at = this.#at[number] as number;
    const bytes = this.#page(at >>> PAGE_BITS).bytes;
    const position = at & PAGE_MASK;
    return (bytes[position + 4] as number) | ((bytes[position + 5] as number) << 8);
  }

  /** Whether a number's key is `bytes[start, end)`. */
  equals(number: number, bytes: Uint8Array, start: number, end: number): boolean {
    const at = this.#at[number] as number;
    const page = (this.#pages[at >>> PAGE_BITS] as Page).bytes;
    let position = at & PAGE_MASK;
    const length = end - start;
    if (((page[position + 4] as number) | ((page[position + 5] as number) << 8)) !== length) return false;
    position += RECORD_HEADER_BYTES;
    for (let i = start; i < end; i++, position++) {
      if (page[position] !== bytes[i]) return false;
    }
    return true;
  }

  /** A view of a number's key, valid until the next change of the slab. */
  view(number: number): Uint8Array {
    invariant(this.has(number), `number ${number} has no key`);
    const at = this.#at[number] as number;
    const position = (at & PAGE_MASK) + RECORD_HEADER_BYTES;
    return this.#page(at >>> PAGE_BITS).bytes.subarray(position, position + this.length(number));
  }

  #page(pageNumber: number): Page {
    const page = this.#pages[pageNumber];
    invariant(page !== undefined, `no page ${pageNumber}`);
    return page;
  }

  #reserve(number: number): void {
    if (number < this.#at.length) return;
    const grown = new Uint32Array(Math.max(number + 1, Math.ceil(this.#at.length * 1.25)));
    grown.set(this.#at);
    grown.fill(NOWHERE, this.#at.length);
    this.#at = grown;
  }

  #place(bytes: number): { page: Page; position: number; number: number } {
    let page = this.#current < 0 ? undefined : this.#pages[this.#current];
    if (page === undefined || page.used + bytes > PAGE_BYTES) {
      this.#current = this.#takePage();
      page = this.#page(this.#current);
    }
    const position = page.used;
    page.used += bytes;
    page.live += bytes;
    this.#live += bytes;
    return { page, position, number: this.#current };
  }

  #takePage(): number {
    const empty = this.#emptyPages.pop();
    if (empty !== undefined) return empty;
    this.#pages.push({ bytes: new Uint8Array(PAGE_BYTES), used: 0, live: 0 });
    return this.#pages.length - 1;
  }

  #recycle(pageNumber: number): void {
    this.#page(pageNumber).used = 0;
    if (pageNumber !== this.#current) this.#emptyPages.push(pageNumber);
  }

  #emptyWorstPage(): void {
    let worst = -1;
    for (let i = 0; i < this.#pages.length; i++) {
      const page = this.#page(i);
      if (i === this.#current || page.used === 0) continue;
      if (worst < 0 || page.live < this.#page(worst).live) worst = i;
    }
    if (worst < 0) return;
    const page = this.#page(worst);
    const base = worst * PAGE_BYTES;
    for (let position = 0; position < page.used; ) {
      const b = page.bytes;
      const number =
        ((b[position] as number) |
          ((b[position + 1] as number) << 8) |
          ((b[position + 2] as number) << 16) |
          ((b[position + 3] as number) << 24)) >>>
        0;
      const length = (b[position + 4] as number) | ((b[position + 5] as number) << 8);
      if (this.#at[number] === base + position) this.#move(number, page, position, length);
      position += RECORD_HEADER_BYTES + length;
    }
    this.#recycle(worst);
  }

  #move(number: number, from: Page, position: number, length: number): void {
    const bytes = RECORD_HEADER_BYTES + length;
    const to = this.#place(bytes);
    to.page.bytes.set(from.bytes.subarray(position, position + bytes), to.position);
    this.#at[number] = to.number * PAGE_BYTES + to.position;
    from.live -= bytes;
    this.#live -= bytes;
  }
}
