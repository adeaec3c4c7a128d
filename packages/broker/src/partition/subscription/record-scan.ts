/**
 * Reads records for one subscription: the scan, from the floor towards the high watermark, and groups that are behind by their index. What lies
 * in the memory tail is taken at once, older records come from segments; between a read's end and what it changes nothing awaits.
 */
import type { Entry } from '@seriatim/raft';
import { AppendHeader, NO_GROUP } from '../append-header.ts';
import { COMMAND_APPEND, commandKind } from '../command.ts';
import type { RecordSource } from '../record-source.ts';
import type { ActiveGroup } from './active-group.ts';
import type { GroupDesk } from './group-desk.ts';
import type { GroupIntake, IncomingRun } from './group-intake.ts';
import { FLAG_BEHIND, FLAGS_BLOCKING } from './subscription-rows.ts';

/** Pause after a read that failed or gave nothing, milliseconds: this replica may lack a segment that it is fetching. */
const RETRY_MILLISECONDS = 100;
/** Bytes of the memory tail that one step looks at. */
const STEP_BYTES = 256 * 1024;

/** What reading needs. */
export interface RecordScanOptions {
  readonly desk: GroupDesk;
  readonly intake: GroupIntake;
  readonly source: RecordSource;
  /** Bytes looked through for one read of a group in the memory tail. */
  readonly scanBytesMax: number;
  /** Something was read that may be delivered. */
  readonly onRead: () => void;
  /** Retention removed the records in `[from, to)` before they were looked at. */
  readonly onLost: (from: number, to: number) => void;
  /** Told how many records were looked at. */
  readonly count: (records: number) => void;
}

