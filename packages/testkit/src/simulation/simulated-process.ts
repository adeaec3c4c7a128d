/** A process of the simulation: its clock, and whether it lives, stands still or is gone. */
import type { Clock } from '@seriatim/multiraft';
import type { EventOwner, Scheduler, SimulationEvent } from './scheduler.ts';

/** Wall time at the start of a simulation: 2026-01-01. */
const WALL_START = 1_767_225_600_000;

/** One incarnation; after {@link kill} a new one is made. Its clock may run fast or slow, and its wall time may jump. */
export class SimulatedProcess implements EventOwner {
  readonly id: number;
  readonly clock: Clock;
  readonly deferred: SimulationEvent[] = [];
  readonly #scheduler: Scheduler;
  #dead = false;
  #pauses = 0;
  #wallOffset = 0;

  /** `rate`: how fast its monotonic clock runs, about 1. */
  constructor(scheduler: Scheduler, id: number, rate: number) {
    this.#scheduler = scheduler;
    this.id = id;
    const started = scheduler.now;
    this.clock = {
      now: () => (scheduler.now - started) * rate,
      wallTime: () => Math.floor(WALL_START + scheduler.now + this.#wallOffset),
      after: (milliseconds, run) => scheduler.after(milliseconds / rate, 'timer', this, run),
      soon: (run) => scheduler.soon('soon', this, run),
    };
  }

  get dead(): boolean {
    return this.#dead;
  }
  get paused(): boolean {
    return this.#pauses > 0;
  }

  /** Its code never runs again. */
  kill(): void {
    this.#dead = true;
    this.deferred.length = 0;
  }

  /** Stands still (SIGSTOP, a stalled event loop, a paused machine). */
  pause(milliseconds: number): void {
    this.#pauses += 1;
    this.#scheduler.after(milliseconds, 'world', null, () => {
      this.#pauses -= 1;
      if (this.#pauses === 0 && !this.#dead) this.#scheduler.resume(this);
    });
  }

  /** Wall time jumps by so many milliseconds. */
  jump(milliseconds: number): void {
    this.#wallOffset += milliseconds;
  }
}
