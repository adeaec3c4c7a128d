/** Builds a {@link RecordStretch} out of entries: whole runs as they lie there, runs at the borders cut between messages. */
import type { Entry } from '@seriatim/raft';
import type { Offset, RecordStretch } from '../contracts.ts';
import { AppendHeader } from './append-header.ts';
import { COMMAND_APPEND, commandKind } from './command.ts';
import { messageEnd } from './field-walk.ts';

/** Takes runs of every group. */
export const EVERY_GROUP = -2;

/** See the head of this file. One stretch each. */
export class StretchBuilder {
  readonly #base: number;
  readonly #bytesMax: number;
  readonly #group: number;
  /** Nothing at or above it is given: the high watermark when the read began. */
  readonly #limit: number;
  readonly #header = new AppendHeader();
  readonly #lengths: number[] = [];
  readonly #sequences: number[] = [];
  readonly #lives: number[] = [];
  readonly #timestamps: number[] = [];
  readonly #offsets: number[] = [];
  readonly #body: Uint8Array[] = [];
  #next: number;
  #bytes = 0;
  /** Stretch of the current entry taken so far, not yet in `#body`. */
  #from = 0;
  #to = 0;

  constructor(offset: number, bytesMax: number, group: number, limit: number) {
    this.#base = offset;
    this.#next = offset;
    this.#bytesMax = bytesMax;
    this.#group = group;
    this.#limit = limit;
  }

  /** First offset not looked at. */
  get nextOffset(): number {
    return this.#next;
  }

  get full(): boolean {
    return this.#bytes > 0 && this.#bytes >= this.#bytesMax;
  }

  /** Nothing of the group lies below `offset`. */
  skipTo(offset: number): void {
    this.#next = Math.max(this.#next, Math.min(offset, this.#limit));
  }

  /** Takes what it can of an entry; entries without records and those before {@link nextOffset} give nothing. */
  add(entry: Entry): void {
    if (entry.type !== 'command' || commandKind(entry.data) !== COMMAND_APPEND) return;
    const header = this.#header;
    header.read(entry.data);
    if (header.baseOffset >= this.#limit) return;
    let offset = header.baseOffset;
    let start = header.bodyStart;
    for (let run = 0; run < header.runs && !this.full; run++) {
      const count = header.count[run] as number;
      const end = header.bodyEnd[run] as number;
      if (offset + count > this.#next) {
        if (this.#group === EVERY_GROUP || this.#group === header.group[run]) {
          this.#takeRun(entry.data, run, offset, start, end);
        } else {
          this.#next = offset + count;
        }
      }
      offset += count;
      start = end;
    }
    this.#flushBody(entry.data);
  }

  finish(): RecordStretch {
    return {
      baseOffset: (this.#offsets[0] ?? this.#base) as Offset,
      nextOffset: this.#next as Offset,
      runLengths: this.#lengths,
      runSequences: this.#sequences,
      runLives: this.#lives,
      runTimestamps: this.#timestamps,
      runOffsets: this.#offsets,
      body: this.#body,
    };
  }

  #takeRun(data: Uint8Array, run: number, offset: number, start: number, end: number): void {
    const header = this.#header;
    const count = header.count[run] as number;
    const skipped = Math.max(0, this.#next - offset);
    let from = start;
    for (let passed = 0; passed < skipped; passed++) from = messageEnd(data, from, end);
    let to = end;
    let taken = count - skipped;
    if (this.#bytes + (end - from) > this.#bytesMax) {
      to = from;
      for (taken = 0; skipped + taken < count && !this.#over(to - from); taken++) {
        to = messageEnd(data, to, end);
      }
    }
    const hasGroup = (header.group[run] as number) >= 0;
    this.#lengths.push(taken);
    this.#sequences.push(hasGroup ? (header.firstSequence[run] as number) + skipped : 0);
    this.#lives.push(header.life[run] as number);
    this.#timestamps.push(header.timestamp);
    this.#offsets.push(offset + skipped);
    this.#next = offset + skipped + taken;
    this.#bytes += to - from;
    if (from !== this.#to) {
      this.#flushBody(data);
      this.#from = from;
    }
    this.#to = to;
  }

  #over(more: number): boolean {
    const bytes = this.#bytes + more;
    return bytes > 0 && bytes >= this.#bytesMax;
  }

  #flushBody(data: Uint8Array): void {
    if (this.#to > this.#from) this.#body.push(data.subarray(this.#from, this.#to));
    this.#from = 0;
    this.#to = 0;
  }
}
