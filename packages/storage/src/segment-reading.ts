/** Reads a shard's segments by index, offset, group and time; the newest entries come from memory. */
import type { Entry, Index, Term } from '@seriatim/raft';
import { groupPositions, type ScanEnd, type Segment, scanSegment } from './segment.ts';
import type { SegmentRecord } from './segment-format.ts';
import type { ShardSegments } from './shard-segments.ts';

/** Entries with the term of the one before them. */
export interface EntriesFound {
  readonly type: 'entries';
  readonly previousTerm: Term;
  readonly entries: readonly Entry[];
}
/** Records asked for, in order; empty: there are none yet. */
export interface RecordsFound {
  readonly type: 'records';
  readonly records: readonly SegmentRecord[];
}
/** Records of a group; between the offset asked for and `nextOffset` there are no others. */
export interface GroupFound extends RecordsFound {
  readonly nextOffset: number;
}
/** What was asked for lies below the first that is kept (an index or an offset, as asked; -1: nothing is kept). */
export interface BelowFirst {
  readonly type: 'below';
  readonly first: number;
}
/** Bytes on disk are not what was written, or missing: they are not given to anybody. */
export interface Damaged {
  readonly type: 'damaged';
  readonly reason: string;
}

const WINDOW_BYTES = 64 * 1024;

/** Entries from `from` on, at least one if there is one, about `bytesMax` bytes of data. */
export async function readEntries(
  shard: ShardSegments,
  from: Index,
  bytesMax: number,
): Promise<EntriesFound | BelowFirst | Damaged> {
  if (from >= shard.tail.first) return entriesOfTail(shard, from, bytesMax);
  const segment = shard.segments.find(({ index }) => index.last >= from);
  if (segment === undefined || from < segment.index.head.first) return missing(shard, from);
  const { index } = segment;
  const entries: Entry[] = [];
  let previousTerm = index.head.previousTerm;
  let bytes = 0;
  const start = index.positionOfIndex(Math.max(from - 1, index.head.first) as Index);
  const end = await scanSegment(shard.options.files, segment, start, window(bytesMax), ({ entry }) => {
    if (entry.index < from) {
      previousTerm = entry.term;
      return true;
    }
    bytes += entry.data.length;
    if (entries.length > 0 && bytes > bytesMax) return false;
    entries.push(entry);
    return bytes < bytesMax;
  });
  if (entries.length > 0 && entries[0]?.index === from) return { type: 'entries', previousTerm, entries };
  return notRead(end, segment, shard.first);
}

/** Entries with records at or behind `offset`. The first may begin below it. */
export async function readByOffset(
  shard: ShardSegments,
  offset: number,
  bytesMax: number,
): Promise<RecordsFound | BelowFirst | Damaged> {
  const inTail = shard.tail.positionOfOffset(offset);
  if (inTail >= 0) return fromTail(shard, inTail, offset, bytesMax);
  const first = firstOffset(shard);
  if (first < 0) return { type: 'records', records: [] };
  if (offset < first) return { type: 'below', first };
  const segment = shard.segments.find(({ index }) => index.endOffset > offset);
  if (segment === undefined) return { type: 'records', records: [] };
  if (segment.index.firstOffset > offset) {
    return {
      type: 'damaged',
      reason: `offset ${offset} is missing, the next is ${segment.index.firstOffset}`,
    };
  }
  const records: SegmentRecord[] = [];
  let bytes = 0;
  const start = segment.index.positionOfOffset(offset);
  const end = await scanSegment(shard.options.files, segment, start, window(bytesMax), (record) => {
    const { description } = record;
    if (description === null || description.offset + description.count <= offset) return true;
    bytes += record.entry.data.length;
    if (records.length > 0 && bytes > bytesMax) return false;
    records.push(record);
    return bytes < bytesMax;
  });
  return records.length > 0 ? { type: 'records', records } : notRead(end, segment, firstOffset(shard));
}

