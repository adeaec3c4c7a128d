import type { Buffer } from 'node:buffer';
import { type DecodedFetchResponse, decodeMessage, type Header } from '@seriatim/protocol';

/** A stored message as read. */
export interface StoredMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Its message group; empty for a message that plain Produce stored. */
  readonly group: string;
  /** Position in the group's life, from 1; 0 without group. */
  readonly sequence: number;
  /** The group's life; it rises when a group expired and came back. 0 without group. */
  readonly life: number;
  /** The broker's time stamp, milliseconds since 1970-01-01 UTC. */
  readonly timestamp: number;
  /** Empty when the producer gave none. */
  readonly key: Buffer;
  readonly value: Buffer;
  /** The producer's own time stamp; 0: not given. */
  readonly producerTimestamp: number;
  readonly headers: readonly Header[];
}

/** The messages of one response, in their order. */
export function messagesOf(topic: string, response: DecodedFetchResponse): StoredMessage[] {
  const { partition, bytes, messageStarts, messageEnds, runOffsets } = response;
  const stored: StoredMessage[] = [];
  let row = 0;
  for (let run = 0; run < response.runLengths.length; run++) {
    const count = response.runLengths[run] as number;
    const first = runOffsets[run] ?? response.baseOffset + row;
    const sequence = response.runSequences[run] ?? 0;
    for (let step = 0; step < count; step++, row++) {
      const start = messageStarts[row];
      const end = messageEnds[row];
      if (start === undefined || end === undefined)
        throw new RangeError(`run ${run} has fewer messages than ${count}`);
      stored.push({
        topic,
        partition,
        offset: first + step,
        sequence: sequence === 0 ? 0 : sequence + step,
        life: response.runLives[run] ?? 0,
        timestamp: response.runTimestampsMs[run] ?? 0,
        ...decodeMessage(bytes, start, end),
      });
    }
  }
  if (row !== messageStarts.length)
    throw new RangeError(`${messageStarts.length} messages in runs of ${row}`);
  return stored;
}
