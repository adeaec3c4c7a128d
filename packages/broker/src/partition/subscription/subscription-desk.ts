/**
 * One subscription at its partition's leader, from the start of a term (or of a generation) to its end: consumers, what they are given and what
 * they settle. Work gathers until the event loop is free and is then done in one synchronous pump.
 */
import type { Clock, Shard } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type {
  ConsumerEvent,
  ConsumerIdentity,
  ConsumerSink,
  ResumedHold,
  SubscriptionLimits,
} from '../../consume-contracts.ts';
import type { SubscriptionView } from '../../subscription-contracts.ts';
import type { PartitionState } from '../partition-state.ts';
import type { RecordSource } from '../record-source.ts';
import type { ActiveGroup } from './active-group.ts';
import { ComeBack, lostHold } from './come-back.ts';
import {
  attachingLost,
  ConsumerAttachment,
  type ConsumerDesk,
  type SettlementResult,
  type SettlementRow,
  tooMany,
} from './consumer-attachment.ts';
import { GroupDesk } from './group-desk.ts';
import { GroupIntake } from './group-intake.ts';
import { OffsetWindow } from './offset-window.ts';
import { RecordScan } from './record-scan.ts';
import { RunPool } from './run-pool.ts';
import { SessionRegister } from './session-register.ts';
import { Settlements } from './settlements.ts';
import type { Totals } from './subscription-command.ts';
import { FLAG_BEHIND, FLAG_PAUSED, FLAG_REPLACED, type Row } from './subscription-rows.ts';
import type { SubscriptionProgress } from './subscription-state.ts';
import { Turns } from './turns.ts';
import { WorkingProgress } from './working-progress.ts';

/** Rounds of reading and delivering in one pump; then other events have their turn. */
const ROUNDS_MAX = 8;
/** Timers may fire early by a fraction of this, milliseconds. */
const TIMER_SLACK = 1;

/** What a desk works with. */
export interface SubscriptionDeskOptions {
  readonly clock: Clock;
  readonly limits: SubscriptionLimits;
  readonly shard: Pick<Shard, 'propose' | 'read' | 'leadsForSure'>;
  readonly state: PartitionState;
  readonly source: RecordSource;
  readonly scanBytesMax: number;
  /** As applied when the desk is opened; of this generation. */
  readonly applied: SubscriptionProgress;
  readonly tokenEpoch: number;
  readonly nextCounter: () => number;
  /** The definition, the last known one when it is gone. */
  readonly settings: () => SubscriptionView;
  /** False while the definition is being changed or paused: nothing is delivered. */
  readonly delivers: () => boolean;
  /** A head is to be written to the dead-letter topic, as soon as its row is applied. */
  readonly onDeadLetter: (key: number) => void;
  /** Told how many records were looked at to find what to deliver. */
  readonly countRead: (records: number) => void;
  /** Sessions that may come back: none when the desk begins a new generation in the same term. */
  readonly sessions: Iterable<string>;
}

/** What an operator's command tells beside the row that it makes. */
export interface OperatorCommand {
  /** The group's hold is void. */
  readonly rewound: boolean;
  /** Empty: none. */
  readonly replacement: Uint8Array;
  readonly totals: Totals;
}

/** See the head of this file. */
export class SubscriptionDesk implements ConsumerDesk {
  readonly groups: GroupDesk;
  readonly progress: WorkingProgress;
  readonly window: OffsetWindow;
  readonly comeBack: ComeBack;
  readonly settlements: Settlements;
  readonly options: SubscriptionDeskOptions;
  readonly #scan: RecordScan;
  readonly #turns: Turns;
  readonly #sessions: SessionRegister;
  #consumers: ConsumerAttachment[] = [];
  /** Those that left and wait until what they settled is durable. */
  readonly #leaving = new Set<ConsumerAttachment>();
  #pumpScheduled = false;
  #confirming = false;
  #timerAt = Number.POSITIVE_INFINITY;
  #cancelTimer: () => void = () => {};
  #ended = false;

  constructor(options: SubscriptionDeskOptions) {
    this.options = options;
    const { clock, limits, state, source, applied, shard, scanBytesMax } = options;
    this.window = new OffsetWindow(Math.max(applied.floor, state.lowWatermark));
    this.progress = new WorkingProgress({ clock, shard, limits, applied, window: this.window });
    this.groups = new GroupDesk({
      clock,
      limits,
      state,
      window: this.window,
      pool: new RunPool(),
      progress: this.progress,
      tokenEpoch: options.tokenEpoch,
      nextCounter: options.nextCounter,
      settings: options.settings,
      heldBack: (group) => this.comeBack.holdsBack(group),
    });
    this.settlements = new Settlements(this.groups, options.onDeadLetter);
    const intake = new GroupIntake(this.groups);
    const onRead = (): void => this.wake();
    const count = options.countRead;
    const onLost = (from: number, to: number): void => this.#tellGap(from, to);
    this.#scan = new RecordScan({ desk: this.groups, intake, source, scanBytesMax, onRead, onLost, count });
    this.#turns = new Turns(this.groups);
    this.#sessions = new SessionRegister({ clock, shard, applied });
    this.comeBack = new ComeBack({
      desk: this.groups,
      sessions: options.sessions,
      startWatermark: state.nextOffset,
      fail: (group) => this.settlements.fail(group, 'the consumer did not come back', 0, false),
      onGone: (session) => {
        const attached = this.#consumers.some(({ identity }) => identity.session === session);
        if (!attached) void this.#sessions.gone(session);
      },
      onFreed: () => this.wake(),
    });
  }

