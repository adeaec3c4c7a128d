/** A clock that stands still until a test moves it; "after the current events" is real. */
import type { Clock } from '@seriatim/multiraft';

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export class ManualClock implements Clock {
  #now = 1_000;
  #timers: Timer[] = [];

  now(): number {
    return this.#now;
  }
  wallTime(): number {
    return Math.floor(this.#now);
  }
  after(milliseconds: number, run: () => void): () => void {
    const timer = { at: this.#now + milliseconds, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }
  soon(run: () => void): void {
    setImmediate(run);
  }

  /** Moves time on and runs what is due. */
  advance(milliseconds: number): void {
    this.#now += milliseconds;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { run } of due) run();
  }
}
