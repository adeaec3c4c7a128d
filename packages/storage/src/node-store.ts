/**
 * A node's disk as its shards see it: the journal makes writes durable, segments keep what is committed, images keep
 * states. Opened by `openNodeStore`.
 */

import type {
  EntriesRead,
  EntryDescription,
  ImageWriter,
  LogStore,
  ShardId,
  ShardWrite,
} from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, SnapshotMeta } from '@seriatim/raft';
import type { StorageConfig } from './config.ts';
import type { FreeSpaceStatus, FreeSpaceWatch } from './free-space.ts';
import type { IdentityKeeper } from './identity.ts';
import type { ImageStore } from './image-store.ts';
import { IncomingRecords } from './incoming-records.ts';
import { invariant } from './invariant.ts';
import type { Journal, JournalStatistics } from './journal.ts';
import type { KeyValueStore } from './ports.ts';
import { copyRecords } from './segment-copy.ts';
import { type SegmentReader, segmentReader } from './segment-reader.ts';
import { endOffset, readEntries } from './segment-reading.ts';
import { ShardSegments, type ShardSegmentsOptions } from './shard-segments.ts';
import { StoredShard } from './stored-shard.ts';

/** What a store is put together from; `openNodeStore` does it. */
export interface NodeStoreParts {
  readonly config: StorageConfig;
  readonly keyValues: KeyValueStore;
  readonly images: ImageStore;
  readonly identity: IdentityKeeper;
  readonly shards: Map<ShardId, StoredShard>;
  /** For a shard's segments: those it has, or such as come with an image at `base`. */
  readonly segmentOptions: (shard: ShardId, base?: Index) => ShardSegmentsOptions;
  readonly space: FreeSpaceWatch;
  /** Reports the first fault, once. */
  readonly fault: (error: Error) => void;
  readonly newJournal: (onFile: () => void) => Journal;
}

/** Figures for metrics. */
export interface StorageStatistics {
  readonly journal: JournalStatistics;
  readonly journalFileBytes: number;
  readonly freeBytes: number;
  readonly status: FreeSpaceStatus;
}

/** See the head of this file. After a fault nothing resolves any more: the node is ending. */
export class NodeStore implements LogStore {
  /** Reading by offset, group and time, and retention. */
  readonly segments: SegmentReader;
  /** Who this node is. */
  readonly identity: IdentityKeeper;
  readonly #parts: NodeStoreParts;
  readonly #shards: Map<ShardId, StoredShard>;
  /** Records that came with an image, until the log begins anew behind it. */
  readonly #incoming = new Map<
    ShardId,
    { readonly records: IncomingRecords; readonly segments: ShardSegments }
  >();
  readonly #journal: Journal;
  readonly #space: FreeSpaceWatch;
  #journalBytesSeen = 0;

  constructor(parts: NodeStoreParts) {
    this.#parts = parts;
    this.#shards = parts.shards;
    this.identity = parts.identity;
    this.#journal = parts.newJournal(() => this.#reviewJournal());
    this.#space = parts.space;
    this.segments = segmentReader(
      (shard) => this.#shards.get(shard)?.segments,
      (shard, index) => this.#removeBefore(shard, index),
    );
  }

  /** Begins the journal's new file and the watch over free space. */
  async start(): Promise<void> {
    await this.#journal.start();
    await this.#space.start();
  }

  /** Whether there is room: below the floors produce is refused, or the node stops. */
  status(): FreeSpaceStatus {
    return this.#space.status;
  }

  /** Figures for metrics. */
  statistics(): StorageStatistics {
    return {
      journal: this.#journal.statistics(),
      journalFileBytes: this.#journal.fileBytes,
      freeBytes: this.#space.freeBytes,
      status: this.#space.status,
    };
  }

