/**
 * A shard's committed entries on disk: append-only files, written behind the journal in pieces. A crash
 * may lose what was not synced: the journal keeps it until a checkpoint synced it here.
 */
import type { Clock, EntryDescription, ShardId } from '@seriatim/multiraft';
import type { Entry, Index, Term } from '@seriatim/raft';
import { ByteWriter } from './byte-writer.ts';
import type { StorageConfig } from './config.ts';
import { invariant } from './invariant.ts';
import type { FileSystem } from './ports.ts';
import { INDEX_SUFFIX, SEGMENT_SUFFIX, type Segment, segmentPath } from './segment.ts';
import { encodeSegmentHead, encodeSegmentRecord, type SegmentRecord } from './segment-format.ts';
import { SegmentIndex } from './segment-index.ts';
import { recoverSegments, removeSegmentDirectory, removeSegmentFiles } from './segment-recovery.ts';
import { SegmentTail } from './segment-tail.ts';
import { Serial } from './serial.ts';

/** What a shard's segments need. */
export interface ShardSegmentsOptions {
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly config: StorageConfig;
  readonly directory: string;
  readonly shard: ShardId;
  readonly onFault: (error: Error) => void;
  /** Told how many bytes went to a file. */
  readonly onWritten: (bytes: number) => void;
}

/** A position of the log: index and term of the entry there; 0 and 0: its beginning. */
export interface LogPosition {
  readonly index: Index;
  readonly term: Term;
}

/** See the head of this file. Reading is in `segment-reading.ts`. */
export class ShardSegments {
  readonly options: ShardSegmentsOptions;
  /** By first index, the one that grows last. There may be gaps where damage was found. */
  readonly segments: Segment[];
  tail: SegmentTail;
  readonly #serial: Serial;
  #next: Index;
  #lastTerm: Term;
  #piece: ByteWriter;
  #piecePosition = 0;
  #written: Index;
  #newNames = false;
  #cancelTimer: (() => void) | null = null;
  #closed = false;

  /** Segments of a shard that has none yet. */
  static fresh(options: ShardSegmentsOptions): ShardSegments {
    return ShardSegments.behind(options, { index: 0 as Index, term: 0 as Term });
  }

  /** No segments yet; the first will begin behind `base`. */
  static behind(options: ShardSegmentsOptions, base: LogPosition): ShardSegments {
    return new ShardSegments(options, base, []);
  }

  private constructor(options: ShardSegmentsOptions, base: LogPosition, segments: readonly Segment[]) {
    this.options = options;
    this.segments = [...segments];
    this.tail = new SegmentTail((base.index + 1) as Index, base.term);
    this.#serial = new Serial(options.onFault);
    this.#next = (base.index + 1) as Index;
    this.#lastTerm = base.term;
    this.#written = base.index;
    this.#piece = new ByteWriter(options.config.segmentPieceBytes);
  }

  /** Opens a shard's segments, cut to `base`, the position of its image. */
  static async open(
    options: ShardSegmentsOptions,
    base: LogPosition,
  ): Promise<{ readonly opened: ShardSegments; readonly damage: readonly string[] }> {
    const { files, directory, shard, config } = options;
    const found = await recoverSegments(files, directory, shard, base.index, config.segmentIndexStrideBytes);
    return { opened: new ShardSegments(options, base, found.segments), damage: found.damage };
  }

  /** Index of the next entry to be appended. */
  get next(): Index {
    return this.#next;
  }

  /** Term of the last entry. */
  get lastTerm(): Term {
    return this.#lastTerm;
  }

  /** First index from which on everything is here without a gap. */
  get first(): Index {
    let first = this.#next;
    for (let i = this.segments.length - 1; i >= 0; i--) {
      const index = this.segments[i]?.index;
      if (index === undefined || index.last + 1 !== first) break;
      first = index.head.first;
    }
    return first;
  }

