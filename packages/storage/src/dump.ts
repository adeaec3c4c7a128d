/** Shows what lies in a stopped node's directory, line by line, for people. Reads only; damage is told where it is found. */
import { join } from 'node:path/posix';
import type { ShardId } from '@seriatim/multiraft';
import { readIdentity } from './identity.ts';
import {
  addChecksum,
  chunkKey,
  decodeChunk,
  decodeFooter,
  FOOTER_RANGE,
  type ImageFooter,
  ownerOfKey,
} from './image-format.ts';
import { ownerOfDirectory } from './incoming-records.ts';
import { decodeRecords, type JournalRecord } from './journal-format.ts';
import {
  journalFileName,
  listJournalFiles,
  readWholeFile,
  type ScannedFile,
  scanJournalFile,
} from './journal-scan.ts';
import { type FileSystem, type KeyValueStore, type OpenKeyValueStore, StorageError } from './ports.ts';
import { INDEX_SUFFIX, SEGMENT_SUFFIX } from './segment.ts';
import {
  decodeSegmentHead,
  decodeSegmentRecord,
  SEGMENT_HEAD_BYTES,
  type SegmentRecord,
} from './segment-format.ts';
import { SegmentIndex } from './segment-index.ts';

/** Lines of text, without line ends. */
export type DumpLines = AsyncIterable<string>;

/** Journal: identity, files, frames and records of a node's directory. */
export async function* dumpJournal(files: FileSystem, directory: string): DumpLines {
  const identity = await readIdentity(files, directory);
  yield identity.type === 'found'
    ? `identity ${JSON.stringify(identity.identity)}`
    : `identity ${identity.type}`;
  const journals = join(directory, 'journal');
  for (const number of await listIfThere(() => listJournalFiles(files, journals))) {
    const scanned: ScannedFile | string = await scanJournalFile(files, journals, number, []);
    const name = journalFileName(number);
    if (typeof scanned === 'string') {
      yield `file ${name}: DAMAGED: ${scanned}`;
      continue;
    }
    yield `file ${name} journal ${scanned.head.journal} size ${scanned.size} used ${scanned.end} frames ${scanned.frames.length}`;
    for (const frame of scanned.frames) {
      yield ` frame ${frame.number} at ${frame.position} bytes ${frame.body.length}`;
      for (const record of decodeRecords(frame.body)) yield `  ${recordLine(record)}`;
    }
    if (scanned.damage !== null) yield ` DAMAGED: ${scanned.damage}`;
    else if (scanned.tail === 'torn') yield ` torn frame at ${scanned.end}: was never confirmed`;
  }
}

/** Segments of all shards, record by record. */
export async function* dumpSegments(files: FileSystem, dataDirectory: string): DumpLines {
  const root = join(dataDirectory, 'segments');
  for (const directory of await listIfThere(() => files.list(root))) {
    const { shard, base } = ownerOfDirectory(directory);
    yield base === 0 ? `shard ${shard}` : `shard ${shard}, as it came with the image at ${base}`;
    for (const name of await files.list(join(root, directory))) {
      const bytes = await readWholeFile(files, join(root, directory, name));
      if (name.endsWith(SEGMENT_SUFFIX)) yield* segmentLines(name, bytes, shard);
      else if (name.endsWith(INDEX_SUFFIX)) yield indexLine(name, bytes, shard);
      else yield ` other file ${name} size ${bytes.length}`;
    }
  }
}

/** State images: footers, and whether all their chunks are there. */
export async function* dumpImages(openImages: OpenKeyValueStore, directory: string): DumpLines {
  const store = await openImages(join(directory, 'images'));
  try {
    for await (const { key, value } of store.iterate(FOOTER_RANGE)) {
      const { shard, generation } = ownerOfKey(key);
      const footer = decodeFooter(value);
      if (footer === null) yield `shard ${shard} generation ${generation}: DAMAGED footer`;
      else yield* imageLines(store, footer);
    }
  } finally {
    await store.close();
  }
}

function recordLine(record: JournalRecord): string {
  const { type, shard, ...fields } = record;
  const data = 'data' in fields ? { ...fields, data: `${fields.data.length} bytes` } : fields;
  const rest = Object.entries(data).map(([name, value]) => `${name} ${value}`);
  return [`${type} shard ${shard}`, ...rest].join(' ');
}

function* segmentLines(name: string, bytes: Uint8Array, shard: ShardId): Iterable<string> {
  const head = decodeSegmentHead(bytes);
  if (head === null) {
    yield ` segment ${name} size ${bytes.length}: DAMAGED head`;
    return;
  }
  yield ` segment ${name} size ${bytes.length} first ${head.first} previous term ${head.previousTerm}`;
  for (let at = SEGMENT_HEAD_BYTES; at < bytes.length; ) {
    const decoded = decodeSegmentRecord(bytes, at, shard);
    if (decoded.type !== 'record') {
      yield `  at ${at}: ${decoded.type === 'short' ? 'ends inside a record' : 'DAMAGED'}`;
      return;
    }
    yield `  at ${at} ${segmentRecordLine(decoded.record)}`;
    at = decoded.end;
  }
}

function segmentRecordLine({ entry, description }: SegmentRecord): string {
  const line = `index ${entry.index} term ${entry.term} ${entry.type} data ${entry.data.length} bytes`;
  if (description === null) return line;
  const { offset, count, timestamp, groups } = description;
  return `${line} offset ${offset} count ${count} timestamp ${timestamp} groups ${groups.join(',')}`;
}

function indexLine(name: string, bytes: Uint8Array, shard: ShardId): string {
  const index = SegmentIndex.decode(bytes, shard, 1);
  if (index === null) return ` index ${name} size ${bytes.length}: DAMAGED`;
  const { last, firstOffset, endOffset, firstTimestamp, lastTimestamp } = index;
  return ` index ${name} last ${last} offsets ${firstOffset} to ${endOffset} timestamps ${firstTimestamp} to ${lastTimestamp}`;
}

async function* imageLines(store: KeyValueStore, footer: ImageFooter): DumpLines {
  const { shard, generation, replica, meta, segments, chunkCount } = footer;
  const { voters, outgoing, learners } = meta.configuration;
  yield `shard ${shard} generation ${generation} replica ${replica} index ${meta.index} term ${meta.term} chunks ${chunkCount} ` +
    `voters ${voters.join(',')} outgoing ${outgoing.join(',')} learners ${learners.join(',')} ` +
    `segments from ${segments.first}, offsets to ${segments.endOffset}`;
  let checksum = 0;
  let bytes = 0;
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    const key = chunkKey(shard, generation, chunk);
    const decoded = decodeChunk(key, await store.get(key));
    if (decoded === null) {
      yield ` chunk ${chunk}: DAMAGED or missing`;
      return;
    }
    checksum = addChecksum(checksum, decoded.checksum);
    bytes += decoded.bytes.length;
  }
  yield checksum === footer.checksum
    ? ` complete, ${bytes} bytes`
    : ' DAMAGED: the chunks are not those of the footer';
}

async function listIfThere<T>(list: () => Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await list();
  } catch (error) {
    if (error instanceof StorageError && error.code === 'notFound') return [];
    throw error;
  }
}
