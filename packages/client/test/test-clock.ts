import type { ClientClock } from '../src/ports.ts';

/** Virtual time with seeded chance: hours pass in milliseconds, the same way each time. */
export class TestClock implements ClientClock {
  #now = 0;
  #number = 0;
  #state: number;
  readonly #tasks = new Map<number, { readonly at: number; readonly task: () => void }>();

  constructor(seed = 1) {
    this.#state = seed >>> 0;
  }

  now(): number {
    return this.#now;
  }

  random(): number {
    // mulberry32's mixing, good enough to spread faults
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  schedule(milliseconds: number, task: () => void): () => void {
    const number = this.#number++;
    this.#tasks.set(number, { at: this.#now + Math.max(0, milliseconds), task });
    return () => this.#tasks.delete(number);
  }

  soon(task: () => void): void {
    this.schedule(0, task);
  }

  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => this.schedule(milliseconds, resolve));
  }

  /** Time passes without anything being done in it, as in a process that is stopped. */
  standStill(milliseconds: number): void {
    this.#now += milliseconds;
  }

  /** Lets time pass until `promise` settles; fails after `limit` virtual milliseconds. */
  async until<T>(promise: Promise<T>, limit = 600_000): Promise<T> {
    let settled = false;
    const watched = promise.finally(() => {
      settled = true;
    });
    watched.catch(() => {});
    const end = this.#now + limit;
    for (;;) {
      await this.#settleMicrotasks();
      if (settled) return watched;
      if (this.#now > end) throw new Error(`not settled within ${limit} virtual ms`);
      this.#step();
    }
  }

  /** Lets that much time pass. */
  async pass(milliseconds: number): Promise<void> {
    await this.until(this.sleep(milliseconds));
  }

  #step(): void {
    let next: number | undefined;
    let at = Number.POSITIVE_INFINITY;
    for (const [number, task] of this.#tasks) {
      if (task.at < at) {
        at = task.at;
        next = number;
      }
    }
    if (next === undefined) throw new Error('nothing is scheduled and the promise is not settled');
    const due = this.#tasks.get(next);
    this.#tasks.delete(next);
    this.#now = Math.max(this.#now, at);
    due?.task();
  }

  async #settleMicrotasks(): Promise<void> {
    for (let round = 0; round < 25; round++) await Promise.resolve();
  }
}
