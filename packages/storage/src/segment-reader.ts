/** What the broker reads of the shards' segments, and how it removes old ones. */
import type { ShardId } from '@seriatim/multiraft';
import type { Index } from '@seriatim/raft';
import {
  type BelowFirst,
  type Damaged,
  endOffset,
  firstOffset,
  type GroupFound,
  offsetAtTime,
  type RecordsFound,
  readByOffset,
  readGroup,
} from './segment-reading.ts';
import type { ShardSegments } from './shard-segments.ts';

/** A segment, closed or growing, for retention. Offsets are -1 when there is no record in it. */
export interface SegmentExtent {
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  readonly firstOffset: number;
  /** Offset behind its last record. */
  readonly endOffset: number;
  readonly firstTimestamp: number;
  /** Highest time stamp in it, milliseconds since 1970; -1: none. */
  readonly lastTimestamp: number;
  readonly bytes: number;
  /** Nothing is written to it any more; only such a segment can be removed. */
  readonly closed: boolean;
}

/**
 * Committed entries by offset. Only what was verified against its checksum is given; a shard that is not here has nothing.
 * Offsets are those that the state machine gave in its descriptions (see `EntryDescription`).
 */
export interface SegmentReader {
  /** First offset kept, -1: none. */
  firstOffset(shard: ShardId): number;
  /** Offset behind the last record, -1: none was ever kept. */
  endOffset(shard: ShardId): number;
  /**
   * Entries with records at or behind `offset`, in order, about `bytesMax` bytes of data, at least one if there is one. The
   * first may begin below `offset`. Entries without records are left out. From memory when they are new.
   */
  readByOffset(
    shard: ShardId,
    offset: number,
    bytesMax: number,
  ): Promise<RecordsFound | BelowFirst | Damaged>;
  /** The same for the entries with records of one group (its number in the shard's group table), by the group index. */
  readGroup(shard: ShardId, group: number, offset: number, bytesMax: number): Promise<GroupFound | Damaged>;
  /** First offset whose entry has a time stamp at or above `timestamp` (milliseconds since 1970); -1: there is none. */
  offsetAtTime(shard: ShardId, timestamp: number): Promise<number | Damaged>;
  /** From the oldest to the newest. */
  segments(shard: ShardId): readonly SegmentExtent[];
  /**
   * Removes whole closed segments below `index`, as far as the shard's image reaches; the rest goes after a later image. May be
   * called again with the same or a lower index. The newest segment always stays.
   */
  removeBefore(shard: ShardId, index: Index): void;
}

/** Reads what `find` gives; `remove` takes the commands. */
export function segmentReader(
  find: (shard: ShardId) => ShardSegments | undefined,
  remove: (shard: ShardId, index: Index) => void,
): SegmentReader {
  const none: RecordsFound = { type: 'records', records: [] };
  return {
    firstOffset: (shard) => withShard(find(shard), firstOffset, -1),
    endOffset: (shard) => withShard(find(shard), endOffset, -1),
    readByOffset: async (shard, offset, bytesMax) => {
      const segments = find(shard);
      return segments === undefined ? none : readByOffset(segments, offset, bytesMax);
    },
    readGroup: async (shard, group, offset, bytesMax) => {
      const segments = find(shard);
      return segments === undefined
        ? { ...none, nextOffset: offset }
        : readGroup(segments, group, offset, bytesMax);
    },
    offsetAtTime: async (shard, timestamp) => {
      const segments = find(shard);
      return segments === undefined ? -1 : offsetAtTime(segments, timestamp);
    },
    segments: (shard) => withShard(find(shard), extentsOf, []),
    removeBefore: remove,
  };
}

function withShard<T>(segments: ShardSegments | undefined, read: (segments: ShardSegments) => T, none: T): T {
  return segments === undefined ? none : read(segments);
}

function extentsOf(shard: ShardSegments): SegmentExtent[] {
  return shard.segments.map(({ index, closed }) => ({
    firstIndex: index.head.first,
    lastIndex: index.last,
    firstOffset: index.firstOffset,
    endOffset: index.endOffset,
    firstTimestamp: index.firstTimestamp,
    lastTimestamp: index.lastTimestamp,
    bytes: index.bytes,
    closed,
  }));
}
