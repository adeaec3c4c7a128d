/** The one timer of a node: turns time into ticks and notices when the process was away. */
import type { Clock, PeerTransport } from './ports.ts';

/** After this a pause is over even if the transport never said that it is drained. */
const DRAIN_MILLISECONDS_MAX = 1_000;

/** A timer that fires so much too early counts as on time: timers and clocks are rounded differently. */
const EARLY_MILLISECONDS = 0.5;

/** What the pulse needs and tells. */
export interface PulseOptions {
  readonly clock: Clock;
  readonly transport: PeerTransport;
  readonly tickMilliseconds: number;
  readonly pauseMilliseconds: number;
  /** `count` ticks passed. */
  readonly onTicks: (count: number) => void;
  /** The process was away, and what lay in the sockets was read. */
  readonly onPause: () => void;
}

/**
 * A timer that fires a little late makes up for it with more than one tick, so that counted time keeps to real time. One that
 * fires very late means that the process was stopped or stalled: the missed ticks are void, the sockets are drained first,
 * and only then does time go on.
 */
export class Pulse {
  readonly #options: PulseOptions;
  #tickedAt: number;
  #cancel: () => void = () => undefined;
  #stopped = false;
  #draining = false;
  #pauses = 0;
  #lastMilliseconds = 0;

  constructor(options: PulseOptions) {
    this.#options = options;
    this.#tickedAt = options.clock.now();
    this.#schedule();
  }

  /** Milliseconds the last pause took, and how many there were. */
  get pauses(): { readonly count: number; readonly lastMilliseconds: number } {
    return { count: this.#pauses, lastMilliseconds: this.#lastMilliseconds };
  }

  /** True when the timer is so late that a pause may not be judged yet. */
  mayHavePaused(): boolean {
    return this.#draining || this.#late() >= this.#options.pauseMilliseconds;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** How late the next tick is. */
  #late(): number {
    return this.#options.clock.now() - this.#tickedAt - this.#options.tickMilliseconds;
  }

  #schedule(): void {
    const wait = Math.max(0, -this.#late());
    this.#cancel = this.#options.clock.after(wait, () => this.#beat());
  }

  #beat(): void {
    if (this.#stopped) return;
    const late = this.#late();
    if (late >= this.#options.pauseMilliseconds) {
      this.#pauses += 1;
      this.#lastMilliseconds = late;
      this.#drain();
      return;
    }
    const { tickMilliseconds, onTicks } = this.#options;
    const count = Math.floor((late + EARLY_MILLISECONDS) / tickMilliseconds) + 1;
    if (count > 0) {
      this.#tickedAt += count * tickMilliseconds;
      onTicks(count);
    }
    if (!this.#stopped) this.#schedule();
  }

  #drain(): void {
    this.#draining = true;
    let over = false;
    const goOn = (): void => {
      if (over || this.#stopped) return;
      over = true;
      cancel();
      this.#draining = false;
      this.#tickedAt = this.#options.clock.now();
      this.#options.onPause();
      if (!this.#stopped) this.#schedule();
    };
    const cancel = this.#options.clock.after(DRAIN_MILLISECONDS_MAX, goOn);
    this.#cancel = cancel;
    this.#options.transport.drain(goOn);
  }
}
