/**
 * The leader's memory of one subscription: the groups somebody works on, those that are ready, behind or delayed, and the steps between these
 * states. Each step is synchronous and leaves rows, window and queues agreeing with each other.
 */
import type { Clock } from '@seriatim/multiraft';
import type { HoldLossReason, SubscriptionLimits } from '../../consume-contracts.ts';
import type { SubscriptionView } from '../../subscription-contracts.ts';
import type { PartitionState } from '../partition-state.ts';
import { ActiveGroup } from './active-group.ts';
import type { ConsumerAttachment } from './consumer-attachment.ts';
import { DelayHeap } from './delay-heap.ts';
import { HoldList } from './hold-list.ts';
import { NumberQueue } from './number-queue.ts';
import type { OffsetWindow } from './offset-window.ts';
import { NO_RUN, type RunPool } from './run-pool.ts';
import {
  FLAG_BEHIND,
  FLAG_DEAD_LETTERING,
  FLAG_REPLACED,
  FLAG_REWOUND,
  FLAGS_BLOCKING,
} from './subscription-rows.ts';
import type { WorkingProgress } from './working-progress.ts';

/** What the desk works with. */
export interface GroupDeskOptions {
  readonly clock: Clock;
  readonly limits: SubscriptionLimits;
  readonly state: PartitionState;
  readonly window: OffsetWindow;
  readonly pool: RunPool;
  readonly progress: WorkingProgress;
  readonly tokenEpoch: number;
  /** The next token's counter. */
  readonly nextCounter: () => number;
  readonly settings: () => SubscriptionView;
  /** True while nobody may be given this group, because its holder from before this term may come back; it is offered again later. */
  readonly heldBack: (group: ActiveGroup) => boolean;
}

/** See the head of this file. */
export class GroupDesk {
  readonly options: GroupDeskOptions;
  readonly active: Map<number, ActiveGroup> = new Map();
  /** Free groups with messages read ahead, by arrival. */
  readonly ready: NumberQueue = new NumberQueue();
  /** Groups to be read by their index, by arrival. */
  readonly toRead: NumberQueue = new NumberQueue();
  readonly #toReadKeys = new Set<number>();
  readonly delays: DelayHeap = new DelayHeap();
  readonly holds: HoldList = new HoldList();
  readonly holders: Map<number, ActiveGroup> = new Map();
  readAheadBytes = 0;

  constructor(options: GroupDeskOptions) {
    this.options = options;
  }

  create(key: number, life: number, settled: number, next: number): ActiveGroup {
    const group = new ActiveGroup(key, life, settled, next);
    this.active.set(key, group);
    return group;
  }

  /** The group's record says what was stored of it; messages without group have no record. */
  name(key: number): string {
    return key === 0 ? '' : Buffer.from(this.options.state.names.name(key - 1)).toString('utf8');
  }

  /** Puts a group with messages into the queue it belongs to. */
  offer(group: ActiveGroup): void {
    if (group.queued || group.readAheadMessages === 0 || group.awaited !== null) return;
    const { holder } = group;
    if (holder !== null) {
      if (group.inFlightMessages >= this.options.limits.groupInFlightMax) return;
      group.queued = true;
      holder.more.push(group.key);
    } else if (!this.options.heldBack(group)) {
      group.queued = true;
      this.ready.push(group.key);
    }
  }

  /** Has the group read on by its index: for its holder only what that can take, and what it came back with. */
  readOn(group: ActiveGroup): void {
    if (!group.catchUp || group.reading || group.readAheadMessages > 0 || this.isBlocked(group.key)) return;
    const { holder } = group;
    if (group.counter !== 0 && group.located) {
      if (holder === null || group.inFlightMessages >= this.options.limits.groupInFlightMax) return;
      if (!holder.hasCredit) {
        // It asks again when its turn comes.
        if (!group.queued) holder.more.push(group.key);
        group.queued = true;
        return;
      }
    }
    group.reading = true;
    this.queueRead(group.key);
  }

