/** What a consumer's rows do: who may settle, what, and what a failure leads to. */
import {
  DEFAULT_BACKOFF,
  SETTLE_ACK,
  SETTLE_EXTEND,
  SETTLE_NACK,
  SETTLE_REJECT,
} from '../../consume-contracts.ts';
import type { ActiveGroup } from './active-group.ts';
import type { ConsumerAttachment, SettlementResult, SettlementRow } from './consumer-attachment.ts';
import type { GroupDesk } from './group-desk.ts';
import { FLAG_DEAD_LETTERING, FLAG_PARKED } from './subscription-rows.ts';

/** PoisonPolicy of the API. */
const POLICY_SKIP = 1;

/** See the head of this file. */
export class Settlements {
  readonly #desk: GroupDesk;
  /** A head is on its way to the dead-letter topic. */
  readonly #onDeadLetter: (key: number) => void;

  constructor(desk: GroupDesk, onDeadLetter: (key: number) => void) {
    this.#desk = desk;
    this.#onDeadLetter = onDeadLetter;
  }

  /** Handles one row of a consumer. */
  settle(consumer: ConsumerAttachment, row: SettlementRow): SettlementResult {
    const group = this.#desk.holders.get(row.tokenCounter);
    const valid = row.tokenEpoch === this.#desk.options.tokenEpoch && group?.holder === consumer;
    if (group === undefined || !valid) return 'HOLD_LOST';
    switch (row.kind) {
      case SETTLE_ACK:
        return this.#ack(group, row.sequence);
      case SETTLE_NACK:
      case SETTLE_REJECT:
        return this.#failHead(group, row);
      case SETTLE_EXTEND:
        this.#desk.renew(group, row.milliseconds);
        return null;
      default:
        return 'INVALID_REQUEST';
    }
  }

  /** The head failed: its hold ends, and the group waits, is parked, or its head leaves. `delay` in milliseconds. */
  fail(group: ActiveGroup, reason: string, delay: number, atOnce: boolean): void {
    const desk = this.#desk;
    const { progress, clock, limits, settings } = desk.options;
    const { maxDeliveries, poisonPolicy } = settings();
    const { rows } = progress;
    const { key } = group;
    desk.leaveToIndex(group);
    const row = progress.rowOf(key);
    const failures = rows.failures(row) + 1;
    rows.details.set(key, { reason: cutText(reason, limits.reasonBytesMax), time: clock.wallTime() });
    progress.touch(key);
    if (atOnce || failures >= maxDeliveries) {
      const flag = poisonPolicy === POLICY_SKIP ? FLAG_DEAD_LETTERING : FLAG_PARKED;
      rows.setFailures(row, failures, 0);
      rows.setFlags(row, rows.flags(row) | flag);
      if (flag === FLAG_DEAD_LETTERING) this.#onDeadLetter(key);
      return;
    }
    rows.setFailures(row, failures, delay > 0 ? clock.wallTime() + delay : 0);
    if (delay > 0) desk.delays.set(key, clock.now() + delay);
    else desk.wake(key);
  }

  #ack(group: ActiveGroup, sequence: number): SettlementResult {
    const desk = this.#desk;
    // Sent again after it came back, or overtaken by a later one: it is settled.
    if (group.settled >= 0 && sequence <= group.settled) return null;
    if (!group.located) return 'later';
    if (sequence > group.lastFound) return 'SETTLEMENT_OUT_OF_ORDER';
    desk.settleTo(group, sequence);
    if (group.inFlightMessages > 0) {
      desk.renew(group);
      desk.clearBehind(group);
      desk.offer(group);
      desk.readOn(group);
      return null;
    }
    desk.free(group);
    return null;
  }

  #failHead(group: ActiveGroup, row: SettlementRow): SettlementResult {
    if (!group.located) return 'later';
    const head = group.inFlightMessages === 0 ? -1 : this.#desk.options.pool.sequence[group.inFlight.first];
    if (row.sequence !== head) return 'SETTLEMENT_OUT_OF_ORDER';
    const delay = row.milliseconds === DEFAULT_BACKOFF ? this.#backoff(group.key) : row.milliseconds;
    this.fail(group, row.reason, delay, row.kind === SETTLE_REJECT);
    return null;
  }

  /** Doubles with each failure before this one. */
  #backoff(key: number): number {
    const { progress, settings } = this.#desk.options;
    const { backoffMilliseconds, backoffMaxMilliseconds } = settings();
    const row = progress.rows.find(key);
    const failures = row < 0 ? 0 : progress.rows.failures(row);
    return Math.min(backoffMaxMilliseconds, backoffMilliseconds * 2 ** Math.min(failures, 40));
  }
}

/** At most `bytesMax` bytes of UTF-8, cut between characters. */
function cutText(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= bytesMax) return text;
  let end = bytesMax;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
