/** Messages of one response on their way to the application: an object a run, and one a message only when it is taken. */
import { type DecodedConsumeResponse, varintSize, WireReader } from '@seriatim/protocol';
import { ConsumedMessage } from './consumed-message.ts';
import type { CreditAccount } from './credit.ts';
import type { Hold } from './hold.ts';

/** A run of one group. */
export class DeliveredRun {
  readonly hold: Hold;
  readonly response: DecodedConsumeResponse;
  /** Of its first message in the response. */
  readonly row: number;
  readonly length: number;
  readonly offset: number;
  readonly sequence: number;
  readonly attempt: number;
  readonly timestamp: number;
  /** What came after it with the same hold. */
  next: DeliveredRun | null = null;
  readonly #account: CreditAccount;
  #next = 0;
  #released = false;

  constructor(
    hold: Hold,
    response: DecodedConsumeResponse,
    run: number,
    row: number,
    account: CreditAccount,
  ) {
    this.hold = hold;
    this.response = response;
    this.row = row;
    this.length = response.runLengths[run] as number;
    this.offset = response.runOffsets[run] ?? 0;
    this.sequence = response.runSequences[run] ?? 0;
    this.attempt = response.runAttempts[run] ?? 1;
    this.timestamp = response.runTimestampsMs[run] ?? 0;
    this.#account = account;
    hold.queued += this.length;
  }

  get lastSequence(): number {
    return this.sequence + this.length - 1;
  }

  /** Messages that are not taken. */
  get left(): number {
    return this.hold.ended ? 0 : this.length - this.#next;
  }

  /**
   * The next message; null: all are taken, or the hold has ended and they are dropped. `now`, monotonic milliseconds: a process that stood still
   * finds by it that the time of its hold is over before the broker's word of that is read.
   */
  take(now: number): ConsumedMessage | null {
    if (this.left > 0 && this.hold.isOver(now)) this.hold.expire();
    if (this.left === 0) {
      this.#release();
      return null;
    }
    const message = new ConsumedMessage(this, this.#next++);
    this.hold.queued--;
    if (this.#next === this.length) this.#release();
    return message;
  }

  #release(): void {
    if (this.#released) return;
    this.#released = true;
    this.hold.queued -= this.length - this.#next;
    this.#account.released(this.length, bytesOf(this.response, this.row, this.length));
  }
}

/** Runs of one response, in its order. */
export interface Delivery {
  readonly partition: number;
  readonly runs: readonly DeliveredRun[];
}

/** Bytes of messages as credit counts them: with the tag and length of each, as they lie in the response. */
export function bytesOf(response: DecodedConsumeResponse, row: number, count: number): number {
  let bytes = 0;
  for (let at = row; at < row + count; at++) {
    const size = (response.messageEnds[at] as number) - (response.messageStarts[at] as number);
    bytes += size + 1 + (size < 128 ? 1 : varintSize(size));
  }
  return bytes;
}

/** Field `message_group`, a string, of a Message. */
const GROUP_TAG = 0x1a;

/** The group of the message at a row of a response. */
export function groupAt(response: DecodedConsumeResponse, row: number): string {
  const { bytes, messageStarts, messageEnds } = response;
  const reader = new WireReader(bytes, messageStarts[row] as number, messageEnds[row] as number);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === GROUP_TAG) return reader.string();
    reader.skip(tag & 7);
  }
  return '';
}
