/**
 * Holders that may come back: those of a broken stream, and after a change of leader those of every session that was attached before. Until they
 * named what they hold, or their time is over, nobody else is given these groups.
 */
import type { ConsumerEvent, HoldLossReason, ResumedHold } from '../../consume-contracts.ts';
import type { ActiveGroup } from './active-group.ts';
import type { ConsumerAttachment } from './consumer-attachment.ts';
import type { GroupDesk } from './group-desk.ts';
import { NO_RUN } from './run-pool.ts';
import { FLAG_BEHIND, FLAG_PARKED, FLAG_REWOUND, FLAGS_BLOCKING } from './subscription-rows.ts';

/** What coming back needs. */
export interface ComeBackOptions {
  readonly desk: GroupDesk;
  /** Sessions attached before this term. */
  readonly sessions: Iterable<string>;
  /** High watermark when this term began: what lies behind it nobody can hold. */
  readonly startWatermark: number;
  /** The head failed, because its holder did not come back. */
  readonly fail: (group: ActiveGroup) => void;
  /** A session's time is over. */
  readonly onGone: (session: string) => void;
  /** Groups may be given again. */
  readonly onFreed: () => void;
}

/** See the head of this file. */
export class ComeBack {
  readonly #options: ComeBackOptions;
  /** Sessions from before the term; then those of them that have not come back. */
  readonly #known: ReadonlySet<string>;
  readonly #missing: Set<string>;
  /** Keys of groups held back until all are there. */
  readonly #heldBack = new Set<number>();
  readonly #timers = new Map<string, () => void>();
  #cancelWindow: () => void = () => {};
  /** Monotonic milliseconds at which the window after a change of leader ends. */
  #until = 0;
  #open: boolean;

