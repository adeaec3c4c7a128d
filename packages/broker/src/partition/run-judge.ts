/**
 * Decides what becomes of one run, from the applied state with the runs in flight laid over it. It changes nothing; what it
 * found is in its fields until the next call, because it is called for each run.
 */
import type { ErrorCode } from '@seriatim/protocol';
import type { AppendBatch } from '../contracts.ts';
import { NO_GROUP } from './append-header.ts';
import type { PartitionState } from './partition-state.ts';
import type { PendingRuns } from './pending-runs.ts';
import type { WriterFences } from './writer-fences.ts';
import {
  WRITER_CHECKSUM,
  WRITER_COUNT,
  WRITER_EPOCH,
  WRITER_FIRST_OFFSET,
  WRITER_FIRST_SEQUENCE,
  WRITER_SEQUENCE,
  WRITER_TIMESTAMP,
} from './writer-rows.ts';

/** The run is stored. */
export const VERDICT_TAKE = 0;
/** The run was stored before: the original receipt is in the judge's fields. */
export const VERDICT_DUPLICATE = 1;
/** The run is refused: code and message are in the judge's fields. */
export const VERDICT_REFUSE = 2;

const CURRENT = 0;
const UNKNOWN = -1;

/** See the head of this file. */
export class RunJudge {
  /** Group number to use; {@link NO_GROUP} for a run without group. */
  group: number = NO_GROUP;
  /** The group is new: it must be declared under {@link group}, which is the `nextGroup` given. */
  isNew = false;
  /** Key of the name for the overlay; only with {@link isNew}. */
  nameKey = '';
  /** Sequence before the run; for VERDICT_TAKE. */
  lastSequence = 0;
  /** Original receipt; for VERDICT_DUPLICATE. */
  offset = 0;
  sequence = 0;
  timestamp = 0;
  /** The original is not committed yet. */
  inFlight = false;
  code: ErrorCode = 'INTERNAL';
  message = '';
  /** The group's last sequence; only for SEQUENCE_CONFLICT. */
  currentSequence: number | null = null;

  readonly #state: PartitionState;
  readonly #pending: PendingRuns;
  readonly #fences: WriterFences;

  /** `fences`: those proposed and not applied yet. */
  constructor(state: PartitionState, pending: PendingRuns, fences: WriterFences) {
    this.#state = state;
    this.#pending = pending;
    this.#fences = fences;
  }

