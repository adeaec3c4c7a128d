/** Reads stretches of records from the leader of a partition: here, or over one hop. */
import type { Clock } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { type Offset, type Partition, type PartitionView, REQUEST_FETCH } from '../contracts.ts';
import { callLeader } from './leader-call.ts';
import type { FrontPorts } from './ports.ts';
import {
  decodeReadAnswer,
  decodeReadRequest,
  encodeReadAnswer,
  encodeReadRequest,
  type ReadAnswer,
  type ReadRequest,
} from './stretch-codec.ts';

/** Milliseconds a question to another node may take beside its wait. */
const CALL_MILLISECONDS = 2_000;
/** A confirmation of the high watermark takes at most this long. */
const CONFIRM_MILLISECONDS = 1_000;
/** Most milliseconds that a peer's question may wait at the end of a partition. */
const WAIT_MILLISECONDS_MAX = 10_000;

/** Asks the leader once. Refuses with NO_LEADER, NOT_LEADER, OFFSET_OUT_OF_RANGE, PEER_UNREACHABLE or DEADLINE. */
export async function readFromLeader(
  ports: FrontPorts,
  view: PartitionView,
  request: Omit<ReadRequest, 'shard'>,
  signal: AbortSignal,
): Promise<ReadAnswer> {
  const known = ports.leaders.leader(view.shard);
  if (known === undefined) {
    throw new RefusalError('NO_LEADER', `partition ${view.partition} has no leader at the moment`);
  }
  const asked: ReadRequest = { ...request, shard: view.shard };
  if (known.node === ports.node) return readHere(ports, asked, signal);
  const deadline = ports.clock.now() + request.waitMilliseconds + CALL_MILLISECONDS;
  const parts = [encodeReadRequest(asked)];
  const { shard } = view;
  const body = await callLeader(ports, { shard, leader: known.node, kind: REQUEST_FETCH, parts, deadline });
  return decodeReadAnswer(body);
}

/** Serves the questions of other nodes: answered from the partition led here or refused, never forwarded again. */
export function serveReads(ports: FrontPorts): void {
  ports.calls.handle(REQUEST_FETCH, async (_from, body) => {
    const request = decodeReadRequest(body);
    if (ports.leaders.leader(request.shard)?.node !== ports.node) {
      throw new RefusalError('NOT_LEADER', `node ${ports.node} does not lead shard ${request.shard}`);
    }
    return encodeReadAnswer(await readHere(ports, request, new AbortController().signal));
  });
}

async function readHere(ports: FrontPorts, request: ReadRequest, signal: AbortSignal): Promise<ReadAnswer> {
  const partition = ports.partitions.get(request.shard);
  if (partition === undefined) {
    throw new RefusalError(
      'NOT_LEADER',
      `node ${ports.node} is opening its replica of shard ${request.shard}`,
    );
  }
  const { clock } = ports;
  // A new leader may not have applied yet what readers got from the one before: only a confirmed end refuses an offset.
  const ahead = request.from === 'offset' && request.offset > partition.highWatermark;
  const confirmed =
    request.confirm || ahead
      ? await partition.confirmedHighWatermark(clock.now() + CONFIRM_MILLISECONDS)
      : partition.highWatermark;
  const offset = startOf(partition, request, confirmed);
  const waits = Math.min(request.waitMilliseconds, WAIT_MILLISECONDS_MAX);
  if (offset === partition.highWatermark && waits > 0)
    await waitAtEnd(clock, partition, offset, waits, signal);
  const group = request.group === '' ? null : request.group;
  const stretch = await partition.read(offset, request.bytesMax, group);
  return { highWatermark: Math.max(confirmed, partition.highWatermark), stretch };
}

function startOf(partition: Partition, request: ReadRequest, confirmed: Offset): Offset {
  switch (request.from) {
    case 'offset':
      return request.offset as Offset;
    case 'earliest':
      return partition.lowWatermark;
    case 'latest':
      return confirmed;
  }
}

async function waitAtEnd(
  clock: Clock,
  partition: Partition,
  offset: Offset,
  milliseconds: number,
  signal: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const cancel = clock.after(milliseconds, end);
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    await partition.waitFor(offset, ended.signal);
  } finally {
    cancel();
    signal.removeEventListener('abort', end);
  }
}
