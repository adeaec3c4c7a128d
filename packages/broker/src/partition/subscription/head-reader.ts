/** Reads single messages of a group: the head that is parked, replaced, or leaves by the dead-letter topic. */
import { RefusalError } from '@seriatim/protocol';
import type { Entry } from '@seriatim/raft';
import { AppendHeader, NO_GROUP } from '../append-header.ts';
import { COMMAND_APPEND, commandKind } from '../command.ts';
import { messageEnd } from '../field-walk.ts';
import type { PartitionState } from '../partition-state.ts';
import type { RecordSource } from '../record-source.ts';

/** Reads at most this much before it gives up on finding a message without group, bytes at a time. */
const READ_BYTES = 256 * 1024;

/** A message and its place. */
export interface Head {
  readonly offset: number;
  readonly sequence: number;
  readonly life: number;
  readonly timestamp: number;
  /** Without tag and length. */
  readonly message: Uint8Array;
}

/** See the head of this file. */
export class HeadReader {
  readonly #state: PartitionState;
  readonly #source: RecordSource;
  readonly #header = new AppendHeader();

  constructor(state: PartitionState, source: RecordSource) {
    this.#state = state;
    this.#source = source;
  }

  /** The group's first message at or behind `offset`; null: there is none. Rejects with NOT_READY when it can not be read here now. */
  async read(key: number, offset: number, minSequence = 0): Promise<Head | null> {
    let from = Math.max(offset, this.#state.lowWatermark);
    while (from < this.#state.nextOffset) {
      let entries: readonly Entry[];
      let reached = -1;
      try {
        if (from >= this.#state.tail.firstOffset) {
          const items = this.#state.tail.from(from, READ_BYTES);
          entries = items.map((item) => item.entry);
          const last = items.at(-1);
          if (last !== undefined) reached = last.baseOffset + last.records;
        } else if (key === 0) {
          entries = await this.#source.read(from, READ_BYTES);
        } else {
          const found = await this.#source.readGroup(key - 1, from, READ_BYTES);
          entries = found.entries;
          reached = found.nextOffset;
        }
      } catch {
        throw unreadable(from);
      }
      for (const entry of entries) {
        const head = this.#find(entry, key, from, minSequence);
        if (head !== null) return head;
        reached = Math.max(reached, this.#header.baseOffset + this.#header.records);
      }
      if (reached <= from) throw unreadable(from);
      from = reached;
    }
    return null;
  }

  #find(entry: Entry, key: number, from: number, minSequence: number): Head | null {
    const header = this.#header;
    if (entry.type !== 'command' || commandKind(entry.data) !== COMMAND_APPEND) return null;
    header.read(entry.data);
    let offset = header.baseOffset;
    let start = header.bodyStart;
    for (let run = 0; run < header.runs; run++) {
      const count = header.count[run] as number;
      const group = header.group[run] as number;
      const end = header.bodyEnd[run] as number;
      const first = group === NO_GROUP ? offset + 1 : (header.firstSequence[run] as number);
      const skipped = Math.max(0, from - offset, minSequence - first);
      if (group === key - 1 && skipped < count) {
        let at = start;
        for (let passed = 0; passed < skipped; passed++) at = messageEnd(entry.data, at, end);
        return {
          offset: offset + skipped,
          sequence: first + skipped,
          life: header.life[run] as number,
          timestamp: header.timestamp,
          message: content(entry.data, at, messageEnd(entry.data, at, end)),
        };
      }
      offset += count;
      start = end;
    }
    return null;
  }
}

function unreadable(offset: number): RefusalError {
  return new RefusalError('NOT_READY', `offset ${offset} can not be read on this replica now; try again`);
}

/** A message without its tag and length. */
function content(data: Uint8Array, start: number, end: number): Uint8Array {
  let at = start + 1;
  while ((data[at] as number) >= 0x80) at++;
  return data.subarray(at + 1, end);
}
