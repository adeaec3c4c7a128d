/** A log store that tells an observer what it is given and what it calls durable. */
import type {
  EntriesRead,
  EntryDescription,
  ImageWriter,
  LogStore,
  ShardId,
  ShardWrite,
} from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, SnapshotMeta } from '@seriatim/raft';
import type { ShardObserver } from './shard-observer.ts';

/** Passes everything on. */
export class ObservedStore implements LogStore {
  readonly #inner: LogStore;
  readonly #observer: (shard: ShardId) => ShardObserver;

  constructor(inner: LogStore, observer: (shard: ShardId) => ShardObserver) {
    this.#inner = inner;
    this.#observer = observer;
  }

  write(write: ShardWrite, durable: () => void): void {
    const observer = this.#observer(write.shard);
    observer.wrote(write);
    this.#inner.write(write, () => {
      observer.becameDurable(write);
      durable();
    });
  }
  read(shard: ShardId, from: Index, bytesMax: number): Promise<EntriesRead> {
    return this.#inner.read(shard, from, bytesMax);
  }
  committed(
    shard: ShardId,
    entries: readonly Entry[],
    describe: (entry: Entry) => EntryDescription | null,
  ): void {
    this.#inner.committed(shard, entries, describe);
  }
  async checkpoint(
    shard: ShardId,
    replica: ReplicaId,
    meta: SnapshotMeta,
    chunks: Iterable<Uint8Array>,
  ): Promise<void> {
    await this.#inner.checkpoint(shard, replica, meta, chunks);
    this.#imageKept(shard, replica, meta);
  }
  checkpointDue(shard: ShardId): boolean {
    return this.#inner.checkpointDue(shard);
  }
  image(
    shard: ShardId,
  ): Promise<{ readonly meta: SnapshotMeta; readonly chunks: AsyncIterable<Uint8Array> } | null> {
    return this.#inner.image(shard);
  }
  records(shard: ShardId, to: Index): AsyncIterable<Uint8Array> {
    return this.#inner.records(shard, to);
  }
  receiveImage(shard: ShardId, replica: ReplicaId, meta: SnapshotMeta): ImageWriter {
    const writer = this.#inner.receiveImage(shard, replica, meta);
    return {
      add: (chunk) => writer.add(chunk),
      addRecords: (piece) => writer.addRecords(piece),
      // It counts when the log was reset to it, durably.
      complete: () => writer.complete(),
      abort: () => writer.abort(),
    };
  }
  remove(shard: ShardId): Promise<void> {
    return this.#inner.remove(shard);
  }

  #imageKept(shard: ShardId, replica: ReplicaId, meta: SnapshotMeta): void {
    const mirror = this.#observer(shard).mirror(replica);
    mirror.image = Math.max(mirror.image, meta.index);
  }
}
