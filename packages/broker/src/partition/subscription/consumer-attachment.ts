/** One consumer at this leader: its rows in order, what it is told and when. What its rows do to groups is the desk's business. */
import type { Clock } from '@seriatim/multiraft';
import { type ErrorCode, RefusalError } from '@seriatim/protocol';
import type {
  Attachment,
  ConsumerEvent,
  ConsumerIdentity,
  ConsumerSink,
  LastAnswers,
  SettlementColumns,
} from '../../consume-contracts.ts';
import { SETTLE_NACK, SETTLE_REJECT } from '../../consume-contracts.ts';
import { NumberQueue } from './number-queue.ts';

/** One settlement row; overwritten by the next one. */
export interface SettlementRow {
  number: number;
  kind: number;
  tokenEpoch: number;
  tokenCounter: number;
  sequence: number;
  milliseconds: number;
  reason: string;
}

/** What a row came to: a code refuses it, `null` accepts it, `later` waits until the group it names is found. */
export type SettlementResult = ErrorCode | null | 'later';

/** Who decides about rows and departures. */
export interface ConsumerDesk {
  settle(consumer: ConsumerAttachment, row: SettlementRow): SettlementResult;
  /** Rows were handled: they are answered with the next progress. */
  handled(consumer: ConsumerAttachment): void;
  creditGranted(): void;
  /** Resolves with true when everything it settled is durable. */
  detach(consumer: ConsumerAttachment, how: 'clean' | 'broken'): Promise<boolean>;
}

