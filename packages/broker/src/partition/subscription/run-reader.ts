/** Walks runs of records in order, for administration: from the memory tail, else from segments. */
import { RefusalError } from '@seriatim/protocol';
import type { Entry } from '@seriatim/raft';
import { AppendHeader, NO_GROUP } from '../append-header.ts';
import { COMMAND_APPEND, commandKind } from '../command.ts';
import type { PartitionState } from '../partition-state.ts';
import type { RecordSource } from '../record-source.ts';

const READ_BYTES = 256 * 1024;

/** A run, or the part of it in the stretch that is walked. */
export interface WalkedRun {
  readonly key: number;
  readonly life: number;
  readonly offset: number;
  readonly sequence: number;
  readonly count: number;
  readonly timestamp: number;
}

/** Calls `take` for each run in `[from, to)`. Rejects with NOT_READY where this replica lacks records. */
export async function eachRun(
  state: PartitionState,
  source: RecordSource,
  from: number,
  to: number,
  take: (run: WalkedRun) => void,
): Promise<void> {
  let next = Math.max(from, state.lowWatermark);
  while (next < to) {
    const entries: readonly Entry[] =
      next >= state.tail.firstOffset
        ? state.tail.from(next, READ_BYTES).map((item) => item.entry)
        : await source.read(next, READ_BYTES);
    const before = next;
    for (const entry of entries) next = Math.max(next, walk(entry, next, to, take));
    if (next > before) continue;
    throw new RefusalError('NOT_READY', `offset ${next} can not be read on this replica now; try again`);
  }
}

/** Number of messages without group in `[from, to)`. Rejects as {@link eachRun}. */
export async function countUngrouped(
  state: PartitionState,
  source: RecordSource,
  from: number,
  to: number,
): Promise<number> {
  const found = { messages: 0 };
  await eachRun(state, source, from, to, ({ key, count }) => {
    if (key === 0) found.messages += count;
  });
  return found.messages;
}

/** Returns the offset behind the entry. */
function walk(entry: Entry, from: number, to: number, take: (run: WalkedRun) => void): number {
  if (entry.type !== 'command' || commandKind(entry.data) !== COMMAND_APPEND) return from;
  const header = new AppendHeader();
  header.read(entry.data);
  let offset = header.baseOffset;
  for (let at = 0; at < header.runs; at++) {
    const count = header.count[at] as number;
    const group = header.group[at] as number;
    const start = Math.max(offset, from);
    const end = Math.min(offset + count, to);
    const first = group === NO_GROUP ? offset + 1 : (header.firstSequence[at] as number);
    if (start < end) {
      take({
        key: group + 1,
        life: header.life[at] as number,
        offset: start,
        sequence: first + start - offset,
        count: end - start,
        timestamp: header.timestamp,
      });
    }
    offset += count;
  }
  return offset;
}
