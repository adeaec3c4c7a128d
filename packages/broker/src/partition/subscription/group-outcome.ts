/** What an operator's action makes of one group: the row that results, and what is settled or counts as settled no more. */
import { RefusalError } from '@seriatim/protocol';
import type { GroupAction } from '../../subscription-contracts.ts';
import { lastSequence, type Seen } from './group-standing.ts';
import type { Head } from './head-reader.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import {
  FLAG_BEHIND,
  FLAG_DEAD_LETTERING,
  FLAG_PARKED,
  FLAG_PAUSED,
  FLAG_REPLACED,
  FLAG_REWOUND,
  type Row,
} from './subscription-rows.ts';

/** A row that an action makes, and what it settles. */
export interface Outcome {
  readonly row: Row;
  readonly settled: number;
  /** Messages that count as settled no more. */
  readonly reopened: number;
}

/** Messages without group in a stretch. */
interface Ungrouped {
  readonly from: number;
  readonly to: number;
  readonly messages: number;
}

/** What was read for an action. */
export interface Sight {
  /** The message that a rewind goes back to. */
  readonly target: Head | null;
  seen: Seen | null;
  ungrouped: Ungrouped | null;
}

/** Retry, skip, replace or discard. */
export function isResolution(action: GroupAction): boolean {
  return action.type !== 'pause' && action.type !== 'resume' && action.type !== 'rewind';
}

/** True when everything was read that the action has to know of a group that stands so. */
export function isSeen(key: number, action: GroupAction, before: Row, sight: Sight): boolean {
  const { seen, ungrouped, target } = sight;
  if (isResolution(action)) {
    // Nothing is to be resolved: that is answered without reading.
    if ((before.flags & FLAG_PARKED) === 0) return true;
    if (seen?.from !== before.next) return false;
  }
  if (key !== 0) return true;
  if (action.type === 'rewind') return ungrouped?.from === target?.offset && ungrouped?.to === before.next;
  return action.type !== 'discard' || ungrouped?.from === before.next;
}

/** What the action makes of a group that stands so. Throws a RefusalError when it can not be done. */
export function outcomeOf(
  desk: SubscriptionDesk,
  key: number,
  action: GroupAction,
  before: Row,
  sight: Sight,
): Outcome {
  const { target, ungrouped } = sight;
  const unsettled = lastSequence(desk, key) > before.settled ? FLAG_BEHIND : 0;
  const unchanged = { settled: 0, reopened: 0 };
  switch (action.type) {
    case 'pause':
      return { row: { ...before, flags: before.flags | FLAG_PAUSED | unsettled }, ...unchanged };
    case 'resume':
      return { row: { ...before, flags: before.flags & ~FLAG_PAUSED }, ...unchanged };
    case 'rewind': {
      if (target === null || action.sequence > before.settled + 1) throw outOfRange(action.sequence);
      if ((before.flags & FLAG_PARKED) !== 0) throw parked();
      if ((before.flags & FLAG_DEAD_LETTERING) !== 0) throw deadLettering();
      const flags = (before.flags & FLAG_PAUSED) | FLAG_BEHIND | FLAG_REWOUND;
      const settled = action.sequence - 1;
      const row = { ...before, failures: 0, notBefore: 0, flags, settled, next: target.offset };
      const reopened = key === 0 ? (ungrouped?.messages ?? 0) : before.settled - settled;
      return { row, settled: 0, reopened };
    }
    default:
      return resolution(desk, key, action, before, sight);
  }
}

/** Retry, skip, replace, discard: only of a parked group, and of the head that the operator saw. */
function resolution(
  desk: SubscriptionDesk,
  key: number,
  action: Exclude<GroupAction, { type: 'pause' | 'resume' | 'rewind' }>,
  before: Row,
  sight: Sight,
): Outcome {
  if ((before.flags & FLAG_PARKED) === 0) {
    throw new RefusalError('GROUP_NOT_PARKED', 'the group is not parked; there is nothing to resolve');
  }
  const head = sight.seen?.head ?? null;
  const headSequence = before.settled + 1;
  if (action.headSequence !== 0 && action.headSequence !== headSequence) {
    const message = `the head is ${headSequence} now, not ${action.headSequence}; look again`;
    throw new RefusalError('HEAD_CHANGED', message);
  }
  const flags = before.flags & ~FLAG_PARKED;
  const again = { failures: 0, notBefore: 0 };
  // Retention removed the head: the message behind the gap has not failed, and is delivered.
  const isGone = head === null || head.sequence !== headSequence;
  const retried = { row: { ...before, ...again, flags }, settled: 0, reopened: 0 };
  switch (action.type) {
    case 'retry':
      return retried;
    case 'replace':
      if (isGone)
        throw new RefusalError('HEAD_CHANGED', 'the head was removed by retention; retry goes on behind it');
      return { ...retried, row: { ...retried.row, flags: flags | FLAG_REPLACED } };
    case 'skip': {
      if (isGone) return retried;
      const row = { ...before, ...again, flags: flags & ~FLAG_REPLACED };
      const settled = { settled: head.sequence, next: head.offset + 1 };
      return { row: { ...row, ...settled }, settled: 1, reopened: 0 };
    }
    case 'discard':
      return discarded(desk, key, { ...before, ...again, flags: flags & ~FLAG_REPLACED }, sight);
  }
}

/** Everything stored of the group is settled. */
function discarded(desk: SubscriptionDesk, key: number, row: Row, { ungrouped }: Sight): Outcome {
  const { records, nextOffset } = desk.options.state;
  if (key !== 0) {
    const settled = lastSequence(desk, key);
    const flags = row.flags & ~FLAG_BEHIND;
    const all = { ...row, settled, next: records.lastOffset(key - 1) + 1, flags };
    return { row: all, settled: settled - row.settled, reopened: 0 };
  }
  // What was stored since it was counted is left, and read by the index where the scan has passed it.
  const { to, messages } = ungrouped ?? { to: row.next, messages: 0 };
  const flags = to < nextOffset ? row.flags : row.flags & ~FLAG_BEHIND;
  return { row: { ...row, settled: to, next: to, flags }, settled: messages, reopened: 0 };
}

/** How many messages wait; of those without group only whether there may be any. */
export function waiting(desk: SubscriptionDesk, key: number, row: Row): number {
  const behind = lastSequence(desk, key) - row.settled;
  return key === 0 ? Math.min(1, behind) : behind;
}

export function outOfRange(sequence: number): RefusalError {
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