  constructor(options: ComeBackOptions) {
    this.#options = options;
    this.#known = new Set(options.sessions);
    this.#missing = new Set(this.#known);
    this.#open = this.#missing.size > 0;
    const { clock, limits, progress } = options.desk.options;
    const { rows } = progress;
    for (let row = 0; row < rows.count; row++) this.#meetRow(rows.key(row), row);
    if (!this.#open) {
      this.#finish();
      return;
    }
    this.#until = clock.now() + limits.comeBackMilliseconds;
    this.#cancelWindow = clock.after(limits.comeBackMilliseconds, () => {
      for (const session of this.#missing) options.onGone(session);
      this.#finish();
    });
  }

  /** Sessions that may come back. */
  get awaited(): number {
    return this.#missing.size + this.#timers.size;
  }

  /** Until when a group waits for its holder; 0: it does not. Monotonic milliseconds. */
  waitsUntil(key: number): number {
    return this.#heldBack.has(key) ? this.#until : 0;
  }

  /** True while nobody may be given the group. */
  holdsBack(group: ActiveGroup): boolean {
    if (!this.#open) return false;
    const { pool } = this.#options.desk.options;
    const first = group.readAhead.first;
    if (first === NO_RUN || (pool.offset[first] as number) >= this.#options.startWatermark) return false;
    this.#heldBack.add(group.key);
    return true;
  }

  /** A session has named what it holds, or left. */
  settled(session: string): void {
    this.#timers.get(session)?.();
    this.#timers.delete(session);
    if (!this.#missing.delete(session) || this.#missing.size > 0 || !this.#open) return;
    this.#finish();
  }

  /** The consumer's stream broke: its groups wait for it. */
  await(consumer: ConsumerAttachment): void {
    const { desk, onGone } = this.#options;
    const { session } = consumer.identity;
    for (const group of desk.holders.values()) {
      if (group.holder !== consumer) continue;
      group.holder = null;
      group.awaited = session;
      group.queued = false;
      desk.holds.remove(group);
    }
    this.#timers.get(session)?.();
    const { clock, limits } = desk.options;
    const cancel = clock.after(limits.comeBackMilliseconds, () => {
      this.#timers.delete(session);
      this.release(session, true);
      onGone(session);
    });
    this.#timers.set(session, cancel);
  }

  /** Frees what still waits for a session; `failed`: its heads count a failure. */
  release(session: string, failed: boolean): void {
    const { desk, fail, onFreed } = this.#options;
    for (const group of [...desk.holders.values()]) {
      if (group.awaited !== session) continue;
      if (failed && group.inFlightMessages > 0) fail(group);
      else if (desk.leaveToIndex(group)) desk.wake(group.key);
    }
    onFreed();
  }

  /** Answers one hold that a consumer names. */
  resume(consumer: ConsumerAttachment, named: ResumedHold): ConsumerEvent {
    const { desk } = this.#options;
    const { tokenEpoch } = desk.options;
    const key = this.#key(named);
    const group = key < 0 ? undefined : desk.active.get(key);
    const lost = (reason: HoldLossReason): ConsumerEvent => lostHold(named, reason);
    if (key < 0) return lost('HOLD_EXPIRED');
    if (named.tokenEpoch === tokenEpoch) {
      const same = group?.counter === named.tokenCounter && group.awaited === consumer.identity.session;
      if (group === undefined || !same) return lost(group?.counter ? 'HOLD_TAKEN' : 'HOLD_EXPIRED');
      // It would have to be read again, which a paused group is not.
      if (group.paused && named.lastSequence < group.lastFound) {
        desk.leaveToIndex(group);
        return lost('HOLD_EXPIRED');
      }
      this.#holdAgain(group, consumer, named.lastSequence);
      return this.#held(group, named);
    }
    if (!this.#open || named.tokenEpoch > tokenEpoch) return lost('HOLD_EXPIRED');
    // Its session's time was over before: these groups were free.
    if (!this.#known.has(consumer.identity.session)) return lost('HOLD_EXPIRED');
    const over = this.#blockedBy(key) ?? this.#overFor(key, named);
    if (over !== null) return lost(over);
    if (group !== undefined && group.counter !== 0) {
      if (!isHigher(named, group)) return lost('HOLD_TAKEN');
      desk.tellLost(group, 'HOLD_TAKEN');
      desk.releaseHold(group);
      this.#deliverAgain(group, named.lastSequence);
    }
    return this.#held(this.#holdFromBefore(key, consumer, named), named);
  }

  /** Leadership is over. */
  end(): void {
    this.#open = false;
    this.#cancelWindow();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  #finish(): void {
    const { desk, onFreed } = this.#options;
    this.#open = false;
    this.#cancelWindow();
    this.#missing.clear();
    for (const key of this.#heldBack) {
      const group = desk.active.get(key);
      if (group === undefined) {
        desk.wake(key);
      } else {
        desk.offer(group);
        desk.readOn(group);
      }
    }
    this.#heldBack.clear();
    onFreed();
  }

  /** Groups that are behind wait with the others; those that are delayed for the rest of their time. */
  #meetRow(key: number, row: number): void {
    const { desk } = this.#options;
    const { clock, progress } = desk.options;
    const { rows } = progress;
    if ((rows.flags(row) & FLAG_BEHIND) === 0) return;
    const wait = rows.notBefore(row) - clock.wallTime();
    if ((rows.flags(row) & FLAGS_BLOCKING) === 0 && wait > 0) desk.delays.set(key, clock.now() + wait);
    this.#heldBack.add(key);
  }

  #key(named: ResumedHold): number {
    const { state } = this.#options.desk.options;
    if (named.group === '') return named.life === 0 && named.lastSequence <= state.nextOffset ? 0 : -1;
    const bytes = Buffer.from(named.group, 'utf8');
    const group = state.names.find(bytes, 0, bytes.length);
    if (group < 0 || state.records.life(group) !== named.life) return -1;
    return named.lastSequence <= state.records.lastSequence(group) ? group + 1 : -1;
  }

  /** What shows that the hold was over long before this term, although its consumer has not heard of it. */
  #overFor(key: number, named: ResumedHold): HoldLossReason | null {
    const { rows } = this.#options.desk.options.progress;
    const { settled, next } = this.#standing(key, named.life);
    const row = rows.find(key);
    const ofLife = row >= 0 && rows.life(row) === named.life;
    const rewound = ofLife && (rows.flags(row) & FLAG_REWOUND) !== 0;
    if (rewound || (settled >= 0 && named.settledSequence > settled)) return 'GROUP_REWOUND';
    if (named.headOffset < 0) return null;
    if (named.headOffset < next) return 'HOLD_TAKEN';
    const failed = ofLife && rows.failures(row) >= named.headAttempt;
    return failed ? 'HOLD_EXPIRED' : null;
  }

  /** Last settled sequence, -1 where it is not known, and an offset below which everything of the group is settled. */
  #standing(key: number, life: number): { readonly settled: number; readonly next: number } {
    const { active, options } = this.#options.desk;
    const { progress, window } = options;
    const { rows } = progress;
    const group = active.get(key);
    if (group !== undefined && group.settled >= 0) return group;
    const row = rows.find(key);
    // One that is neither behind nor ahead of the scan may not have been told for long.
    const says = row >= 0 && ((rows.flags(row) & FLAG_BEHIND) !== 0 || rows.next(row) > window.end);
    if (says && rows.life(row) === life) return { settled: rows.settled(row), next: rows.next(row) };
    return { settled: -1, next: window.end };
  }

  #blockedBy(key: number): HoldLossReason | null {
    const { desk } = this.#options;
    const { rows } = desk.options.progress;
    const row = rows.find(key);
    if (row >= 0 && (rows.flags(row) & FLAGS_BLOCKING) !== 0) {
      return (rows.flags(row) & FLAG_PARKED) !== 0 ? 'GROUP_PARKED' : 'HOLD_EXPIRED';
    }
    return desk.delays.get(key) === undefined ? null : 'HOLD_EXPIRED';
  }

  /** The same leader: what was delivered is known, and given again behind what the consumer has. */
  #holdAgain(group: ActiveGroup, consumer: ConsumerAttachment, lastSequence: number): void {
    const { desk } = this.#options;
    desk.releaseHold(group);
    this.#deliverAgain(group, lastSequence);
    desk.giveHold(group, consumer);
    group.resumedTo = Math.max(group.settled, lastSequence);
    this.#moveToFlight(group);
    group.lastSequence = group.resumedTo;
    desk.offer(group);
    desk.readOn(group);
  }

  /** What was delivered behind `lastSequence` did not reach the holder that comes now: it is read again. */
  #deliverAgain(group: ActiveGroup, lastSequence: number): void {
    if (group.inFlightMessages === 0 || lastSequence >= group.lastInFlight) return;
    const { desk } = this.#options;
    desk.markBehind(group);
    desk.dropReadAhead(group);
    desk.options.pool.releaseAll(group.inFlight);
    group.inFlightMessages = 0;
    group.readAgainFrom(group.next);
  }

  #holdFromBefore(key: number, consumer: ConsumerAttachment, named: ResumedHold): ActiveGroup {
    const { desk } = this.#options;
    const group = desk.active.get(key) ?? this.#find(key, named);
    this.#heldBack.delete(key);
    desk.giveHold(group, consumer);
    group.resumedTo = named.lastSequence;
    group.resumedEpoch = named.tokenEpoch;
    group.resumedCounter = named.tokenCounter;
    this.#moveToFlight(group);
    group.lastSequence = Math.max(group.settled, group.resumedTo);
    desk.offer(group);
    desk.readOn(group);
    return group;
  }

  /** A group that was not met yet in this term. */
  #find(key: number, named: ResumedHold): ActiveGroup {
    const { desk } = this.#options;
    const { progress, state, window } = desk.options;
    const { rows } = progress;
    const row = rows.find(key);
    if (row >= 0 && rows.life(row) === named.life) {
      const group = desk.create(key, named.life, rows.settled(row), rows.next(row));
      group.behind = (rows.flags(row) & FLAG_BEHIND) !== 0;
      group.catchUp = group.behind;
      return group;
    }
    const last = key === 0 ? -1 : state.records.lastOffset(key - 1);
    if (key !== 0 && last < window.end) {
      return desk.create(key, named.life, state.records.lastSequence(key - 1), last + 1);
    }
    return desk.create(key, named.life, -1, 0);
  }

  /** What was read ahead of a group while it waited, and its holder has. */
  #moveToFlight(group: ActiveGroup): void {
    const { desk } = this.#options;
    const { pool } = desk.options;
    while (group.readAheadMessages > 0) {
      const run = group.readAhead.first;
      const fits = group.resumedTo - (pool.sequence[run] as number) + 1;
      if (fits <= 0) return;
      if (fits < (pool.count[run] as number)) pool.split(group.readAhead, fits);
      pool.append(group.inFlight, pool.shift(group.readAhead));
      const count = pool.count[run] as number;
      desk.readAheadBytes -= (pool.end[run] as number) - (pool.start[run] as number);
      pool.forgetBytes(run);
      group.readAheadMessages -= count;
      group.inFlightMessages += count;
      group.lastInFlight = (pool.sequence[run] as number) + count - 1;
    }
  }

  #held(group: ActiveGroup, named: ResumedHold): ConsumerEvent {
    const { tokenEpoch } = this.#options.desk.options;
    return {
      type: 'held',
      group: named.group,
      life: named.life,
      tokenEpoch,
      tokenCounter: group.counter,
    };
  }
}

/** A named hold that does not go on. */
export function lostHold(named: ResumedHold, reason: HoldLossReason): ConsumerEvent {
  const { group, life, tokenEpoch, tokenCounter } = named;
  return { type: 'hold-lost', group, life, tokenEpoch, tokenCounter, reason };
}

function isHigher(named: ResumedHold, group: ActiveGroup): boolean {
  if (group.resumedEpoch === 0) return false;
  if (named.tokenEpoch !== group.resumedEpoch) return named.tokenEpoch > group.resumedEpoch;
  return named.tokenCounter > group.resumedCounter;
}