/** See the head of this file. */
export class RecordScan {
  readonly #options: RecordScanOptions;
  readonly #header = new AppendHeader();
  readonly #run: IncomingRun = {
    key: 0,
    life: 0,
    offset: 0,
    sequence: 0,
    count: 0,
    timestamp: 0,
    data: new Uint8Array(0),
    start: 0,
    end: 0,
  };
  #scanReading = false;
  #groupsReading = 0;
  #ended = false;

  constructor(options: RecordScanOptions) {
    this.#options = options;
  }

  /** Reads done are dropped from now on. */
  end(): void {
    this.#ended = true;
  }

  /** One step of the scan. True: it moved, and may move again at once. */
  step(): boolean {
    const { desk } = this.#options;
    const { state, window, limits } = desk.options;
    if (this.#scanReading || desk.readAheadBytes >= limits.readAheadBytesMax) return false;
    this.#passRemoved();
    if (window.end >= state.nextOffset) return false;
    if (window.end < state.tail.firstOffset) {
      this.#scanReading = true;
      void this.#scanSource(window.end);
      return false;
    }
    for (const item of state.tail.from(window.end, STEP_BYTES)) {
      this.#scanEntry(item.entry);
      if (desk.readAheadBytes >= limits.readAheadBytesMax) return false;
    }
    return true;
  }

  /** A group waits to be read and may be. */
  get canReadGroups(): boolean {
    const { desk } = this.#options;
    const { limits } = desk.options;
    const room =
      this.#groupsReading < limits.catchUpReadsMax && desk.readAheadBytes < limits.readAheadBytesMax;
    return room && desk.toRead.length > 0;
  }

  /** Starts reads of groups that are behind, as many as may be under way. True: one gave something at once. */
  readGroups(): boolean {
    const { desk } = this.#options;
    let gave = false;
    while (this.canReadGroups) {
      const group = this.#begin(desk.takeRead());
      if (group === null) continue;
      if (this.#readTail(group)) gave = true;
      else void this.#readSource(group);
    }
    return gave;
  }

  /** What retention removed before it was scanned is lost to this subscription. */
  #passRemoved(): void {
    const { desk } = this.#options;
    const { state, window, progress } = desk.options;
    const lost = state.lowWatermark - window.end;
    if (lost > 0) {
      progress.lost += lost;
      progress.done += lost;
      this.#options.onLost(window.end, state.lowWatermark);
      window.close(window.floor, window.end - window.floor);
      window.pass(state.lowWatermark);
      progress.change();
    } else if (window.floor < state.lowWatermark) {
      window.close(window.floor, state.lowWatermark - window.floor);
      progress.change();
    }
  }

  async #scanSource(offset: number): Promise<void> {
    const { desk, source } = this.#options;
    let entries: readonly Entry[] = [];
    try {
      entries = await source.read(offset, desk.options.limits.deliveryBytesMax);
    } catch {
      // Refused for now; the next try comes after a pause.
    }
    if (this.#ended) return;
    const before = desk.options.window.end;
    for (const entry of entries) this.#scanEntry(entry);
    if (desk.options.window.end > before) this.#scanDone();
    else desk.options.clock.after(RETRY_MILLISECONDS, () => this.#scanDone());
  }

  #scanDone(): void {
    this.#scanReading = false;
    if (!this.#ended) this.#options.onRead();
  }

  #scanEntry(entry: Entry): void {
    if (!this.#open(entry)) return;
    const { desk, intake } = this.#options;
    const { window, state } = desk.options;
    const header = this.#header;
    const run = this.#run;
    let offset = header.baseOffset;
    let start = header.bodyStart;
    for (let at = 0; at < header.runs; at++) {
      const count = header.count[at] as number;
      const end = header.bodyEnd[at] as number;
      if (offset + count > window.end && offset < state.nextOffset) {
        this.#options.count(count);
        this.#fill(entry.data, at, offset, start, end);
        intake.cutTo(run, window.end);
        intake.scanned(run);
      }
      offset += count;
      start = end;
    }
  }

  /** A group to read now, or null when something came between. */
  #begin(key: number): ActiveGroup | null {
    const { desk } = this.#options;
    const { rows } = desk.options.progress;
    const known = desk.active.get(key);
    if (known !== undefined) {
      if (known.catchUp && known.readAheadMessages === 0 && !desk.isBlocked(key)) {
        known.reading = true;
        return known;
      }
      known.reading = false;
      return null;
    }
    const row = rows.find(key);
    if (row < 0) return null;
    const flags = rows.flags(row);
    if ((flags & FLAG_BEHIND) === 0 || (flags & FLAGS_BLOCKING) !== 0) return null;
    if (desk.delays.get(key) !== undefined) return null;
    const group = desk.create(key, rows.life(row), rows.settled(row), rows.next(row));
    group.behind = true;
    group.catchUp = true;
    group.reading = true;
    return group;
  }

  /** True when the memory tail reaches back to where the group reads. */
  #readTail(group: ActiveGroup): boolean {
    const { desk, scanBytesMax } = this.#options;
    const { tail, nextOffset } = desk.options.state;
    if (group.readFrom < tail.firstOffset && group.readFrom < nextOffset) return false;
    const before = desk.readAheadBytes;
    let reached = group.readFrom;
    let whole = true;
    for (const item of tail.from(group.readFrom, scanBytesMax)) {
      if (desk.readAheadBytes - before >= desk.options.limits.deliveryBytesMax) break;
      if (item.baseOffset >= desk.options.window.end) break;
      if (group.key === 0 || item.groups.includes(group.key - 1)) whole = this.#takeOf(group, item.entry);
      if (!whole) break;
      reached = item.baseOffset + item.records;
    }
    this.#readDone(group, reached, whole);
    return true;
  }

  async #readSource(group: ActiveGroup): Promise<void> {
    const { desk, source } = this.#options;
    const { state, limits } = desk.options;
    this.#groupsReading++;
    const { readTurn } = group;
    const from = Math.max(group.readFrom, state.lowWatermark);
    let entries: readonly Entry[] = [];
    let reached = -1;
    try {
      if (group.key === 0) {
        entries = await source.read(from, limits.deliveryBytesMax);
      } else {
        const found = await source.readGroup(group.key - 1, from, limits.deliveryBytesMax);
        entries = found.entries;
        reached = found.nextOffset;
      }
    } catch {
      // Refused for now; the next try comes after a pause.
    }
    this.#groupsReading--;
    if (this.#ended) return;
    if (desk.active.get(group.key) !== group) return this.#options.onRead();
    if (group.readTurn !== readTurn) {
      group.reading = false;
      desk.readOn(group);
      return this.#options.onRead();
    }
    const whole = entries.every((entry) => this.#takeOf(group, entry));
    if (group.key === 0) reached = Math.max(reached, group.readFrom, this.#endOf(entries));
    if (!whole) reached = group.readFrom;
    if (!whole || Math.max(reached, group.readFrom) > from || reached >= desk.options.window.end) {
      this.#readDone(group, reached, whole);
      this.#options.onRead();
      return;
    }
    desk.options.clock.after(RETRY_MILLISECONDS, () => {
      if (this.#ended || desk.active.get(group.key) !== group) return;
      group.reading = false;
      desk.readOn(group);
      this.#options.onRead();
    });
  }

  #endOf(entries: readonly Entry[]): number {
    const last = entries.at(-1);
    if (last === undefined || !this.#open(last)) return -1;
    return this.#header.baseOffset + this.#header.records;
  }

  /** False: see GroupIntake.readByIndex. */
  #takeOf(group: ActiveGroup, entry: Entry): boolean {
    if (!this.#open(entry)) return true;
    const { desk, intake } = this.#options;
    const header = this.#header;
    let offset = header.baseOffset;
    let start = header.bodyStart;
    for (let at = 0; at < header.runs; at++) {
      const count = header.count[at] as number;
      const end = header.bodyEnd[at] as number;
      if ((header.group[at] as number) === group.key - 1 && offset < desk.options.window.end) {
        this.#options.count(count);
        this.#fill(entry.data, at, offset, start, end);
        if (!intake.readByIndex(group, this.#run)) return false;
      }
      offset += count;
      start = end;
    }
    return true;
  }

  /** A group that has read up to the scan position is the scan's again. */
  #readDone(group: ActiveGroup, reached: number, whole: boolean): void {
    const { desk } = this.#options;
    const { end } = desk.options.window;
    group.reading = false;
    group.readFrom = Math.max(group.readFrom, Math.min(reached, end));
    if (group.readFrom >= end) group.catchUp = false;
    if (group.readAheadMessages > 0) desk.offer(group);
    else if (!group.catchUp) desk.retire(group);
    else if (whole) desk.readOn(group);
  }

  /** True for an entry with records, whose header is read then. */
  #open(entry: Entry): boolean {
    if (entry.type !== 'command' || commandKind(entry.data) !== COMMAND_APPEND) return false;
    this.#header.read(entry.data);
    return true;
  }

  #fill(data: Uint8Array, at: number, offset: number, start: number, end: number): void {
    const header = this.#header;
    const run = this.#run;
    const group = header.group[at] as number;
    run.key = group + 1;
    run.life = header.life[at] as number;
    run.offset = offset;
    // Messages without group: the offset + 1 stands for a sequence.
    run.sequence = group === NO_GROUP ? offset + 1 : (header.firstSequence[at] as number);
    run.count = header.count[at] as number;
    run.timestamp = header.timestamp;
    run.data = data;
    run.start = start;
    run.end = end;
  }
}
