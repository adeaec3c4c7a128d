/** How far a subscription is behind, as a whole and group by group. */
import type { PartitionLagStatus } from '../../subscription-contracts.ts';
import type { RecordSource } from '../record-source.ts';
import { knownRow, lastSequence, stateOf } from './group-standing.ts';
import type { HeadReader } from './head-reader.ts';
import { eachRun } from './run-reader.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import { FLAG_BEHIND, FLAG_PARKED } from './subscription-rows.ts';

/** Records behind the scan position that are looked at for the groups that lag most. */
const LOOK_RECORDS_MAX = 262_144;

/** See PartitionAdministration.lag. */
export async function subscriptionLag(
  desk: SubscriptionDesk,
  topGroups: number,
  source: RecordSource,
  heads: HeadReader,
): Promise<PartitionLagStatus> {
  const { state, clock } = desk.options;
  const oldest = await oldestTimestamp(desk, heads, source);
  const unseen = topGroups > 0 ? await unseenGroups(desk, source) : new Map<number, number>();
  const { rows } = desk.progress;
  let groupsBehind = 0;
  let groupsParked = 0;
  for (let row = 0; row < rows.count; row++) {
    if ((rows.flags(row) & FLAG_BEHIND) !== 0) groupsBehind++;
    if ((rows.flags(row) & FLAG_PARKED) !== 0) groupsParked++;
  }
  let groupsHeld = 0;
  for (const group of desk.groups.holders.values()) if (group.holder !== null) groupsHeld++;
  return {
    unsettled: Math.max(0, state.nextOffset - desk.progress.done),
    floor: desk.window.floor,
    highWatermark: state.nextOffset,
    groupsBehind,
    groupsParked,
    groupsHeld,
    consumers: desk.consumers.length,
    oldestUnsettledMilliseconds: oldest === null ? 0 : Math.max(0, clock.wallTime() - oldest),
    lost: desk.progress.lost,
    top: topGroups > 0 ? topOf(desk, topGroups, unseen) : [],
  };
}

/** Time stamp of the oldest message that is not settled; null: there is none. */
async function oldestTimestamp(
  desk: SubscriptionDesk,
  heads: HeadReader,
  source: RecordSource,
): Promise<number | null> {
  const { rows } = desk.progress;
  let behind = -1;
  let next = Number.POSITIVE_INFINITY;
  for (let row = 0; row < rows.count; row++) {
    if ((rows.flags(row) & FLAG_BEHIND) === 0 || rows.next(row) >= next) continue;
    behind = rows.key(row);
    next = rows.next(row);
  }
  const found = { timestamp: Number.POSITIVE_INFINITY };
  const { floor } = desk.window;
  if (floor < desk.options.state.nextOffset) {
    await eachRun(desk.options.state, source, floor, floor + 1, (run) => {
      found.timestamp = Math.min(found.timestamp, run.timestamp);
    });
  }
  if (behind >= 0) {
    const head = await heads.read(behind, next).catch(() => null);
    if (head !== null) found.timestamp = Math.min(found.timestamp, head.timestamp);
  }
  return Number.isFinite(found.timestamp) ? found.timestamp : null;
}

/** Groups that the scan has not met, with the last sequence before their first unsettled message. */
async function unseenGroups(desk: SubscriptionDesk, source: RecordSource): Promise<Map<number, number>> {
  const { state } = desk.options;
  const from = desk.window.end;
  const unseen = new Map<number, number>();
  const to = Math.min(state.nextOffset, from + LOOK_RECORDS_MAX);
  await eachRun(state, source, from, to, (run) => {
    if (run.key !== 0 && !unseen.has(run.key)) unseen.set(run.key, run.sequence - 1);
  });
  return unseen;
}

function topOf(
  desk: SubscriptionDesk,
  count: number,
  unseen: ReadonlyMap<number, number>,
): PartitionLagStatus['top'] {
  const { rows } = desk.progress;
  const settled = new Map(unseen);
  for (const [key, group] of desk.groups.active)
    if (key !== 0 && group.settled >= 0) settled.set(key, group.settled);
  for (let row = 0; row < rows.count; row++) {
    const key = rows.key(row);
    const known = key === 0 ? null : knownRow(desk, key);
    if (known !== null) settled.set(key, known.settled);
  }
  const lagging = [...settled]
    .map(([key, sequence]) => ({ key, settled: sequence, unsettled: lastSequence(desk, key) - sequence }))
    .filter(({ unsettled }) => unsettled > 0)
    .sort((a, b) => b.unsettled - a.unsettled || a.key - b.key)
    .slice(0, count);
  return lagging.map(({ key, unsettled, settled: sequence }) => {
    const none = { life: 0, settled: sequence, next: 0, flags: 0, failures: 0, notBefore: 0, deadLetters: 0 };
    const state = stateOf(desk, key, knownRow(desk, key) ?? none);
    return { group: desk.groups.name(key), unsettled, state };
  });
}
