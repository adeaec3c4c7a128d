/** A consumer's stream to one node: credit and settlements out; messages, answers and events in. */
import type { Buffer } from 'node:buffer';
import {
  type ConsumeEvent,
  type ConsumeOpen,
  type DecodedConsumeResponse,
  decodeConsumeResponse,
  encodeConsumeRequest,
  RefusalError,
  SETTLEMENT_KIND_ACK,
  SETTLEMENT_KIND_EXTEND,
} from '@seriatim/protocol';
import type { BrokerConnection, ClientClock, ConsumeCall, ConsumeListener } from '../ports.ts';
import type { ConsumerConfig } from './consumer-config.ts';
import type { CreditAccount } from './credit.ts';
import { bytesOf, DeliveredRun, type Delivery, groupAt } from './delivery.ts';
import { type Failure, Hold, type HoldDesk } from './hold.ts';
import type { HoldBook } from './hold-book.ts';
import { type SentRow, SettlementLedger } from './settlement-ledger.ts';

/** From so many gathered settlements on nothing lingers. */
const LINGER_ROWS_MAX = 1_024;
/** Rows that a broker refused for their number are sent again after this. */
const OVERLOAD_PAUSE_MILLISECONDS = 50;

/** What a stream tells its consumer. */
export interface NodeStreamListener {
  delivered(delivery: Delivery): void;
  event(stream: NodeStream, event: ConsumeEvent): void;
  /** The hold's time is over by the clock here. */
  expired(hold: Hold): void;
  /** A settlement does not stand. */
  refused(sent: SentRow, code: string): void;
  /** Nothing comes after it. null: in order. */
  ended(stream: NodeStream, error: RefusalError | null): void;
}

/** What a stream needs. */
export interface NodeStreamOptions {
  readonly address: string;
  readonly topic: string;
  readonly connection: BrokerConnection;
  readonly clock: ClientClock;
  readonly config: ConsumerConfig;
  readonly book: HoldBook;
  readonly account: CreditAccount;
  readonly listener: NodeStreamListener;
}

/** See the head of this file. */
export class NodeStream implements HoldDesk, ConsumeListener {
  readonly address: string;
  /** Partitions whose leader serves this stream. */
  readonly attached: Set<number> = new Set();
  readonly #options: NodeStreamOptions;
  readonly #ledger: SettlementLedger;
  readonly #call: ConsumeCall;
  readonly #onExpired = (hold: Hold): void => this.#options.listener.expired(hold);
  #over = false;
  #leaving = false;
  #cancelTimer: (() => void) | null = null;
  #soon = false;

  constructor(options: NodeStreamOptions, open: ConsumeOpen) {
    this.address = options.address;
    this.#options = options;
    this.#ledger = new SettlementLedger(this, options.config.unansweredRowsMax);
    options.account.reset();
    options.account.onDue = () => this.#schedule();
    this.#call = options.connection.consume(this);
    this.#send(open);
  }

  changed(hold: Hold): void {
    this.#ledger.changed(hold);
    this.#schedule();
  }

  failed(hold: Hold, failure: Failure): void {
    this.#options.book.failing.add(hold);
    this.#ledger.failed(hold, failure);
    this.#schedule();
  }

  extend(hold: Hold, milliseconds: number): void {
    this.#ledger.extend(hold, milliseconds);
    this.#schedule();
  }

  /** Sends what is gathered. */
  flush(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#soon = false;
    if (this.#over || this.#leaving) return;
    while (this.#ledger.ready || this.#options.account.due) if (!this.#send(null)) return;
  }

  /** Settles what is gathered and leaves: the broker ends the stream. */
  leave(): void {
    this.flush();
    if (this.#over) return;
    this.#leaving = true;
    const settle = this.#ledger.take(this.#options.clock.now());
    this.#call.send(
      encodeConsumeRequest({ open: null, creditMessages: 0, creditBytes: 0, ...settle, leave: true }),
    );
  }

  /** Ends it at once; its listener hears nothing more. */
  cancel(): void {
    this.#stop();
    this.#call.cancel();
  }

  response(bytes: Buffer): void {
    if (this.#over) return;
    const response = this.#readable(() => decodeConsumeResponse(bytes));
    if (response !== null) this.#take(response);
  }

  ended(error: RefusalError | null): void {
    if (this.#over) return;
    this.#stop();
    this.#options.listener.ended(this, error);
  }

  /** A broker tells answers and events together, in their order, with or before the next messages. */
  #take(response: DecodedConsumeResponse): void {
    this.#settled(response);
    for (const event of response.events) this.#options.listener.event(this, event);
    // An event may have led to another stream in the place of this one.
    if (this.#over) return;
    if (response.runLengths.length > 0) {
      const runs = this.#readable(() => this.#runsOf(response));
      if (runs === null) return;
      this.#options.listener.delivered({ partition: response.partition, runs });
    }
    if (this.#ledger.ready) this.#schedule();
  }

  /** What is read; null, and the stream ends, when the bytes are not what they should be. */
  #readable<T>(read: () => T): T | null {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#call.cancel();
      const message = `a response of ${this.address} can not be read`;
      this.ended(new RefusalError('INTERNAL', message, { cause: error }));
      return null;
    }
  }

  #settled(response: DecodedConsumeResponse): void {
    const { settledRows, refusedRows, refusedCodes } = response;
    if (settledRows === 0 && refusedRows.length === 0) return;
    this.#ledger.answered(
      settledRows,
      refusedRows,
      refusedCodes,
      (sent) => this.#durable(sent),
      (sent, code) => this.#refused(sent, code),
    );
  }

  #durable({ hold, kind, sequence }: SentRow): void {
    if (kind === SETTLEMENT_KIND_EXTEND) return;
    if (kind !== SETTLEMENT_KIND_ACK) {
      if (hold.desk === this) this.#options.book.release(hold);
      return;
    }
    hold.durableTo = Math.max(hold.durableTo, sequence);
    hold.answered(sequence);
    // The broker ends a hold of which everything is settled; what comes later of the group has a token of its own.
    if (hold.ackedTo >= hold.last && !hold.ended && hold.desk === this) this.#options.book.release(hold);
  }

