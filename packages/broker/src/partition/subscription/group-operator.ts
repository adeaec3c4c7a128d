/** What an operator does to one group: the resulting row is a command, and the leader's memory follows when it is proposed. */
import type { Clock, Shard } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { GroupAction, GroupActionResult } from '../../subscription-contracts.ts';
import { lastSequence, standingOf } from './group-standing.ts';
import type { Head, HeadReader } from './head-reader.ts';
import { proposed } from './proposed.ts';
import { ACTION_NAMES, encodeAction } from './subscription-command.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import {
  FLAG_BEHIND,
  FLAG_DEAD_LETTERING,
  FLAG_PARKED,
  FLAG_PAUSED,
  FLAG_REPLACED,
  type Row,
  SubscriptionRows,
} from './subscription-rows.ts';

/** A row that an action makes, and what it settles. */
interface Outcome {
  readonly row: Row;
  readonly settled: number;
  /** Messages that count as settled no more. */
  readonly reopened: number;
}

/** See the head of this file. */
export class GroupOperator {
  readonly #shard: Pick<Shard, 'propose'>;
  readonly #clock: Clock;
  readonly #heads: HeadReader;

  constructor(shard: Pick<Shard, 'propose'>, clock: Clock, heads: HeadReader) {
    this.#shard = shard;
    this.#clock = clock;
    this.#heads = heads;
  }

  /** See PartitionAdministration.act. */
  async act(desk: SubscriptionDesk, key: number, action: GroupAction): Promise<GroupActionResult> {
    checkReplacements(desk, action);
    const head = await this.#target(desk, key, action);
    // Nothing of the outside comes between this answer and the proposal: the row is as it is told.
    const before = await standingOf(desk, key, this.#heads);
    if (action.type === 'pause' || action.type === 'resume') {
      if (((before.flags & FLAG_PAUSED) !== 0) === (action.type === 'pause')) {
        return { settled: 0, waiting: lastSequence(desk, key) - before.settled };
      }
    }
    if (desk.ended)
      throw new RefusalError('NOT_LEADER', 'leadership was lost, or the subscription reset, meanwhile');
    const outcome = this.#outcome(desk, key, action, before, head);
    await this.#propose(desk, key, action, before, outcome);
    return { settled: outcome.settled, waiting: lastSequence(desk, key) - outcome.row.settled };
  }

  /** The message that the action is about, read before anything is decided. */
  async #target(desk: SubscriptionDesk, key: number, action: GroupAction): Promise<Head | null> {
    const { lowWatermark } = desk.options.state;
    if (action.type === 'rewind') {
      const found = await this.#heads.read(key, lowWatermark, action.sequence);
      if (found === null || found.sequence !== action.sequence) throw outOfRange(action.sequence);
      return found;
    }
    const row = await standingOf(desk, key, this.#heads);
    return action.type === 'skip' ? this.#heads.read(key, row.next) : null;
  }

  #outcome(
    desk: SubscriptionDesk,
    key: number,
    action: GroupAction,
    before: Row,
    head: Head | null,
  ): Outcome {
    const unsettled = lastSequence(desk, key) > before.settled ? FLAG_BEHIND : 0;
    const unchanged = { settled: 0, reopened: 0 };
    const again = { failures: 0, notBefore: 0 };
    switch (action.type) {
      case 'pause':
        return { row: { ...before, flags: before.flags | FLAG_PAUSED | unsettled }, ...unchanged };
      case 'resume':
        return { row: { ...before, flags: before.flags & ~FLAG_PAUSED }, ...unchanged };
      case 'rewind': {
        if (head === null || action.sequence > before.settled + 1) throw outOfRange(action.sequence);
        if ((before.flags & FLAG_PARKED) !== 0) throw parked();
        if ((before.flags & FLAG_DEAD_LETTERING) !== 0) throw deadLettering();
        const flags = (before.flags & FLAG_PAUSED) | FLAG_BEHIND;
        const settled = action.sequence - 1;
        const row = { ...before, ...again, flags, settled, next: head.offset };
        return { row, settled: 0, reopened: before.settled - settled };
      }
      default:
        return resolution(desk, key, action, before, head);
    }
  }

