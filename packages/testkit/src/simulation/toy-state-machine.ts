/** A deterministic state machine for simulations: remembers the last write and a hash of all that was ever applied. */
import { crc32 } from 'node:zlib';
import type { EntryDescription, Leadership, StateMachine } from '@seriatim/multiraft';
import type { Entry, Index, Term } from '@seriatim/raft';

/** Chunks of an image, so that a transfer takes more than one frame. */
const IMAGE_CHUNKS = 5;
const IMAGE_CHUNK_BYTES = 600;
const NUMBERS = 5;

/** Told of each entry as it is applied. */
export type AppliedListener = (entry: Entry, checksum: number, hash: number) => void;

/** State: five numbers. An image holds them in each of its chunks, so that a chunk of another image is noticed. */
export class ToyStateMachine implements StateMachine {
  readonly #onApplied: AppliedListener;
  readonly #onLeadership: (leadership: Leadership) => void;
  appliedIndex = 0 as Index;
  appliedTerm = 0 as Term;
  hash = 0;
  commands = 0;
  lastWrite = 0;
  /** Takes itself for the leader. */
  leads = false;

  constructor(onApplied: AppliedListener, onLeadership: (leadership: Leadership) => void) {
    this.#onApplied = onApplied;
    this.#onLeadership = onLeadership;
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index !== this.appliedIndex + 1) {
        throw new Error(`entry ${entry.index} applied after ${this.appliedIndex}`);
      }
      this.appliedIndex = entry.index;
      this.appliedTerm = entry.term;
      const checksum = entryChecksum(entry);
      this.hash = nextHash(this.hash, entry, checksum);
      if (entry.type === 'command') {
        this.commands += 1;
        this.lastWrite = writeIdOf(entry.data);
      }
      this.#onApplied(entry, checksum, this.hash);
    }
  }

  *image(): Iterable<Uint8Array> {
    for (let number = 0; number < IMAGE_CHUNKS; number += 1) {
      const chunk = Buffer.alloc(IMAGE_CHUNK_BYTES, number);
      const numbers = [this.appliedIndex, this.appliedTerm, this.hash, this.commands, this.lastWrite];
      for (const [n, value] of numbers.entries()) chunk.writeDoubleLE(value, n * 8);
      yield chunk;
    }
  }

  restore(chunks: Iterable<Uint8Array>): void {
    const all = [...chunks].map((chunk) => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    const [first] = all;
    if (first === undefined || all.length !== IMAGE_CHUNKS)
      throw new Error(`an image of ${all.length} chunks`);
    for (const [number, chunk] of all.entries()) {
      const same = chunk.subarray(0, NUMBERS * 8).equals(first.subarray(0, NUMBERS * 8));
      if (!same || chunk[IMAGE_CHUNK_BYTES - 1] !== number)
        throw new Error(`chunk ${number} is of another image`);
    }
    this.appliedIndex = first.readDoubleLE(0) as Index;
    this.appliedTerm = first.readDoubleLE(8) as Term;
    this.hash = first.readDoubleLE(16);
    this.commands = first.readDoubleLE(24);
    this.lastWrite = first.readDoubleLE(32);
  }

  describe(entry: Entry): EntryDescription | null {
    if (entry.type !== 'command') return null;
    return { offset: entry.index, count: 1, timestamp: 0, groups: [writeIdOf(entry.data) % 16] };
  }

  onLeadership(leadership: Leadership): void {
    this.leads = leadership.leads;
    this.#onLeadership(leadership);
  }
}

/** A command: the write's id, then filling. */
export function encodeWrite(id: number, bytes: number): Uint8Array {
  const data = Buffer.alloc(Math.max(8, bytes), id % 251);
  data.writeDoubleLE(id, 0);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The id in a command. */
export function writeIdOf(data: Uint8Array): number {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).readDoubleLE(0);
}

/** Checksum of an entry's contents. */
export function entryChecksum(entry: Entry): number {
  return crc32(entry.data, entry.type.length);
}

/** Tells entries apart at a fraction of the cost: a command's filling follows from its id. */
export function entryMark(entry: Entry): number {
  return entry.type === 'command' ? writeIdOf(entry.data) * 16_384 + entry.data.length : entryChecksum(entry);
}

function nextHash(hash: number, entry: Entry, checksum: number): number {
  const mixed = Math.imul(hash ^ checksum, 0x01000193) ^ Math.imul(entry.index, 0x85ebca6b);
  return (Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) ^ entry.term) >>> 0;
}
