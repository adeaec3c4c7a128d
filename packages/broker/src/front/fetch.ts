/** The Fetch RPC: stretches of one partition's records, from an offset on, until the reader leaves or the end it asked for. */
import {
  ERRORS,
  encodeFetchResponse,
  FETCH_FROM_EARLIEST,
  FETCH_FROM_LATEST,
  FETCH_FROM_OFFSET,
  FETCH_RESPONSE_BYTES_DEFAULT,
  type FetchRequest,
  RefusalError,
} from '@seriatim/protocol';
import type { PartitionView } from '../contracts.ts';
import { requirePartition, requireTopic } from './look-up.ts';
import { readFromLeader } from './partition-reader.ts';
import type { FrontPorts } from './ports.ts';
import { cutStretch, type ReadAnswer, type ReadFrom } from './stretch-codec.ts';

/** A reader at the end is looked after this often: the partition may have got another leader meanwhile. */
const WAIT_MILLISECONDS = 1_000;
/** How long a stream bridges a partition without leader before it ends with an error. */
const LEADERLESS_MILLISECONDS = 5_000;
const RETRY_MILLISECONDS = 25;
/** Most bytes in one response; the transport's limit is twice that. */
const RESPONSE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Responses to one FetchRequest, each read when the one before was taken (so a slow reader costs no memory). Ends by itself with
 * `untilEnd`, or when `signal` aborts. Throws a {@link RefusalError}: UNKNOWN_TOPIC, UNKNOWN_PARTITION, OFFSET_OUT_OF_RANGE, …
 */
export async function* fetchRecords(
  ports: FrontPorts,
  request: FetchRequest,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const topic = requireTopic(ports.view, request.topic);
  const partition = requirePartition(topic, request.partition);
  const bytesMax = responseBytes(request);
  checkGroup(ports, request.group);
  let from = startOf(request);
  let offset = request.offset;
  let end = Number.POSITIVE_INFINITY;
  let first = true;
  while (!signal.aborted && offset < end) {
    // Said at once, without messages: a reader whose stream breaks before the first message goes on from here.
    const pins = first && from === 'latest' && !request.untilEnd;
    const question = {
      from,
      offset,
      bytesMax,
      group: request.group,
      waitMilliseconds: request.untilEnd || pins ? 0 : WAIT_MILLISECONDS,
      confirm: first && (request.untilEnd || from === 'latest'),
    };
    const answer = await untilLed(ports, partition, question, signal);
    if (answer === null) return;
    if (first && request.untilEnd) end = answer.highWatermark;
    first = false;
    from = 'offset';
    const stretch = cutStretch(answer.stretch, end);
    // An empty stretch of a filtered reader moves on too; one that does not move is the end.
    offset = stretch.nextOffset;
    if (stretch.runLengths.length > 0 || pins) yield encode(request, answer.highWatermark, stretch);
    else if (request.untilEnd && answer.stretch.nextOffset === answer.stretch.baseOffset) return;
  }
}

/** Asks until a leader answers, or no leader was found for {@link LEADERLESS_MILLISECONDS}; null: `signal` aborted. */
async function untilLed(
  ports: FrontPorts,
  partition: PartitionView,
  question: Parameters<typeof readFromLeader>[2],
  signal: AbortSignal,
): Promise<ReadAnswer | null> {
  const { clock, view } = ports;
  const giveUp = clock.now() + LEADERLESS_MILLISECONDS;
  while (!signal.aborted) {
    try {
      return await readFromLeader(ports, partition, question, signal);
    } catch (error) {
      if (!(error instanceof RefusalError) || !ERRORS[error.code].retryable || clock.now() >= giveUp)
        throw error;
    }
    if (view.shardOwner(partition.shard) === undefined) {
      throw new RefusalError('UNKNOWN_TOPIC', 'the topic was deleted');
    }
    await new Promise<void>((resolve) => clock.after(RETRY_MILLISECONDS, resolve));
  }
  return null;
}

function encode(request: FetchRequest, highWatermark: number, stretch: ReadAnswer['stretch']): Buffer {
  return encodeFetchResponse(
    {
      partition: request.partition,
      baseOffset: stretch.baseOffset,
      highWatermark,
      runLengths: stretch.runLengths,
      runSequences: stretch.runSequences,
      runLives: stretch.runLives,
      runTimestampsMs: stretch.runTimestamps,
      // Without a filter the offsets are dense from the first on, and need not be said.
      runOffsets: request.group === '' ? [] : stretch.runOffsets,
    },
    stretch.body,
  );
}

function startOf(request: FetchRequest): ReadFrom {
  switch (request.from) {
    case FETCH_FROM_OFFSET:
      return 'offset';
    case FETCH_FROM_EARLIEST:
      return 'earliest';
    case FETCH_FROM_LATEST:
      return 'latest';
    default:
      throw new RefusalError(
        'INVALID_REQUEST',
        `from is ${request.from}; known are 0 (offset), 1 (earliest), 2 (latest)`,
      );
  }
}

function responseBytes(request: FetchRequest): number {
  if (request.responseBytes === 0) return FETCH_RESPONSE_BYTES_DEFAULT;
  if (request.responseBytes <= RESPONSE_BYTES_MAX) return request.responseBytes;
  throw new RefusalError(
    'INVALID_REQUEST',
    `response_bytes is ${request.responseBytes}, the limit is ${RESPONSE_BYTES_MAX}`,
  );
}

function checkGroup(ports: FrontPorts, group: string): void {
  const bytes = Buffer.byteLength(group);
  if (bytes <= ports.limits.groupBytesMax) return;
  throw new RefusalError(
    'INVALID_GROUP',
    `the group to read has ${bytes} bytes, the limit is ${ports.limits.groupBytesMax}`,
  );
}
