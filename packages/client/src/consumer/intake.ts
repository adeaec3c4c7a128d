import type { ClientClock } from '../ports.ts';
import type { Delivery } from './delivery.ts';

/** What came and was not taken, in order of arrival: bounded by the credit that was granted. One taker at a time. */
export class Intake {
  readonly #clock: ClientClock;
  #queue: Delivery[] = [];
  #head = 0;
  #wake: (() => void) | null = null;
  #over = false;
  /** Monotonic milliseconds. */
  takenAt: number;

  constructor(clock: ClientClock) {
    this.#clock = clock;
    this.takenAt = clock.now();
  }

  /** No more is given, whatever is left. */
  get over(): boolean {
    return this.#over;
  }

  put(delivery: Delivery): void {
    this.#queue.push(delivery);
    this.#wakeUp();
  }

  /** The next delivery that still has messages; null: nothing is there. */
  take(): Delivery | null {
    while (!this.#over && this.#head < this.#queue.length) {
      const delivery = this.#queue[this.#head++] as Delivery;
      if (this.#head === this.#queue.length) {
        this.#queue = [];
        this.#head = 0;
      } else if (this.#head > 1024) {
        this.#queue = this.#queue.slice(this.#head);
        this.#head = 0;
      }
      this.takenAt = this.#clock.now();
      if (delivery.runs.some((run) => run.left > 0)) return delivery;
      // Their holds have ended: this gives the credit back.
      for (const run of delivery.runs) run.take();
    }
    return null;
  }

  /** What its taker left is the next one's. */
  putBack(delivery: Delivery): void {
    this.#queue = [delivery, ...this.#queue.slice(this.#head)];
    this.#head = 0;
  }

  /** Calls `wake` once, when something comes or it is over. */
  onArrival(wake: () => void): void {
    this.#wake = wake;
  }

  close(): void {
    this.#over = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}