/** See the head of this file. */
export class ConsumerAttachment implements Attachment {
  readonly identity: ConsumerIdentity;
  readonly sink: ConsumerSink;
  readonly replaced: (reason: RefusalError) => void;
  /** Another one after a change of generation. */
  desk: ConsumerDesk | null = null;
  /** Groups it holds that have more for it. */
  readonly more: NumberQueue = new NumberQueue();
  /** Number of the last row handled, and how many were. */
  lastNumber = 0;
  rowsTaken = 0;
  /** Its attachment was answered. */
  attached = false;
  /** False before what it named is answered, and after it left. */
  active = false;
  #left = false;
  readonly #clock: Clock;
  readonly #unansweredMax: number;
  #answeredNumber = 0;
  #rowsAnswered = 0;
  // One row object, overwritten by each row, because rows come for each message.
  readonly #row: SettlementRow = {
    number: 0,
    kind: 0,
    tokenEpoch: 0,
    tokenCounter: 0,
    sequence: 0,
    milliseconds: 0,
    reason: '',
  };
  #deferred: SettlementRow[] = [];
  /** Last row that was refused because too many wait; decided when those before it are. */
  #refusedNumber = 0;
  #refused: number[] = [];
  #codes: ErrorCode[] = [];
  #tellScheduled = false;
  /** Events from before it was active. */
  readonly #early: ConsumerEvent[] = [];
  #waiting: ((durable: boolean) => void) | null = null;

  constructor(
    identity: ConsumerIdentity,
    sink: ConsumerSink,
    replaced: (reason: RefusalError) => void,
    clock: Clock,
    unansweredMax: number,
  ) {
    this.identity = identity;
    this.sink = sink;
    this.replaced = replaced;
    this.#clock = clock;
    this.#unansweredMax = unansweredMax;
  }

  /** Something may be delivered to it now. */
  get hasCredit(): boolean {
    const { sink } = this;
    return this.active && sink.writable && sink.creditMessages > 0 && sink.creditBytes > 0;
  }

  get hasDeferred(): boolean {
    return this.#deferred.length > 0;
  }

  creditGranted(): void {
    if (!this.#left) this.desk?.creditGranted();
  }

  settle(columns: SettlementColumns): void {
    if (this.#left) return;
    const row = this.#row;
    let reasonAt = 0;
    for (let at = 0; at < columns.rows; at++) {
      const kind = columns.kinds[at] as number;
      row.number = columns.numbers[at] as number;
      row.kind = kind;
      row.tokenEpoch = columns.tokenEpochs[at] as number;
      row.tokenCounter = columns.tokenCounters[at] as number;
      row.sequence = columns.sequences[at] as number;
      row.milliseconds = columns.milliseconds[at] as number;
      row.reason = kind === SETTLE_NACK || kind === SETTLE_REJECT ? (columns.reasons[reasonAt++] ?? '') : '';
      this.#take(row);
    }
    this.desk?.handled(this);
  }

  /** Handles rows that waited until a group was found. */
  retryDeferred(): void {
    const waiting = this.#deferred;
    const before = this.rowsTaken;
    this.#deferred = [];
    for (const row of waiting) this.#take(row);
    if (this.#deferred.length === 0) this.lastNumber = Math.max(this.lastNumber, this.#refusedNumber);
    if (this.rowsTaken > before) this.desk?.handled(this);
  }

  /** Rows up to this one are durable or refused. */
  answered(number: number, rows: number): void {
    if (number <= this.#answeredNumber) return;
    this.#answeredNumber = number;
    this.#rowsAnswered = rows;
    if (number >= this.lastNumber) this.#waiting?.(true);
    this.#tellSoon();
  }

  /** Tells an event after what runs now, and not before what it named is answered. */
  event(event: ConsumerEvent): void {
    this.#clock.soon(() => {
      if (this.#left) return;
      if (this.active) this.sink.event(event);
      else this.#early.push(event);
    });
  }

  /** What it named is answered: events and deliveries may come. */
  activate(): void {
    this.active = true;
    for (const event of this.#early.splice(0)) this.sink.event(event);
  }

  async detach(how: 'clean' | 'broken'): Promise<LastAnswers> {
    // What waits until its group is found is not settled: it is delivered again.
    for (const row of this.#deferred) this.#note(row.number, 'HOLD_LOST');
    const answers = { refused: this.#refused, codes: this.#codes };
    if (this.#left) return { durable: false, ...answers };
    this.close();
    return { durable: (await this.desk?.detach(this, how)) === true, ...answers };
  }

  /** Resolves with true when every row taken is durable or refused, with false when that will not be known here. */
  whenAnswered(): Promise<boolean> {
    if (this.#answeredNumber >= this.lastNumber) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** Rows not answered yet are not answered here any more. */
  forsake(): void {
    this.#waiting?.(false);
  }

  /** Nothing is told any more. */
  close(): void {
    this.#left = true;
    this.active = false;
    this.#deferred = [];
  }

  #take(row: SettlementRow): void {
    if (this.#deferred.length > 0) {
      this.#defer(row);
      return;
    }
    const result = this.#overloaded() ? 'OVERLOADED' : (this.desk?.settle(this, row) ?? null);
    if (result === 'later') {
      this.#defer(row);
      return;
    }
    this.lastNumber = row.number;
    this.rowsTaken++;
    if (result !== null) this.#refuse(row.number, result);
  }

  /** Rows are handled in order, so those behind one that waits do as well. */
  #defer(row: SettlementRow): void {
    if (this.#deferred.length + this.rowsTaken - this.#rowsAnswered >= this.#unansweredMax) {
      this.#refusedNumber = row.number;
      this.#refuse(row.number, 'OVERLOADED');
    } else {
      this.#deferred.push({ ...row });
    }
  }

  #overloaded(): boolean {
    return this.rowsTaken - this.#rowsAnswered >= this.#unansweredMax;
  }

  #refuse(number: number, code: ErrorCode): void {
    this.#note(number, code);
    this.#tellSoon();
  }

  #note(number: number, code: ErrorCode): void {
    this.#refused.push(number);
    this.#codes.push(code);
  }

  #tellSoon(): void {
    if (this.#tellScheduled) return;
    this.#tellScheduled = true;
    this.#clock.soon(() => {
      this.#tellScheduled = false;
      const refused = this.#refused;
      const codes = this.#codes;
      this.#refused = [];
      this.#codes = [];
      if (!this.#left) this.sink.settled(this.#answeredNumber, refused, codes);
    });
  }
}

/** No more consumers fit. */
export function tooMany(max: number): RefusalError {
  return new RefusalError(
    'TOO_MANY_CONSUMERS',
    `${max} consumers of this subscription are attached here, the limit; close some`,
  );
}

/** Its desk ended before it was attached. */
export function attachingLost(): RefusalError {
  return new RefusalError('NOT_LEADER', 'leadership was lost while the consumer was attached');
}
