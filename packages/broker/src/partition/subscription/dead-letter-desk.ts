/**
 * Writes heads that leave a subscription by the SKIP policy, in three steps that may each be repeated: the row that says so is applied, the
 * letter is written by the subscription's own producer, a row settles the head. One letter at a time for each group, a few groups at once.
 */
import type { ErrorCode } from '@seriatim/protocol';
import type { DeadLetter, DeadLetterResult, DeadLetterWriter } from '../../consume-contracts.ts';
import type { TopicId } from '../../contracts.ts';
import type { SubscriptionView } from '../../subscription-contracts.ts';
import type { RecordSource } from '../record-source.ts';
import { type Head, HeadReader } from './head-reader.ts';
import { NumberQueue } from './number-queue.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import { FLAG_DEAD_LETTERING, FLAG_PARKED, type Row } from './subscription-rows.ts';

/** Letters under way at a time; others wait in a queue of numbers, bounded by groups. */
const LETTERS_MAX = 8;
/** Pause before a letter whose fate is not known is written again, milliseconds. */
const RETRY_MILLISECONDS = 200;
/** Time for one attempt, milliseconds. */
const ATTEMPT_MILLISECONDS = 5_000;

/** Letters of a group that may have been written without being counted. */
const UNCOUNTED_MAX = 8;
/** Codes of a letter whose sequence is not the one that is expected. */
const UNEXPECTED: readonly ErrorCode[] = ['WRITER_UNKNOWN', 'SEQUENCE_GAP'];

const HEAD_GONE = Symbol('retention removed the head');

/** What became of a letter, and the producer's sequence that it had. */
interface Written {
  readonly result: DeadLetterResult;
  readonly sequence: number;
}
const NOT_WRITTEN: Written = { result: { type: 'retry' }, sequence: 0 };

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
  #hindrance: ErrorCode | null = null;

  constructor(options: DeadLetterDeskOptions) {
    this.#options = options;
    this.#heads = new HeadReader(options.desk.options.state, options.source);
    const { progress } = options.desk;
    progress.onApplied = () => this.#next();
    // Those that were on their way when the term before ended.
    const { rows } = progress;
    for (let row = 0; row < rows.count; row++) {
      if ((rows.flags(row) & FLAG_DEAD_LETTERING) !== 0) this.add(rows.key(row));
    }
  }

  /** Why the last attempt at a letter has to be repeated; null: it has not, or nobody knows why. */
  get hindrance(): ErrorCode | null {
    return this.#hindrance;
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
    // The applied row may still be that of the letter before, or of a head that is gone.
    const working = this.#options.desk.progress.rows;
    const at = working.find(key);
    return working.next(at) === rows.next(row) && working.deadLetters(at) === rows.deadLetters(row);
  }

  async #write(key: number): Promise<void> {
    const { clock } = this.#options.desk.options;
    this.#writing++;
    const { rows } = this.#options.desk.options.applied;
    const row = rows.row(rows.find(key));
    const letter = await this.#letter(key, row);
    const isLetter = letter !== null && letter !== HEAD_GONE;
    const written = isLetter ? await this.#attempt(letter) : NOT_WRITTEN;
    this.#writing--;
    if (this.#ended) return;
    if (isLetter) this.#hindrance = written.result.type === 'retry' ? (written.result.code ?? null) : null;
    if (letter === HEAD_GONE) this.#dropHead(key, row);
    else if (isLetter && written.result.type !== 'retry') this.#finish(key, row, letter, written);
    else clock.after(RETRY_MILLISECONDS, () => this.#ended || this.add(key));
    this.#next();
  }

  /** Tries the sequences that the letter may have, until one is taken, or refused for another reason. */
  async #attempt(letter: DeadLetter): Promise<Written> {
    const { writer, desk } = this.#options;
    let written = NOT_WRITTEN;
    for (const sequence of sequencesOf(letter)) {
      if (this.#ended) return NOT_WRITTEN;
      const deadline = desk.options.clock.now() + ATTEMPT_MILLISECONDS;
      const result = await writer.write({ ...letter, producerSequence: sequence }, deadline);
      written = { result, sequence };
      if (result.type !== 'refused' || !UNEXPECTED.includes(result.code)) return written;
    }
    return written;
  }

  /** Null: the head can not be read now. */
  async #letter(key: number, row: Row): Promise<DeadLetter | typeof HEAD_GONE | null> {
    const { desk, settings, topic, partition } = this.#options;
    const { rows } = desk.options.applied;
    const view = settings();
    const reason = rows.details.get(key)?.reason ?? '';
    const replacement = rows.replacements.get(key);
    let head: Head | null;
    try {
      head = await this.#heads.read(key, row.next);
    } catch {
      return null;
    }
    // What lies behind the message that failed is another one.
    if (head === null || head.sequence !== row.settled + 1) return HEAD_GONE;
    if (view.deadLetterTopic === null) return null;
    return {
      topic: view.deadLetterTopic,
      group: desk.groups.name(key),
      producerId: view.deadLetterProducer,
      producerSequence: row.deadLetters + 1,
      message: replacement ?? head.message,
      origin: {
        topic,
        subscription: view.id,
        partition,
        offset: head.offset,
        life: row.life,
        sequence: head.sequence,
      },
      failures: row.failures,
      reason,
    };
  }

  /** True while the group stands where it stood when its letter was begun. */
  #isAt(key: number, begun: Row): boolean {
    const { rows } = this.#options.desk.progress;
    const row = rows.find(key);
    if (!this.#isWanted(key)) return false;
    return rows.next(row) === begun.next && rows.deadLetters(row) === begun.deadLetters;
  }

  /** What lies behind the message that failed has not failed: it is delivered. */
  #dropHead(key: number, begun: Row): void {
    if (!this.#isAt(key, begun)) return;
    const { desk } = this.#options;
    desk.groups.dropHead(key);
    desk.groups.wake(key);
    desk.wake();
  }

  /** Stored: the head is settled. Refused for good: an operator decides. */
  #finish(key: number, begun: Row, letter: DeadLetter, { result, sequence }: Written): void {
    const { desk } = this.#options;
    const { progress, groups, options } = desk;
    const { rows } = progress;
    if (!this.#isAt(key, begun)) return;
    const row = rows.find(key);
    const flags = rows.flags(row) & ~FLAG_DEAD_LETTERING;
    if (result.type === 'refused') {
      rows.setFlags(row, flags | FLAG_PARKED);
      rows.details.set(key, { reason: result.code, time: options.clock.wallTime() });
      progress.touch(key);
      return;
    }
    rows.setFlags(row, flags);
    rows.setDeadLetters(row, sequence);
    groups.skipHead(key, letter.origin);
    groups.wake(key);
    desk.wake();
  }
}

/**
 * The sequence behind that of the group's last letter; where the dead-letter topic expects another one, those that it may expect. It may have
 * forgotten the group, and then begins at 1; or it has letters that were under way when the subscription was reset, and are not counted.
 */
function sequencesOf({ producerSequence: next }: DeadLetter): number[] {
  const later = Array.from({ length: UNCOUNTED_MAX }, (_, at) => next + 1 + at);
  return next === 1 ? [next, ...later] : [next, 1, ...later];
}