  #refused(sent: SentRow, code: string): void {
    const { hold, kind, sequence, milliseconds, reason } = sent;
    // Where the hold has moved, the acknowledgement is sent again when it is held again; where it was lost, that was told.
    const gone = hold.desk !== this && (kind === SETTLEMENT_KIND_ACK || kind === SETTLEMENT_KIND_EXTEND);
    if (gone || code === 'NOT_LEADER') return;
    if (code !== 'OVERLOADED') {
      this.#options.listener.refused(sent, code);
      return;
    }
    this.#options.clock.schedule(OVERLOAD_PAUSE_MILLISECONDS, () => {
      if (hold.desk !== this || this.#over) return;
      if (kind === SETTLEMENT_KIND_EXTEND) this.extend(hold, milliseconds);
      else if (kind !== SETTLEMENT_KIND_ACK) this.failed(hold, { kind, sequence, milliseconds, reason });
      else {
        hold.ackSent = Math.min(hold.ackSent, hold.ackedTo);
        if (!hold.dirty) this.changed(hold);
        hold.dirty = true;
      }
    });
  }

  #runsOf(response: DecodedConsumeResponse): DeliveredRun[] {
    const { book, topic, clock, account } = this.#options;
    const { partition, tokenEpoch, runLengths, holdMilliseconds } = response;
    const now = clock.now();
    const runs: DeliveredRun[] = [];
    const messages = response.messageStarts.length;
    account.received(messages, bytesOf(response, 0, messages));
    let row = 0;
    for (let run = 0; run < runLengths.length; run++) {
      const counter = response.runTokenCounters[run] ?? 0;
      const first = response.runSequences[run] ?? 0;
      let hold = book.find(partition, tokenEpoch, counter);
      if (hold === undefined) {
        const life = response.runLives[run] ?? 0;
        hold = new Hold(topic, partition, groupAt(response, row), life, first, this.#onExpired);
        book.hold(hold, this, tokenEpoch, counter);
        // A hold that is given more is not renewed by that.
        hold.holdMilliseconds = holdMilliseconds;
        hold.renewed(now);
      }
      const length = runLengths[run] as number;
      if (row + length > messages) throw new RangeError(`run ${run} has fewer messages than ${length}`);
      hold.holdMilliseconds = holdMilliseconds;
      const delivered = new DeliveredRun(hold, response, run, row, account);
      hold.came(delivered);
      runs.push(delivered);
      row += length;
    }
    if (row !== messages) throw new RangeError(`${messages} messages in runs of ${row}`);
    return runs;
  }

  #schedule(): void {
    if (this.#over || this.#soon) return;
    const { clock, config } = this.#options;
    if (config.lingerMilliseconds === 0 || this.#ledger.gathered >= LINGER_ROWS_MAX) {
      this.#soon = true;
      clock.soon(() => {
        if (this.#soon) this.flush();
      });
    } else this.#cancelTimer ??= clock.schedule(config.lingerMilliseconds, () => this.flush());
  }

  /** False: there was nothing to send. */
  #send(open: ConsumeOpen | null): boolean {
    const { account, clock } = this.#options;
    const settle = this.#ledger.take(clock.now());
    const credit = account.due ? account.grant() : { messages: 0, bytes: 0 };
    const rows = settle.settleKinds.length;
    if (open === null && rows + credit.messages + credit.bytes === 0) return false;
    this.#call.send(
      encodeConsumeRequest({
        open,
        creditMessages: credit.messages,
        creditBytes: credit.bytes,
        ...settle,
        leave: false,
      }),
    );
    return true;
  }

  #stop(): void {
    this.#over = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#soon = false;
    this.#options.account.onDue = () => {};
  }
}
