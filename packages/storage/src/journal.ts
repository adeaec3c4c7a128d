/**
 * The journal: one sequence of files for all shards of a node. Writes gather in memory while a flush is on its way;
 * each flush is one frame, one write and one fdatasync. Frame N+1 is written only after frame N is durable.
 *
 * Data is copied once, into the frame, when it is given. Nothing is ever tried again: the first failure ends all.
 */

import { join } from 'node:path/posix';
import type { Clock, ShardId, ShardWrite } from '@seriatim/multiraft';
import type { Entry, Index, Term } from '@seriatim/raft';
import { ByteWriter } from './byte-writer.ts';
import type { StorageConfig } from './config.ts';
import {
  createJournalFile,
  type JournalFileExtent,
  type JournalFileOptions,
  unlinkIfThere,
  type WritableJournalFile,
} from './journal-file.ts';
import {
  aligned,
  beginFrame,
  endFrame,
  FRAME_ALIGNMENT,
  FRAME_HEADER_BYTES,
  type JournalShardState,
} from './journal-format.ts';
import { JournalLedger, noteExtents } from './journal-ledger.ts';
import { journalFileName } from './journal-scan.ts';
import type { FileSystem } from './ports.ts';

/** How a journal goes on from what was replayed. */
export interface JournalOptions {
  readonly files: FileSystem;
  readonly directory: string;
  readonly clock: Clock;
  readonly config: StorageConfig;
  /** Which journal (see identity), and a salt for each new file. */
  readonly journal: number;
  readonly salt: () => number;
  readonly onFault: (error: Error) => void;
  readonly shards: ReadonlyMap<ShardId, JournalShardState>;
  readonly extents: readonly JournalFileExtent[];
  readonly nextFrame: number;
  readonly nextFile: number;
  /** Shards whose image is ahead of their log: a crash came between the two. */
  readonly resets: readonly { readonly shard: ShardId; readonly index: Index; readonly term: Term }[];
  /** Called after a new file took over. */
  readonly onFile: () => void;
}

/** Figures for metrics and tests. */
export interface JournalStatistics {
  readonly flushes: number;
  readonly bytes: number;
  readonly files: number;
  /** Milliseconds that the last flush took, write and sync. */
  readonly lastFlushMilliseconds: number;
}

const FRAME_BYTES_KEPT = 8 * 1024 * 1024;

/** See the head of this file. */
export class Journal {
  readonly #options: JournalOptions;
  readonly #ledger: JournalLedger;
  readonly #extents: JournalFileExtent[];
  #current: WritableJournalFile | null = null;
  #coming: Promise<WritableJournalFile> | null = null;
  #nextFrame: number;
  #nextFile: number;
  #filling: ByteWriter = new ByteWriter(64 * 1024);
  #spare: ByteWriter = new ByteWriter(64 * 1024);
  #waiting: (() => void)[] = [];
  #state: 'idle' | 'scheduled' | 'flushing' | 'failed' | 'closed' = 'idle';
  #cancelProof: (() => void) | null = null;
  #idleWaiters: (() => void)[] = [];
  #flushes = 0;
  #bytes = 0;
  #lastFlushMilliseconds = 0;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#extents = options.extents.map((extent) => ({ ...extent }));
    this.#nextFrame = options.nextFrame;
    this.#nextFile = options.nextFile;
    this.#ledger = new JournalLedger(options.shards);
    beginFrame(this.#filling);
    for (const { shard, ...reset } of options.resets) this.#ledger.encodeReset(this.#filling, shard, reset);
  }

  /** Begins a file of its own, with the state of every shard, and cuts the unused end of the one before. */
  async start(): Promise<void> {
    this.#state = 'flushing';
    await this.#guard(() => this.#syncLast());
    await this.#flush(true);
  }

  statistics(): JournalStatistics {
    return {
      flushes: this.#flushes,
      bytes: this.#bytes,
      files: this.#extents.length,
      lastFlushMilliseconds: this.#lastFlushMilliseconds,
    };
  }

