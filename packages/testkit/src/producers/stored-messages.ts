/** What a partition's log holds in the end, read by a replica that did nothing but apply it. */
import { defaultPartitionConfig, type Offset, openPartition, type TopicView } from '@seriatim/broker/rooms';
import type { Clock, Shard } from '@seriatim/multiraft';
import { decodeMessage } from '@seriatim/protocol';
import type { ReplicatedLog } from './replicated-log.ts';

/** A message as stored. */
export interface StoredMessage {
  readonly partition: number;
  readonly offset: number;
  readonly group: string;
  readonly sequence: number;
  readonly value: string;
}

const STILL: Clock = { now: () => 0, wallTime: () => 0, after: () => () => {}, soon: () => {} };
const EVERYTHING = 1024 * 1024 * 1024;

/** The messages by offset, and the CRC-32 of the state that the log makes. */
export async function readLog(
  log: ReplicatedLog,
  topic: TopicView,
  partition: number,
): Promise<{ readonly messages: readonly StoredMessage[]; readonly hash: number }> {
  const reader = await openPartition({
    partition,
    shard: log.shard,
    topic: topic.id,
    clock: STILL,
    source: {
      read: async () => [],
      readGroup: async (_group, offset) => ({ entries: [], nextOffset: offset }),
      segments: () => [],
      removeBefore: () => {},
    },
    retention: () => topic,
    clockTrusted: () => true,
    diskHasRoom: () => true,
    openShard: async (machine) => {
      machine.apply(log.entries.slice(0, log.committed));
      return {} as Shard;
    },
    config: { ...defaultPartitionConfig, tailBytesMax: EVERYTHING },
  });
  const messages: StoredMessage[] = [];
  const end = reader.highWatermark;
  for (let offset = 0 as Offset; offset < end; ) {
    const stretch = await reader.read(offset, EVERYTHING, null);
    const bytes = Buffer.concat(stretch.body);
    let at = 0;
    stretch.runLengths.forEach((count, run) => {
      for (let step = 0; step < count; step += 1) {
        const { start, end: behind } = messageEnds(bytes, at);
        const { group, value } = decodeMessage(bytes, start, behind);
        messages.push({
          partition,
          group,
          offset: (stretch.runOffsets[run] ?? 0) + step,
          sequence: (stretch.runSequences[run] ?? 0) + step,
          value: value.toString(),
        });
        at = behind;
      }
    });
    offset = stretch.nextOffset;
  }
  return { messages, hash: reader.state.hash() };
}

/** Where a field-15 message that begins at `at` has its content. */
function messageEnds(bytes: Uint8Array, at: number): { readonly start: number; readonly end: number } {
  if (bytes[at] !== 0x7a) throw new Error(`no message at byte ${at}`);
  let length = 0;
  let start = at + 1;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[start] as number;
    start += 1;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return { start, end: start + length };
  }
}
