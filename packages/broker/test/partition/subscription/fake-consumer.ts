/** A consumer as the front door would be one: takes deliveries apart, settles, remembers what it was told. */
import type { ErrorCode, RefusalError } from '@seriatim/protocol';
import {
  type Attachment,
  type ConsumerEvent,
  type ConsumerSink,
  type Delivery,
  type HoldLossReason,
  type ResumedHold,
  SETTLE_ACK,
  SETTLE_EXTEND,
  SETTLE_NACK,
  SETTLE_REJECT,
} from '../../../src/consume-contracts.ts';
import type { Partition } from '../../../src/contracts.ts';
import type { SubscriptionId } from '../../../src/subscription-contracts.ts';
import { contents } from '../batches.ts';

/** One message as it was delivered. */
export interface Delivered {
  readonly content: string;
  readonly offset: number;
  readonly sequence: number;
  readonly life: number;
  readonly attempts: number;
  readonly epoch: number;
  readonly counter: number;
}

export class FakeConsumer implements ConsumerSink {
  creditMessages = 1_000;
  creditBytes = 1_000_000;
  writable = true;
  readonly name: string;
  readonly session: string;
  attachment: Attachment | null = null;
  /** Everything ever delivered, and what of it is not settled by this consumer. */
  readonly all: Delivered[] = [];
  open: Delivered[] = [];
  readonly events: ConsumerEvent[] = [];
  answered = 0;
  /** Refused rows with their codes. */
  readonly refused = new Map<number, ErrorCode>();
  replacedBy: RefusalError | null = null;
  onDelivered: (messages: readonly Delivered[]) => void = () => {};
  #row = 0;

  constructor(name: string, session: string = `session-${name}`) {
    this.name = name;
    this.session = session;
  }

  async attach(
    partition: Partition,
    subscription = 1,
    resumed: readonly ResumedHold[] | null = [],
  ): Promise<this> {
    this.attachment = await partition.dispatch.attach(
      { subscription: subscription as SubscriptionId, consumer: this.name, session: this.session },
      this,
      resumed,
      (reason) => {
        this.replacedBy = reason;
      },
    );
    return this;
  }

  deliver(delivery: Delivery): void {
    this.creditMessages -= delivery.messages;
    this.creditBytes -= delivery.bodyBytes;
    const found = contents(delivery.body);
    const messages: Delivered[] = [];
    delivery.runLengths.forEach((length, run) => {
      for (let at = 0; at < length; at++) {
        messages.push({
          content: found.shift() ?? '',
          offset: (delivery.runOffsets[run] ?? -1) + at,
          sequence: (delivery.runSequences[run] ?? -1) + at,
          life: delivery.runLives[run] ?? -1,
          attempts: at === 0 ? (delivery.runAttempts[run] ?? 0) : 1,
          epoch: delivery.tokenEpoch,
          counter: delivery.runTokenCounters[run] ?? 0,
        });
      }
    });
    if (found.length > 0 || messages.length !== delivery.messages)
      throw new Error('delivery does not add up');
    this.all.push(...messages);
    this.open.push(...messages);
    this.onDelivered(messages);
  }

  settled(row: number, refused: readonly number[], codes: readonly ErrorCode[]): void {
    if (row < this.answered) throw new Error(`settled went back from ${this.answered} to ${row}`);
    this.answered = row;
    refused.forEach((number, at) => {
      this.refused.set(number, codes[at] ?? 'INTERNAL');
    });
  }

  event(event: ConsumerEvent): void {
    this.events.push(event);
  }

  /** Rows not answered yet. */
  get unanswered(): number {
    return this.#row - this.answered;
  }

  grant(messages: number, bytes = messages * 1_000): void {
    this.creditMessages += messages;
    this.creditBytes += bytes;
    this.attachment?.creditGranted();
  }

  /** Acknowledges this message and those before it in its group; returns the row's number. */
  ack(message: Delivered): number {
    this.open = this.open.filter(
      (other) => other.counter !== message.counter || other.sequence > message.sequence,
    );
    return this.#settle(SETTLE_ACK, message);
  }
  ackAll(): void {
    for (const message of [...this.open]) this.ack(message);
  }
  nack(message: Delivered, milliseconds = 0, reason = 'failed'): number {
    this.open = this.open.filter((other) => other.counter !== message.counter);
    return this.#settle(SETTLE_NACK, message, milliseconds, reason);
  }
  reject(message: Delivered, reason = 'bad'): number {
    this.open = this.open.filter((other) => other.counter !== message.counter);
    return this.#settle(SETTLE_REJECT, message, 0, reason);
  }
  extend(message: Delivered, milliseconds = 0): number {
    return this.#settle(SETTLE_EXTEND, { ...message, sequence: 0 }, milliseconds);
  }

  /** What it would name when it comes back. */
  holds(): ResumedHold[] {
    const held = new Map<number, ResumedHold>();
    for (const message of this.open) {
      const head = held.get(message.counter);
      held.set(message.counter, {
        group: groupOf(message),
        life: message.life,
        tokenEpoch: message.epoch,
        tokenCounter: message.counter,
        lastSequence: message.sequence,
        headOffset: head?.headOffset ?? message.offset,
        headAttempt: head?.headAttempt ?? message.attempts,
        settledSequence: 0,
      });
    }
    return [...held.values()];
  }

  lost(): readonly HoldLossReason[] {
    return this.events.flatMap((event) => (event.type === 'hold-lost' ? [event.reason] : []));
  }

  /** Contents of everything delivered, in order. */
  contents(): string[] {
    return this.all.map((message) => message.content);
  }

  #settle(kind: number, message: Delivered, milliseconds = 0, reason: string | null = null): number {
    const number = ++this.#row;
    this.attachment?.settle({
      rows: 1,
      numbers: [number],
      kinds: [kind],
      tokenEpochs: [message.epoch],
      tokenCounters: [message.counter],
      sequences: [message.sequence],
      milliseconds: [milliseconds],
      reasons: reason === null ? [] : [reason],
    });
    return number;
  }
}

/** Tests name their values `:…`, so the group is what lies before. */
export function groupOf(message: Delivered): string {
  return message.content.split(':')[0] ?? '';
}
