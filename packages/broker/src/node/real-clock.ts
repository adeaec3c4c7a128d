/** The clock of a real process: the {@link Clock} port on Node's timers. */
import type { Clock } from '@seriatim/multiraft';

/** Monotonic time from `performance.now`, wall time from `Date`, "soon" from `setImmediate` (after the sockets were read). */
export class RealClock implements Clock {
  now(): number {
    return performance.now();
  }

  wallTime(): number {
    return Date.now();
  }

  after(milliseconds: number, run: () => void): () => void {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  }

  soon(run: () => void): void {
    setImmediate(run);
  }
}
