import type { Clock } from '@seriatim/multiraft';

/** Time that stands still until a test moves it. */
export class FakeClock implements Clock {
  time = 1_000;
  wall = 1_700_000_000_000;
  /** Milliseconds by which timers fire too early. */
  earliness = 0;
  #soon: (() => void)[] = [];
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.time;
  }
  wallTime(): number {
    return this.wall;
  }
  soon(run: () => void): void {
    this.#soon.push(run);
  }
  after(milliseconds: number, run: () => void): () => void {
    const timer = { at: this.time + milliseconds - this.earliness, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** Runs what was put off by `soon`, and what that puts off. */
  turn(): void {
    while (this.#soon.length > 0) for (const run of this.#soon.splice(0)) run();
  }

  advance(milliseconds: number): void {
    const end = this.time + milliseconds;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.time = Math.max(this.time, due.at);
      due.run();
      this.turn();
    }
    this.time = end;
  }
}
