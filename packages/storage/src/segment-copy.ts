/**
 * A shard's records on their way to another node, which gets an image and lacks what lies below it. A piece is a segment's head,
 * naming its first entry and the term before it, with records behind it as a segment holds them: each end verifies every byte.
 */
import type { ShardId } from '@seriatim/multiraft';
import type { Index, Term } from '@seriatim/raft';
import { ByteWriter } from './byte-writer.ts';
import { StorageError } from './ports.ts';
import { scanSegment } from './segment.ts';
import {
  decodeSegmentHead,
  decodeSegmentRecord,
  encodeSegmentHead,
  encodeSegmentRecord,
  SEGMENT_HEAD_BYTES,
  type SegmentHead,
  type SegmentRecord,
} from './segment-format.ts';
import type { ShardSegments } from './shard-segments.ts';

/** Bytes of data in a piece, about; at least one record is in it. */
const PIECE_BYTES = 256 * 1024;

/** A piece, read. */
export interface RecordPiece {
  readonly head: SegmentHead;
  /** Dense from `head.first`, at least one. Their data are views. */
  readonly records: readonly SegmentRecord[];
}

/**
 * Pieces with all records from the first kept up to `to`, which must be written to files. Where a segment is damaged, or removed
 * meanwhile, the next piece begins behind it.
 */
export async function* copyRecords(shard: ShardSegments, to: Index): AsyncGenerator<Uint8Array, void> {
  let from = shard.first;
  let previousTerm: Term | null = null;
  while (from <= to) {
    const segment = shard.segments.find(({ index }) => index.last >= from);
    if (segment === undefined) return;
    const { head } = segment.index;
    if (from <= head.first || previousTerm === null) {
      from = head.first;
      previousTerm = head.previousTerm;
    }
    const piece: SegmentRecord[] = [];
    let bytes = 0;
    const start = segment.index.positionOfIndex(from);
    const end = await scanSegment(shard.options.files, segment, start, PIECE_BYTES, (record) => {
      if (record.entry.index < from) return true;
      if (record.entry.index > to) return false;
      piece.push(record);
      bytes += record.entry.data.length;
      return bytes < PIECE_BYTES;
    });
    const last = piece.at(-1);
    if (last === undefined) {
      // Nothing of it can be read, or nothing is written of it yet.
      if (end !== 'damaged' && end !== 'gone') return;
      from = (segment.index.last + 1) as Index;
      previousTerm = null;
      continue;
    }
    yield encodePiece({ shard: head.shard, first: from, previousTerm }, piece, bytes);
    from = (last.entry.index + 1) as Index;
    previousTerm = last.entry.term;
  }
}

/** Reads a piece. Throws a StorageError of code `io` for bytes that are none of this shard. */
export function decodePiece(bytes: Uint8Array, shard: ShardId): RecordPiece {
  const head = decodeSegmentHead(bytes);
  if (head === null || head.shard !== shard)
    throw new StorageError('io', `records sent for shard ${shard}: wrong head`);
  const records: SegmentRecord[] = [];
  for (let at = SEGMENT_HEAD_BYTES; at < bytes.length; ) {
    const decoded = decodeSegmentRecord(bytes, at, shard);
    const expected = head.first + records.length;
    if (decoded.type !== 'record' || decoded.record.entry.index !== expected) {
      throw new StorageError('io', `records sent for shard ${shard}: entry ${expected} is not what was sent`);
    }
    records.push(decoded.record);
    at = decoded.end;
  }
  if (records.length === 0) throw new StorageError('io', `records sent for shard ${shard}: an empty piece`);
  return { head, records };
}

function encodePiece(head: SegmentHead, records: readonly SegmentRecord[], dataBytes: number): Uint8Array {
  const writer = new ByteWriter(SEGMENT_HEAD_BYTES + records.length * 80 + dataBytes);
  writer.bytes(encodeSegmentHead(head));
  for (const { entry, description } of records) encodeSegmentRecord(writer, head.shard, entry, description);
  return writer.view();
}
