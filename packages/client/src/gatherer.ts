import type { SeriatimError } from './error.ts';
import type { OrderedMessage, Receipt } from './message.ts';
import type { ClientClock } from './ports.ts';
import type { SendCall } from './send-call.ts';

/** How long single messages are gathered; whichever limit is reached first sends them on. */
export interface LingerLimits {
  /** 0: what comes in one turn of the event loop goes together. Longer waits make larger batches at low rates. */
  readonly lingerMilliseconds: number;
  readonly lingerMessagesMax: number;
  /** About. */
  readonly lingerBytesMax: number;
}

/** Messages of one topic that go together. */
export interface Gathered {
  readonly topic: string;
  readonly messages: OrderedMessage[];
  readonly waiters: {
    readonly resolve: (receipt: Receipt) => void;
    readonly reject: (error: unknown) => void;
  }[];
  bytes: number;
  cancel: () => void;
}

/**
 * Makes one call of many single messages: a call each would cost more than their sending. While a group has something under way its
 * messages gather further, in its lane.
 */
export class Gatherer {
  readonly #limits: LingerLimits;
  readonly #clock: ClientClock;
  readonly #send: (gathered: Gathered) => void;
  readonly #open = new Map<string, Gathered>();

  /** `send` enters a call; what it throws fails the messages. */
  constructor(limits: LingerLimits, clock: ClientClock, send: (gathered: Gathered) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#send = send;
  }

  add(topic: string, message: OrderedMessage, bytes: number): Promise<Receipt> {
    const gathered = this.#open.get(topic) ?? this.#begin(topic);
    return new Promise((resolve, reject) => {
      gathered.messages.push(message);
      gathered.waiters.push({ resolve, reject });
      gathered.bytes += bytes;
      const { lingerMessagesMax, lingerBytesMax } = this.#limits;
      if (gathered.messages.length >= lingerMessagesMax || gathered.bytes >= lingerBytesMax)
        this.flush(topic);
    });
  }

  /** Sends what a topic has gathered: a call that comes now must not overtake it. */
  flush(topic: string): void {
    const gathered = this.#open.get(topic);
    if (gathered === undefined) return;
    this.#open.delete(topic);
    gathered.cancel();
    try {
      this.#send(gathered);
    } catch (error) {
      for (const { reject } of gathered.waiters) reject(error);
    }
  }

  flushAll(): void {
    for (const topic of [...this.#open.keys()]) this.flush(topic);
  }

  #begin(topic: string): Gathered {
    const gathered: Gathered = { topic, messages: [], waiters: [], bytes: 0, cancel: () => {} };
    this.#open.set(topic, gathered);
    const flush = (): void => {
      if (this.#open.get(topic) === gathered) this.flush(topic);
    };
    const { lingerMilliseconds } = this.#limits;
    if (lingerMilliseconds === 0) this.#clock.soon(flush);
    else gathered.cancel = this.#clock.schedule(lingerMilliseconds, flush);
    return gathered;
  }
}

/** Settles the waiters of gathered messages, each as soon as its message is. */
export const settling =
  ({ waiters }: Gathered) =>
  (call: SendCall, index: number, error: SeriatimError | null): void => {
    const waiter = waiters[index];
    if (error !== null) waiter?.reject(error);
    else waiter?.resolve(call.at(index) as Receipt);
  };
