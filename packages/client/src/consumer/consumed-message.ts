import type { Buffer } from 'node:buffer';
import {
  type DecodedMessage,
  decodeMessage,
  type Header,
  SETTLEMENT_KIND_NACK,
  SETTLEMENT_KIND_REJECT,
} from '@seriatim/protocol';
import type { StoredMessage } from '../record.ts';
import type { DeliveredRun } from './delivery.ts';
import type { HoldToken } from './hold.ts';
import { extension, nackDelay, reasonOf } from './settlement-input.ts';

/** How a message failed. */
export interface NackOptions {
  /** Milliseconds until it is delivered again, whole, 0 to 86,400,000. Default: the subscription's back-off. */
  readonly delay?: number | undefined;
  /** For people; cut to 1,024 bytes of UTF-8. */
  readonly reason?: string | undefined;
}

/** A message with the right to settle it. Its content is read from the response's bytes when first asked for. */
export class ConsumedMessage implements StoredMessage {
  readonly #run: DeliveredRun;
  readonly #step: number;
  #content: DecodedMessage | null = null;

  constructor(run: DeliveredRun, step: number) {
    this.#run = run;
    this.#step = step;
  }

  get topic(): string {
    return this.#run.hold.topic;
  }

  get partition(): number {
    return this.#run.hold.partition;
  }

  get group(): string {
    return this.#run.hold.group;
  }

  get life(): number {
    return this.#run.hold.life;
  }

  get offset(): number {
    return this.#run.offset + this.#step;
  }

  get sequence(): number {
    return this.#run.sequence + this.#step;
  }

  /** 1, or more when it failed before. */
  get attempt(): number {
    return this.#step === 0 ? this.#run.attempt : 1;
  }

  get timestamp(): number {
    return this.#run.timestamp;
  }

  /**
   * For what the handler writes elsewhere: refuse a write whose token is lower than one seen for the group. It rises when the hold goes on at another
   * leader, so read it when it is used.
   */
  get token(): HoldToken {
    const { tokenEpoch, tokenCounter } = this.#run.hold;
    return { epoch: tokenEpoch, counter: tokenCounter };
  }

  /** Aborts when the hold ends before the message is settled: then another consumer may get it, and settling it does nothing. */
  get signal(): AbortSignal {
    return this.#run.hold.signal;
  }

  /** It is acknowledged, or its hold has ended. */
  get settled(): boolean {
    const { hold } = this.#run;
    return hold.ended || hold.ackTo >= this.sequence;
  }

  get key(): Buffer {
    return this.#decoded().key;
  }

  get value(): Buffer {
    return this.#decoded().value;
  }

  get headers(): readonly Header[] {
    return this.#decoded().headers;
  }

  get producerTimestamp(): number {
    return this.#decoded().producerTimestamp;
  }

  /**
   * This message and all before it in its group are done. Gathered and sent soon; {@link Consumer.flush} waits for the answer. False: the hold is
   * lost, so that nothing is settled.
   */
  ack(): boolean {
    return this.#run.hold.ack(this.sequence);
  }

  /**
   * The message, its group's first that is not settled, failed: after the delay it is delivered again with those behind it, to whichever
   * consumer. False: the hold is lost. Throws SETTLEMENT_OUT_OF_ORDER when an earlier one of its group is not settled, and INVALID_ARGUMENT.
   */
  nack(options: NackOptions = {}): boolean {
    const { delay, reason = '' } = options;
    return this.#run.hold.fail({
      kind: SETTLEMENT_KIND_NACK,
      sequence: this.sequence,
      milliseconds: nackDelay(delay),
      reason: reasonOf(reason),
    });
  }

  /** As {@link nack}, for good: the subscription's poison policy applies at once. */
  reject(reason = ''): boolean {
    const { sequence } = this;
    const kind = SETTLEMENT_KIND_REJECT;
    return this.#run.hold.fail({ kind, sequence, milliseconds: 0, reason: reasonOf(reason) });
  }

  /**
   * Keeps the hold for at least that long from now, whole, 1 to 3,600,000 milliseconds; 0: the subscription's hold. False: it is lost. Throws
   * INVALID_ARGUMENT.
   */
  extend(milliseconds = 0): boolean {
    return this.#run.hold.extend(extension(milliseconds));
  }

  #decoded(): DecodedMessage {
    if (this.#content === null) {
      const { bytes, messageStarts, messageEnds } = this.#run.response;
      const row = this.#run.row + this.#step;
      this.#content = decodeMessage(bytes, messageStarts[row] as number, messageEnds[row] as number);
    }
    return this.#content;
  }
}
