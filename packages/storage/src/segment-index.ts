/**
 * What is known of a segment without reading it: bounds, a sparse index of positions, and the group index (group → positions).
 * It is kept while the segment grows and written beside it when it is closed; if that file is missing or damaged, it is built
 * from the segment again.
 */

import { crc32 } from 'node:zlib';
import type { ShardId } from '@seriatim/multiraft';
import type { Index, Term } from '@seriatim/raft';
import { ByteReader, ByteWriter } from './byte-writer.ts';
import { SEGMENT_HEAD_BYTES, type SegmentHead, type SegmentRecord } from './segment-format.ts';

const INDEX_MAGIC = 0x58444e49; // "INDX"
const INDEX_VERSION = 1;
const POSTINGS_MIN = 256;

/** Where reading may begin: what holds before the entry at `position`. */
interface Mark {
  readonly index: number;
  readonly position: number;
  /** Offset of the next record, -1 when none is known yet. */
  readonly offset: number;
  /** Highest time stamp before it in the segment, -1: none. */
  readonly timestamp: number;
}

/** See the head of this file. */
export class SegmentIndex {
  readonly head: SegmentHead;
  readonly #stride: number;
  readonly #marks: Mark[] = [];
  #postings = new Uint32Array(POSTINGS_MIN);
  #postingCount = 0;
  /** Last index, first - 1 when empty. */
  last: Index;
  lastTerm: Term;
  /** Length of the segment in bytes, its head included. */
  bytes: number = SEGMENT_HEAD_BYTES;
  /** First offset in it, -1: none. */
  firstOffset = -1;
  /** Offset behind its last record, -1: none. */
  endOffset = -1;
  firstTimestamp = -1;
  /** Highest time stamp in it. */
  lastTimestamp = -1;

  constructor(head: SegmentHead, strideBytes: number) {
    this.head = head;
    this.#stride = strideBytes;
    this.last = (head.first - 1) as Index;
    this.lastTerm = head.previousTerm;
  }

  /** Takes the next record, which ends at `end`. */
  add(record: SegmentRecord, end: number): void {
    const before = this.#marks[this.#marks.length - 1];
    if (before === undefined || this.bytes - before.position >= this.#stride) {
      const { endOffset: offset, lastTimestamp: timestamp, bytes: position } = this;
      this.#marks.push({ index: record.entry.index, position, offset, timestamp });
    }
    const { description } = record;
    if (description !== null) {
      if (this.firstOffset < 0) {
        this.firstOffset = description.offset;
        this.firstTimestamp = description.timestamp;
      }
      this.endOffset = description.offset + description.count;
      this.lastTimestamp = Math.max(this.lastTimestamp, description.timestamp);
      for (const group of description.groups) this.#post(group, this.bytes);
    }
    this.last = record.entry.index;
    this.lastTerm = record.entry.term;
    this.bytes = end;
  }

  /** Position of an entry at or before `index`. */
  positionOfIndex(index: Index): number {
    return this.#last((mark) => mark.index <= index);
  }

  /** Position from which on the record with `offset` is found. */
  positionOfOffset(offset: number): number {
    return this.#last((mark) => mark.offset <= offset);
  }

  /** Position from which on the first record at or after `timestamp` is found. */
  positionOfTime(timestamp: number): number {
    return this.#last((mark) => mark.timestamp < timestamp);
  }

