/**
 * Where groups stand in one subscription: a row of numbers for each group that is ahead of the floor or behind it, or has failed.
 * Groups are named by key: their number + 1; 0 is all messages without group. Rows lie in one array with a hash index of row
 * numbers, 64 bytes and about 8 a row, nothing for the garbage collector to walk. Reasons and replacements lie beside.
 */
import type { ByteReader } from '../byte-reader.ts';
import type { ByteWriter } from '../byte-writer.ts';

/** Messages below the floor are not settled: they are read by the group's index. */
export const FLAG_BEHIND = 1;
/** Waits for an operator. */
export const FLAG_PARKED = 2;
/** Paused by an operator. */
export const FLAG_PAUSED = 4;
/** The head is on its way to the dead-letter topic. */
export const FLAG_DEAD_LETTERING = 8;
/** The head has a replacement. */
export const FLAG_REPLACED = 16;

/** It was rewound, and given to nobody since: who held it before holds it no more. */
export const FLAG_REWOUND = 32;

/** Flags of a group that nobody is given. */
export const FLAGS_BLOCKING: number = FLAG_PARKED | FLAG_PAUSED | FLAG_DEAD_LETTERING;

/** Flags of a group whose head failed for good. */
export const FLAGS_FAILED: number = FLAG_PARKED | FLAG_DEAD_LETTERING;

/** A row as plain values. */
export interface Row {
  readonly life: number;
  /** Last settled sequence. */
  readonly settled: number;
  /** Offset behind it: nothing of the group at or behind it is settled. */
  readonly next: number;
  readonly flags: number;
  /** Failures of the head. */
  readonly failures: number;
  /** Milliseconds since 1970; 0: at once. */
  readonly notBefore: number;
  /** Producer's sequence of the group's last dead letter; 0: none was written. */
  readonly deadLetters: number;
}

/** What few rows have. */
export interface RowDetail {
  readonly reason: string;
  /** Since when the row has its flags; milliseconds since 1970. */
  readonly time: number;
}

const KEY = 0;
const LIFE = 1;
const SETTLED = 2;
const NEXT = 3;
const FLAGS = 4;
const FAILURES = 5;
const NOT_BEFORE = 6;
const DEAD_LETTERS = 7;
const STRIDE = 8;
const ROWS_AT_FIRST = 16;
/** Fewer rows are never swept. */
const SWEEP_ROWS_MIN = 1024;

/** See the head of this file. A row's number is valid until the next {@link SubscriptionRows.sweepIfDue}. */
export class SubscriptionRows {
  readonly details: Map<number, RowDetail> = new Map();
  /** Messages without tag and length that are delivered in place of the head, by key. */
  readonly replacements: Map<number, Uint8Array> = new Map();
  #rows: Float64Array = new Float64Array(ROWS_AT_FIRST * STRIDE);
  /** Row number + 1 by hash; 0: free. Twice as large as the rows' capacity, so that it always has free places. */
  #index: Int32Array = new Int32Array(ROWS_AT_FIRST * 2);
  #count = 0;
  #behind = 0;
  #sweepAt = SWEEP_ROWS_MIN;

  get count(): number {
    return this.#count;
  }
  /** Rows of groups that are behind. */
  get behind(): number {
    return this.#behind;
  }

