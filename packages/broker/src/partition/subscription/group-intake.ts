/** Takes runs of records, found by the scan or by a group's own reading, to where they belong. */
import { messageEnd } from '../field-walk.ts';
import type { ActiveGroup } from './active-group.ts';
import type { GroupDesk } from './group-desk.ts';
import { NO_RUN } from './run-pool.ts';
import { FLAG_BEHIND, FLAG_REPLACED, FLAGS_BLOCKING } from './subscription-rows.ts';

/** A run as it lies in an entry; overwritten by the next one. */
export interface IncomingRun {
  key: number;
  life: number;
  offset: number;
  sequence: number;
  count: number;
  timestamp: number;
  data: Uint8Array;
  start: number;
  end: number;
}

const MESSAGE_TAG = 0x7a;

/** See the head of this file. */
export class GroupIntake {
  readonly #desk: GroupDesk;

  constructor(desk: GroupDesk) {
    this.#desk = desk;
  }

  /** A run at the scan position, which moves behind it. */
  scanned(run: IncomingRun): void {
    const { window, limits } = this.#desk.options;
    const end = run.offset + run.count;
    const group = this.#desk.active.get(run.key) ?? this.#meet(run);
    if (group === null || group.catchUp || end <= group.readFrom) {
      this.#pass(end);
      return;
    }
    this.#position(group, run);
    const isFull = group.readAheadMessages >= limits.groupReadAheadMax;
    if (isFull || group.paused || this.#leavesGap(group, run)) {
      // It reads on by its index when its holder has taken, or settled, what is here, or when it is resumed.
      this.#desk.markBehind(group);
      group.catchUp = true;
      this.#pass(end);
      return;
    }
    this.cutTo(run, group.readFrom);
    // What was cut off is settled.
    window.pass(run.offset);
    if (!group.behind) window.open(run.offset, run.count, run.key);
    this.#push(group, run);
    this.#pass(end);
    this.#desk.offer(group);
  }

  /**
   * A run of a group that reads by its index: only what lies below the scan position, the rest is the scan's. False: messages before it are
   * gone, which is told when what lies before them is settled; nothing was taken.
   */
  readByIndex(group: ActiveGroup, run: IncomingRun): boolean {
    this.#cutFrom(run, this.#desk.options.window.end);
    if (run.offset + run.count <= group.readFrom) return true;
    this.#position(group, run);
    if (this.#leavesGap(group, run)) return false;
    this.cutTo(run, group.readFrom);
    if (group.empty) this.#replaceHead(group, run);
    if (run.count > 0) this.#push(group, run);
    return true;
  }

  /** True when retention removed messages between what is read of the group and this run. */
  #leavesGap(group: ActiveGroup, run: IncomingRun): boolean {
    if (run.key === 0 || group.empty || run.offset < group.readFrom) return false;
    const { pool } = this.#desk.options;
    const { last } = group.readAhead;
    const read =
      last === NO_RUN
        ? group.lastInFlight
        : (pool.sequence[last] as number) + (pool.count[last] as number) - 1;
    return run.sequence > read + 1;
  }

