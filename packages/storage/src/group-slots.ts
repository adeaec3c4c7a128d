/**
 * The hash part of a {@link GroupTable}: open addressing with linear probing, 4 bytes a slot. It grows without a stall: the new
 * slots are filled from the old ones a few at each change, and look-ups see both until then.
 */
import type { KeySlab } from './key-slab.ts';

const SLOTS_MIN = 512;
/** Slots moved per change while growing. The old slots are all moved long before the new ones are three quarters full. */
const SLOTS_MOVED = 32;
/** A slot holds number + 1; this marks a removed one in slots that are being left. */
const REMOVED = -1;

/**
 * Hash of `bytes[start, end)`, 32 bits (four bytes a step, multiply and rotate, then mixed). Nothing outside the process
 * depends on its values.
 */
export function hashBytes(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let hash = (seed ^ (end - start)) | 0;
  let i = start;
  for (const wordsEnd = end - 3; i < wordsEnd; i += 4) {
    const word =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    hash = Math.imul(hash ^ Math.imul(word, 0x9e3779b1), 0x85ebca6b);
    hash = (hash << 13) | (hash >>> 19);
  }
  for (; i < end; i++) {
    hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Finds a number by its key. Hashes are kept per number, so that growing does not read the keys. */
export class GroupSlots {
  readonly #slab: KeySlab;
  #hashes = new Uint32Array(256);
  #slots = new Int32Array(SLOTS_MIN);
  #leaving: Int32Array | null = null;
  #leavingNext = 0;
  #size = 0;

  constructor(slab: KeySlab) {
    this.#slab = slab;
  }

  /** Memory held. */
  get memoryBytes(): number {
    return this.#hashes.byteLength + this.#slots.byteLength + (this.#leaving?.byteLength ?? 0);
  }

  /** The number whose key is `bytes[start, end)`, or -1. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const found = this.#probe(this.#slots, hash, bytes, start, end);
    if (found >= 0 || this.#leaving === null) return found;
    return this.#probe(this.#leaving, hash, bytes, start, end);
  }

  /** Adds a number whose key is not yet there. */
  add(number: number, hash: number): void {
    if (number >= this.#hashes.length) {
      const grown = new Uint32Array(Math.max(number + 1, Math.ceil(this.#hashes.length * 1.25)));
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes[number] = hash;
    this.#size++;
    this.#moveSome();
    if (this.#size * 4 > this.#slots.length * 3) {
      this.#moveAll();
      this.#leaving = this.#slots;
      this.#leavingNext = 0;
      this.#slots = new Int32Array(this.#slots.length * 2);
    }
    this.#put(number);
  }

  /** Takes a number out. */
  remove(number: number): void {
    this.#size--;
    if (this.#leaving !== null) this.#removeLeaving(this.#leaving, number);
    this.#removeShifting(number);
    this.#moveSome();
  }

  #probe(slots: Int32Array, hash: number, bytes: Uint8Array, start: number, end: number): number {
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const held = slots[slot] as number;
      if (held === 0) return -1;
      if (held === REMOVED) continue;
      const number = held - 1;
      if (this.#hashes[number] === hash && this.#slab.equals(number, bytes, start, end)) return number;
    }
  }

  #put(number: number): void {
    const mask = this.#slots.length - 1;
    let slot = (this.#hashes[number] as number) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = number + 1;
  }

  /** A slot that was moved stays where it was: it names the same number, so finding it twice does no harm. */
  #removeLeaving(slots: Int32Array, number: number): void {
    const mask = slots.length - 1;
    for (let slot = (this.#hashes[number] as number) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      if (slots[slot] !== number + 1) continue;
      slots[slot] = REMOVED;
      return;
    }
  }

  /** Removes and closes the gap, so that no tombstones pile up. */
  #removeShifting(number: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let gap = (this.#hashes[number] as number) & mask;
    while (slots[gap] !== number + 1) {
      if (slots[gap] === 0) return; // not moved here yet, and removed from the slots that are being left
      gap = (gap + 1) & mask;
    }
    for (let slot = (gap + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = (this.#hashes[(slots[slot] as number) - 1] as number) & mask;
      // It may fill the gap when the gap lies between its home and where it is now, going round.
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      slots[gap] = slots[slot] as number;
      gap = slot;
    }
    slots[gap] = 0;
  }

  #moveAll(): void {
    while (this.#leaving !== null) this.#moveSome();
  }

  #moveSome(): void {
    const leaving = this.#leaving;
    if (leaving === null) return;
    const end = Math.min(this.#leavingNext + SLOTS_MOVED, leaving.length);
    for (; this.#leavingNext < end; this.#leavingNext++) {
      const held = leaving[this.#leavingNext] as number;
      if (held > 0) this.#put(held - 1);
    }
    if (end === leaving.length) this.#leaving = null;
  }
}
