/** Settlements of one stream: gathered a hold at a time, numbered when sent, kept until answered. */
import { SETTLEMENT_KIND_ACK, SETTLEMENT_KIND_EXTEND, SETTLEMENT_KIND_NACK } from '@seriatim/protocol';
import type { Failure, Hold, HoldDesk } from './hold.ts';

/** Rows of one request. */
const REQUEST_ROWS_MAX = 8_192;

/** A row that was sent and not answered. */
export interface SentRow {
  readonly hold: Hold;
  readonly kind: number;
  readonly sequence: number;
  readonly milliseconds: number;
  readonly reason: string;
}

/** Columns of a request; see ConsumeRequest in the proto file. */
export interface SettleColumns {
  readonly settleKinds: number[];
  readonly settlePartitions: number[];
  readonly settleTokenEpochs: number[];
  readonly settleTokenCounters: number[];
  readonly settleSequences: number[];
  readonly settleMilliseconds: number[];
  readonly settleReasons: string[];
}

/** See the head of this file. */
export class SettlementLedger {
  readonly #desk: HoldDesk;
  readonly #unansweredRowsMax: number;
  #dirty: Hold[] = [];
  #failures: { readonly hold: Hold; readonly failure: Failure }[] = [];
  readonly #extensions = new Map<Hold, number>();
  /** By row number, from `#firstRow` on; null: answered before its turn. */
  #sent: (SentRow | null)[] = [];
  #head = 0;
  #firstRow = 1;

  /** `desk`: the stream. What it no longer has when its turn comes is not sent. */
  constructor(desk: HoldDesk, unansweredRowsMax: number) {
    this.#desk = desk;
    this.#unansweredRowsMax = unansweredRowsMax;
  }

  changed(hold: Hold): void {
    this.#dirty.push(hold);
  }

  failed(hold: Hold, failure: Failure): void {
    this.#failures.push({ hold, failure });
  }

  extend(hold: Hold, milliseconds: number): void {
    const length = (given: number): number => (given === 0 ? hold.holdMilliseconds : given);
    const before = this.#extensions.get(hold);
    if (before === undefined || length(before) < length(milliseconds))
      this.#extensions.set(hold, milliseconds);
  }

  /** There is something to send, and room for it. */
  get ready(): boolean {
    const waiting = this.#dirty.length + this.#failures.length + this.#extensions.size;
    return waiting > 0 && this.unanswered < this.#unansweredRowsMax;
  }

  get gathered(): number {
    return this.#dirty.length + this.#failures.length + this.#extensions.size;
  }

  get unanswered(): number {
    return this.#sent.length - this.#head;
  }

  /** Rows of the next request, numbered and kept. An extension goes before what might end its hold, an acknowledgement before a failure. */
  take(now: number): SettleColumns {
    const columns = emptyColumns();
    const room = (): boolean =>
      columns.settleKinds.length < REQUEST_ROWS_MAX && this.unanswered < this.#unansweredRowsMax;
    for (const [hold, milliseconds] of this.#extensions) {
      if (!room()) return columns;
      this.#extensions.delete(hold);
      if (hold.desk !== this.#desk || hold.ended || hold.ackSent >= hold.last) continue;
      hold.renewed(now, milliseconds);
      this.#add(columns, { hold, kind: SETTLEMENT_KIND_EXTEND, sequence: 0, milliseconds, reason: '' });
    }
    let done = 0;
    for (; done < this.#failures.length && room(); done++) {
      const { hold, failure } = this.#failures[done] as { hold: Hold; failure: Failure };
      if (hold.desk !== this.#desk) continue;
      this.#acknowledge(columns, hold);
      this.#add(columns, { hold, ...failure });
    }
    this.#failures.splice(0, done);
    done = 0;
    for (; done < this.#dirty.length && room(); done++) {
      const hold = this.#dirty[done] as Hold;
      if (hold.desk !== this.#desk) continue;
      hold.renewed(now);
      this.#acknowledge(columns, hold);
    }
    if (done === this.#dirty.length) this.#dirty = [];
    else this.#dirty.splice(0, done);
    return columns;
  }

  /**
   * The broker decided rows up to `row`, and refused some. `refused` is called for each of these, then `durable` for each other one up to
   * `row`.
   */
  answered(
    row: number,
    refusedRows: readonly number[],
    refusedCodes: readonly string[],
    durable: (sent: SentRow) => void,
    refused: (sent: SentRow, code: string) => void,
  ): void {
    for (let at = 0; at < refusedRows.length; at++) {
      const place = (refusedRows[at] as number) - this.#firstRow + this.#head;
      const sent = place < this.#head ? undefined : this.#sent[place];
      if (sent === undefined || sent === null) continue;
      this.#sent[place] = null;
      refused(sent, refusedCodes[at] ?? 'HOLD_LOST');
    }
    while (this.#firstRow <= row && this.#head < this.#sent.length) {
      const sent = this.#sent[this.#head];
      this.#sent[this.#head++] = null;
      this.#firstRow++;
      if (sent !== null && sent !== undefined) durable(sent);
    }
    if (this.#head > 1024 && this.#head * 2 > this.#sent.length) {
      this.#sent = this.#sent.slice(this.#head);
      this.#head = 0;
    }
  }

  #acknowledge(columns: SettleColumns, hold: Hold): void {
    hold.dirty = false;
    if (hold.ackTo <= hold.ackSent) return;
    hold.ackSent = hold.ackTo;
    const sequence = hold.ackTo;
    this.#add(columns, { hold, kind: SETTLEMENT_KIND_ACK, sequence, milliseconds: 0, reason: '' });
  }

  #add(columns: SettleColumns, row: SentRow): void {
    const { hold, kind } = row;
    this.#sent.push(row);
    columns.settleKinds.push(kind);
    columns.settlePartitions.push(hold.partition);
    columns.settleTokenEpochs.push(hold.tokenEpoch);
    columns.settleTokenCounters.push(hold.tokenCounter);
    columns.settleSequences.push(row.sequence);
    columns.settleMilliseconds.push(row.milliseconds);
    if (kind !== SETTLEMENT_KIND_ACK && kind !== SETTLEMENT_KIND_EXTEND)
      columns.settleReasons.push(row.reason);
  }
}

function emptyColumns(): SettleColumns {
  return {
    settleKinds: [],
    settlePartitions: [],
    settleTokenEpochs: [],
    settleTokenCounters: [],
    settleSequences: [],
    settleMilliseconds: [],
    settleReasons: [],
  };
}

/** The name of a row's kind, for people. */
export function kindName(kind: number): 'ack' | 'nack' | 'reject' | 'extend' {
  if (kind === SETTLEMENT_KIND_ACK) return 'ack';
  if (kind === SETTLEMENT_KIND_EXTEND) return 'extend';
  return kind === SETTLEMENT_KIND_NACK ? 'nack' : 'reject';
}