  /** One of VERDICT_…; `nextGroup` is the number that a new group would get. */
  judge(batch: AppendBatch, run: number, nextGroup: number): number {
    const start = batch.groupStart[run] as number;
    const end = batch.groupEnd[run] as number;
    this.isNew = false;
    this.lastSequence = 0;
    if (start === end) {
      this.group = NO_GROUP;
      if (batch.producerId === 0) return VERDICT_TAKE;
      return this.#refuse(
        'INVALID_REQUEST',
        `producer ${batch.producerId} sent messages without group: only messages with a group can be idempotent, send them with producer 0`,
      );
    }
    const fence = this.#fence(batch.producerId);
    if (batch.producerEpoch < fence) return this.#fenced(batch, fence);
    const life = batch.life[run] as number;
    let group = this.#state.names.find(batch.body, start, end);
    if (group < 0) {
      this.nameKey = latin1(batch.body, start, end);
      group = this.#pending.name(this.nameKey) ?? UNKNOWN;
    }
    if (group < 0) return this.#judgeNew(batch, run, life, nextGroup);
    this.group = group;
    const newest = this.#pending.newest(group);
    const current = newest >= 0 ? this.#pending.life(newest) : this.#state.records.life(group);
    if (life !== current) {
      if (life < current) return this.#stale(life, `the group is in life ${current} here`);
      return this.#judgeFirst(batch, run);
    }
    this.lastSequence =
      newest >= 0 ? this.#pending.lastSequence(newest) : this.#state.records.lastSequence(group);
    if (batch.producerId === 0) return VERDICT_TAKE;
    const verdict = this.#judgeWriter(batch, run, newest, life);
    return verdict === VERDICT_TAKE ? this.#judgeExpectation(batch, run) : verdict;
  }

  #judgeNew(batch: AppendBatch, run: number, life: number, nextGroup: number): number {
    const forgotten = this.#state.highestForgotten;
    if (life <= forgotten) return this.#stale(life, `groups up to life ${forgotten} were forgotten here`);
    this.group = nextGroup;
    this.isNew = true;
    return this.#judgeFirst(batch, run);
  }

  /** A run into a life of which nothing is stored yet. */
  #judgeFirst(batch: AppendBatch, run: number): number {
    const verdict = this.#judgeUnknownWriter(batch, run, 0);
    return verdict === VERDICT_TAKE ? this.#judgeExpectation(batch, run) : verdict;
  }

  /** Compare-and-append: of the writers that expect the same sequence the first one has it. */
  #judgeExpectation(batch: AppendBatch, run: number): number {
    const expected = batch.expectedSequence?.[run] ?? 0;
    const next = this.lastSequence + 1;
    if (expected === 0 || expected === next) return VERDICT_TAKE;
    const message = `the group's last sequence is ${this.lastSequence}, the run expects ${expected - 1}: read what came between and decide again`;
    this.#refuse('SEQUENCE_CONFLICT', message);
    this.currentSequence = this.lastSequence;
    return VERDICT_REFUSE;
  }

  #fence(producer: number): number {
    if (producer === 0) return 0;
    return Math.max(this.#state.fences.epoch(producer), this.#fences.epoch(producer));
  }

  #judgeWriter(batch: AppendBatch, run: number, newest: number, life: number): number {
    const producer = batch.producerId;
    const pending = this.#pending;
    const id = newest < 0 ? UNKNOWN : pending.ofProducer(newest, producer);
    if (id >= 0) {
      this.inFlight = true;
      this.offset = pending.firstOffset(id);
      this.sequence = pending.lastSequence(id) - pending.runLength(id) + 1;
      return this.#judgeLastRun(
        batch,
        run,
        pending.epoch(id),
        pending.sequence(id),
        pending.runLength(id),
        pending.checksum(id),
      );
    }
    const records = this.#state.records;
    // A record that is not there yet, or of a former life, knows no writer of this one.
    if (this.group >= records.count || records.life(this.group) !== life) {
      return this.#judgeUnknownWriter(batch, run, 0);
    }
    const place = records.writer(this.group, producer);
    if (place === null) return this.#judgeUnknownWriter(batch, run, records.displacedProducer(this.group));
    const { rows, at } = place;
    this.inFlight = false;
    this.offset = rows[at + WRITER_FIRST_OFFSET] as number;
    this.sequence = rows[at + WRITER_FIRST_SEQUENCE] as number;
    this.timestamp = rows[at + WRITER_TIMESTAMP] as number;
    return this.#judgeLastRun(
      batch,
      run,
      rows[at + WRITER_EPOCH] as number,
      rows[at + WRITER_SEQUENCE] as number,
      rows[at + WRITER_COUNT] as number,
      rows[at + WRITER_CHECKSUM] as number,
    );
  }

  /** Compares a run with its writer's last one. */
  #judgeLastRun(
    batch: AppendBatch,
    run: number,
    epoch: number,
    first: number,
    count: number,
    checksum: number,
  ): number {
    const sequence = batch.producerSequence[run] as number;
    const order = Math.sign(batch.producerEpoch - epoch);
    if (order < CURRENT) {
      return this.#fenced(batch, epoch);
    }
    // A newer instance of a named producer goes on behind the last run of the one before.
    const expected = first + count;
    if (sequence === expected) return VERDICT_TAKE;
    if (sequence > expected) {
      return this.#refuse(
        'SEQUENCE_GAP',
        `producer ${batch.producerId} sent sequence ${sequence}, expected ${expected}: send what lies between first`,
      );
    }
    const same =
      order === CURRENT &&
      sequence === first &&
      batch.count[run] === count &&
      batch.checksum[run] === checksum;
    if (same) return VERDICT_DUPLICATE;
    return this.#refuse(
      'WRITER_UNKNOWN',
      `producer ${batch.producerId} sent sequence ${sequence} (${batch.count[run]} messages), its last run here is ${first} (${count} messages) ` +
        'or differs in content: whether it was stored can not be told, it is not stored now',
    );
  }

  /** A writer without a row begins at 1; anything else is a retry whose memory is gone. */
  #judgeUnknownWriter(batch: AppendBatch, run: number, displaced: number): number {
    const producer = batch.producerId;
    const sequence = batch.producerSequence[run] as number;
    if (producer === 0 || (sequence === 1 && producer > displaced)) return VERDICT_TAKE;
    return this.#refuse(
      'WRITER_UNKNOWN',
      `producer ${producer} (epoch ${batch.producerEpoch}) is not known to the group and sent sequence ${sequence}: a new writer begins at 1` +
        (displaced > 0 ? `, and writers up to producer ${displaced} were displaced by later ones` : '') +
        '; continue with a new producer id',
    );
  }

  #stale(life: number, why: string): number {
    return this.#refuse(
      'STALE_ROUTE',
      `the route's epoch ${life} is not valid: ${why}; look the route up again`,
    );
  }

  #fenced(batch: AppendBatch, epoch: number): number {
    return this.#refuse(
      'PRODUCER_FENCED',
      `producer ${batch.producerId} has epoch ${epoch} here, the request's is ${batch.producerEpoch}: another instance took over`,
    );
  }

  #refuse(code: ErrorCode, message: string): number {
    this.code = code;
    this.message = message;
    this.currentSequence = null;
    return VERDICT_REFUSE;
  }
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