  /** First met since the floor: null when its row says that the run is none of the scan's business. */
  #meet(run: IncomingRun): ActiveGroup | null {
    const { progress } = this.#desk.options;
    const { rows } = progress;
    const row = rows.find(run.key);
    if (row < 0) return this.#desk.create(run.key, run.life, run.sequence - 1, run.offset);
    if (rows.life(row) !== run.life) {
      // The row is of a life that ended, with everything settled; dead letters go on counting.
      rows.setPosition(row, run.life, run.sequence - 1, run.offset);
      rows.setFlags(row, 0);
      rows.setFailures(row, 0, 0);
      rows.details.delete(run.key);
      progress.touch(run.key);
      return this.#desk.create(run.key, run.life, run.sequence - 1, run.offset);
    }
    const flags = rows.flags(row);
    if ((flags & FLAG_BEHIND) !== 0 || run.offset + run.count <= rows.next(row)) return null;
    if ((flags & FLAGS_BLOCKING) !== 0) {
      rows.setFlags(row, flags | FLAG_BEHIND);
      progress.touch(run.key);
      return null;
    }
    return this.#desk.create(run.key, run.life, rows.settled(row), rows.next(row));
  }

  /** Where nothing of the group was found yet, the run says what is settled; a gap before it was removed by retention. */
  #position(group: ActiveGroup, run: IncomingRun): void {
    if (!group.empty) return;
    if (group.settled < 0 || group.life !== run.life) {
      group.life = run.life;
      group.settled = run.sequence - 1;
      group.next = run.offset;
      group.readFrom = run.offset;
      return;
    }
    if (run.sequence <= group.settled + 1) return;
    if (run.key === 0) this.#moveOn(group, run);
    else this.#lost(group, run);
  }

  /** Between what is settled of the messages without group and this one there are none, or none any more: it is their head. */
  #moveOn(group: ActiveGroup, run: IncomingRun): void {
    group.settled = run.sequence - 1;
    group.next = run.offset;
    this.#desk.writeRow(group, true);
  }

  #lost(group: ActiveGroup, run: IncomingRun): void {
    const { progress } = this.#desk.options;
    const lost = run.sequence - 1 - group.settled;
    group.gap = { first: group.gap?.first ?? group.settled + 1, last: run.sequence - 1 };
    this.#desk.tellGap(group);
    progress.lost += lost;
    progress.done += lost;
    group.settled = run.sequence - 1;
    group.next = run.offset;
    this.#desk.writeRow(group, true);
  }

  /** Leaves out what lies below an offset. */
  cutTo(run: IncomingRun, offset: number): void {
    const skipped = offset - run.offset;
    if (skipped <= 0) return;
    this.#cut(run, Math.min(skipped, run.count));
  }

  /** Leaves out what lies at or behind an offset. */
  #cutFrom(run: IncomingRun, offset: number): void {
    const kept = Math.max(0, offset - run.offset);
    if (kept >= run.count) return;
    let end = run.start;
    for (let passed = 0; passed < kept; passed++) end = messageEnd(run.data, end, run.end);
    run.end = end;
    run.count = kept;
  }

  #cut(run: IncomingRun, messages: number): void {
    for (let passed = 0; passed < messages; passed++) run.start = messageEnd(run.data, run.start, run.end);
    run.offset += messages;
    run.sequence += messages;
    run.count -= messages;
  }

  #push(group: ActiveGroup, run: IncomingRun): void {
    const { pool } = this.#desk.options;
    const held = Math.min(run.count, group.resumedTo - run.sequence + 1);
    if (held > 0) {
      // Its holder has these already.
      pool.push(group.inFlight, run.offset, run.sequence, held, run.timestamp, run.data, 0, 0);
      pool.forgetBytes(group.inFlight.last);
      group.inFlightMessages += held;
      group.lastInFlight = run.sequence + held - 1;
      group.lastSequence = group.lastInFlight;
      this.#cut(run, held);
    }
    group.readFrom = run.offset + run.count;
    if (run.count === 0) return;
    const { offset, sequence, count, timestamp, data, start, end } = run;
    pool.push(group.readAhead, offset, sequence, count, timestamp, data, start, end);
    group.readAheadMessages += count;
    this.#desk.readAheadBytes += end - start;
  }

  /** The head of a group with a replacement is delivered as the operator gave it. */
  #replaceHead(group: ActiveGroup, run: IncomingRun): void {
    const { rows } = this.#desk.options.progress;
    if (rows.replacements.size === 0) return;
    const row = rows.find(group.key);
    const replacement = rows.replacements.get(group.key);
    if (replacement === undefined || (rows.flags(row) & FLAG_REPLACED) === 0) return;
    if (run.sequence !== group.settled + 1) return;
    const data = framed(replacement);
    this.#push(group, { ...run, count: 1, data, start: 0, end: data.length });
    this.#cut(run, 1);
  }

  /** The floor may not lie too far below the scan: groups that keep it back are read by their index by the next leader. */
  #pass(end: number): void {
    const { window, limits } = this.#desk.options;
    window.pass(end);
    while (window.end - window.floor > limits.floorDistanceMax) {
      const group = this.#desk.active.get(window.blockingKey);
      if (group === undefined) return;
      this.#desk.markBehind(group);
    }
  }
}

/** A message as it lies in a body: field 15. */
function framed(message: Uint8Array): Uint8Array {
  const head: number[] = [MESSAGE_TAG];
  let rest = message.length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return Buffer.concat([Uint8Array.from(head), message]);
}
