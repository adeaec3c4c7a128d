/** Finds a shard's segments on disk and cuts them to the position of its image: what is above is written again. */

import { join } from 'node:path/posix';
import type { ShardId } from '@seriatim/multiraft';
import type { Index } from '@seriatim/raft';
import { unlinkIfThere } from './journal-file.ts';
import { readWholeFile } from './journal-scan.ts';
import { type FileSystem, StorageError } from './ports.ts';
import { INDEX_SUFFIX, SEGMENT_SUFFIX, type Segment, segmentName } from './segment.ts';
import { decodeSegmentHead, decodeSegmentRecord, SEGMENT_HEAD_BYTES } from './segment-format.ts';
import { SegmentIndex } from './segment-index.ts';

/** A shard's segments, all of them closed but perhaps the last. */
export interface RecoveredSegments {
  readonly segments: readonly Segment[];
  /** What was found damaged, for people. */
  readonly damage: readonly string[];
}

interface Place {
  readonly files: FileSystem;
  readonly directory: string;
  readonly shard: ShardId;
  readonly strideBytes: number;
}

/** Recovers the segments in `directory`; nothing above `cut` stays. The directory is created when it is missing. */
export async function recoverSegments(
  files: FileSystem,
  directory: string,
  shard: ShardId,
  cut: Index,
  strideBytes: number,
): Promise<RecoveredSegments> {
  await files.makeDirectory(directory);
  const place: Place = { files, directory, shard, strideBytes };
  const names = await files.list(directory);
  for (const name of names) {
    if (name.endsWith('.new')) await files.unlink(join(directory, name));
  }
  const firsts = names
    .filter((name) => name.endsWith(SEGMENT_SUFFIX))
    .map((name) => Number(name.slice(0, -SEGMENT_SUFFIX.length)))
    .sort((a, b) => a - b);
  const segments: Segment[] = [];
  const damage: string[] = [];
  for (const [i, first] of firsts.entries()) {
    if (first > cut) {
      await removeSegmentFiles(files, directory, first);
      continue;
    }
    const segment = (await byIndexFile(place, first, cut)) ?? (await byReading(place, first, cut, damage));
    if (segment === null) continue;
    const isLast = i === firsts.length - 1 || (firsts[i + 1] ?? 0) > cut;
    await settle(place, segment, isLast && segment.index.last === cut);
    segments.push(segment);
  }
  return { segments, damage };
}

/** Removes a segment's file and its index file. */
export async function removeSegmentFiles(files: FileSystem, directory: string, first: number): Promise<void> {
  await unlinkIfThere(files, join(directory, segmentName(first, INDEX_SUFFIX)));
  await unlinkIfThere(files, join(directory, segmentName(first, SEGMENT_SUFFIX)));
}

/** Removes a directory of segments and all that is in it, if it is there. */
export async function removeSegmentDirectory(files: FileSystem, directory: string): Promise<void> {
  try {
    for (const name of await files.list(directory)) await files.unlink(join(directory, name));
    await files.removeDirectory(directory);
  } catch (error) {
    if (!(error instanceof StorageError && error.code === 'notFound')) throw error;
  }
}

/** A closed segment whose index file is sound and that need not be cut. */
async function byIndexFile(place: Place, first: number, cut: Index): Promise<Segment | null> {
  const { files, directory, shard, strideBytes } = place;
  let bytes: Uint8Array;
  try {
    bytes = await readWholeFile(files, join(directory, segmentName(first, INDEX_SUFFIX)));
  } catch (error) {
    if (error instanceof StorageError && error.code === 'notFound') return null;
    throw error;
  }
  const index = SegmentIndex.decode(bytes, shard, strideBytes);
  if (index === null || index.head.first !== first || index.last > cut) return null;
  const file = await files.open(join(directory, segmentName(first, SEGMENT_SUFFIX)), 'read');
  const size = await file.size();
  await file.close();
  if (size < index.bytes) return null;
  return { index, directory, written: index.bytes, handle: null, closed: true, groupsInFile: true };
}

/** Reads the whole segment, record by record, up to `cut` or to the first damage. */
async function byReading(place: Place, first: number, cut: Index, damage: string[]): Promise<Segment | null> {
  const { files, directory, shard, strideBytes } = place;
  const path = join(directory, segmentName(first, SEGMENT_SUFFIX));
  const bytes = await readWholeFile(files, path);
  const head = decodeSegmentHead(bytes);
  if (head === null || head.first !== first || head.shard !== shard) {
    damage.push(`${path}: head damaged`);
    await files.rename(path, `${path}.damaged`);
    return null;
  }
  const index = new SegmentIndex(head, strideBytes);
  for (let at = SEGMENT_HEAD_BYTES; index.last < cut && at < bytes.length; ) {
    const decoded = decodeSegmentRecord(bytes, at, shard);
    if (decoded.type !== 'record' || decoded.record.entry.index !== index.last + 1) {
      damage.push(`${path}: entry ${index.last + 1} at ${at} damaged`);
      break;
    }
    index.add(decoded.record, decoded.end);
    at = decoded.end;
  }
  return { index, directory, written: index.bytes, handle: null, closed: false, groupsInFile: false };
}

/** Cuts a segment that was read to what is good of it; the last goes on growing, the others are closed. */
async function settle(place: Place, segment: Segment, goesOn: boolean): Promise<void> {
  if (segment.closed) return;
  const { files, directory } = place;
  const { first } = segment.index.head;
  await unlinkIfThere(files, join(directory, segmentName(first, INDEX_SUFFIX)));
  const handle = await files.open(join(directory, segmentName(first, SEGMENT_SUFFIX)), 'readWrite');
  await handle.truncate(segment.index.bytes);
  if (goesOn) {
    segment.handle = handle;
    return;
  }
  await handle.close();
  segment.closed = true;
}
