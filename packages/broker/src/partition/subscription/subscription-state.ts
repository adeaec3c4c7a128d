/**
 * Replicated progress of a partition's subscriptions: floor, totals, rows, sessions, actions, and the token epoch. Deterministic: what
 * it is told are absolute values, and a command of another generation, or of a subscription that is not here, changes nothing.
 */
import type { ByteReader } from '../byte-reader.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { mustHold } from '../shard-fault.ts';
import {
  ACTION_NAMES,
  COMMAND_GROUP_ACTION,
  COMMAND_POSITION,
  COMMAND_PROGRESS,
  COMMAND_SESSIONS,
  type CommandHead,
  decodePosition,
  decodeSessions,
  type Position,
  readAction,
  readHead,
  readTotals,
  subscriptionReader,
} from './subscription-command.ts';
import {
  FLAG_DEAD_LETTERING,
  FLAG_PARKED,
  FLAG_REPLACED,
  FLAGS_BLOCKING,
  FLAGS_FAILED,
  readText,
  SubscriptionRows,
  writeBytes,
} from './subscription-rows.ts';

/** Actions kept of a subscription; the oldest goes first. Part of the replicated state, so the same on all replicas. */
export const ACTIONS_KEPT = 1000;

/** What was done to a group; `key` as in {@link SubscriptionRows}, `sequence` its head before. */
export interface KeptAction {
  readonly time: number;
  readonly action: string;
  readonly key: number;
  readonly sequence: number;
  readonly who: string;
  readonly why: string;
}

/** One subscription. */
export class SubscriptionProgress {
  readonly id: number;
  generation = 0;
  /** Everything below is settled, but in groups that are behind. */
  floor = 0;
  /** Records below the end that are settled, were lost, or lay before the start. */
  done = 0;
  /** Records that retention removed before they were settled, in this generation. */
  lost = 0;
  rows: SubscriptionRows = new SubscriptionRows();
  readonly sessions: Set<string> = new Set();
  actions: KeptAction[] = [];

  constructor(id: number) {
    this.id = id;
  }

  note(action: KeptAction): void {
    this.actions.push(action);
    if (this.actions.length > ACTIONS_KEPT) this.actions.shift();
  }

  copy(): SubscriptionProgress {
    const copy = new SubscriptionProgress(this.id);
    copy.generation = this.generation;
    copy.floor = this.floor;
    copy.done = this.done;
    copy.lost = this.lost;
    copy.rows = this.rows.copy();
    for (const session of this.sessions) copy.sessions.add(session);
    copy.actions = [...this.actions];
    return copy;
  }
}

/** See the head of this file. */
export class SubscriptionsState {
  #subscriptions = new Map<number, SubscriptionProgress>();
  /** Added to the term: raised when a group arrives from a partition whose epoch was higher. */
  #epochBase = 0;
  #lastTerm = 0;
  readonly #reader: ByteReader = subscriptionReader();

  /** Above that of every earlier term. */
  get tokenEpoch(): number {
    return this.#epochBase + this.#lastTerm;
  }

  get(id: number): SubscriptionProgress | undefined {
    return this.#subscriptions.get(id);
  }

  all(): Iterable<SubscriptionProgress> {
    return this.#subscriptions.values();
  }

