/**
 * Turns batches into one entry: judges their runs, gives offsets and sequences, lays what is taken over the applied state.
 * {@link EntryPlanner.rollBack} undoes all of it, so that an entry that the core refuses leaves no trace.
 */
import { AppendBuilder } from './append-builder.ts';
import type { PartitionState } from './partition-state.ts';
import type { PendingBatch } from './pending-batch.ts';
import { PendingRuns } from './pending-runs.ts';
import { RunJudge, VERDICT_DUPLICATE, VERDICT_TAKE } from './run-judge.ts';
import { WriterFences } from './writer-fences.ts';

/** What an entry holds in the overlay, to be given back when its fate is known. */
export interface PlannedEntry {
  /** Leadership it belongs to; the overlay of another one does not hold it. */
  readonly generation: number;
  /** Overlay runs before this mark are applied when it is. */
  readonly mark: number;
  /** Keys of the names that it declares. */
  readonly names: readonly string[];
  /** The fence that it raises. */
  readonly fence: { readonly producerId: number; readonly epoch: number } | null;
}

/** See the head of this file. One entry at a time: begin, plan…, then finish or roll back. */
export class EntryPlanner {
  readonly #state: PartitionState;
  readonly #pending = new PendingRuns();
  readonly #fences = new WriterFences();
  readonly #judge: RunJudge;
  readonly #builder = new AppendBuilder();
  #generation = 0;
  #nextOffset = 0;
  #nextGroup = 0;
  /** As it was when the entry was begun. */
  #mark = 0;
  #firstOffset = 0;
  #firstGroup = 0;
  #timestamp = 0;
  #names: string[] = [];

  constructor(state: PartitionState) {
    this.#state = state;
    this.#judge = new RunJudge(state, this.#pending, this.#fences);
  }

  /** Plans from the applied state on; called when the leader's no-op is applied, so that nothing lies between. */
  start(): void {
    this.drop();
    this.#nextOffset = this.#state.nextOffset;
    this.#nextGroup = this.#state.records.count;
  }

  /** Forgets what is in flight: its fate is no longer this leader's to know. */
  drop(): void {
    this.#generation++;
    this.#pending.clear();
    this.#fences.clear();
  }

  begin(timestamp: number): void {
    this.#timestamp = timestamp;
    this.#mark = this.#pending.next;
    this.#firstOffset = this.#nextOffset;
    this.#firstGroup = this.#nextGroup;
    this.#names = [];
    this.#builder.begin(timestamp, this.#nextOffset);
  }

  /** Nothing was taken since {@link begin}. */
  get empty(): boolean {
    return this.#builder.runs === 0;
  }

  /** The command, and what it holds in the overlay. */
  finish(): { readonly data: Uint8Array; readonly entry: PlannedEntry } {
    const { next: mark } = this.#pending;
    const entry = { generation: this.#generation, mark, names: this.#names, fence: null };
    return { data: this.#builder.finish(), entry };
  }

  /** Lays a fence over the applied state, once the core has taken its command: what is planned from now on lies behind it. */
  fence(producerId: number, epoch: number): PlannedEntry {
    this.#fences.raise(producerId, epoch);
    const { next: mark } = this.#pending;
    return { generation: this.#generation, mark, names: [], fence: { producerId, epoch } };
  }

  /** As if the entry had never been begun. */
  rollBack(): void {
    this.#pending.rollBack(this.#mark);
    this.#pending.dropNames(this.#names);
    this.#nextOffset = this.#firstOffset;
    this.#nextGroup = this.#firstGroup;
  }

  /** The entry is applied: the state itself tells of it now. */
  applied(entry: PlannedEntry): void {
    if (!this.isCurrent(entry)) return;
    this.#pending.release(entry.mark);
    this.#pending.dropNames(entry.names);
    if (entry.fence !== null) this.#fences.release(entry.fence.producerId, entry.fence.epoch);
  }

  isCurrent(entry: PlannedEntry): boolean {
    return entry.generation === this.#generation;
  }

  /** Adds a batch to the entry; what becomes of each run is noted in `pending`. */
  plan(pending: PendingBatch): void {
    const batch = pending.batch;
    const judge = this.#judge;
    pending.begin(this.#timestamp);
    let place = 0;
    let start = 0;
    // Where the stretch of taken runs begins that is not handed to the builder yet.
    let taken = 0;
    for (let run = 0; run < batch.runs; run++) {
      const end = batch.bodyEnd[run] as number;
      const verdict = judge.judge(batch, run, this.#nextGroup);
      if (verdict === VERDICT_TAKE) {
        if (place === 0 && batch.producerId !== 0) {
          place = this.#builder.producer(batch.producerId, batch.producerEpoch);
        }
        this.#take(pending, run, place, end - start);
      } else {
        if (start > taken) this.#builder.body(batch.body.subarray(taken, start));
        taken = end;
        if (verdict === VERDICT_DUPLICATE) {
          pending.duplicate(judge.offset, judge.sequence, judge.inFlight);
          if (!judge.inFlight) pending.timestamp = judge.timestamp;
        } else {
          pending.refuse(judge.code, judge.message, judge.currentSequence ?? undefined);
        }
      }
      start = end;
    }
    if (start > taken) this.#builder.body(taken === 0 ? batch.body : batch.body.subarray(taken, start));
    if (pending.stored > 0) pending.timestamp = this.#timestamp;
  }

  #take(pending: PendingBatch, run: number, place: number, bodyBytes: number): void {
    const batch = pending.batch;
    const judge = this.#judge;
    const group = judge.group;
    const count = batch.count[run] as number;
    const checksum = batch.checksum[run] as number;
    const offset = this.#nextOffset;
    this.#nextOffset = offset + count;
    if (group < 0) {
      pending.store(offset, 0);
      this.#builder.run(group, 0, count, 0, 0, 0, checksum, bodyBytes);
      return;
    }
    if (judge.isNew) this.#declare(pending, run);
    const life = batch.life[run] as number;
    const sequence = batch.producerSequence[run] as number;
    pending.store(offset, judge.lastSequence + 1);
    this.#builder.run(group, place, count, life, judge.lastSequence + 1, sequence, checksum, bodyBytes);
    this.#pending.push(
      group,
      life,
      judge.lastSequence + count,
      batch.producerId,
      batch.producerEpoch,
      sequence,
      count,
      checksum,
      offset,
    );
  }

  #declare({ batch }: PendingBatch, run: number): void {
    const { group, nameKey } = this.#judge;
    this.#nextGroup++;
    this.#pending.addName(nameKey, group);
    this.#names.push(nameKey);
    const start = batch.groupStart[run] as number;
    this.#builder.newGroup(group, batch.body, start, batch.groupEnd[run] as number);
  }
}
