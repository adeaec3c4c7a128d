/** Where one group stands, as this leader knows it, and what that is called. */
import type { ActiveGroup } from './active-group.ts';
import type { Head, HeadReader } from './head-reader.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import { FLAG_DEAD_LETTERING, FLAG_PARKED, FLAG_PAUSED, type Row } from './subscription-rows.ts';

/** GroupState of the API. */
export const GROUP_DRAINED = 0;
export const GROUP_READY = 1;
export const GROUP_HELD = 2;
export const GROUP_DELAYED = 3;
export const GROUP_PARKED = 4;
export const GROUP_PAUSED = 5;
export const GROUP_DEAD_LETTERING = 6;
export const GROUP_WAITING = 7;

/** Key of a group's name; -1: the partition does not know it. The empty name stands for messages without group. */
export function keyOf(desk: SubscriptionDesk, name: string): number {
  if (name === '') return 0;
  const bytes = Buffer.from(name, 'utf8');
  const group = desk.options.state.names.find(bytes, 0, bytes.length);
  return group < 0 ? -1 : group + 1;
}

/** Last sequence stored of a group; of messages without group the high watermark. */
export function lastSequence(desk: SubscriptionDesk, key: number): number {
  const { state } = desk.options;
  return key === 0 ? state.nextOffset : state.records.lastSequence(key - 1);
}

export function lifeOf(desk: SubscriptionDesk, key: number): number {
  return key === 0 ? 0 : desk.options.state.records.life(key - 1);
}

/** What is known without reading: a row, or an active group; null: the first message behind the floor would tell. */
export function knownRow(desk: SubscriptionDesk, key: number): Row | null {
  const { rows } = desk.progress;
  const { state } = desk.options;
  const life = lifeOf(desk, key);
  const at = rows.find(key);
  const row = at < 0 ? null : rows.row(at);
  const deadLetters = row?.deadLetters ?? 0;
  const plain = (settled: number, next: number): Row => ({
    life,
    settled,
    next,
    flags: row?.life === life ? row.flags : 0,
    failures: row?.life === life ? row.failures : 0,
    notBefore: row?.life === life ? row.notBefore : 0,
    deadLetters,
  });
  const group = desk.groups.active.get(key);
  if (group !== undefined && group.settled >= 0 && group.life === life)
    return plain(group.settled, group.next);
  if (row !== null && row.life === life && (row.flags !== 0 || row.next > desk.window.floor)) return row;
  const last = key === 0 ? state.nextOffset - 1 : state.records.lastOffset(key - 1);
  // Nothing of it is open below the scan position, so what was scanned is settled.
  if (last < desk.window.end) return plain(lastSequence(desk, key), last + 1);
  return null;
}

/** What reading told of a group, and of what it had then. */
export interface Seen {
  /** Where it was looked for. */
  readonly from: number;
  /** Its first message there; null: it had none. */
  readonly head: Head | null;
  /** Its last sequence, and the high watermark, when the reading began. */
  readonly last: number;
  readonly end: number;
}

/** Reads the group's first message at or behind `from`. Rejects with NOT_READY when it can not be read here now. */
export async function look(
  desk: SubscriptionDesk,
  key: number,
  heads: HeadReader,
  from: number,
): Promise<Seen> {
  const last = lastSequence(desk, key);
  const end = desk.options.state.nextOffset;
  return { from, head: await heads.read(key, from), last, end };
}

/** {@link knownRow}, or what was seen, as far as that still holds; null: it has to be looked at again, from the floor. */
export function standingBy(desk: SubscriptionDesk, key: number, seen: Seen | null): Row | null {
  const known = knownRow(desk, key);
  if (known !== null || seen === null) return known;
  const { head, last, end } = seen;
  const at = desk.progress.rows.find(key);
  const deadLetters = at < 0 ? 0 : desk.progress.rows.deadLetters(at);
  const rest = { flags: 0, failures: 0, notBefore: 0, deadLetters, life: lifeOf(desk, key) };
  // Below the floor by now: it was settled while it was read.
  if ((head?.offset ?? end) < desk.window.floor) return null;
  if (head === null) return { ...rest, settled: last, next: end };
  return { ...rest, settled: head.sequence - 1, next: head.offset };
}

/** {@link standingBy} with as many looks as it needs. Rejects as {@link look}. */
export async function standingOf(desk: SubscriptionDesk, key: number, heads: HeadReader): Promise<Row> {
  let row = standingBy(desk, key, null);
  while (row === null) row = standingBy(desk, key, await look(desk, key, heads, desk.window.floor));
  return row;
}

/** The first state that holds, see the decision. */
export function stateOf(desk: SubscriptionDesk, key: number, row: Row): number {
  if (row.settled >= lastSequence(desk, key)) return GROUP_DRAINED;
  if ((row.flags & FLAG_PARKED) !== 0) return GROUP_PARKED;
  if ((row.flags & FLAG_DEAD_LETTERING) !== 0) return GROUP_DEAD_LETTERING;
  const group: ActiveGroup | undefined = desk.groups.active.get(key);
  if ((row.flags & FLAG_PAUSED) !== 0 || desk.options.settings().paused) return GROUP_PAUSED;
  if (group !== undefined && group.holder !== null) return GROUP_HELD;
  if (group !== undefined && group.awaited !== null) return GROUP_WAITING;
  if (desk.comeBack.waitsUntil(key) > 0) return GROUP_WAITING;
  if (desk.groups.delays.get(key) !== undefined) return GROUP_DELAYED;
  return GROUP_READY;
}
