/** Answers why a group is where it is, and what happens next. */
import type { ErrorCode } from '@seriatim/protocol';
import type { GroupExplanation } from '../../subscription-contracts.ts';
import {
  GROUP_DEAD_LETTERING,
  GROUP_DELAYED,
  GROUP_DRAINED,
  GROUP_HELD,
  GROUP_PARKED,
  GROUP_PAUSED,
  GROUP_WAITING,
  lastSequence,
  standingOf,
  stateOf,
} from './group-standing.ts';
import type { HeadReader } from './head-reader.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';

/** See PartitionAdministration.explain. `hindrance`: why dead letters can not be stored now. */
export async function explain(
  desk: SubscriptionDesk,
  key: number,
  heads: HeadReader,
  hindrance: ErrorCode | null,
): Promise<GroupExplanation> {
  const row = await standingOf(desk, key, heads);
  const state = stateOf(desk, key, row);
  const group = desk.groups.active.get(key);
  const detail = desk.options.applied.rows.details.get(key) ?? desk.progress.rows.details.get(key);
  const holder = state === GROUP_HELD ? group?.holder : null;
  const held = holder !== null && holder !== undefined;
  const blocked = state === GROUP_PARKED || state === GROUP_PAUSED || state === GROUP_DEAD_LETTERING;
  return {
    life: row.life,
    state,
    since: held ? (group?.since ?? 0) : blocked || state === GROUP_DELAYED ? (detail?.time ?? 0) : 0,
    settledSequence: row.settled,
    lastSequence: lastSequence(desk, key),
    failures: row.failures,
    consumer: held ? holder.identity.consumer : '',
    tokenEpoch: held ? desk.options.tokenEpoch : 0,
    tokenCounter: held ? (group?.counter ?? 0) : 0,
    deliveredSequence: held ? (group?.lastSequence ?? 0) : 0,
    until: untilOf(desk, key, state),
    why: detail?.reason ?? '',
    next: nextOf(desk, state, hindrance),
  };
}

/** When the state ends by itself, milliseconds since 1970; 0: it does not. */
function untilOf(desk: SubscriptionDesk, key: number, state: number): number {
  const { clock } = desk.options;
  const wall = (monotonic: number): number =>
    Math.max(0, Math.round(clock.wallTime() + monotonic - clock.now()));
  switch (state) {
    case GROUP_HELD:
      return wall(desk.groups.active.get(key)?.deadline ?? clock.now());
    case GROUP_DELAYED:
      return wall(desk.groups.delays.get(key) ?? clock.now());
    case GROUP_WAITING:
      return wall(desk.comeBack.waitsUntil(key));
    default:
      return 0;
  }
}

function nextOf(desk: SubscriptionDesk, state: number, hindrance: ErrorCode | null): string {
  const consumers = desk.consumers.length;
  switch (state) {
    case GROUP_DRAINED:
      return 'The next message that is stored is given to a consumer with credit.';
    case GROUP_HELD:
      return 'Its holder settles what it has; when the hold ends before, the head counts a failure and is given to another consumer.';
    case GROUP_DELAYED:
      return 'When the delay is over its head is delivered again, and the others behind it.';
    case GROUP_PARKED:
      return 'It waits until an operator resolves it: retry, skip, replace or discard.';
    case GROUP_PAUSED:
      return 'It waits until an operator resumes it or the subscription.';
    case GROUP_DEAD_LETTERING:
      return hindrance === null
        ? 'When its head is stored in the dead-letter topic the group goes on behind it.'
        : `The dead-letter topic answers ${hindrance}; it is asked again until its head is stored there, then the group goes on.`;
    case GROUP_WAITING:
      return 'Its holder may come back and go on; when it does not, another consumer gets the group.';
    default:
      return consumers === 0
        ? 'No consumer is attached to this partition; the first one with credit gets it.'
        : `One of ${consumers} consumers gets it as soon as it has credit.`;
  }
}