/** Entries with records of a group at or behind `offset`, found by the group index. */
export async function readGroup(
  shard: ShardSegments,
  group: number,
  offset: number,
  bytesMax: number,
): Promise<GroupFound | Damaged> {
  const records: SegmentRecord[] = [];
  let bytes = 0;
  const searchedTo = Math.max(endOffset(shard), offset);
  const found = (nextOffset: number): GroupFound => ({ type: 'records', records, nextOffset });
  const take = (record: SegmentRecord): boolean => {
    const { description, entry } = record;
    if (description === null || description.offset + description.count <= offset) return true;
    bytes += entry.data.length;
    if (records.length > 0 && bytes > bytesMax) return false;
    records.push(record);
    return bytes < bytesMax;
  };
  // What is in files and what is only in memory is settled now; both move while this waits for the disk.
  const inFiles = shard.segments.map((segment) => ({ segment, written: segment.written }));
  const inMemory = shard.waiting().filter(({ description }) => description?.groups.includes(group));
  for (const { segment, written } of inFiles) {
    if (segment.index.endOffset <= offset) continue;
    const positions = await groupPositions(shard.options.files, segment, group);
    if (positions === null)
      return { type: 'damaged', reason: `group index of segment ${segment.index.head.first}` };
    for (const position of positions) {
      if (position >= written) break;
      const record = await recordAt(shard, segment, position);
      if (record === null)
        return { type: 'damaged', reason: `segment ${segment.index.head.first} at ${position}` };
      if (!take(record)) return found(behindLast(records));
    }
  }
  for (const record of inMemory) {
    if (!take(record)) return found(behindLast(records));
  }
  return found(searchedTo);
}

function behindLast(records: readonly SegmentRecord[]): number {
  const description = records[records.length - 1]?.description;
  return description ? description.offset + description.count : 0;
}

/** First offset whose entry has a time stamp at or above `timestamp`; -1: there is none. */
export async function offsetAtTime(shard: ShardSegments, timestamp: number): Promise<number | Damaged> {
  const isFound = ({ description }: SegmentRecord): boolean =>
    description !== null && description.timestamp >= timestamp;
  const inFiles = shard.segments.map((segment) => ({ segment, written: segment.written }));
  const inMemory = shard.waiting();
  for (const { segment, written } of inFiles) {
    if (segment.index.lastTimestamp >= timestamp) {
      const found: SegmentRecord[] = [];
      const start = segment.index.positionOfTime(timestamp);
      const end = await scanSegment(shard.options.files, segment, start, WINDOW_BYTES, (record) => {
        if (isFound(record)) found.push(record);
        return found.length === 0;
      });
      const first = found[0]?.description;
      if (first) return first.offset;
      if (end === 'damaged') return { type: 'damaged', reason: `segment ${segment.index.head.first}` };
    }
    // What comes behind was only in memory when this began.
    if (written < segment.index.bytes) break;
  }
  return inMemory.find(isFound)?.description?.offset ?? -1;
}

/** First offset kept, -1: none. */
export function firstOffset(shard: ShardSegments): number {
  return shard.segments.find(({ index }) => index.firstOffset >= 0)?.index.firstOffset ?? -1;
}

/** Offset behind the last record, -1: there never was one. */
export function endOffset(shard: ShardSegments): number {
  for (let i = shard.segments.length - 1; i >= 0; i--) {
    const end = shard.segments[i]?.index.endOffset ?? -1;
    if (end >= 0) return end;
  }
  return -1;
}

function entriesOfTail(shard: ShardSegments, from: Index, bytesMax: number): EntriesFound {
  const { tail } = shard;
  const position = Math.min(from - tail.first, tail.length);
  const previousTerm =
    position === 0 ? tail.previousTerm : (tail.at(position - 1)?.entry.term ?? tail.previousTerm);
  return { type: 'entries', previousTerm, entries: tail.take(position, bytesMax).map(({ entry }) => entry) };
}

function fromTail(shard: ShardSegments, position: number, offset: number, bytesMax: number): RecordsFound {
  const records = shard.tail
    .take(position, bytesMax)
    .filter(({ description }) => description !== null && description.offset + description.count > offset);
  if (records.length > 0) return { type: 'records', records };
  const next = shard.tail.take(position + 1, bytesMax).filter(({ description }) => description !== null);
  return { type: 'records', records: next };
}

async function recordAt(
  shard: ShardSegments,
  segment: Segment,
  position: number,
): Promise<SegmentRecord | null> {
  const found: SegmentRecord[] = [];
  await scanSegment(shard.options.files, segment, position, WINDOW_BYTES, (record) => {
    found.push(record);
    return false;
  });
  return found[0] ?? null;
}

function missing(shard: ShardSegments, from: Index): BelowFirst | Damaged {
  const lowest = shard.segments[0]?.index.head.first ?? shard.next;
  if (from < lowest) return { type: 'below', first: lowest };
  return { type: 'damaged', reason: `entry ${from} is missing` };
}

function notRead(end: ScanEnd, segment: Segment, first: number): BelowFirst | Damaged {
  if (end === 'gone') return { type: 'below', first };
  return { type: 'damaged', reason: `segment ${segment.index.head.first}` };
}

function window(bytesMax: number): number {
  return Math.max(WINDOW_BYTES, Math.min(bytesMax, 4 * 1024 * 1024));
}
