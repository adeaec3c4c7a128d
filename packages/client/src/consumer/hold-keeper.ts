import type { ClientClock } from '../ports.ts';
import type { ConsumerConfig } from './consumer-config.ts';
import type { Hold } from './hold.ts';
import type { HoldBook } from './hold-book.ts';
import type { Intake } from './intake.ts';

/** Looks this often as long as no message has told how long holds are. */
const FIRST_LOOK_MILLISECONDS = 250;
/** After a broken stream or a change of leader a hold may be given to others after this. */
const COME_BACK_MILLISECONDS = 2_000;

/**
 * Keeps holds for as long as they are worked on: what a handler has, and what waits to be taken while the application takes. Looks at a third of the
 * hold and extends what is not fresh, so that none is older than half. A message that was taken by iteration is the application's to extend.
 */
export class HoldKeeper {
  readonly #clock: ClientClock;
  readonly #config: ConsumerConfig;
  readonly #book: HoldBook;
  readonly #intake: Intake;
  /** The hold's time is over and nobody could be asked. */
  readonly #onExpired: (hold: Hold) => void;
  #cancel: (() => void) | null = null;

  constructor(
    clock: ClientClock,
    config: ConsumerConfig,
    book: HoldBook,
    intake: Intake,
    onExpired: (hold: Hold) => void,
  ) {
    this.#clock = clock;
    this.#config = config;
    this.#book = book;
    this.#intake = intake;
    this.#onExpired = onExpired;
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
    let shortest = 0;
    const expired: Hold[] = [];
    for (const hold of this.#book.all()) {
      const { holdMilliseconds } = hold;
      const age = now - hold.renewedAt;
      if (shortest === 0 || holdMilliseconds < shortest) shortest = holdMilliseconds;
      if (hold.desk === null) {
        // One that is named may be held again at any moment: its answer decides.
        if (hold.named === null && age > Math.max(holdMilliseconds, COME_BACK_MILLISECONDS))
          expired.push(hold);
      } else if (!hold.ended && !hold.settled && age * 6 >= holdMilliseconds && !isExtended(hold, now)) {
        if (hold.running || (taking && hold.queued > 0)) hold.extend(0);
      }
    }
    for (const hold of expired) this.#onExpired(hold);
    const pause = shortest === 0 ? FIRST_LOOK_MILLISECONDS : Math.max(1, Math.floor(shortest / 3));
    this.#cancel = this.#clock.schedule(Math.min(pause, 10_000), () => this.#look());
  }
}

/** The application has it for longer than an extension would give. */
function isExtended({ extendedUntil, holdMilliseconds }: Hold, now: number): boolean {
  return extendedUntil > now + holdMilliseconds;
}
