/** A batch from its arrival to its answer, and how the answer follows from what became of it. */
import type { ErrorCode } from '@seriatim/protocol';
import {
  type AppendAnswer,
  type AppendBatch,
  type AppendReceipt,
  RUN_DUPLICATE,
  RUN_REFUSED,
  RUN_STORED,
  RUN_UNKNOWN,
  type RunError,
} from '../contracts.ts';

/** While the original of a duplicate is not committed; becomes RUN_DUPLICATE. Never leaves this room. */
const DUPLICATE_IN_FLIGHT = 4;
/** What a batch is charged beside its body: columns, promise, bookkeeping. */
const BATCH_BYTES = 256;
const RUN_BYTES = 64;

/** What the batch hangs on, from best to worst: confirmed, certainly void, not known. */
export const OUTCOME_CONFIRMED = 0;
/** Certainly never applied. */
export const OUTCOME_VOID = 1;
/** Applied or not: this node can't tell. */
export const OUTCOME_UNKNOWN = 2;

/** An answer for a whole batch. */
export function appendRefusal(code: ErrorCode, message: string, notApplied = true): AppendAnswer {
  return { type: 'refusal', code, message, notApplied };
}

/** See the head of this file. */
export class PendingBatch {
  readonly batch: AppendBatch;
  /** Monotonic milliseconds. */
  readonly deadline: number;
  readonly charge: number;
  answered = false;
  /** It is part of a proposal: without an answer its fate is unknown. */
  proposed = false;
  /** Things that must settle before the answer, see {@link settle}. */
  waits = 0;
  timestamp = 0;
  stored = 0;
  duplicates = 0;
  duplicatesInFlight = 0;
  refused = 0;
  #status: number[] = [];
  #offsets: number[] = [];
  #sequences: number[] = [];
  #errors: RunError[] = [];
  #outcome = OUTCOME_CONFIRMED;
  readonly #answer: (answer: AppendAnswer) => void;

  constructor(batch: AppendBatch, deadline: number, answer: (answer: AppendAnswer) => void) {
    this.batch = batch;
    this.deadline = deadline;
    this.charge = BATCH_BYTES + RUN_BYTES * batch.runs + batch.body.length;
    this.#answer = answer;
  }

  /** Before it is planned, also for the second time. */
  begin(timestamp: number): void {
    this.timestamp = timestamp;
    this.stored = 0;
    this.duplicates = 0;
    this.duplicatesInFlight = 0;
    this.refused = 0;
    this.waits = 0;
    this.#status = [];
    this.#offsets = [];
    this.#sequences = [];
    this.#errors = [];
  }

  store(offset: number, sequence: number): void {
    this.stored++;
    this.#status.push(RUN_STORED);
    this.#offsets.push(offset);
    this.#sequences.push(sequence);
  }

  duplicate(offset: number, sequence: number, inFlight: boolean): void {
    this.duplicates++;
    if (inFlight) this.duplicatesInFlight++;
    this.#status.push(inFlight ? DUPLICATE_IN_FLIGHT : RUN_DUPLICATE);
    this.#offsets.push(offset);
    this.#sequences.push(sequence);
  }

  refuse(code: ErrorCode, message: string, currentSequence?: number): void {
    this.refused++;
    this.#errors.push({ run: this.#status.length, code, message, currentSequence });
    this.#status.push(RUN_REFUSED);
    this.#offsets.push(0);
    this.#sequences.push(0);
  }

  /** One of the things it waits for is settled; with the last one it is answered by the worst outcome. */
  settle(outcome: number): void {
    if (outcome > this.#outcome) this.#outcome = outcome;
    this.waits--;
    if (this.waits > 0 || this.answered) return;
    this.answer(this.#outcome === OUTCOME_CONFIRMED ? this.#receipt() : this.#failure(this.#outcome));
  }

  /** The deadline passed or the partition closes. */
  giveUp(code: ErrorCode, message: string): void {
    const touched = this.stored + this.duplicates > 0;
    if (this.proposed && touched) this.answer(appendRefusal('NOT_COMMITTED', message, false));
    else this.answer(appendRefusal(code, message, !touched));
  }

  answer(answer: AppendAnswer): void {
    if (this.answered) return;
    this.answered = true;
    this.#answer(answer);
  }

  #receipt(): AppendReceipt {
    if (this.duplicatesInFlight > 0) {
      for (let run = 0; run < this.#status.length; run++) {
        if (this.#status[run] === DUPLICATE_IN_FLIGHT) this.#status[run] = RUN_DUPLICATE;
      }
    }
    return this.#rows(this.#errors);
  }

  /** Leadership was lost in between. Duplicates of committed runs stay true, so they are told apart where there are any. */
  #failure(outcome: number): AppendAnswer {
    const unknown = outcome === OUTCOME_UNKNOWN && this.stored > 0;
    const code: ErrorCode = unknown ? 'NOT_COMMITTED' : 'NOT_LEADER';
    const message = unknown
      ? 'leadership was lost before the entry was known to be committed; send the same again'
      : 'leadership was lost and the entry was not stored; send the same to the new leader';
    if (this.duplicates === 0) return appendRefusal(code, message, !unknown);
    const errors: RunError[] = [];
    for (let run = 0; run < this.#status.length; run++) {
      const status = this.#status[run];
      if (status === RUN_DUPLICATE) continue;
      const rowUnknown = status === DUPLICATE_IN_FLIGHT || (status === RUN_STORED && unknown);
      this.#status[run] = rowUnknown ? RUN_UNKNOWN : RUN_REFUSED;
      this.#offsets[run] = 0;
      this.#sequences[run] = 0;
      const code = rowUnknown ? 'NOT_COMMITTED' : 'NOT_LEADER';
      errors.push({ run, code, message });
    }
    return this.#rows(errors);
  }

  #rows(errors: AppendReceipt['errors']): AppendReceipt {
    return {
      type: 'receipt',
      timestamp: this.timestamp,
      status: this.#status,
      firstOffset: this.#offsets,
      firstSequence: this.#sequences,
      errors,
    };
  }
}