  /** Bytes of all files. */
  get fileBytes(): number {
    return this.#extents.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Shards with entries in the oldest file that are above what `below` says (their image's index), the newest file apart. */
  holdsOldest(below: (shard: ShardId) => Index): readonly ShardId[] {
    const oldest = this.#extents[0];
    if (oldest === undefined || this.#extents.length < 2) return [];
    return [...oldest.highest].filter(([shard, highest]) => highest > below(shard)).map(([shard]) => shard);
  }

  /** Puts a shard's part into the coming frame; `durable` is called after it and all before are on disk, in order. */
  write(write: ShardWrite, durable: () => void): void {
    this.#ledger.encodeWrite(this.#filling, write);
    this.#enqueue(durable);
  }

  /** Notes what is known committed; it goes with the next flush and causes none. */
  noteCommit(shard: ShardId, index: Index): void {
    this.#ledger.encodeCommit(this.#filling, shard, index);
  }

  /** Writes that a shard is no longer on this node. */
  removeShard(shard: ShardId): Promise<void> {
    if (!this.#ledger.has(shard)) return Promise.resolve();
    this.#ledger.encodeRemoved(this.#filling, shard);
    return new Promise((resolve) => this.#enqueue(resolve));
  }

  /** Writes entries again that are in old files only, so that those may go: the newest of the log, to its end. */
  copyForward(shard: ShardId, entries: readonly Entry[], durable: () => void): void {
    if (entries.length === 0 || !this.#ledger.has(shard)) return;
    this.#ledger.encodeEntries(this.#filling, shard, entries);
    this.#enqueue(durable);
  }

  /** Removes the oldest files that nothing needs: every entry in them is at or below what `below` says of its shard. */
  async release(below: (shard: ShardId) => Index): Promise<number> {
    let released = 0;
    while (this.#extents.length > 1 && this.holdsOldest(below).length === 0 && !this.#isOver()) {
      const oldest = this.#extents.shift();
      if (oldest === undefined) break;
      await this.#guard(async () => {
        await this.#options.files.unlink(join(this.#options.directory, journalFileName(oldest.file)));
      });
      released++;
    }
    if (released > 0) await this.#guard(() => this.#options.files.syncDirectory(this.#options.directory));
    return released;
  }

  /** Waits for what is on its way and closes the file. */
  async close(): Promise<void> {
    while (this.#state === 'flushing' || this.#state === 'scheduled') {
      await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
    }
    this.#cancelProof?.();
    const failed = this.#state === 'failed';
    this.#state = failed ? 'failed' : 'closed';
    const coming = await this.#coming?.catch(() => null);
    for (const file of [this.#current, coming]) {
      if (file) await (failed ? file.handle.close().catch(() => {}) : file.handle.close());
    }
  }

  #enqueue(durable: () => void): void {
    if (this.#isOver()) return;
    this.#waiting.push(durable);
    if (this.#state !== 'idle') return;
    this.#state = 'scheduled';
    this.#options.clock.soon(() => void this.#flush(false));
  }

  #isOver(): boolean {
    return this.#state === 'failed' || this.#state === 'closed';
  }

  async #flush(newFile: boolean): Promise<void> {
    if (this.#isOver()) return;
    this.#state = 'flushing';
    this.#cancelProof?.();
    this.#cancelProof = null;
    let fresh = newFile;
    do {
      const done = await this.#guard(() => this.#flushOnce(fresh));
      if (!done) break;
      fresh = false;
    } while (this.#waiting.length > 0);
    if (!this.#isOver()) {
      this.#state = 'idle';
      this.#cancelProof = this.#options.clock.after(
        this.#options.config.quietMilliseconds,
        () => void this.#prove(),
      );
    }
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  /** Takes what has gathered, synchronously, and makes it durable. */
  async #flushOnce(newFile: boolean): Promise<void> {
    const frame = this.#filling;
    const waiting = this.#waiting;
    const touched = this.#ledger.takeTouched();
    const before = this.#current;
    const switching = newFile || before === null || this.#isFull(before, frame.length);
    if (switching) this.#ledger.encodeShards(frame);
    this.#filling = this.#spare;
    this.#waiting = [];
    beginFrame(this.#filling);
    const file = switching ? await this.#takeFile() : before;
    const started = this.#options.clock.now();
    const number = this.#nextFrame++;
    const bytes = endFrame(frame, number, file.salt);
    await file.handle.write(file.extent.bytes, [bytes]);
    await file.handle.sync();
    this.#lastFlushMilliseconds = this.#options.clock.now() - started;
    this.#flushes++;
    this.#bytes += bytes.length;
    file.extent.bytes += bytes.length;
    this.#spare = frame.capacity > FRAME_BYTES_KEPT ? new ByteWriter(64 * 1024) : frame;
    noteExtents(this.#extents, file.extent, touched);
    if (switching) await this.#trimBefore(before);
    this.#prepareAhead(file);
    if (switching) this.#options.onFile();
    for (const durable of waiting) durable();
  }

  /** The last sector stays free, so that a file cut to its used length is always shorter than it was made. */
  #isFull(file: WritableJournalFile, frameBytes: number): boolean {
    const end = file.extent.bytes + aligned(frameBytes);
    return end + FRAME_ALIGNMENT > this.#options.config.journalFileBytes;
  }

  async #takeFile(): Promise<WritableJournalFile> {
    const file = await (this.#coming ?? this.#create());
    this.#coming = null;
    this.#current = file;
    this.#extents.push(file.extent);
    return file;
  }

  #create(): Promise<WritableJournalFile> {
    const { files, directory, journal, config, salt } = this.#options;
    const made: JournalFileOptions = {
      files,
      directory,
      journal,
      bytes: config.journalFileBytes,
      salt: salt(),
    };
    return createJournalFile(made, this.#nextFile++);
  }

  /** Makes the next file while this one fills, so that no flush waits for it. */
  #prepareAhead(file: WritableJournalFile): void {
    if (this.#coming !== null || file.extent.bytes * 2 < this.#options.config.journalFileBytes) return;
    const coming = this.#create();
    coming.catch((error: unknown) => this.#fail(error));
    this.#coming = coming;
  }

  /**
   * What the process before wrote and did not sync was read from the system's memory, if that process was killed. It must be on
   * disk before anything rests on it: otherwise a power loss takes frames that this run has counted.
   */
  async #syncLast(): Promise<void> {
    const last = this.#extents.at(-1);
    if (last === undefined) return;
    const { files, directory } = this.#options;
    const handle = await files.open(join(directory, journalFileName(last.file)), 'readWrite');
    await handle.sync();
    await handle.close();
  }

  /** The new file is durable: gives back the unused end of the one before. */
  async #trimBefore(before: WritableJournalFile | null): Promise<void> {
    if (before !== null) {
      await before.handle.truncate(before.extent.bytes);
      await before.handle.close();
      return;
    }
    const last = this.#extents[this.#extents.length - 2];
    if (last === undefined) return;
    const { files, directory } = this.#options;
    const handle = await files.open(join(directory, journalFileName(last.file)), 'readWrite');
    await handle.truncate(last.bytes);
    await handle.close();
  }

  /**
   * A quiet moment after a flush: an empty frame behind the last one proves that one, so that damage to it is not taken for a
   * torn tail. It is not synced and the next frame takes its place and number, so nothing ever rests on it.
   */
  async #prove(): Promise<void> {
    const file = this.#current;
    if (this.#state !== 'idle' || file === null) return;
    this.#state = 'flushing';
    const empty = new ByteWriter(FRAME_HEADER_BYTES);
    beginFrame(empty);
    const bytes = endFrame(empty, this.#nextFrame, file.salt);
    await this.#guard(() => file.handle.write(file.extent.bytes, [bytes]));
    if (this.#isOver()) return;
    this.#state = 'idle';
    if (this.#waiting.length > 0) void this.#flush(false);
    else for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  async #guard(run: () => Promise<void>): Promise<boolean> {
    if (this.#isOver()) return false;
    try {
      await run();
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #fail(error: unknown): void {
    if (this.#isOver()) return;
    this.#state = 'failed';
    this.#cancelProof?.();
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
    this.#options.onFault(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Removes files of a journal that hold nothing: made ahead, or torn in their first frame. */
export async function removeLeftover(
  files: FileSystem,
  directory: string,
  leftover: readonly number[],
): Promise<void> {
  for (const name of await files.list(directory)) {
    if (name.endsWith('.new')) await files.unlink(join(directory, name));
  }
  for (const file of leftover) await unlinkIfThere(files, join(directory, journalFileName(file)));
  await files.syncDirectory(directory);
}
