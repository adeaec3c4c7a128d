/** One segment file and what is known of it. */

import { join } from 'node:path/posix';
import { readWholeFile } from './journal-scan.ts';
import { type FileSystem, type OpenFile, StorageError } from './ports.ts';
import { decodeSegmentRecord, type SegmentRecord } from './segment-format.ts';
import { groupPositionsIn, type SegmentIndex } from './segment-index.ts';

export const SEGMENT_SUFFIX = '.segment';
export const INDEX_SUFFIX = '.index';

/** A segment; open for appending while {@link handle} is set. */
export interface Segment {
  readonly index: SegmentIndex;
  readonly directory: string;
  /** Bytes that are in the file: less than `index.bytes` while pieces wait. */
  written: number;
  handle: OpenFile | null;
  /** No more records come. */
  closed: boolean;
  /** The group index is in the index file and no longer in memory. */
  groupsInFile: boolean;
}

/** How a scan of a segment ended. `gone`: the file was removed meanwhile. */
export type ScanEnd = 'end' | 'stopped' | 'damaged' | 'gone';

/** Path of a segment's file or of its index file. */
export function segmentPath(segment: Segment, suffix: string): string {
  return join(segment.directory, segmentName(segment.index.head.first, suffix));
}

/** Name by first index. */
export function segmentName(first: number, suffix: string): string {
  return `${String(first).padStart(16, '0')}${suffix}`;
}

/**
 * Reads records from `position` on, in windows of about `windowBytes`, until `visit` returns false. Each record's checksums are
 * verified before it is given; the data is a view into memory that belongs to the caller.
 */
export async function scanSegment(
  files: FileSystem,
  segment: Segment,
  position: number,
  windowBytes: number,
  visit: (record: SegmentRecord, position: number) => boolean,
): Promise<ScanEnd> {
  const file = await openOrNull(files, segmentPath(segment, SEGMENT_SUFFIX));
  if (file === null) return 'gone';
  try {
    return await scanFile(file, segment, position, windowBytes, visit);
  } finally {
    await file.close();
  }
}

async function scanFile(
  file: OpenFile,
  segment: Segment,
  position: number,
  windowBytes: number,
  visit: (record: SegmentRecord, position: number) => boolean,
): Promise<ScanEnd> {
  const { shard } = segment.index.head;
  const limit = segment.written;
  let from = position;
  let needed = windowBytes;
  while (from < limit) {
    const wanted = Math.min(Math.max(needed, windowBytes), limit - from);
    const bytes = await file.read(from, wanted);
    let at = 0;
    while (at < bytes.length) {
      const decoded = decodeSegmentRecord(bytes, at, shard);
      if (decoded.type === 'damaged') return 'damaged';
      if (decoded.type === 'short') {
        needed = decoded.bytes;
        break;
      }
      if (!visit(decoded.record, from + at)) return 'stopped';
      at = decoded.end;
    }
    from += at;
    // Records end where the file was written to: one that is short there, or a file that ends early, is damaged.
    const isShort = at < bytes.length;
    if (bytes.length < wanted || (isShort && from + needed > limit)) return 'damaged';
  }
  return 'end';
}

/** Positions of a group's entries in a segment, null: the index file is damaged or gone. */
export async function groupPositions(
  files: FileSystem,
  segment: Segment,
  group: number,
): Promise<number[] | null> {
  if (!segment.groupsInFile) return segment.index.positionsOfGroup(group);
  try {
    return groupPositionsIn(await readWholeFile(files, segmentPath(segment, INDEX_SUFFIX)), group);
  } catch (error) {
    if (error instanceof StorageError && error.code === 'notFound') return null;
    throw error;
  }
}

async function openOrNull(files: FileSystem, path: string): Promise<OpenFile | null> {
  try {
    return await files.open(path, 'read');
  } catch (error) {
    if (error instanceof StorageError && error.code === 'notFound') return null;
    throw error;
  }
}
