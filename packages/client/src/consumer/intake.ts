import type { ClientClock } from '../ports.ts';
import type { Delivery } from './delivery.ts';

/** What came and was not taken, in order of arrival: bounded by the credit that was granted. One taker at a time. */
export class Intake {
  readonly #clock: ClientClock;
  #queue: Delivery[] = [];
  #head = 0;
  #wakers: (() => void)[] = [];
  #over = false;
  #takenAt: number;

  constructor(clock: ClientClock) {
    this.#clock = clock;
    this.#takenAt = clock.now();
  }

  /** When the application took something last, or began to; monotonic milliseconds. */
  get takenAt(): number {
    return this.#takenAt;
  }

  /** The application takes a message, or asks for one. Returns the time, monotonic milliseconds. */
  touch(): number {
    this.#takenAt = this.#clock.now();
    return this.#takenAt;
  }

  /** No more is given, whatever is left. */
  get over(): boolean {
    return this.#over;
  }

  put(delivery: Delivery): void {
    this.#queue.push(delivery);
    this.wakeUp();
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
      const now = this.touch();
      if (delivery.runs.some((run) => run.left > 0)) return delivery;
      // Their holds have ended: this gives the credit back.
      for (const run of delivery.runs) run.take(now);
    }
    return null;
  }

  /** What its taker left is the next one's. */
  putBack(delivery: Delivery): void {
    this.#queue = [delivery, ...this.#queue.slice(this.#head)];
    this.#head = 0;
  }

  /** Calls `wake` once, when something comes, it is over, or {@link wakeUp} is called. */
  onArrival(wake: () => void): void {
    this.#wakers.push(wake);
  }

  close(): void {
    this.#over = true;
    this.wakeUp();
  }

  /** Has everybody who waits look again. */
  wakeUp(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }
}
