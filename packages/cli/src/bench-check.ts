import type { Reader } from '@seriatim/client';
import type { Load } from './bench-load.ts';
import type { Progress } from './terminal.ts';

/** What reading back showed. */
export interface CheckResult {
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
): Promise<CheckResult> {
  const { runId, shape, counts } = load;
  const next = new Uint32Array(shape.groups);
  const sequences = new Float64Array(shape.groups);
  let messages = 0;
  let violations = 0;
  const started = performance.now();
  const readPartition = async (partition: number, from: number): Promise<void> => {
    for await (const batch of reader.readBatches({ topic: shape.topic, partition, from, untilEnd: true })) {
      for (const { value, sequence } of batch) {
        if (value.length !== shape.size || value.readUInt32LE(0) !== runId) continue;
        const group = value.readUInt32LE(4);
        const place = value.readUInt32LE(8);
        const before = sequences[group] as number;
        const inPlace = complete ? place === next[group] : place >= (next[group] as number);
        if (!inPlace || (before > 0 && sequence !== before + 1)) violations++;
        next[group] = Math.max(next[group] as number, place + 1);
        sequences[group] = sequence;
        messages++;
      }
      progress.show(() => `${messages} of ${shape.messages} messages read back`);
    }
  };
  await Promise.all(starts.map((from, partition) => readPartition(partition, from)));
  const seconds = (performance.now() - started) / 1000;
  if (complete) {
    for (let group = 0; group < shape.groups; group++) {
      violations += Math.max(0, (counts[group] as number) - (next[group] as number));
    }
  }
  return { messages, seconds, orderViolations: violations };
}