  /** It serves nobody any more: leadership is over, or a new generation has begun. */
  get ended(): boolean {
    return this.#ended;
  }

  get consumers(): readonly ConsumerAttachment[] {
    return this.#consumers;
  }

  /** Attaches a consumer; see PartitionDispatch.attach. The term is confirmed. */
  async attach(
    identity: ConsumerIdentity,
    sink: ConsumerSink,
    resumed: readonly ResumedHold[] | null,
    replaced: (reason: RefusalError) => void,
  ): Promise<ConsumerAttachment> {
    const { clock, limits, applied } = this.options;
    const { session } = identity;
    this.#replace(session);
    if (this.#consumers.length + this.comeBack.awaited >= limits.consumersMax) {
      if (!applied.sessions.has(session)) throw tooMany(limits.consumersMax);
    }
    const consumer = new ConsumerAttachment(identity, sink, replaced, clock, limits.unansweredRowsMax);
    consumer.desk = this;
    this.#consumers.push(consumer);
    const named = resumed ?? [];
    const events = named.map((hold) => this.comeBack.resume(consumer, hold));
    if (resumed !== null) {
      this.comeBack.release(session, false);
      this.comeBack.settled(session);
    }
    await this.#register(consumer);
    // The entry may have been applied in the same turn in which leadership ended.
    if (this.#ended) throw attachingLost();
    consumer.attached = true;
    clock.soon(() => this.#begin(consumer, named, events));
    return consumer;
  }

  settle(consumer: ConsumerAttachment, row: SettlementRow): SettlementResult {
    return this.settlements.settle(consumer, row);
  }

  handled(consumer: ConsumerAttachment): void {
    this.progress.answerLater(consumer);
    this.wake();
  }

  creditGranted(): void {
    this.wake();
  }

  async detach(consumer: ConsumerAttachment, how: 'clean' | 'broken'): Promise<boolean> {
    this.#consumers = this.#consumers.filter((other) => other !== consumer);
    if (this.#ended) return false;
    if (how === 'broken') {
      this.comeBack.await(consumer);
      this.wake();
      return false;
    }
    for (const group of [...this.groups.holders.values()]) {
      if (group.holder === consumer && this.groups.leaveToIndex(group)) this.groups.wake(group.key);
    }
    this.wake();
    this.progress.flush();
    this.#leaving.add(consumer);
    const durable = await consumer.whenAnswered();
    this.#leaving.delete(consumer);
    if (!durable || this.#consumers.some(({ identity }) => identity.session === consumer.identity.session))
      return durable;
    return this.#sessions.gone(consumer.identity.session);
  }

  /** Looks for work when the events that are ready now are handled. */
  wake(): void {
    if (this.#pumpScheduled || this.#ended) return;
    this.#pumpScheduled = true;
    this.options.clock.soon(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  /** The term, or the generation, is over here. Holds are void. Returns the consumers, which are told nothing more by this desk. */
  end(): readonly ConsumerAttachment[] {
    this.#ended = true;
    this.#cancelTimer();
    this.#scan.end();
    this.comeBack.end();
    this.progress.end();
    this.#sessions.end();
    for (const consumer of this.#leaving) consumer.forsake();
    return this.#consumers;
  }

  /** Takes over the consumers of the generation before, of which what they named is answered. */
  adopt(consumers: readonly ConsumerAttachment[]): void {
    for (const consumer of consumers) consumer.desk = this;
    this.#consumers = [...consumers];
    this.wake();
  }

  /** An operator's command was proposed: this is the group's row now. */
  takeRow(key: number, row: Row, { rewound, replacement, totals }: OperatorCommand): void {
    const { groups, progress } = this;
    const group = groups.active.get(key);
    if (rewound) groups.delays.cancel(key);
    // What a holder had when it came back is not found as long as the group is paused.
    const unknown = group !== undefined && !group.located && (row.flags & FLAG_PAUSED) !== 0;
    if (group !== undefined && (rewound || unknown || group.counter === 0)) {
      if (rewound || unknown) groups.tellLost(group, rewound ? 'GROUP_REWOUND' : 'HOLD_EXPIRED');
      groups.leaveToIndex(group);
    } else if (group !== undefined && (row.flags & FLAG_BEHIND) !== 0) {
      // Its holder may settle what it has; the rest is read when nothing blocks the group any more.
      groups.markBehind(group);
      groups.dropReadAhead(group);
      // What a read under way brings is void.
      group.readAgainFrom(group.readFrom);
    }
    if (group !== undefined) group.paused = (row.flags & FLAG_PAUSED) !== 0;
    progress.told(key, row, totals);
    if (replacement.length > 0) progress.rows.replacements.set(key, replacement);
    else if ((row.flags & FLAG_REPLACED) === 0) progress.rows.replacements.delete(key);
    groups.wake(key);
    this.wake();
  }

  #pump(): void {
    const { shard, delivers } = this.options;
    if (this.#ended) return;
    if (this.#consumers.length > 0 && delivers()) {
      if (!shard.leadsForSure()) this.#confirm();
      else this.#work();
    } else {
      // Nothing is found now, but a hold may have ended, or left nothing to be found.
      this.#retryDeferred();
    }
    this.#arm();
  }

  /** A quorum has to say that this still leads before anything is delivered. */
  #confirm(): void {
    if (this.#confirming) return;
    this.#confirming = true;
    this.options.shard.read((confirmed) => {
      this.#confirming = false;
      if (!confirmed || this.#ended) return;
      if (this.options.delivers()) this.#work();
      this.#arm();
    });
  }

  #work(): void {
    let rounds = 0;
    for (; rounds < ROUNDS_MAX; rounds++) {
      const moved = this.#scan.step();
      const read = this.#scan.readGroups();
      const delivered = this.#turns.round(this.#consumers);
      // A consumer's turn may have found that it wants more of a group that is behind.
      if (!moved && !read && !delivered && !this.#scan.canReadGroups && !this.#makeRoom()) break;
    }
    if (rounds === ROUNDS_MAX) this.wake();
    this.#retryDeferred();
  }

  #retryDeferred(): void {
    for (const consumer of this.#consumers) if (consumer.hasDeferred) consumer.retryDeferred();
  }

  /** What is read ahead of groups that nobody takes now is read again later, when it keeps others from being read. */
  #makeRoom(): boolean {
    const { groups } = this;
    if (groups.readAheadBytes < this.options.limits.readAheadBytesMax) return false;
    if (!this.#consumers.some((consumer) => consumer.hasCredit)) return false;
    const before = groups.readAheadBytes;
    for (const group of groups.active.values()) {
      if (group.counter !== 0 || this.comeBack.waitsUntil(group.key) > 0) groups.dropReadAhead(group);
    }
    return groups.readAheadBytes < before;
  }

  /** Which groups the removed records were of is not known any more: their places stand for sequences, as those without group have. */
  #tellGap(from: number, to: number): void {
    for (const consumer of this.#consumers) {
      consumer.event({ type: 'fell-behind', group: '', life: 0, firstSequence: from + 1, lastSequence: to });
    }
  }

  /** Answers what the consumer named, as it is by now, before anything is delivered to it. */
  #begin(
    consumer: ConsumerAttachment,
    resumed: readonly ResumedHold[],
    events: readonly ConsumerEvent[],
  ): void {
    if (this.#ended || !this.#consumers.includes(consumer)) return;
    events.forEach((event, at) => {
      const named = resumed[at];
      const taken = event.type === 'held' && this.groups.holders.get(event.tokenCounter)?.holder !== consumer;
      consumer.sink.event(taken && named !== undefined ? lostHold(named, 'HOLD_TAKEN') : event);
    });
    consumer.activate();
    this.wake();
  }

  /** A newer attachment of a session takes the place of the one before. */
  #replace(session: string): void {
    const before = this.#consumers.find(({ identity }) => identity.session === session);
    if (before === undefined) return;
    before.close();
    this.#consumers = this.#consumers.filter((other) => other !== before);
    this.comeBack.await(before);
    const reason = new RefusalError('SESSION_REPLACED', `a newer stream of session ${session} came`);
    this.options.clock.soon(() => before.replaced(reason));
  }

  /** Rejects when leadership is lost before it is known that the consumer's session came. */
  async #register(consumer: ConsumerAttachment): Promise<void> {
    const { session } = consumer.identity;
    if (this.#sessions.isKnown(session) || (await this.#sessions.came(session))) return;
    this.#consumers = this.#consumers.filter((other) => other !== consumer);
    throw attachingLost();
  }

  /** Sets the one timer for holds that end and delays that are over. */
  #arm(): void {
    if (this.#ended) return;
    const next = Math.min(this.groups.holds.nextDeadline, this.groups.delays.nextTime);
    if (next >= this.#timerAt) return;
    this.#cancelTimer();
    this.#timerAt = next;
    const { clock } = this.options;
    this.#cancelTimer = clock.after(Math.max(0, next - clock.now()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#due();
    });
  }

  #due(): void {
    const { groups } = this;
    const now = this.options.clock.now() + TIMER_SLACK;
    for (const group of groups.holds.takeDue(now)) this.#expire(group);
    for (let key = groups.delays.takeDue(now); key >= 0; key = groups.delays.takeDue(now)) groups.wake(key);
    this.wake();
    this.#arm();
  }

  #expire(group: ActiveGroup): void {
    if (group.inFlightMessages > 0) {
      this.groups.tellLost(group, 'HOLD_EXPIRED');
      this.settlements.fail(group, 'the hold ended before the message was settled', 0, false);
    } else if (this.groups.leaveToIndex(group)) {
      this.groups.wake(group.key);
    }
  }
}
