import type { ClientClock } from '../ports.ts';
import type { ConsumerConfig } from './consumer-config.ts';
import type { HoldBook } from './hold-book.ts';
import type { Intake } from './intake.ts';

/** Looks this often as long as no message has told how long holds are. */
const FIRST_LOOK_MILLISECONDS = 250;
/**
 * Keeps holds for as long as they are worked on: what a handler has, and what waits to be taken while the application takes. Looks at a third of the
 * hold and extends what is not fresh, so that none is older than half. A message that was taken by iteration is the application's to extend.
 */
export class HoldKeeper {
  readonly #clock: ClientClock;
  readonly #config: ConsumerConfig;
  readonly #book: HoldBook;
  readonly #intake: Intake;
  #cancel: (() => void) | null = null;

  constructor(clock: ClientClock, config: ConsumerConfig, book: HoldBook, intake: Intake) {
    this.#clock = clock;
    this.#config = config;
    this.#book = book;
    this.#intake = intake;
  }

  start(): void {
    this.#cancel ??= this.#clock.schedule(FIRST_LOOK_MILLISECONDS, () => this.#look());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #look(): void {
    const now = this.#clock.now();
    const taking = now - this.#intake.takenAt < this.#config.takeWithinMilliseconds;
    for (const hold of this.#book.overdue(now)) hold.expire();
    let shortest = 0;
    for (const hold of this.#book.all()) {
      const { holdMilliseconds } = hold;
      if (shortest === 0 || holdMilliseconds < shortest) shortest = holdMilliseconds;
      if (hold.desk === null || hold.ended || hold.settled || !hold.isDue(now)) continue;
      if (hold.running || (taking && hold.queued > 0)) hold.extend(0);
    }
    const pause = shortest === 0 ? FIRST_LOOK_MILLISECONDS : Math.max(1, Math.floor(shortest / 3));
    this.#cancel = this.#clock.schedule(Math.min(pause, 10_000), () => this.#look());
  }
}
