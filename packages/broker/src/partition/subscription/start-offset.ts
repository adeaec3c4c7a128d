/** Where a subscription begins: a start position as an offset of this partition. */
import type { StartPosition } from '../../subscription-contracts.ts';
import { AppendHeader } from '../append-header.ts';
import { COMMAND_APPEND, commandKind } from '../command.ts';
import type { PartitionState } from '../partition-state.ts';
import type { RecordSource } from '../record-source.ts';

/** SubscriptionStart of the API. */
const START_EARLIEST = 0;
const START_LATEST = 1;
const START_OFFSET = 2;

/** Rejects with what reading rejects with. */
export async function startOffset(
  start: StartPosition,
  state: PartitionState,
  source: RecordSource,
): Promise<number> {
  switch (start.kind) {
    case START_EARLIEST:
      return state.lowWatermark;
    case START_LATEST:
      return state.nextOffset;
    case START_OFFSET:
      return Math.min(Math.max(start.offset, state.lowWatermark), state.nextOffset);
    default:
      return offsetAtTime(start.time, state, source);
  }
}

/** First record with a time stamp not before `time`: by halving, since an entry's time stamps rise with its offsets, clocks allowing. */
async function offsetAtTime(time: number, state: PartitionState, source: RecordSource): Promise<number> {
  let low = state.lowWatermark;
  let high = state.nextOffset;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const entry = await entryAt(middle, state, source);
    if (entry === null) return low;
    if (entry.timestamp < time) low = Math.max(middle + 1, entry.end);
    else high = Math.min(middle, Math.max(entry.base, low));
  }
  return Math.max(low, state.lowWatermark);
}

async function entryAt(
  offset: number,
  state: PartitionState,
  source: RecordSource,
): Promise<{ readonly base: number; readonly end: number; readonly timestamp: number } | null> {
  const [item] = state.tail.from(offset, 1);
  if (item !== undefined) {
    return { base: item.baseOffset, end: item.baseOffset + item.records, timestamp: item.timestamp };
  }
  for (const entry of await source.read(offset, 1)) {
    if (entry.type !== 'command' || commandKind(entry.data) !== COMMAND_APPEND) continue;
    const header = new AppendHeader();
    header.read(entry.data);
    return {
      base: header.baseOffset,
      end: header.baseOffset + header.records,
      timestamp: header.timestamp,
    };
  }
  return null;
}