  /** The row of a key, or -1. */
  find(key: number): number {
    const index = this.#index;
    const mask = index.length - 1;
    for (let at = hash(key) & mask; ; at = (at + 1) & mask) {
      const row = (index[at] as number) - 1;
      if (row < 0 || this.#rows[row * STRIDE + KEY] === key) return row;
    }
  }

  /** Adds a row of zeros; the key must not be there. */
  add(key: number): number {
    if ((this.#count + 1) * STRIDE > this.#rows.length) this.#grow();
    const row = this.#count++;
    this.#rows.fill(0, row * STRIDE, row * STRIDE + STRIDE);
    this.#rows[row * STRIDE + KEY] = key;
    this.#enter(key, row);
    return row;
  }

  key(row: number): number {
    return this.#rows[row * STRIDE + KEY] as number;
  }
  life(row: number): number {
    return this.#rows[row * STRIDE + LIFE] as number;
  }
  settled(row: number): number {
    return this.#rows[row * STRIDE + SETTLED] as number;
  }
  next(row: number): number {
    return this.#rows[row * STRIDE + NEXT] as number;
  }
  flags(row: number): number {
    return this.#rows[row * STRIDE + FLAGS] as number;
  }
  failures(row: number): number {
    return this.#rows[row * STRIDE + FAILURES] as number;
  }
  notBefore(row: number): number {
    return this.#rows[row * STRIDE + NOT_BEFORE] as number;
  }
  deadLetters(row: number): number {
    return this.#rows[row * STRIDE + DEAD_LETTERS] as number;
  }

  /** True when failures, a delay or dead letters are noted. */
  hasMore(row: number): boolean {
    const at = row * STRIDE;
    const rows = this.#rows;
    return rows[at + FAILURES] !== 0 || rows[at + NOT_BEFORE] !== 0 || rows[at + DEAD_LETTERS] !== 0;
  }

  /** What is settled, of which life. */
  setPosition(row: number, life: number, settled: number, next: number): void {
    const at = row * STRIDE;
    this.#rows[at + LIFE] = life;
    this.#rows[at + SETTLED] = settled;
    this.#rows[at + NEXT] = next;
  }
  setFlags(row: number, flags: number): void {
    const at = row * STRIDE + FLAGS;
    this.#behind += (flags & FLAG_BEHIND) - ((this.#rows[at] as number) & FLAG_BEHIND);
    this.#rows[at] = flags;
  }
  setFailures(row: number, failures: number, notBefore: number): void {
    this.#rows[row * STRIDE + FAILURES] = failures;
    this.#rows[row * STRIDE + NOT_BEFORE] = notBefore;
  }
  setDeadLetters(row: number, deadLetters: number): void {
    this.#rows[row * STRIDE + DEAD_LETTERS] = deadLetters;
  }

  row(row: number): Row {
    return {
      life: this.life(row),
      settled: this.settled(row),
      next: this.next(row),
      flags: this.flags(row),
      failures: this.failures(row),
      notBefore: this.notBefore(row),
      deadLetters: this.deadLetters(row),
    };
  }

  setRow(row: number, values: Row): void {
    this.setPosition(row, values.life, values.settled, values.next);
    this.setFlags(row, values.flags);
    this.setFailures(row, values.failures, values.notBefore);
    this.setDeadLetters(row, values.deadLetters);
  }

  /** With this floor the row is as good as none. */
  saysNothing(row: number, floor: number): boolean {
    return this.next(row) <= floor && this.flags(row) === 0 && !this.hasMore(row);
  }

  /** Drops the rows that say nothing when there are twice as many as after the last time; the others keep their order. */
  sweepIfDue(floor: number): void {
    if (this.#count >= this.#sweepAt) this.sweep(floor);
  }

  /** Drops the rows that say nothing. Where such a row says its group stands may be long past: nobody tells it again. */
  sweep(floor: number): void {
    let kept = 0;
    for (let row = 0; row < this.#count; row++) {
      if (this.saysNothing(row, floor)) {
        this.details.delete(this.key(row));
        continue;
      }
      if (kept !== row) this.#rows.copyWithin(kept * STRIDE, row * STRIDE, row * STRIDE + STRIDE);
      kept++;
    }
    this.#count = kept;
    this.#sweepAt = Math.max(SWEEP_ROWS_MIN, kept * 2);
    this.#reindex();
  }

  /** A copy that later changes do not touch. */
  copy(): SubscriptionRows {
    const copy = new SubscriptionRows();
    copy.#rows = this.#rows.slice();
    copy.#index = this.#index.slice();
    copy.#count = this.#count;
    copy.#behind = this.#behind;
    copy.#sweepAt = this.#sweepAt;
    for (const [key, detail] of this.details) copy.details.set(key, detail);
    for (const [key, replacement] of this.replacements) copy.replacements.set(key, replacement);
    return copy;
  }

  /** v next sweep, v rows, each v key, life, settled, next, flags, failures, not-before, dead letters; then details and replacements. */
  *write(writer: ByteWriter): Generator<void> {
    writer.varint(this.#sweepAt);
    writer.varint(this.#count);
    for (let row = 0; row < this.#count; row++) {
      for (let field = 0; field < STRIDE; field++) writer.varint(this.#rows[row * STRIDE + field] as number);
      yield;
    }
    writer.varint(this.details.size);
    for (const key of [...this.details.keys()].sort((a, b) => a - b)) {
      const detail = this.details.get(key);
      writer.varint(key);
      writer.varint(detail?.time ?? 0);
      writeBytes(writer, Buffer.from(detail?.reason ?? '', 'utf8'));
      yield;
    }
    writer.varint(this.replacements.size);
    for (const key of [...this.replacements.keys()].sort((a, b) => a - b)) {
      writer.varint(key);
      writeBytes(writer, this.replacements.get(key) ?? new Uint8Array(0));
      yield;
    }
  }

  static read(reader: ByteReader): SubscriptionRows {
    const rows = new SubscriptionRows();
    const sweepAt = reader.varint();
    for (let left = reader.varint(); left > 0; left--) {
      const row = rows.add(reader.varint());
      for (let field = LIFE; field < STRIDE; field++) rows.#rows[row * STRIDE + field] = reader.varint();
      rows.#behind += rows.flags(row) & FLAG_BEHIND;
    }
    rows.#sweepAt = sweepAt;
    for (let left = reader.varint(); left > 0; left--) {
      const key = reader.varint();
      const time = reader.varint();
      rows.details.set(key, { time, reason: readText(reader) });
    }
    for (let left = reader.varint(); left > 0; left--) {
      const key = reader.varint();
      rows.replacements.set(key, reader.view(reader.varint()).slice());
    }
    return rows;
  }

  #enter(key: number, row: number): void {
    const mask = this.#index.length - 1;
    let at = hash(key) & mask;
    while (this.#index[at] !== 0) at = (at + 1) & mask;
    this.#index[at] = row + 1;
  }

  #grow(): void {
    const larger = new Float64Array(this.#rows.length * 2);
    larger.set(this.#rows);
    this.#rows = larger;
    this.#index = new Int32Array(this.#index.length * 2);
    this.#reindex();
  }

  #reindex(): void {
    this.#index.fill(0);
    for (let row = 0; row < this.#count; row++) this.#enter(this.key(row), row);
  }
}

/** Spreads dense keys over the index (the finalizer of MurmurHash3, shortened). */
function hash(key: number): number {
  let mixed = Math.imul(key ^ (key >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** A length and that many bytes. */
export function writeBytes(writer: ByteWriter, bytes: Uint8Array): void {
  writer.varint(bytes.length);
  writer.bytes(bytes);
}

export function readText(reader: ByteReader): string {
  return Buffer.from(reader.view(reader.varint())).toString('utf8');
}