  /** To be called with each entry's term. */
  noteTerm(term: number): void {
    if (term > this.#lastTerm) this.#lastTerm = term;
  }

  /** Applies command 7, 8, 9 or 10; returns the subscription whose position changed, or 0. Faults as the partition's state does. */
  apply(kind: number, data: Uint8Array): number {
    switch (kind) {
      case COMMAND_POSITION:
        return this.#applyPosition(decodePosition(data));
      case COMMAND_PROGRESS:
      case COMMAND_GROUP_ACTION:
        this.#applyStanding(kind, data);
        return 0;
      case COMMAND_SESSIONS:
        this.#applySessions(data);
        return 0;
      default:
        throw new Error(`command ${kind} is no subscription's`);
    }
  }

  copy(): SubscriptionsState {
    const copy = new SubscriptionsState();
    for (const [id, subscription] of this.#subscriptions) copy.#subscriptions.set(id, subscription.copy());
    copy.#epochBase = this.#epochBase;
    copy.#lastTerm = this.#lastTerm;
    return copy;
  }

  *write(writer: ByteWriter): Generator<void> {
    writer.varint(this.#epochBase);
    writer.varint(this.#lastTerm);
    writer.varint(this.#subscriptions.size);
    for (const id of [...this.#subscriptions.keys()].sort((a, b) => a - b)) {
      const subscription = this.#subscriptions.get(id);
      if (subscription !== undefined) yield* writeSubscription(writer, subscription);
    }
  }

  static read(reader: ByteReader): SubscriptionsState {
    const state = new SubscriptionsState();
    state.#epochBase = reader.varint();
    state.#lastTerm = reader.varint();
    for (let left = reader.varint(); left > 0; left--) {
      const subscription = readSubscription(reader);
      state.#subscriptions.set(subscription.id, subscription);
    }
    return state;
  }

  #applyPosition(position: Position): number {
    const { subscription: id, generation } = position;
    const before = this.#subscriptions.get(id);
    if (position.type === 'drop') {
      return before !== undefined && this.#subscriptions.delete(id) ? id : 0;
    }
    if (before !== undefined && before.generation >= generation) return 0;
    const subscription = new SubscriptionProgress(id);
    subscription.generation = generation;
    subscription.floor = position.floor;
    subscription.done = position.done;
    if (before !== undefined) carryOver(before, subscription);
    this.#subscriptions.set(id, subscription);
    return id;
  }

  #applyStanding(kind: number, data: Uint8Array): void {
    const reader = this.#reader;
    reader.open(data, 2);
    const head = readHead(reader);
    const action = kind === COMMAND_GROUP_ACTION ? readAction(reader, head) : null;
    const totals = readTotals(reader);
    const subscription = this.#subscriptions.get(head.subscription);
    if (subscription === undefined || subscription.generation !== head.generation) return;
    for (let left = reader.varint(); left > 0; left--) {
      const key = applyRow(reader, subscription, head, action === null);
      if (action === null) continue;
      const { who, why, headBefore, time } = action;
      subscription.note({
        time,
        action: ACTION_NAMES[action.action] ?? '',
        key,
        sequence: headBefore,
        who,
        why,
      });
      if (action.replacement.length > 0) subscription.rows.replacements.set(key, action.replacement);
    }
    mustHold(reader.remaining === 0, 'subscription command: bytes behind its end');
    subscription.floor = Math.max(subscription.floor, totals.floor);
    subscription.done = totals.done;
    subscription.lost = totals.lost;
    subscription.rows.sweepIfDue(subscription.floor);
  }

  #applySessions(data: Uint8Array): void {
    const command = decodeSessions(data);
    const subscription = this.#subscriptions.get(command.subscription);
    if (subscription === undefined) return;
    for (const session of command.attached) subscription.sessions.add(session);
    for (const session of command.gone) subscription.sessions.delete(session);
  }
}

/** A new generation keeps who is attached, what was done, and how many dead letters each group has: their sequence goes on. */
function carryOver(before: SubscriptionProgress, after: SubscriptionProgress): void {
  for (const session of before.sessions) after.sessions.add(session);
  after.actions = before.actions;
  for (let row = 0; row < before.rows.count; row++) {
    const deadLetters = before.rows.deadLetters(row);
    if (deadLetters > 0) after.rows.setDeadLetters(after.rows.add(before.rows.key(row)), deadLetters);
  }
}

/** Reads one row of a standing into the subscription; returns its key. */
function applyRow(
  reader: ByteReader,
  subscription: SubscriptionProgress,
  head: CommandHead,
  byItself: boolean,
): number {
  const { rows } = subscription;
  const key = reader.varint();
  const found = rows.find(key);
  const row = found < 0 ? rows.add(key) : found;
  const flagsBefore = rows.flags(row);
  const life = reader.varint();
  const settled = reader.varint();
  rows.setPosition(row, life, settled, reader.varint());
  const packed = reader.varint();
  const flags = Math.floor(packed / 2);
  rows.setFlags(row, flags);
  let reason = '';
  if (packed % 2 === 1) {
    rows.setFailures(row, reader.varint(), reader.varint());
    rows.setDeadLetters(row, reader.varint());
    reason = readText(reader);
  } else {
    rows.setFailures(row, 0, 0);
    rows.setDeadLetters(row, 0);
  }
  if (reason === '' && (flags & FLAGS_BLOCKING) === 0) {
    rows.details.delete(key);
  } else {
    // A row that only tells its position, or a pause of one that failed, leaves why and since when as they were.
    const same = flagsBefore === flags || (flagsBefore & flags & FLAGS_FAILED) !== 0;
    const detail = same ? rows.details.get(key) : undefined;
    rows.details.set(key, { reason: reason || (detail?.reason ?? ''), time: detail?.time ?? head.time });
  }
  if ((flags & FLAG_REPLACED) === 0) rows.replacements.delete(key);
  if (byItself) noteOwn(subscription, head, key, settled + 1, flags & ~flagsBefore, reason);
  return key;
}

/** The broker's own actions are told by flags that are new. */
function noteOwn(
  subscription: SubscriptionProgress,
  head: CommandHead,
  key: number,
  sequence: number,
  flags: number,
  why: string,
): void {
  const { time } = head;
  if ((flags & FLAG_PARKED) !== 0) {
    subscription.note({ time, action: 'park', key, sequence, who: '', why });
  } else if ((flags & FLAG_DEAD_LETTERING) !== 0) {
    subscription.note({ time, action: 'dead-letter', key, sequence, who: '', why });
  }
}

function* writeSubscription(writer: ByteWriter, subscription: SubscriptionProgress): Generator<void> {
  writer.varint(subscription.id);
  writer.varint(subscription.generation);
  writer.varint(subscription.floor);
  writer.varint(subscription.done);
  writer.varint(subscription.lost);
  writer.varint(subscription.sessions.size);
  for (const session of subscription.sessions) writeBytes(writer, Buffer.from(session, 'utf8'));
  yield;
  yield* subscription.rows.write(writer);
  writer.varint(subscription.actions.length);
  for (const action of subscription.actions) {
    writer.varint(action.time);
    writer.varint(action.key);
    writer.varint(action.sequence);
    for (const text of [action.action, action.who, action.why]) writeBytes(writer, Buffer.from(text, 'utf8'));
    yield;
  }
}

function readSubscription(reader: ByteReader): SubscriptionProgress {
  const subscription = new SubscriptionProgress(reader.varint());
  subscription.generation = reader.varint();
  subscription.floor = reader.varint();
  subscription.done = reader.varint();
  subscription.lost = reader.varint();
  for (let left = reader.varint(); left > 0; left--) subscription.sessions.add(readText(reader));
  subscription.rows = SubscriptionRows.read(reader);
  for (let left = reader.varint(); left > 0; left--) {
    const time = reader.varint();
    const key = reader.varint();
    const sequence = reader.varint();
    const action = readText(reader);
    const who = readText(reader);
    subscription.actions.push({ time, key, sequence, action, who, why: readText(reader) });
  }
  return subscription;
}
