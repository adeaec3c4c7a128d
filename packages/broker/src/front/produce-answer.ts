/** Merges what the partitions answered into one response with a row for each message. */
import {
  ERRORS,
  type ErrorCode,
  encodeOrderedProduceResponse,
  MESSAGE_DUPLICATE,
  MESSAGE_NOT_APPLIED,
  MESSAGE_STORED,
  MESSAGE_UNKNOWN,
  NO_PARTITION,
  type PartitionError,
  type PartitionResponse,
  RefusalError,
} from '@seriatim/protocol';
import { type AppendReceipt, RUN_DUPLICATE, RUN_REFUSED, RUN_STORED } from '../contracts.ts';
import type { PlannedBatch } from './batch-builder.ts';
import type { Appended } from './partition-appender.ts';
import type { RequestRuns } from './request-runs.ts';

interface OpenError extends PartitionError {
  readonly code: ErrorCode;
  readonly messageIndexes: number[];
}

/** Collects answers as they come; {@link ProduceAnswer.encode} at the end. */
export class ProduceAnswer {
  readonly #runs: RequestRuns;
  readonly #leaderAddress: (node: number) => string;
  readonly #responses: PartitionResponse[] = [];
  readonly #errors = new Map<string, OpenError>();
  readonly #statuses: Uint8Array;
  readonly #partitions: Uint32Array;
  readonly #offsets: Float64Array;
  readonly #sequences: Float64Array;
  #successful = 0;

  constructor(messages: number, runs: RequestRuns, leaderAddress: (node: number) => string) {
    this.#runs = runs;
    this.#leaderAddress = leaderAddress;
    this.#statuses = new Uint8Array(messages).fill(MESSAGE_NOT_APPLIED);
    this.#partitions = new Uint32Array(messages).fill(NO_PARTITION);
    this.#offsets = new Float64Array(messages);
    this.#sequences = new Float64Array(messages);
  }

  /** What became of one partition's batch. */
  add(planned: PlannedBatch, { answer, leader }: Appended): void {
    const partition = planned.partition.partition;
    for (const run of planned.runs) this.#partitionOf(run, partition);
    if (answer.type === 'refusal') {
      const { code, message, notApplied } = answer;
      for (const run of planned.runs) this.#fail(run, partition, code, message, notApplied, leader);
      return;
    }
    this.#addReceipt(planned, answer, leader);
  }

  /** Runs that got no route. */
  unrouted(runs: readonly number[], error: unknown): void {
    const refusal =
      error instanceof RefusalError ? error : new RefusalError('INTERNAL', String(error), { cause: error });
    for (const run of runs) this.#fail(run, NO_PARTITION, refusal.code, refusal.message, true, 0);
  }

  /**
   * The response's bytes. Throws when nothing at all was stored and all of it failed alike: then the status says as much, and
   * a caller without partial success to handle needs no other look.
   */
  encode(): Buffer {
    const errors = [...this.#errors.values()];
    if (this.#successful === 0) throwIfAlike(errors);
    return encodeOrderedProduceResponse({
      partitionResponses: this.#responses,
      partitionErrors: errors,
      totalMessages: this.#statuses.length,
      successfulMessages: this.#successful,
      statuses: this.#statuses,
      partitions: this.#partitions,
      offsets: this.#offsets,
      sequences: this.#sequences,
    });
  }

  #addReceipt(planned: PlannedBatch, receipt: AppendReceipt, leader: number): void {
    const partition = planned.partition.partition;
    const { start, order } = this.#runs;
    let messages = 0;
    let baseOffset = Number.POSITIVE_INFINITY;
    planned.runs.forEach((run, row) => {
      const status = receipt.status[row];
      if (status !== RUN_STORED && status !== RUN_DUPLICATE) return;
      const first = start[run] ?? 0;
      const end = start[run + 1] ?? 0;
      const offset = receipt.firstOffset[row] ?? 0;
      const sequence = receipt.firstSequence[row] ?? 0;
      for (let at = first; at < end; at++) {
        const message = order[at] ?? 0;
        this.#statuses[message] = status === RUN_STORED ? MESSAGE_STORED : MESSAGE_DUPLICATE;
        this.#offsets[message] = offset + at - first;
        this.#sequences[message] = sequence + at - first;
      }
      messages += end - first;
      baseOffset = Math.min(baseOffset, offset);
    });
    for (const error of receipt.errors) {
      const run = planned.runs[error.run];
      if (run === undefined) continue;
      const notApplied = receipt.status[error.run] === RUN_REFUSED;
      const { code, message, currentSequence } = error;
      this.#fail(run, partition, code, message, notApplied, leader, currentSequence);
    }
    if (messages === 0) return;
    this.#successful += messages;
    this.#responses.push({ partition, messages, baseOffset, timestampMs: receipt.timestamp, leader });
  }

  #partitionOf(run: number, partition: number): void {
    const end = this.#runs.start[run + 1] ?? 0;
    for (let at = this.#runs.start[run] ?? 0; at < end; at++) {
      this.#partitions[this.#runs.order[at] ?? 0] = partition;
    }
  }

  #fail(
    run: number,
    partition: number,
    code: ErrorCode,
    message: string,
    notApplied: boolean,
    leader: number,
    currentSequence = 0,
  ): void {
    const key = `${partition} ${code} ${notApplied} ${message}`;
    let error = this.#errors.get(key);
    if (error === undefined) {
      const leaderAddress = this.#leaderAddress(leader);
      const rest = { messageIndexes: [], leaderAddress, currentSequence };
      error = { partition, code, message, notApplied, ...rest };
      this.#errors.set(key, error);
    }
    const end = this.#runs.start[run + 1] ?? 0;
    for (let at = this.#runs.start[run] ?? 0; at < end; at++) {
      const index = this.#runs.order[at] ?? 0;
      this.#statuses[index] = notApplied ? MESSAGE_NOT_APPLIED : MESSAGE_UNKNOWN;
      error.messageIndexes.push(index);
    }
  }
}

function throwIfAlike(errors: readonly OpenError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  // A conflict is an answer, with a sequence in it that a status has no room for.
  if (errors.some(({ code }) => code === 'SEQUENCE_CONFLICT')) return;
  const alike = errors.every(
    (error) =>
      error.notApplied === first.notApplied && ERRORS[error.code].status === ERRORS[first.code].status,
  );
  if (!alike) return;
  const others = errors.length === 1 ? '' : ` (and ${errors.length - 1} partitions more)`;
  const where = first.partition === NO_PARTITION ? '' : `partition ${first.partition}: `;
  throw new RefusalError(first.code, `${where}${first.message}${others}`, {
    outcome: first.notApplied ? 'not-applied' : 'unknown',
    leaderAddress: first.leaderAddress === '' ? undefined : first.leaderAddress,
  });
}
