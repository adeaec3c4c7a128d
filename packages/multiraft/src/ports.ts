/**
 * What driving many Raft cores needs of the outside. Adapters: `storage` (LogStore), `broker` (PeerTransport, StateMachine),
 * `testkit` (simulated ones of all). Everything time-like comes through {@link Clock}, so that a simulation replays.
 */
import type { Entry, HardState, Index, ReplicaId, SnapshotMeta, Term } from '@seriatim/raft';

/** A broker process, from its configuration: 1, 2, 3, … */
export type NodeId = number & { readonly brand: 'NodeId' };
/** One Raft instance: {@link META_SHARD} or one per partition. Given by the meta shard, never used again. */
export type ShardId = number & { readonly brand: 'ShardId' };
export const META_SHARD: ShardId = 1 as ShardId;

/** Monotonic and wall time in milliseconds, timers, and "after the current events" (setImmediate). */
export interface Clock {
  /** Monotonic milliseconds, fractional. */
  now(): number;
  /** Milliseconds since 1970 (UTC), whole. */
  wallTime(): number;
  /** Calls `run` once after `milliseconds`; the returned function cancels. */
  after(milliseconds: number, run: () => void): () => void;
  /** Calls `run` once after the events that are ready now. */
  soon(run: () => void): void;
}

/** One shard's part of a flush. All parts of a flush become durable together, in the order they were given. */
export interface ShardWrite {
  readonly shard: ShardId;
  readonly replica: ReplicaId;
  readonly hardState: HardState | null;
  /** Dense; an entry at or below the last index overwrites it and everything behind it. */
  readonly entries: readonly Entry[];
  /** Set when an image was installed: the log before and at this index is void, and the log begins behind it. */
  readonly reset: { readonly index: Index; readonly term: Term } | null;
}

/** A shard as found on disk. */
export interface RecoveredShard {
  readonly shard: ShardId;
  readonly replica: ReplicaId;
  readonly hardState: HardState;
  /** The complete image to start from; null: none was ever written (start with index 0). */
  readonly image: SnapshotMeta | null;
  /** Entries above the image's index, dense. */
  readonly entries: readonly Entry[];
  /** First index that {@link LogStore.read} can give. */
  readonly first: Index;
  /** Highest index known committed. */
  readonly commit: Index;
}

export type EntriesRead =
  | { readonly type: 'entries'; readonly previousTerm: Term; readonly entries: readonly Entry[] }
  /** `from` is below the first index kept: an image is needed. */
  | { readonly type: 'compacted'; readonly first: Index };

/** What a state machine says of one of its entries, for the segment's indexes. */
export interface EntryDescription {
  /** First offset of the records in it, and how many. */
  readonly offset: number;
  readonly count: number;
  /** Leader's time stamp in the command, milliseconds since 1970. */
  readonly timestamp: number;
  /** Group numbers (of the shard's group table) with records in it. */
  readonly groups: readonly number[];
}

