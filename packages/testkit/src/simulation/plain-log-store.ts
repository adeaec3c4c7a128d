/**
 * The simplest log store that keeps the port's promises, in memory: the twin of storage's `NodeStore`, for tests of the
 * rooms above it. What a flush carried survives a crash when the flush was over, else not.
 */
import type {
  Clock,
  EntriesRead,
  ImageWriter,
  LogStore,
  RecoveredShard,
  ShardId,
  ShardWrite,
} from '@seriatim/multiraft';
import type { Entry, HardState, Index, ReplicaId, SnapshotMeta, Term } from '@seriatim/raft';

interface Image {
  readonly meta: SnapshotMeta;
  readonly chunks: readonly Uint8Array[];
}

interface PlainShard {
  replica: ReplicaId;
  hardState: HardState;
  image: Image | null;
  /** Dense, the first one's index is `first`. */
  entries: Entry[];
  first: Index;
  /** Term of the entry before `first`. */
  previousTerm: Term;
  commit: Index;
}

/** What survives a crash. */
export class PlainDisk {
  readonly shards: Map<ShardId, PlainShard> = new Map();
}

/** How a {@link PlainLogStore} behaves. */
export interface PlainLogStoreOptions {
  readonly clock: Clock;
  readonly disk: PlainDisk;
  /** Milliseconds that the next flush takes. */
  readonly flushMilliseconds: () => number;
  /** Entries above the image that make a checkpoint due. */
  readonly checkpointEntries: number;
  /** Entries at and below the image that stay readable. */
  readonly keptEntries: number;
}

/** Group commit: one flush is under way, the next one fills meanwhile. */
export class PlainLogStore implements LogStore {
  readonly #options: PlainLogStoreOptions;
  /** What was written, flushed or not. */
  readonly #shards = new Map<ShardId, PlainShard>();
  #filling: { readonly write: ShardWrite; readonly durable: () => void }[] = [];
  #flushing = false;

  constructor(options: PlainLogStoreOptions) {
    this.#options = options;
    for (const [shard, state] of options.disk.shards) this.#shards.set(shard, copyOf(state));
  }

