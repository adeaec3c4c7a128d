/** What the journal says of each shard, kept while records go into frames: a new file begins with it. */
import type { ShardId, ShardWrite } from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, Term } from '@seriatim/raft';
import type { ByteWriter } from './byte-writer.ts';
import type { JournalFileExtent } from './journal-file.ts';
import { encodeRecord, type JournalShardState } from './journal-format.ts';

type ShardState = { -readonly [K in keyof JournalShardState]: JournalShardState[K] };

/** Entries that a frame holds of a shard: what it has at and behind `from` in older files is void. */
export interface Touched {
  readonly from: Index;
  readonly to: Index;
}

/** See the head of this file. Its state is that of everything encoded so far, durable or not. */
export class JournalLedger {
  readonly #shards = new Map<ShardId, ShardState>();
  #touched = new Map<ShardId, Touched>();

  constructor(shards: ReadonlyMap<ShardId, JournalShardState>) {
    for (const [shard, state] of shards) this.#shards.set(shard, { ...state });
  }

  has(shard: ShardId): boolean {
    return this.#shards.has(shard);
  }

  /** A shard's part of a flush. */
  encodeWrite(frame: ByteWriter, write: ShardWrite): void {
    const { shard, replica, hardState, reset } = write;
    const before = this.#shards.get(shard);
    if (before === undefined || before.replica !== replica || hardState !== null) {
      const none = 0 as Index;
      const fresh = { term: 0 as Term, vote: 0 as ReplicaId, first: 1 as Index, last: none, commit: none };
      const { term, vote } = hardState ?? before ?? fresh;
      this.#shards.set(shard, { ...(before ?? fresh), replica, term, vote });
      encodeRecord(frame, { type: 'state', shard, replica, term, vote });
    }
    if (reset !== null) this.encodeReset(frame, shard, reset);
    this.encodeEntries(frame, shard, write.entries);
  }

  encodeReset(
    frame: ByteWriter,
    shard: ShardId,
    reset: { readonly index: Index; readonly term: Term },
  ): void {
    const state = this.#shards.get(shard);
    if (state === undefined) return;
    encodeRecord(frame, { type: 'reset', shard, ...reset });
    state.first = (reset.index + 1) as Index;
    state.last = reset.index;
    state.commit = reset.index;
    this.#touched.set(shard, { from: 0 as Index, to: 0 as Index });
  }

  encodeEntries(frame: ByteWriter, shard: ShardId, entries: readonly Entry[]): void {
    const first = entries[0];
    const last = entries[entries.length - 1];
    const state = this.#shards.get(shard);
    if (first === undefined || last === undefined || state === undefined) return;
    for (const { index, term, type, data } of entries) {
      encodeRecord(frame, { type: 'entry', shard, index, term, entryType: type, data });
    }
    if (state.last < state.first) state.first = first.index;
    state.last = last.index;
    const from = Math.min(this.#touched.get(shard)?.from ?? first.index, first.index) as Index;
    this.#touched.set(shard, { from, to: last.index });
  }

  /** False: nothing new. */
  encodeCommit(frame: ByteWriter, shard: ShardId, index: Index): boolean {
    const state = this.#shards.get(shard);
    if (state === undefined || index <= state.commit) return false;
    state.commit = index;
    encodeRecord(frame, { type: 'commit', shard, index });
    return true;
  }

  encodeRemoved(frame: ByteWriter, shard: ShardId): void {
    encodeRecord(frame, { type: 'removed', shard });
    this.#shards.delete(shard);
    this.#touched.set(shard, { from: 0 as Index, to: 0 as Index });
  }

  /** One record for each shard: what a new file begins with. */
  encodeShards(frame: ByteWriter): void {
    for (const [shard, state] of this.#shards) encodeRecord(frame, { type: 'shard', shard, ...state });
  }

  /** What the frame that is closed now holds; the next begins empty. */
  takeTouched(): ReadonlyMap<ShardId, Touched> {
    const touched = this.#touched;
    this.#touched = new Map();
    return touched;
  }
}

/** Notes where the newest versions of entries are, after a frame went to the file of `extent`. */
export function noteExtents(
  extents: readonly JournalFileExtent[],
  extent: JournalFileExtent,
  touched: ReadonlyMap<ShardId, Touched>,
): void {
  for (const [shard, { from, to }] of touched) {
    for (const { highest } of extents) {
      const known = highest.get(shard);
      if (known !== undefined && known >= from) highest.set(shard, (from - 1) as Index);
    }
    extent.highest.set(shard, to);
  }
}
