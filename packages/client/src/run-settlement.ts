/** What an answer says of a run's messages, brought to their calls. */
import { Buffer } from 'node:buffer';
import {
  type DecodedOrderedProduceResponse,
  MESSAGE_DUPLICATE,
  type PartitionError,
} from '@seriatim/protocol';
import type { Run, Segment } from './lane.ts';

/** The run is stored; its first message is number `first` of the response. The lane is free for the next run. */
export function settleRun(run: Run, response: DecodedOrderedProduceResponse, first: number): void {
  const { lane } = run;
  const partition = response.partitions[first] as number;
  const duplicate = response.statuses[first] === MESSAGE_DUPLICATE;
  let row = first;
  for (let segment: Segment | null = run.first; segment !== null; segment = segment.behind) {
    const { call, head, count } = segment;
    if (segment.answered) {
      row += count;
      continue;
    }
    let index = head;
    for (let step = 0; step < count; step++, row++) {
      const offset = response.offsets[row] as number;
      call.stored(index, partition, offset, response.sequences[row] as number, duplicate);
      index = call.next[index] as number;
    }
  }
  lane.run = null;
  lane.renewed = false;
  lane.partition = partition;
}

/** The run's bytes in memory of their own. */
export const copyOf = (bytes: Buffer, run: Run): Buffer => {
  const copy = Buffer.allocUnsafe(run.end - run.start);
  bytes.copy(copy, 0, run.start, run.end);
  return copy;
};

const NO_ERRORS: ReadonlyMap<number, PartitionError> = new Map();

/** The error of each message that has one. */
export function errorsByMessage(errors: readonly PartitionError[]): ReadonlyMap<number, PartitionError> {
  if (errors.length === 0) return NO_ERRORS;
  const byMessage = new Map<number, PartitionError>();
  for (const error of errors) for (const index of error.messageIndexes) byMessage.set(index, error);
  return byMessage;
}