  write(write: ShardWrite, durable: () => void): void {
    const { shard, replica, reset, entries } = write;
    let stored = this.#shards.get(shard);
    if (stored === undefined) {
      stored = new StoredShard(shard, replica, ShardSegments.fresh(this.#parts.segmentOptions(shard)), []);
      this.#shards.set(shard, stored);
    }
    invariant(
      stored.replica === replica,
      `shard ${shard} is kept for replica ${stored.replica}, not ${replica}`,
    );
    if (reset !== null) {
      const incoming = this.#incoming.get(shard);
      invariant(
        this.#imageIndex(shard) >= reset.index && incoming?.records.base.index === reset.index,
        `shard ${shard}: reset to ${reset.index} without its image`,
      );
      this.#incoming.delete(shard);
      stored.reset(incoming.segments);
    }
    stored.write(entries);
    this.#journal.write(write, durable);
    const { bytes } = this.#journal.statistics();
    this.#space.wrote(bytes - this.#journalBytesSeen);
    this.#journalBytesSeen = bytes;
  }

  async read(shard: ShardId, from: Index, bytesMax: number): Promise<EntriesRead> {
    const stored = this.#shards.get(shard);
    invariant(stored !== undefined, `shard ${shard} is not stored here`);
    const waiting = stored.readWaiting(from, bytesMax);
    if (waiting !== null) return { type: 'entries', ...waiting };
    const found = await this.#guard(() => readEntries(stored.segments, from, bytesMax));
    if (found.type === 'entries') return found;
    if (found.type === 'below') return { type: 'compacted', first: found.first as Index };
    // Damaged bytes are never sent: whoever needs them gets an image.
    return { type: 'compacted', first: (this.#imageIndex(shard) + 1) as Index };
  }

  committed(
    shard: ShardId,
    entries: readonly Entry[],
    describe: (entry: Entry) => EntryDescription | null,
  ): void {
    const stored = this.#shards.get(shard);
    invariant(stored !== undefined, `shard ${shard} is not stored here`);
    const before = stored.segments.next;
    stored.segments.append(entries, describe);
    stored.committed(before);
    this.#journal.noteCommit(shard, (stored.segments.next - 1) as Index);
  }

  async checkpoint(
    shard: ShardId,
    replica: ReplicaId,
    meta: SnapshotMeta,
    chunks: Iterable<Uint8Array>,
  ): Promise<void> {
    const taken = [...chunks];
    const stored = this.#shards.get(shard);
    if (stored === undefined || stored.replica !== replica || meta.index <= this.#imageIndex(shard)) return;
    invariant(
      stored.segments.next > meta.index,
      `shard ${shard}: image at ${meta.index} above what is committed`,
    );
    await this.#discardIncoming(shard);
    const covered = stored.beginCover();
    await stored.segments.sync();
    const { first } = stored.segments;
    const endOffset = this.segments.endOffset(shard);
    const isWritten = await this.#guard(async () => {
      const writer = this.#parts.images.write({ shard, replica, meta });
      for (const chunk of taken) await writer.add(chunk);
      const isCurrent = this.#shards.get(shard) === stored && meta.index > this.#imageIndex(shard);
      if (!isCurrent) await writer.abort();
      else await this.#parts.images.adopt(await writer.complete({ first, endOffset }));
      return isCurrent;
    });
    if (!isWritten) return;
    covered();
    this.#removeBefore(shard, stored.removeBelow);
    await this.#releaseJournal();
  }

  checkpointDue(shard: ShardId): boolean {
    const stored = this.#shards.get(shard);
    if (stored === undefined || stored.segments.next - 1 <= this.#imageIndex(shard)) return false;
    return stored.isPressed || stored.uncoveredBytes >= this.#parts.config.checkpointBytes;
  }

  /** Reading the chunks ends with a StorageError when one is damaged: it is never given. */
  async image(
    shard: ShardId,
  ): Promise<{ readonly meta: SnapshotMeta; readonly chunks: AsyncIterable<Uint8Array> } | null> {
    const read = this.#parts.images.read(shard);
    return read === null ? null : { meta: read.footer.meta, chunks: read.chunks };
  }

  records(shard: ShardId, to: Index): AsyncIterable<Uint8Array> {
    const stored = this.#shards.get(shard);
    invariant(stored !== undefined, `shard ${shard} is not stored here`);
    return copyRecords(stored.segments, to);
  }

  receiveImage(shard: ShardId, replica: ReplicaId, meta: SnapshotMeta): ImageWriter {
    const { images, segmentOptions } = this.#parts;
    const writer = images.write({ shard, replica, meta });
    const records = new IncomingRecords(segmentOptions(shard, meta.index), meta);
    return {
      add: (chunk) => this.#guard(() => writer.add(chunk)),
      addRecords: (piece) => records.add(piece),
      complete: async () => {
        await this.#discardIncoming(shard);
        const segments = await records.seal();
        const { first } = segments;
        const footer = { first, endOffset: endOffset(segments) };
        this.#incoming.set(shard, { records, segments });
        await this.#guard(async () => images.adopt(await writer.complete(footer)));
      },
      abort: async () => {
        await records.discard();
        await this.#guard(() => writer.abort());
      },
    };
  }

  async remove(shard: ShardId): Promise<void> {
    const stored = this.#shards.get(shard);
    this.#shards.delete(shard);
    await this.#journal.removeShard(shard);
    await this.#guard(() => this.#parts.images.remove(shard));
    await this.#discardIncoming(shard);
    await stored?.segments.remove();
    await this.#releaseJournal();
  }

  /** Makes what was given durable as far as the journal goes, and closes all files. */
  async close(): Promise<void> {
    this.#space.close();
    await this.#journal.close();
    for (const { segments } of this.#shards.values()) await segments.close();
    await this.#parts.keyValues.close();
  }

  /** An image came that the log went past meanwhile: its records are not the shard's, also after a start with a later image. */
  async #discardIncoming(shard: ShardId): Promise<void> {
    const incoming = this.#incoming.get(shard);
    this.#incoming.delete(shard);
    await incoming?.records.discard();
  }

  #imageIndex(shard: ShardId): Index {
    return this.#parts.images.newest(shard)?.meta.index ?? (0 as Index);
  }

  /** Up to where a shard does not need the journal; all of it for a shard that is gone. */
  #coveredTo(shard: ShardId): Index {
    return this.#shards.has(shard) ? this.#imageIndex(shard) : (Number.POSITIVE_INFINITY as Index);
  }

  #removeBefore(shard: ShardId, index: Index): void {
    const stored = this.#shards.get(shard);
    if (stored === undefined) return;
    stored.removeBelow = Math.max(stored.removeBelow, index) as Index;
    const limit = Math.min(stored.removeBelow, this.#imageIndex(shard) + 1) as Index;
    void stored.segments.removeBefore(limit);
  }

  async #releaseJournal(): Promise<void> {
    await this.#journal.release((shard) => this.#coveredTo(shard));
    this.#reviewJournal();
  }

  /**
   * Too much journal: shards that hold the oldest file are asked for an image if one would help; entries that nothing has
   * committed (no quorum) are written again to the newest file, all that wait, so that replay finds the same log.
   */
  #reviewJournal(): void {
    const { journalBytesMax } = this.#parts.config;
    if (this.#journal.fileBytes <= journalBytesMax) return;
    for (const shard of this.#journal.holdsOldest((held) => this.#coveredTo(held))) {
      const stored = this.#shards.get(shard);
      if (stored === undefined) continue;
      if (stored.segments.next - 1 > this.#imageIndex(shard)) {
        stored.isPressed = true;
        continue;
      }
      const bytes = stored.waiting.reduce((sum, { data }) => sum + data.length, 0);
      if (bytes * 2 < journalBytesMax)
        this.#journal.copyForward(shard, stored.waiting, () => void this.#releaseJournal());
    }
  }

  /** A failure of the disk is reported, and what waits for it never goes on. */
  async #guard<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      this.#parts.fault(error instanceof Error ? error : new Error(String(error)));
      return new Promise<T>(() => {});
    }
  }
}
