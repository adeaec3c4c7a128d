/**
 * State images: per shard, generations of chunks closed by a footer. Only an image whose footer and chunks are all
 * there and sound is ever given; the one before stays until the next is durable.
 */
import type { ShardId } from '@seriatim/multiraft';
import type { ReplicaId, SnapshotMeta } from '@seriatim/raft';
import {
  addChecksum,
  CHUNK_BYTES_MAX,
  CHUNK_RANGE,
  chunkKey,
  chunkRange,
  decodeChunk,
  decodeFooter,
  encodeChunk,
  encodeFooter,
  FOOTER_RANGE,
  footerKey,
  type ImageFooter,
  ownerOfKey,
  type SegmentPosition,
} from './image-format.ts';
import { invariant } from './invariant.ts';
import { type KeyValueChange, type KeyValueStore, StorageError } from './ports.ts';

/** Chunks written in one synced batch: bounds what waits in memory and the stall of one batch. */
const BATCH_BYTES = 1024 * 1024;

interface Owner {
  readonly shard: ShardId;
  readonly generation: number;
}

/** Who and what an image is of. */
export interface ImageSubject {
  readonly shard: ShardId;
  readonly replica: ReplicaId;
  readonly meta: SnapshotMeta;
}

/** See the head of this file. */
export class ImageStore {
  readonly #store: KeyValueStore;
  readonly #newest = new Map<ShardId, ImageFooter>();
  /** Highest generation ever used, per shard. */
  readonly #generations = new Map<ShardId, number>();
  /** How many readers a generation has; it is dropped when the last one ends. */
  readonly #readers = new Map<string, number>();
  readonly #dropLater = new Set<string>();

  private constructor(store: KeyValueStore) {
    this.#store = store;
  }

