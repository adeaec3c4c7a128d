/** What a consumer's stream is told: deliveries at once, and beside or between them the answers to settlements and the events gathered. */
import type { Clock } from '@seriatim/multiraft';
import {
  CONSUME_EVENT_KIND_FELL_BEHIND,
  CONSUME_EVENT_KIND_HELD,
  CONSUME_EVENT_KIND_HOLD_LOST,
  CONSUME_EVENT_KIND_LEADER_CHANGED,
  type ConsumeColumns,
  type ConsumeEvent,
  encodeConsumeResponse,
} from '@seriatim/protocol';
import type { ConsumerEvent, Delivery } from '../consume-contracts.ts';
import { SettlementAnswers } from './settlement-answers.ts';

/** What a consumer is told through. */
export interface ConsumeWire {
  /** False: full until the session's `drained` is called. */
  write(bytes: Buffer): boolean;
  /** Ends the stream, in order with null, else with why. Called once; nothing is written afterwards. */
  end(refusal: unknown): void;
}

type DeliveryColumns = Omit<ConsumeColumns, 'settledRows' | 'refusedRows' | 'refusedCodes' | 'events'>;

const NO_DELIVERY: DeliveryColumns = {
  partition: 0,
  runLengths: [],
  runOffsets: [],
  runSequences: [],
  runLives: [],
  runTimestampsMs: [],
  runAttempts: [],
  runTokenCounters: [],
  tokenEpoch: 0,
  holdMilliseconds: 0,
};
const NO_EVENT: ConsumeEvent = {
  kind: 0,
  partition: 0,
  group: '',
  life: 0,
  tokenEpoch: 0,
  tokenCounter: 0,
  firstSequence: 0,
  lastSequence: 0,
  leaderAddress: '',
  code: '',
};

/** See the head of this file. */
export class ConsumeResponses {
  readonly answers: SettlementAnswers = new SettlementAnswers();
  readonly #clock: Clock;
  readonly #wire: ConsumeWire;
  readonly #onRefused: (rows: number) => void;
  #events: ConsumeEvent[] = [];
  #scheduled = false;
  #over = false;
  /** The wire takes no more for now. */
  full = false;

  constructor(clock: Clock, wire: ConsumeWire, onRefused: (rows: number) => void) {
    this.#clock = clock;
    this.#wire = wire;
    this.#onRefused = onRefused;
  }

  deliver(partition: number, delivery: Delivery): void {
    const columns = {
      partition,
      runLengths: delivery.runLengths,
      runOffsets: delivery.runOffsets,
      runSequences: delivery.runSequences,
      runLives: delivery.runLives,
      runTimestampsMs: delivery.runTimestamps,
      runAttempts: delivery.runAttempts,
      runTokenCounters: delivery.runTokenCounters,
      tokenEpoch: delivery.tokenEpoch,
      holdMilliseconds: delivery.holdMilliseconds,
    };
    this.#write(columns, delivery.body);
  }

  /** An event with the fields that it has. */
  event(event: Partial<ConsumeEvent>): void {
    this.#events.push({ ...NO_EVENT, ...event });
    this.tellSoon();
  }

  /** What comes together is told together, when the events that are ready now are handled. */
  tellSoon(): void {
    if (this.#scheduled || this.#over) return;
    this.#scheduled = true;
    this.#clock.soon(() => {
      this.#scheduled = false;
      this.tell();
    });
  }

  /** Tells what is gathered now. */
  tell(): void {
    this.#write(NO_DELIVERY, []);
  }

  end(refusal: unknown): void {
    this.#over = true;
    this.#wire.end(refusal);
  }

  /** Writes a response with what there is to be told beside it; nothing at all is not written. */
  #write(columns: DeliveryColumns, body: readonly Uint8Array[]): void {
    if (this.#over) return;
    const answers = this.answers.tell();
    const events = this.#events;
    if (answers === null && events.length === 0 && body.length === 0) return;
    this.#events = [];
    const { settledRows, refusedRows, refusedCodes } = answers ?? NO_ANSWERS;
    if (refusedRows.length > 0) this.#onRefused(refusedRows.length);
    const bytes = encodeConsumeResponse({ ...columns, settledRows, refusedRows, refusedCodes, events }, body);
    if (!this.#wire.write(bytes)) this.full = true;
  }
}

const NO_ANSWERS = { settledRows: 0, refusedRows: [], refusedCodes: [] };

/** What a partition tells, as the consumer is told it. `leader` is where the partition's new leader is reached. */
export function consumeEvent(partition: number, event: ConsumerEvent, leader: string): Partial<ConsumeEvent> {
  switch (event.type) {
    case 'held': {
      const { group, life, tokenEpoch, tokenCounter } = event;
      return { kind: CONSUME_EVENT_KIND_HELD, partition, group, life, tokenEpoch, tokenCounter };
    }
    case 'hold-lost': {
      const { group, life, tokenEpoch, tokenCounter, reason } = event;
      const kind = CONSUME_EVENT_KIND_HOLD_LOST;
      return { kind, partition, group, life, tokenEpoch, tokenCounter, code: reason };
    }
    case 'fell-behind': {
      const { group, life, firstSequence, lastSequence } = event;
      const kind = CONSUME_EVENT_KIND_FELL_BEHIND;
      return { kind, partition, group, life, firstSequence, lastSequence };
    }
    case 'leadership-ended':
      return { kind: CONSUME_EVENT_KIND_LEADER_CHANGED, partition, leaderAddress: leader };
  }
}
