import type { MessageContent } from '@seriatim/protocol';
import type { SeriatimError } from './error.ts';
import type { Receipt } from './message.ts';

const PENDING = 0;
const STORED = 1;
const DUPLICATE = 2;
const FAILED = 3;

/** A message of a call that failed. */
export interface SendFailure {
  /** Index in the call's messages. */
  readonly index: number;
  readonly error: SeriatimError;
}

/** What became of the messages of one call, in their order. Kept in columns: an object a message would cost more than its sending. */
export class SendResult implements Iterable<Receipt | SeriatimError> {
  readonly #call: SendCall;

  constructor(call: SendCall) {
    this.#call = call;
  }

  /** Messages of the call. */
  get length(): number {
    return this.#call.messages.length;
  }

  /** Messages that are stored, duplicates included. */
  get stored(): number {
    return this.length - this.#call.failures.length;
  }

  /** Messages that an earlier attempt had stored. */
  get duplicates(): number {
    return this.#call.duplicates;
  }

  /** The messages that are not stored, or of which that is unknown. */
  get failures(): readonly SendFailure[] {
    return this.#call.failures;
  }

  /** The receipt of the message at `index`, or its error. */
  at(index: number): Receipt | SeriatimError {
    return this.#call.at(index);
  }

  /** The receipt of the message at `index`; throws its error where it has none. */
  receipt(index: number): Receipt {
    const result = this.#call.at(index);
    if (result instanceof Error) throw result;
    return result;
  }

  *[Symbol.iterator](): Iterator<Receipt | SeriatimError> {
    for (let index = 0; index < this.length; index++) yield this.#call.at(index);
  }
}

/** What a call brings. */
export interface SendOrder {
  readonly topic: string;
  readonly messages: readonly MessageContent[];
  /** Each message's group, or one for all. */
  readonly groups: string | readonly { readonly messageGroup: string }[];
  /** Monotonic milliseconds. */
  readonly deadline: number;
  readonly timeoutMilliseconds: number;
  /** About; for the producer's memory limit. */
  readonly bytes: number;
  /** The group's last sequence, as the caller believes; only with one group. Undefined: any. */
  readonly expectedSequence?: number | undefined;
  /** Told of each message as it is settled, before the call as a whole is. */
  readonly onSettled?: ((call: SendCall, index: number, error: SeriatimError | null) => void) | undefined;
}

/** One call of a send method while it is under way. Its messages are linked into chains, one chain a group. */
export class SendCall {
  readonly order: SendOrder;
  readonly messages: readonly MessageContent[];
  /** Of each message the next one of the same group in this call; only meaningful inside a chain. */
  readonly next: number[];
  readonly result: Promise<SendResult>;
  readonly failures: SendFailure[] = [];
  duplicates = 0;
  /** Why it is given up: its deadline or its signal. */
  abandoned: SeriatimError | null = null;
  readonly #status: number[];
  readonly #partitions: number[];
  readonly #offsets: number[];
  readonly #sequences: number[];
  #pending: number;
  #resolve: (result: SendResult) => void = () => {};

  constructor(order: SendOrder) {
    this.order = order;
    this.messages = order.messages;
    const count = order.messages.length;
    this.next = new Array<number>(count).fill(-1);
    this.#status = new Array<number>(count).fill(PENDING);
    this.#partitions = new Array<number>(count).fill(0);
    this.#offsets = new Array<number>(count).fill(0);
    this.#sequences = new Array<number>(count).fill(0);
    this.#pending = count;
    this.result = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get settled(): boolean {
    return this.#pending === 0;
  }

  stored(index: number, partition: number, offset: number, sequence: number, duplicate: boolean): void {
    this.#status[index] = duplicate ? DUPLICATE : STORED;
    this.#partitions[index] = partition;
    this.#offsets[index] = offset;
    this.#sequences[index] = sequence;
    if (duplicate) this.duplicates++;
    this.#pending--;
    this.order.onSettled?.(this, index, null);
  }

  failed(index: number, error: SeriatimError): void {
    this.#status[index] = FAILED;
    this.failures.push({ index, error });
    this.#pending--;
    this.order.onSettled?.(this, index, error);
  }

  /** Answers the caller. The producer calls it once, when nothing is pending. */
  finish(): void {
    if (this.failures.length > 1) this.failures.sort((a, b) => a.index - b.index);
    this.#resolve(new SendResult(this));
  }

  at(index: number): Receipt | SeriatimError {
    const status = this.#status[index];
    if (status === undefined) throw new RangeError(`message ${index} of ${this.messages.length}`);
    if (status === FAILED) {
      return this.#failure(index);
    }
    return {
      partition: this.#partitions[index] as number,
      offset: this.#offsets[index] as number,
      sequence: this.#sequences[index] as number,
      duplicate: status === DUPLICATE,
    };
  }

  /** `failures` is sorted once the call is finished. */
  #failure(index: number): SeriatimError {
    let low = 0;
    let high = this.failures.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.failures[middle] as SendFailure).index < index) low = middle + 1;
      else high = middle;
    }
    return (this.failures[low] as SendFailure).error;
  }
}