  /** Records that are not yet in a file. */
  waiting(): SegmentRecord[] {
    const from = Math.max(0, this.#written + 1 - this.tail.first);
    return this.tail.take(from, Number.POSITIVE_INFINITY);
  }

  /** Takes committed entries, dense; those it has are passed over. */
  append(entries: readonly Entry[], describe: (entry: Entry) => EntryDescription | null): void {
    for (const entry of entries) {
      if (entry.index < this.#next) continue;
      invariant(
        entry.index === this.#next,
        `segments of shard ${this.options.shard}: entry ${entry.index} after ${this.#next - 1}`,
      );
      this.#append({ entry, description: describe(entry) });
    }
    const { segmentPieceBytes, segmentDelayMilliseconds } = this.options.config;
    if (this.#piece.length >= segmentPieceBytes) void this.#writePiece();
    else if (this.#piece.length > 0 && this.#cancelTimer === null) {
      this.#cancelTimer = this.options.clock.after(segmentDelayMilliseconds, () => void this.#writePiece());
    }
  }

  /** Resolves when what went to files so far is written, durable or not. */
  settled(): Promise<void> {
    return this.#serial.run(async () => {});
  }

  /** Resolves when every entry appended so far is durable. */
  async sync(): Promise<void> {
    void this.#writePiece();
    const grown = this.segments[this.segments.length - 1];
    await this.#serial.run(async () => {
      if (grown?.handle) await grown.handle.sync();
      await this.#syncNames();
    });
  }

  /** Removes closed segments that end below `index`, the newest apart. */
  async removeBefore(index: Index): Promise<number> {
    const removed: Segment[] = [];
    for (;;) {
      const oldest = this.segments[0];
      if (oldest === undefined || this.segments.length < 2 || !oldest.closed || oldest.index.last >= index)
        break;
      this.segments.shift();
      removed.push(oldest);
    }
    if (removed.length > 0) await this.#removeFiles(removed);
    return removed.length;
  }

  /** Removes everything; the log begins anew behind `base`. */
  async reset(base: LogPosition): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#piece.clear();
    this.#next = (base.index + 1) as Index;
    this.#lastTerm = base.term;
    this.#written = base.index;
    this.tail = new SegmentTail(this.#next, base.term);
    await this.#removeFiles(this.segments.splice(0));
  }

  /** Removes everything and the directory. */
  async remove(): Promise<void> {
    await this.reset({ index: 0 as Index, term: 0 as Term });
    this.#closed = true;
    await this.#serial.run(() => removeSegmentDirectory(this.options.files, this.options.directory));
  }

  /** Writes what waits (unsynced) and closes the files. */
  async close(): Promise<void> {
    if (this.#closed) return;
    void this.#writePiece();
    this.#closed = true;
    await this.#serial.settled();
    for (const segment of this.segments) {
      await segment.handle?.close().catch(this.options.onFault);
      segment.handle = null;
    }
  }

  #append(record: SegmentRecord): void {
    const { entry } = record;
    const { directory, shard } = this.options;
    const { segmentBytes, segmentIndexStrideBytes } = this.options.config;
    let segment = this.segments[this.segments.length - 1];
    if (segment === undefined || segment.closed) {
      const head = { shard, first: entry.index, previousTerm: this.#lastTerm };
      const index = new SegmentIndex(head, segmentIndexStrideBytes);
      segment = { index, directory, written: 0, handle: null, closed: false, groupsInFile: false };
      this.segments.push(segment);
    }
    if (this.#piece.length === 0) this.#piecePosition = segment.index.bytes;
    const before = this.#piece.length;
    encodeSegmentRecord(this.#piece, shard, entry, record.description);
    segment.index.add(record, segment.index.bytes + this.#piece.length - before);
    this.tail.push(record);
    this.#next = (entry.index + 1) as Index;
    this.#lastTerm = entry.term;
    if (segment.index.bytes < segmentBytes) return;
    void this.#writePiece();
    segment.closed = true;
    const full = segment;
    void this.#serial.run(() => this.#finish(full));
  }

  async #writePiece(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    const segment = this.segments[this.segments.length - 1];
    if (this.#piece.length === 0 || segment === undefined || this.#closed) return;
    const piece = this.#piece.view();
    const position = this.#piecePosition;
    const last = (this.#next - 1) as Index;
    this.#piece = new ByteWriter(this.options.config.segmentPieceBytes);
    await this.#serial.run(async () => {
      const handle = segment.handle ?? (await this.#create(segment));
      await handle.write(position, [piece]);
      segment.written = position + piece.length;
      this.options.onWritten(piece.length);
      if (last <= this.#written || last >= this.#next) return; // reset meanwhile
      this.#written = last;
      this.tail.evict(last, this.options.config.tailBytesMax);
    });
  }

  async #create(segment: Segment): Promise<NonNullable<Segment['handle']>> {
    await this.options.files.makeDirectory(this.options.directory);
    const handle = await this.options.files.create(segmentPath(segment, SEGMENT_SUFFIX));
    segment.handle = handle;
    await handle.write(0, [encodeSegmentHead(segment.index.head)]);
    this.#newNames = true;
    return handle;
  }

  /** A full segment: synced, its index file written beside it. */
  async #finish(segment: Segment): Promise<void> {
    const { files } = this.options;
    await segment.handle?.sync();
    const path = segmentPath(segment, INDEX_SUFFIX);
    const bytes = segment.index.encode();
    const file = await files.create(`${path}.new`);
    await file.write(0, [bytes]);
    await file.sync();
    await file.close();
    await files.rename(`${path}.new`, path);
    this.#newNames = true;
    await this.#syncNames();
    await segment.handle?.close();
    segment.handle = null;
    segment.groupsInFile = true;
    segment.index.dropGroups();
    this.options.onWritten(bytes.length);
  }

  async #syncNames(): Promise<void> {
    if (!this.#newNames) return;
    this.#newNames = false;
    await this.options.files.syncDirectory(this.options.directory);
  }

  #removeFiles(removed: readonly Segment[]): Promise<void> {
    return this.#serial.run(async () => {
      for (const segment of removed) {
        await segment.handle?.close();
        segment.handle = null;
        await removeSegmentFiles(this.options.files, this.options.directory, segment.index.head.first);
      }
    });
  }
}
