/**
 * Writes heads that leave a subscription by the SKIP policy, in three steps that may each be repeated: the row that says so is applied, the
 * letter is written by the subscription's own producer, a row settles the head. One letter at a time for each group, a few groups at once.
 */
import type { DeadLetter, DeadLetterResult, DeadLetterWriter } from '../../consume-contracts.ts';
import type { TopicId } from '../../contracts.ts';
import type { SubscriptionView } from '../../subscription-contracts.ts';
import type { RecordSource } from '../record-source.ts';
import { HeadReader } from './head-reader.ts';
import { NumberQueue } from './number-queue.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import { FLAG_DEAD_LETTERING, FLAG_PARKED } from './subscription-rows.ts';

/** Letters under way at a time; others wait in a queue of numbers, bounded by groups. */
const LETTERS_MAX = 8;
/** Pause before a letter whose fate is not known is written again, milliseconds. */
const RETRY_MILLISECONDS = 200;
/** Time for one attempt, milliseconds. */
const ATTEMPT_MILLISECONDS = 5_000;

const RETRY: DeadLetterResult = { type: 'retry' };

/** What writing needs. */
export interface DeadLetterDeskOptions {
  readonly desk: SubscriptionDesk;
  readonly settings: () => SubscriptionView;
  readonly topic: TopicId;
  readonly partition: number;
  readonly writer: DeadLetterWriter;
  readonly source: RecordSource;
}

/** See the head of this file. */
export class DeadLetterDesk {
  readonly #options: DeadLetterDeskOptions;
  readonly #heads: HeadReader;
  readonly #queue = new NumberQueue();
  #writing = 0;
  #ended = false;

  constructor(options: DeadLetterDeskOptions) {
    this.#options = options;
    this.#heads = new HeadReader(options.desk.options.state, options.source);
    options.desk.progress.onApplied = () => this.#next();
  }

  /** The group's head is to be written; its row may not be applied yet. */
  add(key: number): void {
    this.#queue.push(key);
    this.#options.desk.options.clock.soon(() => this.#next());
  }

  end(): void {
    this.#ended = true;
  }

  #next(): void {
    for (let left = this.#queue.length; left > 0 && this.#writing < LETTERS_MAX; left--) {
      if (this.#ended) return;
      const key = this.#queue.shift();
      // A letter is written only when the row that says so is applied: another leader would repeat it alike.
      if (this.#isApplied(key)) void this.#write(key);
      else if (this.#isWanted(key)) this.#queue.push(key);
    }
  }

  #isWanted(key: number): boolean {
    const { rows } = this.#options.desk.progress;
    const row = rows.find(key);
    return row >= 0 && (rows.flags(row) & FLAG_DEAD_LETTERING) !== 0;
  }

  #isApplied(key: number): boolean {
    const { rows } = this.#options.desk.options.applied;
    const row = rows.find(key);
    if (row < 0 || (rows.flags(row) & FLAG_DEAD_LETTERING) === 0 || !this.#isWanted(key)) return false;
    // The applied row may still be that of the letter before.
    const working = this.#options.desk.progress.rows;
    return working.deadLetters(working.find(key)) === rows.deadLetters(row);
  }

  async #write(key: number): Promise<void> {
    const { clock } = this.#options.desk.options;
    this.#writing++;
    const letter = await this.#letter(key);
    const result = letter === null ? RETRY : await this.#attempt(letter);
    this.#writing--;
    if (this.#ended) return;
    if (letter === null || result.type === 'retry') {
      clock.after(RETRY_MILLISECONDS, () => this.#ended || this.add(key));
    } else {
      this.#finish(key, letter, result);
    }
    this.#next();
  }

  #attempt(letter: DeadLetter): Promise<DeadLetterResult> {
    if (this.#ended) return Promise.resolve(RETRY);
    const { writer, desk } = this.#options;
    return writer.write(letter, desk.options.clock.now() + ATTEMPT_MILLISECONDS);
  }

  /** Null: the head can not be read now. */
  async #letter(key: number): Promise<DeadLetter | null> {
    const { desk, settings, topic, partition } = this.#options;
    const { rows } = desk.options.applied;
    const view = settings();
    const row = rows.find(key);
    const { life, next, failures, deadLetters } = rows.row(row);
    const reason = rows.details.get(key)?.reason ?? '';
    const replacement = rows.replacements.get(key);
    const head = await this.#heads.read(key, next);
    if (head === null || view.deadLetterTopic === null) return null;
    return {
      topic: view.deadLetterTopic,
      group: desk.groups.name(key),
      producerId: view.deadLetterProducer,
      producerSequence: deadLetters + 1,
      message: replacement ?? head.message,
      origin: {
        topic,
        subscription: view.id,
        partition,
        offset: head.offset,
        life,
        sequence: head.sequence,
      },
      failures,
      reason,
    };
  }

  /** Stored: the head is settled. Refused for good: an operator decides. */
  #finish(key: number, letter: DeadLetter, result: Exclude<DeadLetterResult, { type: 'retry' }>): void {
    const { desk } = this.#options;
    const { progress, groups, options } = desk;
    const { rows } = progress;
    const row = rows.find(key);
    if (!this.#isWanted(key) || rows.deadLetters(row) + 1 !== letter.producerSequence) return;
    const flags = rows.flags(row) & ~FLAG_DEAD_LETTERING;
    if (result.type === 'refused') {
      rows.setFlags(row, flags | FLAG_PARKED);
      rows.details.set(key, { reason: result.code, time: options.clock.wallTime() });
      progress.touch(key);
      return;
    }
    rows.setFlags(row, flags);
    rows.setDeadLetters(row, rows.deadLetters(row) + 1);
    groups.skipHead(key, letter.origin);
    groups.wake(key);
    desk.wake();
  }
}
