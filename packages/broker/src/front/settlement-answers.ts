/**
 * Which settlement rows of a consumer's stream are decided. Rows are numbered over the stream, each belongs to one partition, and each
 * partition decides its own in order; the consumer is told one number, up to which all are decided, and the rows that were refused.
 */
import { type ErrorCode, RefusalError } from '@seriatim/protocol';

/**
 * Rows behind the last one up to which all were told as decided. A partition refuses rows above its own limit, but what it refused is remembered
 * until the rows before are decided: a client that goes on nevertheless is ended with OVERLOADED.
 */
export const UNDECIDED_ROWS_MAX = 1_048_576;

/** Rows answered at once. */
export interface SettledRows {
  /** Every row up to here is durable, or was refused. */
  readonly settledRows: number;
  readonly refusedRows: readonly number[];
  readonly refusedCodes: readonly ErrorCode[];
}

/** Rows of one partition that are not decided, ascending. */
interface OpenRows {
  readonly numbers: number[];
  /** Place of the first one. */
  first: number;
}

/** Decided places before the first open one are given back when there are as many as this. */
const DROP_ROWS = 4_096;

/** See the head of this file. */
export class SettlementAnswers {
  readonly #open = new Map<number, OpenRows>();
  #taken = 0;
  #told = 0;
  #refused: { readonly row: number; readonly code: ErrorCode }[] = [];
  /** Refused rows that were told before everything up to them was decided. */
  readonly #toldRefused = new Set<number>();

  /** Numbers the next row, which this partition is to decide. Throws OVERLOADED, as {@link refuseNext} does, when too many are not decided. */
  take(partition: number): number {
    const row = this.#next();
    this.#rowsOf(partition).numbers.push(row);
    return row;
  }

  /** Numbers the next row and refuses it. */
  refuseNext(code: ErrorCode): void {
    this.#refused.push({ row: this.#next(), code });
  }

  /** The partition decided its rows up to this one, and refused some, of these or of later ones. */
  decided(partition: number, row: number, refused: readonly number[], codes: readonly ErrorCode[]): void {
    refused.forEach((number, at) => {
      this.#refused.push({ row: number, code: codes[at] ?? 'INTERNAL' });
    });
    const open = this.#rowsOf(partition);
    while (open.first < open.numbers.length && (open.numbers[open.first] as number) <= row) open.first++;
    if (open.first === open.numbers.length) {
      open.numbers.length = 0;
      open.first = 0;
    } else if (open.first >= DROP_ROWS) {
      open.numbers.splice(0, open.first);
      open.first = 0;
    }
  }

  /** Nobody decides the partition's rows any more: those that were not refused already are now. */
  abandon(partition: number, code: ErrorCode): void {
    const open = this.#rowsOf(partition);
    const known = new Set(this.#refused.map(({ row }) => row));
    for (const row of open.numbers.slice(open.first)) {
      if (!known.has(row) && !this.#toldRefused.has(row)) this.#refused.push({ row, code });
    }
    open.numbers.length = 0;
    open.first = 0;
  }

  /** What is to be told since the last time; null: nothing. */
  tell(): SettledRows | null {
    const settledRows = this.#settled();
    if (settledRows === this.#told && this.#refused.length === 0) return null;
    const refused = this.#refused.sort((a, b) => a.row - b.row);
    this.#refused = [];
    this.#told = settledRows;
    for (const row of this.#toldRefused) if (row <= settledRows) this.#toldRefused.delete(row);
    for (const { row } of refused) if (row > settledRows) this.#toldRefused.add(row);
    return {
      settledRows,
      refusedRows: refused.map(({ row }) => row),
      refusedCodes: refused.map(({ code }) => code),
    };
  }

  #next(): number {
    if (this.#taken - this.#told >= UNDECIDED_ROWS_MAX) {
      const message = `${UNDECIDED_ROWS_MAX} settlement rows of this stream wait to be decided, the limit is reached; wait for answers`;
      throw new RefusalError('OVERLOADED', message);
    }
    return ++this.#taken;
  }

  #settled(): number {
    let settled = this.#taken;
    for (const { numbers, first } of this.#open.values()) {
      if (first < numbers.length) settled = Math.min(settled, (numbers[first] as number) - 1);
    }
    return settled;
  }

  #rowsOf(partition: number): OpenRows {
    let rows = this.#open.get(partition);
    if (rows === undefined) {
      rows = { numbers: [], first: 0 };
      this.#open.set(partition, rows);
    }
    return rows;
  }
}
