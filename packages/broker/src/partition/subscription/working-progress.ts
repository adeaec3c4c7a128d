/**
 * Progress as this leader has it: what is applied with everything accepted since laid over it, and what of it is to be proposed. Rows gather, one per
 * group, and go out in commands of absolute values: one at a time under light load, up to `progressInFlightMax` under way. Whoever settled
 * is answered when the command that carries it is applied.
 */
import type { Clock, Fate, Shard } from '@seriatim/multiraft';
import type { SubscriptionLimits } from '../../consume-contracts.ts';
import type { ConsumerAttachment } from './consumer-attachment.ts';
import type { OffsetWindow } from './offset-window.ts';
import { encodeProgress, type Totals } from './subscription-command.ts';
import type { Row, SubscriptionRows } from './subscription-rows.ts';
import type { SubscriptionProgress } from './subscription-state.ts';

/** Pause before a command that the core refused as too much uncommitted is proposed again, milliseconds. */
const RETRY_MILLISECONDS = 5;

/** What proposing needs. */
export interface WorkingProgressOptions {
  readonly clock: Clock;
  readonly shard: Pick<Shard, 'propose'>;
  readonly limits: SubscriptionLimits;
  /** As applied now. */
  readonly applied: SubscriptionProgress;
  readonly window: OffsetWindow;
}

/** Rows answered by a command. */
interface Answer {
  readonly consumer: ConsumerAttachment;
  readonly number: number;
  readonly rows: number;
}

/** See the head of this file. */
export class WorkingProgress {
  readonly rows: SubscriptionRows;
  done: number;
  lost: number;
  readonly #options: WorkingProgressOptions;
  readonly #dirty = new Set<number>();
  /** Groups of which a row that says something was proposed: one that says nothing must follow it. */
  readonly #told: Set<number> = new Set();
  /** Consumers with rows that are not part of a command yet. */
  #unanswered = new Set<ConsumerAttachment>();
  readonly #flights: Answer[][] = [];
  #changed = false;
  /** Of the last command that was accepted with all that was to be told. */
  #totalsTold: Totals;
  #blocked = false;
  #timerSet = false;
  #soon = false;
  #cancelTimer: () => void = () => {};
  #ended = false;
  /** Called after each command that was applied. */
  onApplied: () => void = () => {};

  constructor(options: WorkingProgressOptions) {
    this.#options = options;
    const { applied } = options;
    this.rows = applied.rows.copy();
    this.rows.sweep(applied.floor);
    this.done = applied.done;
    this.lost = applied.lost;
    this.#totalsTold = { floor: applied.floor, done: applied.done, lost: applied.lost };
    const { rows } = this;
    for (let row = 0; row < rows.count; row++) {
      if (rows.flags(row) !== 0 || rows.hasMore(row)) this.#told.add(rows.key(row));
    }
  }

  /** What the commands accepted so far say: they tell the rows of all that it counts, and of every group that the floor passed. */
  get totalsTold(): Totals {
    return this.#totalsTold;
  }

  /** The row of a key, added with zeros when there is none. */
  rowOf(key: number): number {
    const row = this.rows.find(key);
    return row < 0 ? this.rows.add(key) : row;
  }

  /** The row of this key is to be told. */
  touch(key: number): void {
    this.#dirty.add(key);
    this.change();
  }

