/** Where a new group goes: the least loaded partition, by consistent hash among equals. Pure, so that all replicas agree. */
import { crc32 } from 'node:zlib';

const UINT32 = 0x1_0000_0000;

/**
 * Jump consistent hash (Lamping and Veach 2014) over a 32-bit key: a bucket in [0, buckets). When buckets are added, a key
 * either stays or moves to a new one. The generator is a 32-bit mixer instead of the paper's 64-bit one.
 */
export function jumpHash(key: number, buckets: number): number {
  let seed = key >>> 0;
  let bucket = 0;
  let next = 0;
  while (next < buckets) {
    bucket = next;
    seed = (seed + 0x9e3779b9) >>> 0;
    next = Math.floor((bucket + 1) * (UINT32 / (mix(seed) + 1)));
  }
  return bucket;
}

function mix(seed: number): number {
  let word = Math.imul(seed ^ (seed >>> 16), 0x21f0aaad);
  word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
  return (word ^ (word >>> 15)) >>> 0;
}

/**
 * Groups per partition of one topic, and the choice for the next. The choice depends on nothing but the loads and the name,
 * never on the history that led there: a replica restored from an image chooses like the others.
 */
export class PartitionChooser {
  readonly #loads: number[];
  /** Partitions at the lowest load, ascending; empty: to be found again. */
  #least: number[] = [];

  constructor(partitions: number) {
    this.#loads = new Array<number>(partitions).fill(0);
  }

  /** Groups per partition. */
  get loads(): readonly number[] {
    return this.#loads;
  }

  /** Chooses the partition for a new group and counts it there. */
  choose(name: Uint8Array): number {
    if (this.#least.length === 0) this.#findLeast();
    const at = jumpHash(crc32(name), this.#least.length);
    const partition = this.#least[at] ?? 0;
    this.#least.splice(at, 1);
    this.#loads[partition] = (this.#loads[partition] ?? 0) + 1;
    return partition;
  }

  /** Counts a group that already has its place (restore). */
  add(partition: number): void {
    this.#loads[partition] = (this.#loads[partition] ?? 0) + 1;
    this.#least = [];
  }

  /** Counts a group that lost its route. */
  remove(partition: number): void {
    this.#loads[partition] = Math.max(0, (this.#loads[partition] ?? 0) - 1);
    this.#least = [];
  }

  #findLeast(): void {
    const least = Math.min(...this.#loads);
    for (let partition = 0; partition < this.#loads.length; partition++) {
      if (this.#loads[partition] === least) this.#least.push(partition);
    }
  }
}