  queueRead(key: number): void {
    if (this.#toReadKeys.has(key)) return;
    this.#toReadKeys.add(key);
    this.toRead.push(key);
  }

  /** The next group to be read; -1: none. */
  takeRead(): number {
    const key = this.toRead.shift();
    if (key >= 0) this.#toReadKeys.delete(key);
    return key;
  }

  /** A token for a consumer; the hold ends after the subscription's time. */
  giveHold(group: ActiveGroup, holder: ConsumerAttachment): void {
    const { clock } = this.options;
    group.holder = holder;
    group.awaited = null;
    // It may still be in the queue of ready groups, where it counts no more.
    group.queued = false;
    group.counter = this.options.nextCounter();
    group.lastSequence = group.settled;
    group.since = clock.wallTime();
    this.holders.set(group.counter, group);
    this.#dropRewound(group.key);
    this.renew(group);
    this.tellGap(group);
  }

  /** The hold ends no sooner than so many milliseconds from now; 0: the subscription's hold. One that was extended further keeps that. */
  renew(group: ActiveGroup, milliseconds = 0): void {
    const length = milliseconds === 0 ? this.options.settings().holdMilliseconds : milliseconds;
    const deadline = this.options.clock.now() + length;
    if (deadline > group.deadline) this.holds.renew(group, deadline, milliseconds === 0);
  }

  /** Nobody holds it any more; its messages stay as they are. */
  releaseHold(group: ActiveGroup): void {
    if (group.counter === 0) return;
    this.holds.remove(group);
    this.holders.delete(group.counter);
    group.holder = null;
    group.awaited = null;
    group.counter = 0;
    group.deadline = 0;
    group.resumedTo = 0;
    group.resumedEpoch = 0;
    group.resumedCounter = 0;
    group.queued = false;
  }

  /** Tells the holder that its hold is over. */
  tellLost(group: ActiveGroup, reason: HoldLossReason): void {
    group.holder?.event({
      type: 'hold-lost',
      group: this.name(group.key),
      life: group.life,
      tokenEpoch: this.options.tokenEpoch,
      tokenCounter: group.counter,
      reason,
    });
  }

  /** Tells the holder, if there is one, what retention took of the group. */
  tellGap(group: ActiveGroup): void {
    const { gap, holder } = group;
    if (gap === null || holder === null) return;
    group.gap = null;
    const { first: firstSequence, last: lastSequence } = gap;
    const { life } = group;
    holder.event({ type: 'fell-behind', group: this.name(group.key), life, firstSequence, lastSequence });
  }

  /** Settles everything up to a sequence that was found; returns how many messages. */
  settleTo(group: ActiveGroup, sequence: number): number {
    const { pool, window, progress } = this.options;
    let settled = 0;
    while (group.inFlight.first !== NO_RUN) {
      const run = group.inFlight.first;
      const first = pool.sequence[run] as number;
      if (first > sequence) break;
      const count = Math.min(pool.count[run] as number, sequence - first + 1);
      const offset = pool.offset[run] as number;
      if (!group.behind) window.close(offset, count);
      settled += count;
      group.settled = first + count - 1;
      group.next = offset + count;
      if (count === pool.count[run]) {
        pool.release(pool.shift(group.inFlight));
      } else {
        pool.sequence[run] = first + count;
        pool.offset[run] = offset + count;
        pool.count[run] = (pool.count[run] as number) - count;
      }
    }
    group.inFlightMessages -= settled;
    progress.done += settled;
    this.writeRow(group, settled > 0);
    return settled;
  }

  /** Notes where the group stands; a head that moved has no failures. */
  writeRow(group: ActiveGroup, headMoved: boolean): void {
    const { progress } = this.options;
    const { rows } = progress;
    const row = progress.rowOf(group.key);
    rows.setPosition(row, group.life, group.settled, group.next);
    if (headMoved) {
      if (rows.failures(row) !== 0 || rows.notBefore(row) !== 0) rows.setFailures(row, 0, 0);
      if (rows.details.size > 0) rows.details.delete(group.key);
      const flags = rows.flags(row);
      if ((flags & FLAG_REPLACED) !== 0) {
        rows.setFlags(row, flags & ~FLAG_REPLACED);
        rows.replacements.delete(group.key);
      }
    }
    progress.touch(group.key);
  }

  /** The floor passes the group from now on. */
  markBehind(group: ActiveGroup): void {
    if (group.behind) return;
    const { progress, pool, window } = this.options;
    const row = progress.rowOf(group.key);
    progress.rows.setPosition(row, group.life, group.settled, group.next);
    progress.rows.setFlags(row, progress.rows.flags(row) | FLAG_BEHIND);
    group.behind = true;
    for (const list of [group.inFlight, group.readAhead]) {
      for (let run = list.first; run !== NO_RUN; run = pool.next[run] as number) {
        window.close(pool.offset[run] as number, pool.count[run] as number);
      }
    }
    progress.touch(group.key);
  }

  /** A group that is where the scan is, and has nothing open below the floor, is an ordinary one again. */
  clearBehind(group: ActiveGroup): void {
    const { progress, pool, window } = this.options;
    if (!group.behind || group.catchUp) return;
    // What is open lies between floor and scan position.
    if (!group.empty && (group.next < window.floor || group.readFrom > window.end)) return;
    const row = progress.rowOf(group.key);
    progress.rows.setFlags(row, progress.rows.flags(row) & ~FLAG_BEHIND);
    group.behind = false;
    for (const list of [group.inFlight, group.readAhead]) {
      for (let run = list.first; run !== NO_RUN; run = pool.next[run] as number) {
        window.open(pool.offset[run] as number, pool.count[run] as number, group.key);
      }
    }
    progress.touch(group.key);
  }

  /** Forgets a group that nobody works on and nothing is left of. */
  retire(group: ActiveGroup): void {
    if (!group.empty || group.counter !== 0 || group.catchUp || group.reading) return;
    this.clearBehind(group);
    this.active.delete(group.key);
  }

  /** Gives back what was read ahead; it is read again by the index. */
  dropReadAhead(group: ActiveGroup): void {
    if (group.readAheadMessages === 0) return;
    const { pool } = this.options;
    this.markBehind(group);
    group.readAgainFrom(pool.offset[group.readAhead.first] as number);
    this.#releaseReadAhead(group);
    group.queued = false;
  }

  /**
   * Ends a hold with what it left unsettled: the group is read again from its head by its index, once nothing blocks it. Returns false when
   * nothing is left.
   */
  leaveToIndex(group: ActiveGroup): boolean {
    const { pool, progress } = this.options;
    this.releaseHold(group);
    if (group.settled < 0) {
      this.active.delete(group.key);
      return false;
    }
    if (group.empty && !group.catchUp) {
      this.retire(group);
      return false;
    }
    this.markBehind(group);
    this.#releaseReadAhead(group);
    pool.releaseAll(group.inFlight);
    group.inFlightMessages = 0;
    this.active.delete(group.key);
    progress.touch(group.key);
    return true;
  }

  /** Offers a group that has only a row: nothing blocks it any more, or it never was blocked. */
  wake(key: number): void {
    const { rows } = this.options.progress;
    const row = rows.find(key);
    if (row < 0 || (rows.flags(row) & FLAG_BEHIND) === 0) return;
    if ((rows.flags(row) & FLAGS_BLOCKING) !== 0 || this.delays.get(key) !== undefined) return;
    const group = this.active.get(key);
    if (group === undefined) this.queueRead(key);
    else this.readOn(group);
  }

  /** Settles the head of a group that nobody works on, without delivery; `head` is where it was found. */
  skipHead(key: number, head: { readonly offset: number; readonly sequence: number }): void {
    const { progress } = this.options;
    const { rows } = progress;
    const row = rows.find(key);
    const lost = key === 0 ? 0 : Math.max(0, head.sequence - 1 - rows.settled(row));
    rows.setPosition(row, rows.life(row), head.sequence, head.offset + 1);
    rows.setFailures(row, 0, 0);
    rows.setFlags(row, rows.flags(row) & ~FLAG_REPLACED);
    rows.replacements.delete(key);
    rows.details.delete(key);
    progress.done += lost + 1;
    progress.lost += lost;
    progress.touch(key);
  }

  /** The head of a group that nobody works on was removed by retention: what was noted of it is void, and the group may go on. */
  dropHead(key: number): void {
    const { progress } = this.options;
    const { rows } = progress;
    const row = rows.find(key);
    rows.setFailures(row, 0, 0);
    rows.setFlags(row, rows.flags(row) & ~(FLAG_REPLACED | FLAG_DEAD_LETTERING));
    rows.replacements.delete(key);
    rows.details.delete(key);
    progress.touch(key);
  }

  /** After its holder settled everything it was given: the group goes where what is left of it belongs. */
  free(group: ActiveGroup): void {
    this.releaseHold(group);
    this.clearBehind(group);
    if (this.isBlocked(group.key)) {
      this.leaveToIndex(group);
      return;
    }
    this.offer(group);
    this.readOn(group);
    this.retire(group);
  }

  /** Parked, paused, or its head is leaving. */
  isBlocked(key: number): boolean {
    const { rows } = this.options.progress;
    const row = rows.find(key);
    return row >= 0 && (rows.flags(row) & FLAGS_BLOCKING) !== 0;
  }

  /** From now on a holder may come back. Until that is replicated the next leader lets none: the group is delivered again. */
  #dropRewound(key: number): void {
    const { progress } = this.options;
    const { rows } = progress;
    const row = rows.find(key);
    if (row < 0 || (rows.flags(row) & FLAG_REWOUND) === 0) return;
    rows.setFlags(row, rows.flags(row) & ~FLAG_REWOUND);
    progress.touch(key);
  }

  #releaseReadAhead(group: ActiveGroup): void {
    const { pool } = this.options;
    for (let run = group.readAhead.first; run !== NO_RUN; run = pool.next[run] as number) {
      this.readAheadBytes -= (pool.end[run] as number) - (pool.start[run] as number);
    }
    pool.releaseAll(group.readAhead);
    group.readAheadMessages = 0;
  }
}
