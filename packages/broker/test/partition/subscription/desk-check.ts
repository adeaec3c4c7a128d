/** What must hold in a leader's memory of a subscription whatever happened: every record that was scanned is somewhere, and nothing waits for nothing. */
import type { ActiveGroup } from '../../../src/partition/subscription/active-group.ts';
import { knownRow } from '../../../src/partition/subscription/group-standing.ts';
import { NO_RUN, type RunList } from '../../../src/partition/subscription/run-pool.ts';
import type { SubscriptionDesk } from '../../../src/partition/subscription/subscription-desk.ts';
import { FLAG_BEHIND, FLAGS_BLOCKING } from '../../../src/partition/subscription/subscription-rows.ts';

/** A record as stored, of the group with this key. */
export interface KnownRecord {
  readonly key: number;
  readonly offset: number;
  readonly sequence: number;
}

/** Records below the scan position that `settled` does not reach and that nobody would deliver. */
export function lostRecords(
  desk: SubscriptionDesk,
  records: readonly KnownRecord[],
  settled: (key: number) => number,
): string[] {
  return records
    .filter(({ key, offset, sequence }) => offset < desk.window.end && sequence > settled(key))
    .filter((record) => !isKept(desk, record))
    .map(({ key, offset, sequence }) => `group ${key} sequence ${sequence} at ${offset} is in no place`);
}

function isKept(desk: SubscriptionDesk, { key, offset }: KnownRecord): boolean {
  const { groups, progress } = desk;
  const row = progress.rows.find(key);
  const behind = row >= 0 && (progress.rows.flags(row) & FLAG_BEHIND) !== 0;
  const group = groups.active.get(key);
  if (group === undefined) return behind && progress.rows.next(row) <= offset;
  if (group.settled < 0) return !behind || group.catchUp;
  if (covers(desk, group.inFlight, offset) || covers(desk, group.readAhead, offset)) return true;
  return group.catchUp && group.behind && behind && group.readFrom <= offset;
}

function covers(desk: SubscriptionDesk, list: RunList, offset: number): boolean {
  const { pool } = desk.groups.options;
  for (let run = list.first; run !== NO_RUN; run = pool.next[run] as number) {
    const first = pool.offset[run] as number;
    if (offset >= first && offset < first + (pool.count[run] as number)) return true;
  }
  return false;
}

/** How many of the records are settled, counted one by one. */
export function settledRecords(desk: SubscriptionDesk, records: readonly KnownRecord[]): number {
  return records.filter(({ key, offset, sequence }) => {
    const known = knownRow(desk, key);
    return known === null ? offset < desk.window.end : sequence <= known.settled;
  }).length;
}

/** Groups that nothing would ever move, although a consumer with credit is there and all is quiet. */
export function stuckGroups(
  desk: SubscriptionDesk,
  records: readonly KnownRecord[],
  settled: (key: number) => number,
): string[] {
  if (!desk.consumers.some((consumer) => consumer.hasCredit)) return [];
  const keys = new Set(records.filter(({ key, sequence }) => sequence > settled(key)).map(({ key }) => key));
  return [...keys].filter((key) => !mayRest(desk, key)).map((key) => `group ${key} is stuck`);
}

function mayRest(desk: SubscriptionDesk, key: number): boolean {
  const { groups, progress, comeBack } = desk;
  const row = progress.rows.find(key);
  if (row >= 0 && (progress.rows.flags(row) & FLAGS_BLOCKING) !== 0) return true;
  if (groups.delays.get(key) !== undefined || comeBack.waitsUntil(key) > 0) return true;
  const group: ActiveGroup | undefined = groups.active.get(key);
  if (group === undefined || group.counter === 0) return false;
  return group.holder === null || group.inFlightMessages > 0 || !group.holder.hasCredit;
}
