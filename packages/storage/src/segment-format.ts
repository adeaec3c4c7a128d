/**
 * Bytes of a segment: a head of 64 bytes, then records. A record is a header of 56 bytes, the numbers of the groups in it (4
 * bytes each) and the entry's data as it came. Header and data have checksums, seeded by the shard.
 */

import { crc32 } from 'node:zlib';
import type { EntryDescription, ShardId } from '@seriatim/multiraft';
import type { Entry, EntryType, Index, Term } from '@seriatim/raft';
import { ByteReader, ByteWriter } from './byte-writer.ts';

export const SEGMENT_HEAD_BYTES = 64;
export const RECORD_HEADER_BYTES = 56;
const SEGMENT_VERSION = 1;
const SEGMENT_MAGIC = 0x4d474553; // "SEGM"
const RECORD_MAGIC = 0x45;
const DESCRIBED = 1;
const ENTRY_TYPES: readonly EntryType[] = ['noop', 'command', 'configuration'];

/** What a segment says of itself. */
export interface SegmentHead {
  readonly shard: ShardId;
  /** Index of its first entry. */
  readonly first: Index;
  /** Term of the entry before that. */
  readonly previousTerm: Term;
}

/** One entry as it lies in a segment. */
export interface SegmentRecord {
  readonly entry: Entry;
  /** What the state machine said of it; null: no records in it. */
  readonly description: EntryDescription | null;
}

/** `short`: the bytes end inside the record, which has at least `bytes`. */
export type DecodedRecord =
  | { readonly type: 'record'; readonly record: SegmentRecord; readonly end: number }
  | { readonly type: 'short'; readonly bytes: number }
  | { readonly type: 'damaged' };

/** A segment's head. */
export function encodeSegmentHead(head: SegmentHead): Uint8Array {
  const writer = new ByteWriter(SEGMENT_HEAD_BYTES);
  writer.u32(SEGMENT_MAGIC).u32(SEGMENT_VERSION).u32(head.shard).f64(head.first).f64(head.previousTerm);
  writer.u32(crc32(writer.view()));
  return writer.zeros(SEGMENT_HEAD_BYTES - writer.length).view();
}

/** Reads a head; null when it is damaged. Throws for an unknown version. */
export function decodeSegmentHead(bytes: Uint8Array): SegmentHead | null {
  if (bytes.length < SEGMENT_HEAD_BYTES) return null;
  const reader = new ByteReader(bytes);
  const magic = reader.u32();
  const version = reader.u32();
  const shard = reader.u32() as ShardId;
  const head = { shard, first: reader.f64() as Index, previousTerm: reader.f64() as Term };
  const checked = reader.position;
  if (magic !== SEGMENT_MAGIC || reader.u32() !== crc32(bytes.subarray(0, checked))) return null;
  if (version !== SEGMENT_VERSION)
    throw new Error(`segment of version ${version}, known is ${SEGMENT_VERSION}`);
  return head;
}

/** Appends a record. */
export function encodeSegmentRecord(
  writer: ByteWriter,
  shard: ShardId,
  entry: Entry,
  description: EntryDescription | null,
): void {
  const start = writer.length;
  const groups = description?.groups ?? [];
  writer
    .u8(RECORD_MAGIC)
    .u8(ENTRY_TYPES.indexOf(entry.type))
    .u16(description === null ? 0 : DESCRIBED);
  writer
    .u32(entry.data.length)
    .u32(groups.length)
    .u32(description?.count ?? 0);
  writer
    .f64(entry.index)
    .f64(entry.term)
    .f64(description?.offset ?? 0)
    .f64(description?.timestamp ?? 0);
  writer.u32(crc32(entry.data, shard)).u32(0);
  for (const group of groups) writer.u32(group);
  writer.setU32(start + RECORD_HEADER_BYTES - 4, headerChecksum(writer.view(start), groups.length, shard));
  writer.bytes(entry.data);
}

/** Reads the record at `position`. Its data is a view. */
export function decodeSegmentRecord(bytes: Uint8Array, position: number, shard: ShardId): DecodedRecord {
  const left = bytes.length - position;
  if (left < RECORD_HEADER_BYTES) return { type: 'short', bytes: RECORD_HEADER_BYTES };
  const header = bytes.subarray(position);
  const reader = new ByteReader(header);
  const magic = reader.u8();
  const type = ENTRY_TYPES[reader.u8()];
  const flags = reader.u16();
  const length = reader.u32();
  const groupCount = reader.u32();
  const headerBytes = RECORD_HEADER_BYTES + groupCount * 4;
  if (magic !== RECORD_MAGIC || type === undefined || groupCount > GROUPS_MAX) return { type: 'damaged' };
  if (left < headerBytes) return { type: 'short', bytes: headerBytes };
  const count = reader.u32();
  const index = reader.f64() as Index;
  const term = reader.f64() as Term;
  const offset = reader.f64();
  const timestamp = reader.f64();
  const dataChecksum = reader.u32();
  if (reader.u32() !== headerChecksum(header, groupCount, shard)) return { type: 'damaged' };
  const bytesNeeded = headerBytes + length;
  if (left < bytesNeeded) return { type: 'short', bytes: bytesNeeded };
  const data = header.subarray(headerBytes, bytesNeeded);
  if (crc32(data, shard) !== dataChecksum) return { type: 'damaged' };
  const groups: number[] = [];
  for (let i = 0; i < groupCount; i++) groups.push(reader.u32());
  const description = (flags & DESCRIBED) === 0 ? null : { offset, count, timestamp, groups };
  return {
    type: 'record',
    record: { entry: { index, term, type, data }, description },
    end: position + bytesNeeded,
  };
}

/** More groups than an entry can hold: a damaged header is not to ask for memory without end. */
const GROUPS_MAX = 16_777_216;

function headerChecksum(record: Uint8Array, groupCount: number, shard: ShardId): number {
  const head = crc32(record.subarray(0, RECORD_HEADER_BYTES - 4), shard);
  return groupCount === 0
    ? head
    : crc32(record.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + groupCount * 4), head);
}
