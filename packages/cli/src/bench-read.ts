import type { Reader } from '@seriatim/client';
import { StoredOrder } from './bench-check.ts';
import type { Load } from './bench-load.ts';
import type { Progress } from './terminal.ts';

/** What reading back showed. */
export interface ReadResult {
  readonly messages: number;
  readonly seconds: number;
  /** Messages out of their group's order, missing or doubled. */
  readonly orderViolations: number;
}

/** Reads a topic's partitions from `starts` to their ends and checks that every group of the load is whole and in order. */
export async function readBack(
  reader: Reader,
  load: Load,
  starts: readonly number[],
  complete: boolean,
  progress: Progress,
): Promise<ReadResult> {
  const { shape, counts } = load;
  const order = new StoredOrder(shape.groups, complete);
  let messages = 0;
  const started = performance.now();
  const readPartition = async (partition: number, from: number): Promise<void> => {
    for await (const batch of reader.readBatches({ topic: shape.topic, partition, from, untilEnd: true })) {
      for (const { value, sequence } of batch) {
        if (!load.owns(value)) continue;
        order.take(value.readUInt32LE(4), value.readUInt32LE(8), sequence);
        messages++;
      }
      progress.show(() => `${messages} of ${shape.messages} messages read back`);
    }
  };
  await Promise.all(starts.map((from, partition) => readPartition(partition, from)));
  const seconds = (performance.now() - started) / 1000;
  return { messages, seconds, orderViolations: order.violations(counts) };
}