  /** Finds the newest complete image of each shard and removes what is left of others. `damage` tells what was broken. */
  static async open(
    store: KeyValueStore,
  ): Promise<{ readonly images: ImageStore; readonly damage: readonly string[] }> {
    const images = new ImageStore(store);
    const damage: string[] = [];
    const footers: ImageFooter[] = [];
    for await (const { key, value } of store.iterate(FOOTER_RANGE)) {
      const owner = ownerOfKey(key);
      images.#noteGeneration(owner.shard, owner.generation);
      const footer = decodeFooter(value);
      if (footer === null) damage.push(`image ${owner.generation} of shard ${owner.shard}: footer damaged`);
      else footers.push(footer);
    }
    for (const footer of footers.reverse()) {
      if (images.#newest.has(footer.shard)) continue;
      if (await images.#isComplete(footer)) images.#newest.set(footer.shard, footer);
      else damage.push(`image ${footer.generation} of shard ${footer.shard}: chunks damaged or missing`);
    }
    await images.#sweep();
    return { images, damage };
  }

  /** The newest complete image of a shard. */
  newest(shard: ShardId): ImageFooter | undefined {
    return this.#newest.get(shard);
  }

  /** Shards that have an image. */
  shards(): Iterable<ShardId> {
    return this.#newest.keys();
  }

  /** Begins a new generation. */
  write(subject: ImageSubject): GenerationWriter {
    const generation = (this.#generations.get(subject.shard) ?? 0) + 1;
    this.#noteGeneration(subject.shard, generation);
    return new GenerationWriter(this.#store, subject, generation);
  }

  /** Takes a generation that was completed: it is the shard's image, and what was before is dropped. */
  async adopt(footer: ImageFooter): Promise<void> {
    const before = this.#newest.get(footer.shard);
    if (before !== undefined && before.generation > footer.generation) return;
    this.#newest.set(footer.shard, footer);
    if (before !== undefined) await this.#drop(before.shard, before.generation);
  }

  /**
   * The newest image's chunks, each verified. A chunk that is damaged, or gone because a newer image took over before the first
   * was asked for, ends it with a StorageError of code `io`.
   */
  read(shard: ShardId): { readonly footer: ImageFooter; readonly chunks: AsyncIterable<Uint8Array> } | null {
    const footer = this.#newest.get(shard);
    if (footer === undefined) return null;
    return { footer, chunks: this.#chunks(footer, nameOf(shard, footer.generation)) };
  }

  /** Removes every image of a shard. */
  async remove(shard: ShardId): Promise<void> {
    this.#newest.delete(shard);
    const last = this.#generations.get(shard) ?? 0;
    const changes: KeyValueChange[] = [];
    for (let generation = 1; generation <= last; generation++) {
      changes.push({ type: 'delete', key: footerKey(shard, generation) });
    }
    await this.#store.batch(changes, { sync: true });
    await this.#store.deleteRange(chunkRange(shard, 0, last + 1));
  }

  async *#chunks(footer: ImageFooter, name: string): AsyncIterable<Uint8Array> {
    this.#readers.set(name, (this.#readers.get(name) ?? 0) + 1);
    try {
      for (let chunk = 0; chunk < footer.chunkCount; chunk++) {
        const key = chunkKey(footer.shard, footer.generation, chunk);
        const decoded = decodeChunk(key, await this.#store.get(key));
        if (decoded === null) {
          throw new StorageError(
            'io',
            `image ${footer.generation} of shard ${footer.shard}: chunk ${chunk} damaged`,
          );
        }
        yield decoded.bytes;
      }
    } finally {
      const readers = (this.#readers.get(name) ?? 1) - 1;
      this.#readers.set(name, readers);
      if (readers === 0) {
        this.#readers.delete(name);
        if (this.#dropLater.delete(name)) await this.#drop(footer.shard, footer.generation);
      }
    }
  }

  async #isComplete(footer: ImageFooter): Promise<boolean> {
    let checksum = 0;
    for (let chunk = 0; chunk < footer.chunkCount; chunk++) {
      const key = chunkKey(footer.shard, footer.generation, chunk);
      const decoded = decodeChunk(key, await this.#store.get(key));
      if (decoded === null) return false;
      checksum = addChecksum(checksum, decoded.checksum);
    }
    return checksum === footer.checksum;
  }

  /** The footer goes first: chunks without one are never opened. */
  async #drop(shard: ShardId, generation: number): Promise<void> {
    const name = nameOf(shard, generation);
    if (this.#readers.has(name)) {
      this.#dropLater.add(name);
      return;
    }
    await this.#store.batch([{ type: 'delete', key: footerKey(shard, generation) }], { sync: false });
    await this.#store.deleteRange(chunkRange(shard, generation, generation + 1));
  }

  /** Removes generations that are not the newest complete ones: older, broken off, or damaged. */
  async #sweep(): Promise<void> {
    const stale: Owner[] = [];
    for await (const { key } of this.#store.iterate(FOOTER_RANGE)) stale.push(ownerOfKey(key));
    for (let owner = await this.#firstChunk(CHUNK_RANGE.from); owner !== null; ) {
      stale.push(owner);
      owner = await this.#firstChunk(chunkKey(owner.shard, owner.generation + 1, 0));
    }
    for (const { shard, generation } of stale) {
      this.#noteGeneration(shard, generation);
      if (this.#newest.get(shard)?.generation !== generation) await this.#drop(shard, generation);
    }
  }

  /** Whose the first chunk at or behind a key is: chunks are skipped from generation to generation, not read. */
  async #firstChunk(from: Uint8Array): Promise<Owner | null> {
    for await (const { key } of this.#store.iterate({ from, to: CHUNK_RANGE.to })) return ownerOfKey(key);
    return null;
  }

  #noteGeneration(shard: ShardId, generation: number): void {
    this.#generations.set(shard, Math.max(this.#generations.get(shard) ?? 0, generation));
  }
}

/** Writes one generation: chunks in order, then the footer. Every batch is synced. */
export class GenerationWriter {
  readonly #store: KeyValueStore;
  readonly #subject: ImageSubject;
  readonly #generation: number;
  #changes: KeyValueChange[] = [];
  #bytes = 0;
  #chunkCount = 0;
  #checksum = 0;

  constructor(store: KeyValueStore, subject: ImageSubject, generation: number) {
    this.#store = store;
    this.#subject = subject;
    this.#generation = generation;
  }

  /** Adds the next chunk. */
  async add(chunk: Uint8Array): Promise<void> {
    invariant(
      chunk.length <= CHUNK_BYTES_MAX,
      `image chunk of ${chunk.length} bytes, at most ${CHUNK_BYTES_MAX}`,
    );
    const key = chunkKey(this.#subject.shard, this.#generation, this.#chunkCount++);
    const value = encodeChunk(key, chunk);
    this.#checksum = addChecksum(this.#checksum, decodeChunk(key, value)?.checksum ?? 0);
    this.#changes.push({ type: 'put', key, value });
    this.#bytes += value.length;
    if (this.#bytes >= BATCH_BYTES) await this.#flush();
  }

  /** Makes all chunks durable, then the footer. */
  async complete(segments: SegmentPosition): Promise<ImageFooter> {
    if (this.#changes.length > 0) await this.#flush();
    const { shard, replica, meta } = this.#subject;
    const generation = this.#generation;
    const footer = {
      shard,
      generation,
      replica,
      meta,
      segments,
      chunkCount: this.#chunkCount,
      checksum: this.#checksum,
    };
    const key = footerKey(shard, generation);
    await this.#store.batch([{ type: 'put', key, value: encodeFooter(footer) }], { sync: true });
    return footer;
  }

  /** Removes what was written. */
  async abort(): Promise<void> {
    this.#changes = [];
    await this.#store.deleteRange(chunkRange(this.#subject.shard, this.#generation, this.#generation + 1));
  }

  async #flush(): Promise<void> {
    const changes = this.#changes;
    this.#changes = [];
    this.#bytes = 0;
    // Level syncs the log file it writes now, not the one it closed a moment ago: so each batch is synced by itself.
    await this.#store.batch(changes, { sync: true });
  }
}

function nameOf(shard: ShardId, generation: number): string {
  return `${shard}/${generation}`;
}