  /** Totals changed, or a row: a command follows. */
  change(): void {
    this.#changed = true;
    if (this.#dirty.size >= this.#options.limits.progressRowsMax) this.#flushSoon();
    else this.#schedule();
  }

  /** This consumer's rows are answered with the next command, or at once when none is needed. */
  answerLater(consumer: ConsumerAttachment): void {
    this.#unanswered.add(consumer);
    this.#schedule();
  }

  /** A row that a command of another kind told, with totals of its own. */
  told(key: number, row: Row, totals: Totals): void {
    this.done += totals.done - this.#totalsTold.done;
    this.#totalsTold = totals;
    const at = this.rowOf(key);
    this.rows.setRow(at, row);
    this.#told.add(key);
    this.#dirty.delete(key);
  }

  /** Why nobody is given the group; empty: nothing is known of that any more. */
  explain(key: number, reason: string, time: number): void {
    if (reason === '') this.rows.details.delete(key);
    else this.rows.details.set(key, { reason, time });
  }

  /** Proposes what is there, as far as the limit of commands under way allows. */
  flush(): void {
    if (!this.#ended && !this.#blocked) this.#flush(this.#options.limits.progressInFlightMax);
  }

  /** Proposes all that is there, unless the core refuses it now, so that the totals of a command of another kind count nothing that is not told. */
  flushAll(): void {
    if (!this.#ended) this.#flush(Number.POSITIVE_INFINITY);
  }

  #flush(inFlightMax: number): void {
    // The timer that is cancelled may be the one after a refusal.
    this.#cancelTimer();
    this.#timerSet = false;
    this.#blocked = false;
    const { limits, window } = this.#options;
    const { progressRowsMax } = limits;
    if (!this.#changed && window.floor === this.#totalsTold.floor) {
      this.#answerWithoutCommand();
      return;
    }
    // With nothing open and nobody behind the total is known, whatever was not counted when retention removed records.
    if (window.floor === window.end && this.rows.behind === 0) this.done = window.end;
    const keys = this.#keysToTell(window.floor);
    let told = 0;
    while (this.#flights.length < inFlightMax) {
      const some = keys.slice(told, told + progressRowsMax);
      told += some.length;
      // The floor passes groups whose rows come with the last command only, and so do the totals.
      const isLast = told === keys.length;
      const totals = isLast ? { floor: window.floor, done: this.done, lost: this.lost } : this.#totalsTold;
      if (!this.#propose(some, totals, isLast)) return;
      if (isLast) return;
    }
  }

  /** Returns false when the core refused. */
  #propose(keys: readonly number[], totals: Totals, isLast: boolean): boolean {
    const { clock, shard, applied } = this.#options;
    const head = { time: clock.wallTime(), subscription: applied.id, generation: applied.generation };
    const flight: Answer[] = [];
    const data = encodeProgress(head, totals, this.rows, keys);
    const result = shard.propose(data, (fate) => this.#settled(flight, fate));
    if (result.type === 'refused') {
      if (result.reason !== 'notLeader') this.#retryLater();
      return false;
    }
    this.#flights.push(flight);
    for (const key of keys) {
      this.#noteTold(key);
      this.#dirty.delete(key);
    }
    if (!isLast) return true;
    this.#takeAnswers(flight);
    this.#dirty.clear();
    this.#changed = false;
    this.#totalsTold = totals;
    this.rows.sweepIfDue(totals.floor);
    return true;
  }

  /** Leadership is over: nothing is proposed or answered any more. */
  end(): void {
    this.#ended = true;
    this.#cancelTimer();
    this.#unanswered.clear();
  }

  /** Rows that say nothing are told only where something was said before. */
  #keysToTell(floor: number): number[] {
    const keys: number[] = [];
    for (const key of this.#dirty) {
      const row = this.rows.find(key);
      if (row < 0 || (this.rows.saysNothing(row, floor) && !this.#told.has(key))) continue;
      keys.push(key);
    }
    return keys;
  }

  #noteTold(key: number): void {
    const row = this.rows.find(key);
    if (this.rows.flags(row) !== 0 || this.rows.hasMore(row)) this.#told.add(key);
    else if (this.#told.size > 0) this.#told.delete(key);
  }

  #schedule(): void {
    if (this.#timerSet || this.#ended || this.#blocked) return;
    this.#timerSet = true;
    const { clock, limits } = this.#options;
    this.#cancelTimer = clock.after(limits.progressMilliseconds, () => {
      this.#timerSet = false;
      this.flush();
    });
  }

  /** After what runs now, which may be about to change the same rows. */
  #flushSoon(): void {
    if (this.#soon || this.#ended) return;
    this.#soon = true;
    this.#options.clock.soon(() => {
      this.#soon = false;
      this.flush();
    });
  }

  #retryLater(): void {
    this.#blocked = true;
    this.#cancelTimer = this.#options.clock.after(RETRY_MILLISECONDS, () => {
      this.#blocked = false;
      this.flush();
    });
  }

  #answerWithoutCommand(): void {
    const last = this.#flights.at(-1);
    const answers: Answer[] = last ?? [];
    this.#takeAnswers(answers);
    if (last === undefined)
      for (const answer of answers) answer.consumer.answered(answer.number, answer.rows);
  }

  #takeAnswers(answers: Answer[]): void {
    for (const consumer of this.#unanswered) {
      answers.push({ consumer, number: consumer.lastNumber, rows: consumer.rowsTaken });
    }
    this.#unanswered.clear();
  }

  #settled(flight: Answer[], fate: Fate): void {
    if (this.#ended) return;
    this.#flights.splice(this.#flights.indexOf(flight), 1);
    // Otherwise leadership is gone, although nobody said so yet: the outcome is not known here.
    if (fate.type !== 'applied') return;
    for (const { consumer, number, rows } of flight) consumer.answered(number, rows);
    this.onApplied();
    if (this.#changed || this.#unanswered.size > 0) this.flush();
  }
}
