/**
 * Group records, one per group and partition, as rows of numbers in pages: 104 bytes a group beside its name, nothing for
 * the garbage collector to walk, no copy when it grows. What few groups have (more writers, intervals) lies beside.
 */
import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';
import {
  GROUP_WRITERS_MAX,
  idleLonger,
  WRITER_CHECKSUM,
  WRITER_COUNT,
  WRITER_EPOCH,
  WRITER_FIRST_OFFSET,
  WRITER_FIRST_SEQUENCE,
  WRITER_INDEX,
  WRITER_PRODUCER,
  WRITER_SEQUENCE,
  WRITER_STRIDE,
  WRITER_TIMESTAMP,
  WriterRows,
} from './writer-rows.ts';

const LIFE = 0;
const LAST_SEQUENCE = 1;
const LAST_OFFSET = 2;
const LAST_TIMESTAMP = 3;
const INLINE_WRITER = 4;
const STRIDE = INLINE_WRITER + WRITER_STRIDE;
/** Groups in a page, a power of two. */
const PAGE_GROUPS = 256;
const PAGE_SHIFT = 8;
const NO_OFFSET = -1;

/** Where a group was in an earlier part of its life: filled by moves. */
export interface Interval {
  readonly partition: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
}

/** A writer's row where it lies; valid until the next change of the records. */
export interface WriterPlace {
  readonly rows: Float64Array;
  readonly at: number;
}

/** See the head of this file. Numbers are given by {@link GroupRecords.add}, dense from 0. */
export class GroupRecords {
  #pages: Float64Array[] = [];
  #count = 0;
  #writers = new Map<number, WriterRows>();
  #intervals = new Map<number, readonly Interval[]>();
  // One result object, overwritten by each look-up, because look-ups happen for each run.
  readonly #place: { rows: Float64Array; at: number } = { rows: new Float64Array(0), at: 0 };

  get count(): number {
    return this.#count;
  }

  life(group: number): number {
    return this.#page(group)[this.#at(group) + LIFE] as number;
  }

  lastSequence(group: number): number {
    return this.#page(group)[this.#at(group) + LAST_SEQUENCE] as number;
  }

  /** -1: no record was stored yet. */
  lastOffset(group: number): number {
    return this.#page(group)[this.#at(group) + LAST_OFFSET] as number;
  }

  lastTimestamp(group: number): number {
    return this.#page(group)[this.#at(group) + LAST_TIMESTAMP] as number;
  }

  intervals(group: number): readonly Interval[] {
    return this.#intervals.get(group) ?? [];
  }

  setIntervals(group: number, intervals: readonly Interval[]): void {
    if (intervals.length === 0) this.#intervals.delete(group);
    else this.#intervals.set(group, intervals);
  }

