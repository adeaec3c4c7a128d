/** What a partition needs of the node's segments. A seam: `storage` reads and removes them, tests keep entries in memory. */
import type { Entry } from '@seriatim/raft';

/** Entries of a group, and how far was looked. */
export interface GroupEntries {
  readonly entries: readonly Entry[];
  /** No entry with records of the group lies between `offset` and here, except the given ones. */
  readonly nextOffset: number;
}

/** A closed or open segment. */
export interface SegmentView {
  readonly lastIndex: number;
  /** First offset behind the segment. */
  readonly nextOffset: number;
  /** Highest time stamp in it, milliseconds since 1970. */
  readonly lastTimestamp: number;
  readonly bytes: number;
  /** Nothing is written to it any more; only such a segment can be removed. */
  readonly closed: boolean;
}

/** One shard's segments. */
export interface RecordSource {
  /** Entries from the one that holds `offset` on, in order, about `bytesMax`, at least one; empty: it does not hold it. */
  read(offset: number, bytesMax: number): Promise<readonly Entry[]>;
  /** Entries with records of `group` at or behind `offset`, in order; from the group indexes where segments have them. */
  readGroup(group: number, offset: number, bytesMax: number): Promise<GroupEntries>;
  /** From the oldest to the newest. */
  segments(): readonly SegmentView[];
  /** Removes whole segments that lie below `firstIndex`. May be called again with the same or a lower one. */
  removeBefore(firstIndex: number): void;
}