/** The node's disk, as the shards see it. Methods never throw for a disk fault: that ends the node by `onFault`. */
export interface LogStore {
  /** Takes part in the next flush; `durable` is called (never inside this call) when it and all earlier ones are on disk. */
  write(write: ShardWrite, durable: () => void): void;
  /** Entries from `from` on, at least one if there is one, up to about `bytesMax` bytes; from memory, segments or journal. */
  read(shard: ShardId, from: Index, bytesMax: number): Promise<EntriesRead>;
  /** Tells that these were committed and applied, dense and in order: they go to the shard's segments, written behind. */
  committed(
    shard: ShardId,
    entries: readonly Entry[],
    describe: (entry: Entry) => EntryDescription | null,
  ): void;
  /**
   * Writes a state image in this order: segments synced, chunks, footer, older generation dropped; and lets
   * journal files go that nothing needs any more. Chunks are at most 64 KiB each.
   */
  checkpoint(
    shard: ShardId,
    replica: ReplicaId,
    meta: SnapshotMeta,
    chunks: Iterable<Uint8Array>,
  ): Promise<void>;
  /** True when the journal holds so much of this shard above its image that a checkpoint is due. */
  checkpointDue(shard: ShardId): boolean;
  /** The newest complete image, chunk by chunk; null: there is none. */
  image(
    shard: ShardId,
  ): Promise<{ readonly meta: SnapshotMeta; readonly chunks: AsyncIterable<Uint8Array> } | null>;
  /**
   * Committed entries from the first kept up to `to`, with what the state machine said of them, in pieces for
   * {@link ImageWriter.addRecords}: what a replica lacks that gets an image at `to`. Each piece follows the one before, unless
   * something was removed or is damaged: then it begins behind that.
   */
  records(shard: ShardId, to: Index): AsyncIterable<Uint8Array>;
  /** Receives an image from another node: add chunks and records, each in order, then `complete` makes it the shard's. */
  receiveImage(shard: ShardId, replica: ReplicaId, meta: SnapshotMeta): ImageWriter;
  /** Forgets a shard and its files. */
  remove(shard: ShardId): Promise<void>;
}

export interface ImageWriter {
  add(chunk: Uint8Array): Promise<void>;
  /**
   * Takes a piece of {@link LogStore.records}; resolves when it is written. One that does not follow the piece before replaces all
   * of them. Rejects, and changes nothing, when the bytes are not such a piece of this shard.
   */
  addRecords(piece: Uint8Array): Promise<void>;
  /** Makes the image, and the records that reach up to it, what the shard starts from. Durable when it resolves. */
  complete(): Promise<void>;
  abort(): Promise<void>;
}

/** `control`: votes and heartbeats. `bulk`: everything large. They never share a connection. */
export type Channel = 'control' | 'bulk';
/** `refused`: the node's port answers "refused": its process is gone. `down`: not connected, reason unknown. */
export type PeerState = 'up' | 'down' | 'refused';

/**
 * Frames between nodes: in order per channel while a connection lasts, lost when it breaks. A frame's first byte is its
 * kind: {@link FRAME_RAFT} to 63 belong to multiraft, 64 and above to the broker.
 */
export interface PeerTransport {
  /** Sends one frame, given in parts that are not copied and must not change. False: dropped (not connected, or over the limit). */
  send(to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean;
  onFrame(handler: (from: NodeId, channel: Channel, frame: Uint8Array) => void): void;
  onPeerState(handler: (node: NodeId, state: PeerState) => void): void;
  /** Reads what lies in the sockets before the caller judges time (after a pause), then calls `drained`. */
  drain(drained: () => void): void;
}
/** Kind of a frame with raft messages of many shards. */
export const FRAME_RAFT = 1;
/** Kind of a frame with a part of an image. */
export const FRAME_IMAGE = 2;
/** First frame kind that is the broker's. */
export const FRAME_BROKER = 64;

/** A shard's deterministic state. Called synchronously, in log order, on one node at a time; never throws for a command. */
export interface StateMachine {
  /** Applies committed entries of all types (no-ops and configurations may matter for indexes and epochs). */
  apply(entries: readonly Entry[]): void;
  /** The whole state as of the last applied entry, in chunks of at most 64 KiB, each a copy. */
  image(): Iterable<Uint8Array>;
  /** Replaces the state by an image; `chunks` as given by {@link image}. */
  restore(chunks: Iterable<Uint8Array>): void;
  /** For the segments' indexes; null for an entry without records. */
  describe(entry: Entry): EntryDescription | null;
  /** Told when this replica's view of the leader changes, and when it leads with its no-op applied (`confirmed`). */
  onLeadership(leadership: Leadership): void;
}

export interface Leadership {
  readonly term: Term;
  readonly leader: ReplicaId;
  readonly leads: boolean;
  /** Leads and has applied the no-op of its own term: state is whole, proposals may be built on it. */
  readonly confirmed: boolean;
}
