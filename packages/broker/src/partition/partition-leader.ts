/**
 * Takes appends where this replica leads: judges runs, gives offsets and sequences, proposes, answers. Judging and
 * proposing are one synchronous step on the applied state with what is in flight laid over it; a step that the core refuses leaves no
 * trace. An answer waits for everything it depends on: its own entry, the entries in flight it was judged by, and for a refusal
 * that stores nothing a confirmation that this still was the leader.
 */
import type { Clock, Fate, Leadership, Shard } from '@seriatim/multiraft';
import { NO_REPLICA, type Refusal } from '@seriatim/raft';
import type { AppendAnswer, AppendBatch, Appender } from '../contracts.ts';
import { encodeOpenWriter } from './command.ts';
import type { PartitionConfig } from './config.ts';
import { EntryPlanner, type PlannedEntry } from './entry-planner.ts';
import type { PartitionState } from './partition-state.ts';
import {
  appendRefusal,
  OUTCOME_CONFIRMED,
  OUTCOME_UNKNOWN,
  OUTCOME_VOID,
  PendingBatch,
} from './pending-batch.ts';

const SWEEP_SLACK_MILLISECONDS = 1;
const SWEEP_DELAY_MILLISECONDS_MAX = 60_000;

/** What appending needs of the outside. */
export interface PartitionLeaderOptions {
  readonly shard: Pick<Shard, 'propose' | 'read'>;
  readonly state: PartitionState;
  readonly clock: Clock;
  readonly config: PartitionConfig;
  /** False while this node's disk is too full to take records. */
  readonly diskHasRoom: () => boolean;
}

/** A proposal on its way. */
interface Flight {
  readonly entry: PlannedEntry;
  /** Those in the entry, and those whose answer hangs on it. */
  readonly batches: PendingBatch[];
}

