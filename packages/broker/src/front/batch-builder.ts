/** Builds one {@link AppendBatch} per partition out of a request's runs. Each message's bytes are copied once. */
import { crc32 } from 'node:zlib';
import type { WalkedMessages } from '@seriatim/protocol';
import type { AppendBatch, PartitionView } from '../contracts.ts';
import type { RequestRuns } from './request-runs.ts';

/** A batch, and which of the request's runs its rows are. */
export interface PlannedBatch {
  readonly partition: PartitionView;
  readonly batch: AppendBatch;
  readonly runs: readonly number[];
}

/** Who sends; zeros for a producer without id. */
export interface ProducerStamp {
  readonly producerId: number;
  readonly producerEpoch: number;
}

/** Batches for `routed` (run numbers), in the order of their first run. A run whose partition is not in the topic is left out. */
export function planBatches(
  walked: WalkedMessages,
  runs: RequestRuns,
  routed: Iterable<number>,
  partitions: readonly PartitionView[],
  stamp: ProducerStamp,
): PlannedBatch[] {
  const runsOf = new Map<number, number[]>();
  for (const run of routed) {
    const partition = runs.partition[run] ?? -1;
    const list = runsOf.get(partition);
    if (list === undefined) runsOf.set(partition, [run]);
    else list.push(run);
  }
  const planned: PlannedBatch[] = [];
  for (const [number, list] of runsOf) {
    const partition = partitions[number];
    if (partition === undefined) continue;
    planned.push({ partition, runs: list, batch: buildBatch(walked, runs, list, partition, stamp) });
  }
  return planned;
}

function buildBatch(
  walked: WalkedMessages,
  runs: RequestRuns,
  list: readonly number[],
  partition: PartitionView,
  stamp: ProducerStamp,
): AppendBatch {
  const { starts, ends } = walked;
  let bytes = 0;
  for (const run of list) {
    const end = runs.start[run + 1] ?? 0;
    for (let at = runs.start[run] ?? 0; at < end; at++) {
      const message = runs.order[at] ?? 0;
      bytes += (ends[message] ?? 0) - (starts[message] ?? 0);
    }
  }
  // Memory of its own: the batch lives on in the log, a shared slab would be kept alive with it.
  const body = Buffer.allocUnsafeSlow(bytes);
  const columns = {
    groupStart: [] as number[],
    groupEnd: [] as number[],
    life: [] as number[],
    count: [] as number[],
    producerSequence: [] as number[],
    checksum: [] as number[],
    bodyEnd: [] as number[],
  };
  let length = 0;
  for (const run of list) {
    const first = runs.start[run] ?? 0;
    const end = runs.start[run + 1] ?? 0;
    const runStart = length;
    length = copyRun(walked, runs.order, first, end, body, length);
    const message = runs.order[first] ?? 0;
    const shift = runStart - (starts[message] ?? 0);
    columns.groupStart.push((walked.groupStarts[message] ?? 0) + shift);
    columns.groupEnd.push((walked.groupEnds[message] ?? 0) + shift);
    columns.life.push(runs.life[run] ?? 0);
    columns.count.push(end - first);
    columns.producerSequence.push(runs.producerSequence[run] ?? 0);
    columns.checksum.push(crc32(body.subarray(runStart, length)));
    columns.bodyEnd.push(length);
  }
  const batch = { shard: partition.shard, ...stamp, runs: list.length, ...columns, body };
  if (runs.expectedSequence.length === 0) return batch;
  return { ...batch, expectedSequence: list.map((run) => runs.expectedSequence[run] ?? 0) };
}

/** Copies messages `order[first, end)`, those that lie next to each other in one go; returns the new length of `to`. */
function copyRun(
  walked: WalkedMessages,
  order: Uint32Array,
  first: number,
  end: number,
  to: Buffer,
  length: number,
): number {
  const { buffer, starts, ends } = walked;
  let written = length;
  let at = first;
  while (at < end) {
    const from = starts[order[at] ?? 0] ?? 0;
    let until = ends[order[at] ?? 0] ?? 0;
    at++;
    while (at < end && starts[order[at] ?? 0] === until) {
      until = ends[order[at] ?? 0] ?? 0;
      at++;
    }
    written += buffer.copy(to, written, from, until);
  }
  return written;
}
