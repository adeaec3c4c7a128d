import type { ClientClock } from './ports.ts';

/** Pauses between attempts, in milliseconds. */
export interface BackoffConfig {
  readonly firstMilliseconds: number;
  readonly maxMilliseconds: number;
}

/** Elections take a few hundred milliseconds: longer pauses would be most of the gap that a caller sees. */
export const DEFAULT_BACKOFF: BackoffConfig = { firstMilliseconds: 20, maxMilliseconds: 200 };

/**
 * A node may learn of a new topic a moment after another one has answered its creation: UNKNOWN_TOPIC is believed only after this many
 * attempts, at whichever nodes are next in turn.
 */
export const UNKNOWN_TOPIC_ATTEMPTS = 4;

/** Doubling pauses with jitter: each lies between half and the whole of its step, so that clients do not march in time. */
export class Backoff {
  readonly #config: BackoffConfig;
  readonly #clock: ClientClock;
  #failures = 0;

  constructor(config: BackoffConfig, clock: ClientClock) {
    this.#config = config;
    this.#clock = clock;
  }

  /** Failures since the last success. */
  get failures(): number {
    return this.#failures;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** Notes a failure and gives the pause before the next attempt. */
  failed(): number {
    const { firstMilliseconds, maxMilliseconds } = this.#config;
    const step = Math.min(maxMilliseconds, firstMilliseconds * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    return step * (0.5 + this.#clock.random() / 2);
  }
}