  /** Positions of the entries with records of a group, rising. */
  positionsOfGroup(group: number): number[] {
    const positions: number[] = [];
    for (let i = 0; i < this.#postingCount; i++) {
      if (this.#postings[i * 2] === group) positions.push(this.#postings[i * 2 + 1] as number);
    }
    return positions;
  }

  /** The closed segment's index file: bounds and marks first, the group index behind. */
  encode(): Uint8Array {
    const groups = encodeGroups(this.#postings.subarray(0, this.#postingCount * 2));
    const writer = new ByteWriter(256 + this.#marks.length * 32 + groups.length);
    writer
      .u32(INDEX_MAGIC)
      .u32(INDEX_VERSION)
      .u32(this.head.shard)
      .f64(this.head.first)
      .f64(this.head.previousTerm);
    writer.f64(this.last).f64(this.lastTerm).f64(this.bytes).f64(this.firstOffset).f64(this.endOffset);
    writer.f64(this.firstTimestamp).f64(this.lastTimestamp).u32(this.#marks.length).u32(groups.length);
    for (const { index, position, offset, timestamp } of this.#marks) {
      writer.f64(index).f64(position).f64(offset).f64(timestamp);
    }
    writer.u32(crc32(writer.view()));
    return writer.bytes(groups).u32(crc32(groups)).view();
  }

  #post(group: number, position: number): void {
    if (this.#postingCount * 2 === this.#postings.length) {
      const grown = new Uint32Array(this.#postings.length * 2);
      grown.set(this.#postings);
      this.#postings = grown;
    }
    this.#postings[this.#postingCount * 2] = group;
    this.#postings[this.#postingCount * 2 + 1] = position;
    this.#postingCount++;
  }

  /** Gives the memory of the group index back: it is in a file now. */
  dropGroups(): void {
    this.#postings = new Uint32Array(0);
    this.#postingCount = 0;
  }

  #last(holds: (mark: Mark) => boolean): number {
    let low = 0;
    let high = this.#marks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(this.#marks[middle] as Mark)) low = middle + 1;
      else high = middle;
    }
    return this.#marks[low - 1]?.position ?? SEGMENT_HEAD_BYTES;
  }

  /** Reads bounds and marks of an index file (not its groups); null when it is damaged or not this version's. */
  static decode(bytes: Uint8Array, shard: ShardId, strideBytes: number): SegmentIndex | null {
    try {
      const reader = new ByteReader(bytes);
      if (reader.u32() !== INDEX_MAGIC || reader.u32() !== INDEX_VERSION || reader.u32() !== shard)
        return null;
      const head = { shard, first: reader.f64() as Index, previousTerm: reader.f64() as Term };
      const index = new SegmentIndex(head, strideBytes);
      index.last = reader.f64() as Index;
      index.lastTerm = reader.f64() as Term;
      index.bytes = reader.f64();
      index.firstOffset = reader.f64();
      index.endOffset = reader.f64();
      index.firstTimestamp = reader.f64();
      index.lastTimestamp = reader.f64();
      const marks = reader.u32();
      reader.skip(4);
      const checked = reader.position + marks * 32;
      if (new ByteReader(bytes.subarray(checked)).u32() !== crc32(bytes.subarray(0, checked))) return null;
      for (let i = 0; i < marks; i++) {
        const mark = {
          index: reader.f64(),
          position: reader.f64(),
          offset: reader.f64(),
          timestamp: reader.f64(),
        };
        index.#marks.push(mark);
      }
      return index;
    } catch (error) {
      if (error instanceof RangeError) return null;
      throw error;
    }
  }
}

/** Bytes of bounds before the marks, see {@link SegmentIndex.encode}. */
const BOUNDS_BYTES = 4 * 3 + 8 * 9 + 4 * 2;

/** Positions of a group from a closed segment's index file; null when the group index in it is damaged. */
export function groupPositionsIn(file: Uint8Array, group: number): number[] | null {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const marks = view.getUint32(BOUNDS_BYTES - 8, true);
  const length = view.getUint32(BOUNDS_BYTES - 4, true);
  const from = BOUNDS_BYTES + marks * 32 + 4;
  const groups = file.subarray(from, from + length);
  if (groups.length < length || file.length < from + length + 4) return null;
  if (view.getUint32(from + length, true) !== crc32(groups)) return null;
  return searchGroups(new DataView(groups.buffer, groups.byteOffset, groups.byteLength), group);
}

/** Number of distinct groups, then (group, end of its positions) rising by group, then the positions. */
function encodeGroups(postings: Uint32Array): Uint8Array {
  const sorted = sortByGroup(postings);
  const count = sorted.length / 2;
  let distinct = 0;
  for (let i = 0; i < count; i++) if (i === 0 || sorted[i * 2] !== sorted[i * 2 - 2]) distinct++;
  const view = new DataView(new ArrayBuffer(4 + distinct * 8 + count * 4));
  const positionsFrom = 4 + distinct * 8;
  view.setUint32(0, distinct, true);
  for (let i = 0, head = 0; i < count; i++) {
    const group = sorted[i * 2] as number;
    view.setUint32(positionsFrom + i * 4, sorted[i * 2 + 1] as number, true);
    if (group === sorted[i * 2 + 2]) continue;
    view.setUint32(4 + head * 8, group, true);
    view.setUint32(8 + head * 8, i + 1, true);
    head++;
  }
  return new Uint8Array(view.buffer);
}

/**
 * Postings by rising group; those of a group keep their order. A radix sort of 16 bits at a time: every replica closes a segment at
 * the same entry, so that what this takes is time in which the whole shard stands.
 */
function sortByGroup(postings: Uint32Array): Uint32Array {
  let highest = 0;
  for (let i = 0; i < postings.length; i += 2) highest = Math.max(highest, postings[i] as number);
  const lower = sortByDigit(postings, 0);
  return highest < 2 ** 16 ? lower : sortByDigit(lower, 16);
}

function sortByDigit(postings: Uint32Array, shift: number): Uint32Array {
  const digitAt = (i: number): number => ((postings[i] as number) >>> shift) & 0xffff;
  const ends = new Uint32Array(2 ** 16);
  for (let i = 0; i < postings.length; i += 2) {
    const digit = digitAt(i);
    ends[digit] = (ends[digit] as number) + 1;
  }
  for (let digit = 1; digit < ends.length; digit++) {
    ends[digit] = (ends[digit] as number) + (ends[digit - 1] as number);
  }
  const sorted = new Uint32Array(postings.length);
  for (let i = postings.length - 2; i >= 0; i -= 2) {
    const digit = digitAt(i);
    const to = (ends[digit] as number) - 1;
    ends[digit] = to;
    sorted[to * 2] = postings[i] as number;
    sorted[to * 2 + 1] = postings[i + 1] as number;
  }
  return sorted;
}

function searchGroups(view: DataView, group: number): number[] {
  const distinct = view.getUint32(0, true);
  let low = 0;
  let high = distinct;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (view.getUint32(4 + middle * 8, true) < group) low = middle + 1;
    else high = middle;
  }
  if (low === distinct || view.getUint32(4 + low * 8, true) !== group) return [];
  const from = low === 0 ? 0 : view.getUint32(4 + low * 8 - 4, true);
  const to = view.getUint32(4 + low * 8 + 4, true);
  const positions: number[] = [];
  for (let i = from; i < to; i++) positions.push(view.getUint32(4 + distinct * 8 + i * 4, true));
  return positions;
}