  writerCount(group: number): number {
    const inline = this.#page(group)[this.#at(group) + INLINE_WRITER + WRITER_PRODUCER] === 0 ? 0 : 1;
    return inline + (this.#writers.get(group)?.count ?? 0);
  }

  /** The producer's row, or null when this group does not know it. */
  writer(group: number, producer: number): WriterPlace | null {
    const page = this.#page(group);
    const inline = this.#at(group) + INLINE_WRITER;
    const place = this.#place;
    if (page[inline + WRITER_PRODUCER] === producer) {
      place.rows = page;
      place.at = inline;
      return place;
    }
    // The inline place is taken first and kept, so without it there are no others.
    const others = page[inline + WRITER_PRODUCER] === 0 ? undefined : this.#writers.get(group);
    const at = others === undefined ? -1 : others.find(producer);
    if (others === undefined || at < 0) return null;
    place.rows = others.rows;
    place.at = at;
    return place;
  }

  /** Highest producer id whose row was displaced in this group; 0: none. */
  displacedProducer(group: number): number {
    return this.#writers.get(group)?.displacedProducer ?? 0;
  }

  /** Adds the record of a new group, with nothing stored. Numbers are dense. */
  add(): number {
    const group = this.#count++;
    if (group >> PAGE_SHIFT === this.#pages.length) this.#pages.push(new Float64Array(PAGE_GROUPS * STRIDE));
    this.#page(group)[this.#at(group) + LAST_OFFSET] = NO_OFFSET;
    return group;
  }

  /** A new life: sequences begin at 1 again and writers of the former life are forgotten. */
  beginLife(group: number, life: number): void {
    const page = this.#page(group);
    const at = this.#at(group);
    page[at + LIFE] = life;
    page[at + LAST_SEQUENCE] = 0;
    page.fill(0, at + INLINE_WRITER, at + STRIDE);
    this.#writers.delete(group);
    this.#intervals.delete(group);
  }

  /** Moves the group's end by a run. */
  advance(group: number, lastSequence: number, lastOffset: number, timestamp: number): void {
    const page = this.#page(group);
    const at = this.#at(group);
    page[at + LAST_SEQUENCE] = lastSequence;
    page[at + LAST_OFFSET] = lastOffset;
    page[at + LAST_TIMESTAMP] = timestamp;
  }

  /** Remembers a run as its writer's last one; a writer new to a full group displaces the one idle longest. */
  remember(
    group: number,
    producer: number,
    epoch: number,
    sequence: number,
    count: number,
    checksum: number,
    firstOffset: number,
    firstSequence: number,
    timestamp: number,
    index: number,
  ): void {
    const place = this.writer(group, producer) ?? this.#newWriter(group);
    const { rows, at } = place;
    rows[at + WRITER_PRODUCER] = producer;
    rows[at + WRITER_EPOCH] = epoch;
    rows[at + WRITER_SEQUENCE] = sequence;
    rows[at + WRITER_COUNT] = count;
    rows[at + WRITER_CHECKSUM] = checksum;
    rows[at + WRITER_FIRST_OFFSET] = firstOffset;
    rows[at + WRITER_FIRST_SEQUENCE] = firstSequence;
    rows[at + WRITER_TIMESTAMP] = timestamp;
    rows[at + WRITER_INDEX] = index;
  }

  /** A copy that later changes do not touch, taken in one step so that an image can be written in many. */
  copy(): GroupRecords {
    const copy = new GroupRecords();
    copy.#pages = this.#pages.map((page) => page.slice());
    copy.#count = this.#count;
    for (const [group, writers] of this.#writers) copy.#writers.set(group, writers.copy());
    copy.#intervals = new Map(this.#intervals);
    return copy;
  }

  /** The rows of all groups as they lie in memory (64-bit floats, little endian), page by page; views, not copies. */
  *rowBytes(): Generator<Uint8Array> {
    for (let page = 0; page < this.#pages.length; page++) {
      const rows = this.#pages[page] as Float64Array;
      const groups = Math.min(PAGE_GROUPS, this.#count - page * PAGE_GROUPS);
      yield new Uint8Array(rows.buffer, rows.byteOffset, groups * STRIDE * 8);
    }
  }

  /** Further writers and intervals, of the groups that have them, by rising number. */
  *writeExtras(writer: ByteWriter): Generator<void> {
    writer.varint(this.#writers.size);
    for (const group of [...this.#writers.keys()].sort((a, b) => a - b)) {
      writer.varint(group);
      this.#writers.get(group)?.write(writer);
      yield;
    }
    writer.varint(this.#intervals.size);
    for (const group of [...this.#intervals.keys()].sort((a, b) => a - b)) {
      const intervals = this.intervals(group);
      writer.varint(group);
      writer.varint(intervals.length);
      for (const interval of intervals) {
        writer.varint(interval.partition);
        writer.varint(interval.firstSequence);
        writer.varint(interval.lastSequence);
      }
      yield;
    }
  }

  /** Reads `count` groups as {@link rowBytes} and {@link writeExtras} gave them. */
  static read(reader: ByteReader, count: number): GroupRecords {
    const records = new GroupRecords();
    while (records.#count < count) {
      const groups = Math.min(PAGE_GROUPS, count - records.#count);
      const page = new Float64Array(PAGE_GROUPS * STRIDE);
      new Uint8Array(page.buffer).set(reader.view(groups * STRIDE * 8));
      records.#pages.push(page);
      records.#count += groups;
    }
    for (let left = reader.varint(); left > 0; left--) {
      records.#writers.set(reader.varint(), WriterRows.read(reader));
    }
    for (let left = reader.varint(); left > 0; left--) {
      const group = reader.varint();
      const intervals: Interval[] = [];
      for (let more = reader.varint(); more > 0; more--) {
        intervals.push({
          partition: reader.varint(),
          firstSequence: reader.varint(),
          lastSequence: reader.varint(),
        });
      }
      records.#intervals.set(group, intervals);
    }
    return records;
  }

  #page(group: number): Float64Array {
    return this.#pages[group >> PAGE_SHIFT] as Float64Array;
  }

  #at(group: number): number {
    return (group & (PAGE_GROUPS - 1)) * STRIDE;
  }

  #newWriter(group: number): WriterPlace {
    const page = this.#page(group);
    const inline = this.#at(group) + INLINE_WRITER;
    const place = this.#place;
    if (page[inline + WRITER_PRODUCER] === 0) {
      place.rows = page;
      place.at = inline;
      return place;
    }
    let others = this.#writers.get(group);
    if (others === undefined) {
      others = new WriterRows();
      this.#writers.set(group, others);
    }
    if (others.count < GROUP_WRITERS_MAX - 1) {
      place.at = others.add();
      place.rows = others.rows;
      return place;
    }
    const idle = others.longestIdle();
    const inlineIdle = idleLonger(page, inline, others.rows, idle);
    place.rows = inlineIdle ? page : others.rows;
    place.at = inlineIdle ? inline : idle;
    const displaced = place.rows[place.at + WRITER_PRODUCER] as number;
    if (displaced > others.displacedProducer) others.displacedProducer = displaced;
    return place;
  }
}