  #propose(
    desk: SubscriptionDesk,
    key: number,
    action: GroupAction,
    before: Row,
    outcome: Outcome,
  ): Promise<void> {
    const { progress, options } = desk;
    const { applied } = options;
    const done = progress.done + outcome.settled - outcome.reopened;
    const rows = new SubscriptionRows();
    rows.setRow(rows.add(key), outcome.row);
    const time = this.#clock.wallTime();
    if (action.type === 'pause' && action.why !== '') rows.details.set(key, { reason: action.why, time });
    const replacement = action.type === 'replace' ? action.replacement : new Uint8Array(0);
    const command = encodeAction(
      {
        time,
        subscription: applied.id,
        generation: applied.generation,
        action: ACTION_NAMES.indexOf(nameOf(action)),
        headBefore: before.settled + 1,
        who: action.who,
        why: action.why,
        replacement,
      },
      // The window's floor may have passed groups whose rows wait for the next progress command.
      { floor: progress.floorTold, done, lost: progress.lost },
      rows,
      key,
    );
    const committed = proposed(this.#shard, command);
    // Accepted: what this leader remembers follows at once, since later commands lie behind this one.
    progress.done = done;
    desk.takeRow(key, outcome.row, action.type === 'rewind', replacement);
    return committed;
  }
}

/** Retry, skip, replace, discard: only of a parked group, and of the head that the operator saw. */
function resolution(
  desk: SubscriptionDesk,
  key: number,
  action: Exclude<GroupAction, { type: 'pause' | 'resume' | 'rewind' }>,
  before: Row,
  head: Head | null,
): Outcome {
  if ((before.flags & FLAG_PARKED) === 0) {
    throw new RefusalError('GROUP_NOT_PARKED', 'the group is not parked; there is nothing to resolve');
  }
  const headSequence = key === 0 ? (head?.sequence ?? before.settled + 1) : before.settled + 1;
  if (action.headSequence !== 0 && action.headSequence !== headSequence) {
    const message = `the head is ${headSequence} now, not ${action.headSequence}; look again`;
    throw new RefusalError('HEAD_CHANGED', message);
  }
  const flags = before.flags & ~FLAG_PARKED;
  const again = { failures: 0, notBefore: 0 };
  switch (action.type) {
    case 'retry':
      return { row: { ...before, ...again, flags }, settled: 0, reopened: 0 };
    case 'replace':
      return { row: { ...before, ...again, flags: flags | FLAG_REPLACED }, settled: 0, reopened: 0 };
    case 'skip': {
      if (head === null) throw new RefusalError('NOT_READY', 'the head can not be read here now; try again');
      const row = { ...before, ...again, flags: flags & ~FLAG_REPLACED };
      const settled = key === 0 ? 1 : head.sequence - before.settled;
      return { row: { ...row, settled: head.sequence, next: head.offset + 1 }, settled, reopened: 0 };
    }
    case 'discard': {
      const { state } = desk.options;
      const last = lastSequence(desk, key);
      const next = key === 0 ? state.nextOffset : state.records.lastOffset(key - 1) + 1;
      const row = { ...before, ...again, flags: flags & ~(FLAG_REPLACED | FLAG_BEHIND), settled: last, next };
      return { row, settled: last - before.settled, reopened: 0 };
    }
  }
}

function nameOf(action: GroupAction): (typeof ACTION_NAMES)[number] {
  switch (action.type) {
    case 'retry':
    case 'skip':
    case 'replace':
    case 'discard':
      return `resolve-${action.type}`;
    default:
      return action.type;
  }
}

function checkReplacements(desk: SubscriptionDesk, action: GroupAction): void {
  if (action.type !== 'replace') return;
  let bytes = action.replacement.length;
  for (const kept of desk.progress.rows.replacements.values()) bytes += kept.length;
  const max = desk.options.limits.replacementBytesMax;
  if (bytes <= max) return;
  const message = `replacements of this subscription would take ${bytes} bytes here, the limit is ${max}; settle others first`;
  throw new RefusalError('OVERLOADED', message);
}

function outOfRange(sequence: number): RefusalError {
  return new RefusalError(
    'SEQUENCE_OUT_OF_RANGE',
    `sequence ${sequence} is not stored any more, or lies behind the group's head`,
  );
}

/** Its letter is under way and would settle the head that was rewound to. */
function deadLettering(): RefusalError {
  return new RefusalError('OVERLOADED', "the group's head is on its way to the dead-letter topic; try again");
}

function parked(): RefusalError {
  return new RefusalError('GROUP_PARKED', 'the group is parked; resolve it first');
}
