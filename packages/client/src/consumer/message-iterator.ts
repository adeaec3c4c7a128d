import type { SeriatimError } from '../error.ts';
import type { ConsumedMessage } from './consumed-message.ts';
import type { Delivery } from './delivery.ts';
import type { Intake } from './intake.ts';

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };

/** Takes from the intake for one loop. `take` gives null where it has to wait. */
export abstract class TakingIterator<T> implements AsyncIterableIterator<T, undefined> {
  protected readonly intake: Intake;
  readonly #failure: () => SeriatimError | null;
  readonly #onReturn: () => void;
  #over = false;

  constructor(intake: Intake, failure: () => SeriatimError | null, onReturn: () => void) {
    this.intake = intake;
    this.#failure = failure;
    this.#onReturn = onReturn;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#over) return Promise.resolve(DONE);
    const value = this.intake.over ? null : this.take();
    if (value !== null) return Promise.resolve({ done: false, value });
    return this.#later();
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (!this.#over) {
      this.#over = true;
      this.leave();
      this.#onReturn();
      this.intake.wakeUp();
    }
    return Promise.resolve(DONE);
  }

  /** The next item that is there. */
  protected abstract take(): T | null;
  /** Gives back what is not taken. */
  protected abstract leave(): void;

  async #later(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      if (this.#over) return DONE;
      if (this.intake.over) {
        const error = this.#failure();
        await this.return();
        if (error !== null) throw error;
        return DONE;
      }
      await new Promise<void>((resolve) => this.intake.onArrival(resolve));
      const value = this.#over || this.intake.over ? null : this.take();
      if (value !== null) return { done: false, value };
    }
  }
}

/** One message after the other. Inside a delivery nothing is waited for. */
export class MessageIterator extends TakingIterator<ConsumedMessage> {
  #delivery: Delivery | null = null;
  #run = 0;

  protected override take(): ConsumedMessage | null {
    for (;;) {
      this.#delivery ??= this.intake.take();
      if (this.#delivery === null) return null;
      const { runs } = this.#delivery;
      while (this.#run < runs.length) {
        const message = runs[this.#run]?.take(this.intake.touch()) ?? null;
        if (message !== null) return message;
        this.#run++;
      }
      this.#delivery = null;
      this.#run = 0;
    }
  }

  protected override leave(): void {
    if (this.#delivery !== null) this.intake.putBack(this.#delivery);
    this.#delivery = null;
  }
}

/** Messages of one partition that came together, group by group. */
export class ConsumedBatch implements Iterable<ConsumedMessage> {
  readonly partition: number;
  readonly messages: readonly ConsumedMessage[];
  readonly #delivery: Delivery;

  /** `now`: monotonic milliseconds. */
  constructor(delivery: Delivery, now: number) {
    const messages: ConsumedMessage[] = [];
    for (const run of delivery.runs) {
      for (let message = run.take(now); message !== null; message = run.take(now)) messages.push(message);
    }
    this.partition = delivery.partition;
    this.messages = messages;
    this.#delivery = delivery;
  }

  [Symbol.iterator](): Iterator<ConsumedMessage> {
    return this.messages[Symbol.iterator]();
  }

  /** All of them are done, and whatever came before them in their groups: one step a group instead of one a message. */
  ack(): void {
    for (const run of this.#delivery.runs) run.hold.ack(run.lastSequence);
  }
}

/** One delivery after the other. */
export class BatchIterator extends TakingIterator<ConsumedBatch> {
  protected override take(): ConsumedBatch | null {
    const delivery = this.intake.take();
    return delivery === null ? null : new ConsumedBatch(delivery, this.intake.touch());
  }

  protected override leave(): void {}
}