  /** What was found on the disk. */
  recovered(): RecoveredShard[] {
    return [...this.#shards].map(([shard, state]) => {
      const above = state.image?.meta.index ?? 0;
      const { replica, hardState, first, commit } = state;
      const entries = state.entries.filter((entry) => entry.index > above);
      return { shard, replica, hardState, image: state.image?.meta ?? null, entries, first, commit };
    });
  }

  write(write: ShardWrite, durable: () => void): void {
    applyWrite(this.#shards, write);
    this.#filling.push({ write, durable });
    if (!this.#flushing) this.#flush();
  }

  async read(shard: ShardId, from: Index, bytesMax: number): Promise<EntriesRead> {
    const state = this.#shards.get(shard);
    if (state === undefined || from < state.first) {
      return { type: 'compacted', first: state?.first ?? (1 as Index) };
    }
    const at = from - state.first;
    const previousTerm = state.entries[at - 1]?.term ?? state.previousTerm;
    const entries: Entry[] = [];
    let bytes = 0;
    for (const entry of state.entries.slice(at)) {
      bytes += entry.data.length;
      if (entries.length > 0 && bytes > bytesMax) break;
      entries.push(entry);
    }
    return { type: 'entries', previousTerm, entries };
  }

  committed(shard: ShardId, entries: readonly Entry[]): void {
    const last = entries.at(-1);
    const state = this.#options.disk.shards.get(shard);
    if (last !== undefined && state !== undefined) state.commit = last.index;
  }

  async checkpoint(
    shard: ShardId,
    replica: ReplicaId,
    meta: SnapshotMeta,
    chunks: Iterable<Uint8Array>,
  ): Promise<void> {
    const image = { meta, chunks: [...chunks] };
    await this.#wait();
    this.#keepImage(shard, replica, image);
    for (const shards of [this.#shards, this.#options.disk.shards]) {
      const state = shards.get(shard);
      if (state !== undefined)
        dropBelow(state, Math.max(1, meta.index - this.#options.keptEntries + 1) as Index);
    }
  }

  checkpointDue(shard: ShardId): boolean {
    const state = this.#shards.get(shard);
    const last = state?.entries.at(-1)?.index ?? 0;
    return last - (state?.image?.meta.index ?? 0) >= this.#options.checkpointEntries;
  }

  async image(
    shard: ShardId,
  ): Promise<{ readonly meta: SnapshotMeta; readonly chunks: AsyncIterable<Uint8Array> } | null> {
    const image = this.#shards.get(shard)?.image ?? null;
    return image === null ? null : { meta: image.meta, chunks: iterate(image.chunks) };
  }

  /** Entries at and below an image are a convenience of this store: nobody reads records from it. */
  records(): AsyncIterable<Uint8Array> {
    return iterate([]);
  }

  receiveImage(shard: ShardId, replica: ReplicaId, meta: SnapshotMeta): ImageWriter {
    const chunks: Uint8Array[] = [];
    return {
      add: async (chunk) => {
        chunks.push(chunk.slice());
      },
      addRecords: async () => undefined,
      complete: async () => {
        await this.#wait();
        this.#keepImage(shard, replica, { meta, chunks });
      },
      abort: async () => undefined,
    };
  }

  async remove(shard: ShardId): Promise<void> {
    this.#shards.delete(shard);
    this.#options.disk.shards.delete(shard);
  }

  #flush(): void {
    const batch = this.#filling;
    this.#filling = [];
    this.#flushing = true;
    this.#options.clock.after(this.#options.flushMilliseconds(), () => {
      for (const { write } of batch) applyWrite(this.#options.disk.shards, write);
      this.#flushing = false;
      if (this.#filling.length > 0) this.#flush();
      for (const { durable } of batch) durable();
    });
  }

  #keepImage(shard: ShardId, replica: ReplicaId, image: Image): void {
    for (const shards of [this.#shards, this.#options.disk.shards]) {
      let state = shards.get(shard);
      if (state === undefined) {
        state = newShard(replica);
        shards.set(shard, state);
      }
      state.image = image;
      state.commit = Math.max(state.commit, image.meta.index) as Index;
    }
    // A log that does not hold the image's last entry says nothing about what follows it.
    const state = this.#options.disk.shards.get(shard);
    if (state !== undefined && termAt(state, image.meta.index) !== image.meta.term)
      resetTo(state, image.meta);
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(this.#options.flushMilliseconds(), resolve);
    });
  }
}

function newShard(replica: ReplicaId): PlainShard {
  const none = 0 as Index;
  const hardState = { term: 0 as Term, vote: 0 as ReplicaId };
  return {
    replica,
    hardState,
    image: null,
    entries: [],
    first: 1 as Index,
    previousTerm: 0 as Term,
    commit: none,
  };
}

function applyWrite(shards: Map<ShardId, PlainShard>, write: ShardWrite): void {
  let state = shards.get(write.shard);
  if (state === undefined || state.replica !== write.replica) {
    state = newShard(write.replica);
    shards.set(write.shard, state);
  }
  if (write.hardState !== null) state.hardState = write.hardState;
  if (write.reset !== null) resetTo(state, write.reset);
  const [first] = write.entries;
  if (first !== undefined) {
    // After an image was completed the log may already begin behind these entries.
    const fresh = write.entries.filter((entry) => entry.index >= (state?.first ?? 1));
    state.entries.length = Math.max(0, Math.min(state.entries.length, first.index - state.first));
    state.entries.push(...fresh);
  }
}

function resetTo(state: PlainShard, to: { readonly index: Index; readonly term: Term }): void {
  state.entries = [];
  state.first = (to.index + 1) as Index;
  state.previousTerm = to.term;
  state.commit = to.index;
}

function dropBelow(state: PlainShard, first: Index): void {
  if (first <= state.first) return;
  const dropped = state.entries.splice(0, first - state.first);
  state.previousTerm = dropped.at(-1)?.term ?? state.previousTerm;
  state.first = first;
}

function termAt(state: PlainShard, index: Index): Term | undefined {
  return index === state.first - 1 ? state.previousTerm : state.entries[index - state.first]?.term;
}

function copyOf(state: PlainShard): PlainShard {
  return { ...state, entries: [...state.entries] };
}

async function* iterate(chunks: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* chunks;
}