/** See the head of this file. */
export class PartitionLeader implements Appender {
  readonly #shard: Pick<Shard, 'propose' | 'read'>;
  readonly #clock: Clock;
  readonly #config: PartitionConfig;
  readonly #diskHasRoom: () => boolean;
  readonly #planner: EntryPlanner;
  readonly #queue: PendingBatch[] = [];
  #queueBytes = 0;
  readonly #unanswered = new Set<PendingBatch>();
  #unansweredBytes = 0;
  readonly #flights = new Set<Flight>();
  #fencesInFlight = 0;
  #lastFlight: Flight | null = null;
  #leadership: Leadership = {
    term: 0 as Leadership['term'],
    leader: NO_REPLICA,
    leads: false,
    confirmed: false,
  };
  #flushScheduled = false;
  /** The core refused for what is uncommitted: nothing is proposed until something settles or a pause is over. */
  #blocked = false;
  #cancelRetry: () => void = () => {};
  #sweepAt = Number.POSITIVE_INFINITY;
  #cancelSweep: () => void = () => {};
  #closed = false;

  constructor(options: PartitionLeaderOptions) {
    this.#shard = options.shard;
    this.#clock = options.clock;
    this.#config = options.config;
    this.#diskHasRoom = options.diskHasRoom;
    this.#planner = new EntryPlanner(options.state);
  }

  /** Bytes of batches that are not answered yet. */
  get unansweredBytes(): number {
    return this.#unansweredBytes;
  }

  append(batch: AppendBatch, deadline: number): Promise<AppendAnswer> {
    if (this.#closed) return Promise.resolve(appendRefusal('SHUTTING_DOWN', 'the partition is closing here'));
    if (!this.#leadership.leads) return Promise.resolve(notLeader());
    if (!this.#diskHasRoom()) {
      const message = "the disk of the partition's leader is nearly full; free space or move the partition";
      return Promise.resolve(appendRefusal('DISK_FULL', message));
    }
    const bytesMax = this.#config.unansweredBytesMax;
    if (this.#unansweredBytes + batch.body.length > bytesMax && this.#unansweredBytes > 0) {
      const message = `${this.#unansweredBytes} bytes wait for this partition, the limit is ${bytesMax}; send later`;
      return Promise.resolve(appendRefusal('OVERLOADED', message));
    }
    return new Promise((resolve) => {
      const pending = new PendingBatch(batch, deadline, (answer) => {
        this.#unanswered.delete(pending);
        this.#unansweredBytes -= pending.charge;
        resolve(answer);
      });
      this.#unanswered.add(pending);
      this.#unansweredBytes += pending.charge;
      this.#queue.push(pending);
      this.#queueBytes += batch.body.length;
      this.#sweepBy(this.#leadership.confirmed ? deadline : Math.min(deadline, this.#unconfirmedUntil()));
      if (this.#queueBytes >= this.#config.entryBytesMax) this.#flush();
      else this.#scheduleFlush();
    });
  }

  /**
   * Proposes a fence for a named producer's lower epochs: whatever is appended from now on is judged behind it. Gives the core's reason when
   * it is not taken; else `settled` is called once, when the state tells of the fence or never will.
   */
  fence(producerId: number, epoch: number, settled: (fate: Fate) => void): Refusal | null {
    if (this.#closed || !this.#leadership.confirmed) return 'notLeader';
    if (this.#fencesInFlight >= this.#config.openingsInFlightMax) return 'tooMuchUncommitted';
    let flight: Flight | null = null;
    const data = encodeOpenWriter({ timestamp: this.#clock.wallTime(), producerId, epoch });
    const result = this.#shard.propose(data, (fate) => {
      this.#fencesInFlight--;
      if (flight !== null) this.#settled(flight, fate);
      settled(fate);
    });
    if (result.type === 'refused') return result.reason;
    flight = { entry: this.#planner.fence(producerId, epoch), batches: [] };
    this.#fencesInFlight++;
    this.#flights.add(flight);
    this.#lastFlight = flight;
    return null;
  }

  /** To be called with each change of leadership, after the state applied what came before it. */
  onLeadership(leadership: Leadership): void {
    const before = this.#leadership;
    this.#leadership = leadership;
    if (leadership.term !== before.term || leadership.leads !== before.leads) this.#dropOverlay();
    if (!leadership.leads) {
      for (const pending of this.#takeQueue()) pending.answer(notLeader());
    } else if (leadership.confirmed && !(before.confirmed && before.term === leadership.term)) {
      this.#planner.start();
      this.#scheduleFlush();
    }
  }

  /** Answers everything; what was proposed is unknown. */
  close(): void {
    this.#closed = true;
    this.#cancelSweep();
    this.#cancelRetry();
    this.#takeQueue();
    for (const pending of [...this.#unanswered]) pending.giveUp('SHUTTING_DOWN', 'the partition closed here');
  }

  #dropOverlay(): void {
    this.#planner.drop();
    this.#lastFlight = null;
  }

  #takeQueue(): PendingBatch[] {
    this.#queueBytes = 0;
    return this.#queue.splice(0);
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#blocked || this.#queue.length === 0) return;
    this.#flushScheduled = true;
    this.#clock.soon(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (
      this.#queue.length > 0 &&
      this.#leadership.confirmed &&
      !this.#closed &&
      !this.#blocked &&
      this.#flights.size < this.#config.entriesInFlightMax
    ) {
      if (!this.#proposeNext()) return;
    }
  }

  /** Plans and proposes one entry from the front of the queue. False: the core takes nothing now. */
  #proposeNext(): boolean {
    const planner = this.#planner;
    planner.begin(this.#clock.wallTime());
    const batches = this.#planFront();
    if (planner.empty) {
      this.#removeFront(batches.length);
      this.#settleWithoutEntry(batches);
      return true;
    }
    const { data, entry } = planner.finish();
    const flight: Flight = { entry, batches };
    const result = this.#shard.propose(data, (fate) => this.#settled(flight, fate));
    if (result.type === 'refused') {
      planner.rollBack();
      this.#refused(batches, result.reason);
      return false;
    }
    this.#removeFront(batches.length);
    this.#flights.add(flight);
    this.#lastFlight = flight;
    for (const pending of batches) {
      pending.proposed = true;
      pending.waits = 1;
    }
    return true;
  }

  /** Plans batches from the front until the entry is full; they stay in the queue until the core has taken the entry. */
  #planFront(): PendingBatch[] {
    const planned: PendingBatch[] = [];
    let bytes = 0;
    for (const pending of this.#queue) {
      bytes += pending.batch.body.length;
      if (planned.length > 0 && bytes > this.#config.entryBytesMax) break;
      planned.push(pending);
      if (!pending.answered) this.#planner.plan(pending);
    }
    return planned;
  }

  #removeFront(count: number): void {
    for (const pending of this.#queue.splice(0, count)) this.#queueBytes -= pending.batch.body.length;
  }

  /** Nothing of these batches is stored: duplicates and refusals, which may hang on entries in flight. */
  #settleWithoutEntry(batches: readonly PendingBatch[]): void {
    const refused: PendingBatch[] = [];
    for (const pending of batches) {
      if (pending.answered) continue;
      const flight = pending.refused + pending.duplicatesInFlight > 0 ? this.#lastFlight : null;
      pending.waits = 1 + (flight === null ? 0 : 1);
      if (flight !== null) flight.batches.push(pending);
      if (pending.refused > 0) refused.push(pending);
      else pending.settle(OUTCOME_CONFIRMED);
    }
    if (refused.length === 0) return;
    this.#shard.read((confirmed) => {
      for (const pending of refused) pending.settle(confirmed ? OUTCOME_CONFIRMED : OUTCOME_VOID);
    });
  }

  #refused(planned: readonly PendingBatch[], reason: Refusal): void {
    for (const pending of planned) if (!pending.answered) pending.begin(0);
    if (reason === 'tooMuchUncommitted') {
      // A settled flight unblocks; the timer is for when what is uncommitted is not ours.
      this.#blocked = true;
      this.#cancelRetry = this.#clock.after(this.#config.proposeRetryMilliseconds, () => this.#unblock());
      return;
    }
    for (const pending of this.#takeQueue()) pending.answer(notLeader());
  }

  #unblock(): void {
    this.#cancelRetry();
    this.#blocked = false;
    this.#scheduleFlush();
  }

  #settled(flight: Flight, fate: Fate): void {
    this.#flights.delete(flight);
    if (this.#lastFlight === flight) this.#lastFlight = null;
    if (fate.type === 'applied') {
      this.#planner.applied(flight.entry);
    } else if (this.#planner.isCurrent(flight.entry)) {
      // Leadership is gone although nobody said so yet: nothing may be planned on what was in flight.
      this.#dropOverlay();
      this.#leadership = { ...this.#leadership, confirmed: false };
    }
    const outcome =
      fate.type === 'applied'
        ? OUTCOME_CONFIRMED
        : fate.type === 'overwritten'
          ? OUTCOME_VOID
          : OUTCOME_UNKNOWN;
    for (const pending of flight.batches) if (!pending.answered) pending.settle(outcome);
    this.#unblock();
  }

  #unconfirmedUntil(): number {
    return this.#clock.now() + this.#config.unconfirmedWaitMilliseconds;
  }

  /** Makes sure that a sweep runs at `time` or before. One timer serves all batches, because most never need it. */
  #sweepBy(time: number): void {
    if (time >= this.#sweepAt) return;
    this.#cancelSweep();
    this.#sweepAt = time;
    // Timers count to 2^31 milliseconds at most; one that comes too soon is set again.
    const delay = Math.min(Math.max(0, time - this.#clock.now()), SWEEP_DELAY_MILLISECONDS_MAX);
    this.#cancelSweep = this.#clock.after(delay, () => this.#sweep());
  }

  #sweep(): void {
    const now = this.#clock.now();
    this.#sweepAt = Number.POSITIVE_INFINITY;
    if (this.#leadership.leads && !this.#leadership.confirmed) {
      for (const pending of this.#takeQueue()) pending.answer(notLeader());
    }
    let next = Number.POSITIVE_INFINITY;
    for (const pending of [...this.#unanswered]) {
      // A timer may be early by a fraction: what is due within it is due, else the next one would be set for no time at all.
      if (pending.deadline - now >= SWEEP_SLACK_MILLISECONDS) next = Math.min(next, pending.deadline);
      else pending.giveUp('NOT_COMMITTED', 'the deadline passed before a majority had stored the entry');
    }
    if (next < Number.POSITIVE_INFINITY) this.#sweepBy(next);
  }
}

function notLeader(): AppendAnswer {
  return appendRefusal('NOT_LEADER', 'this replica does not lead the partition; send to its leader');
}
