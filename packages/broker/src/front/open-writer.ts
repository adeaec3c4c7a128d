/** The OpenWriter RPC: the name's next epoch from meta, then a fence and the last sequences from the partitions, all in parallel. */
import { Buffer } from 'node:buffer';
import {
  type ErrorCode,
  OPEN_WRITER_GROUPS_MAX,
  type OpenWriterRequest,
  type OpenWriterResponse,
  type PartitionError,
  PRODUCER_NAME_BYTES_MAX,
  RefusalError,
  WRITER_INSTANCE_BYTES_MAX,
} from '@seriatim/protocol';
import {
  type OpenedWriter,
  type PartitionView,
  REQUEST_OPEN_WRITER,
  type TopicView,
  type WriterOpening,
  type WriterPosition,
} from '../contracts.ts';
import {
  decodeWriterOpening,
  decodeWriterPositions,
  encodeWriterOpening,
  encodeWriterPositions,
} from '../partition/index.ts';
import { callLeader } from './leader-call.ts';
import { leaderAddress, readyTopic } from './look-up.ts';
import type { FrontPorts } from './ports.ts';

const NOTHING = { partitionErrors: [], partitions: [], lastProducerSequences: [], lastGroupSequences: [] };

/** Groups of one partition: their indexes in the request. */
interface Asked {
  readonly partition: PartitionView;
  readonly groups: { readonly index: number; readonly name: Uint8Array; readonly life: number }[];
}

/** Answers openings that other nodes forward; they are never forwarded again. */
export function serveWriters(ports: FrontPorts): void {
  ports.calls.handle(REQUEST_OPEN_WRITER, async (_from, body, deadline) => {
    // The body may be a view into a receive buffer.
    const opening = decodeWriterOpening(body.slice());
    return [encodeWriterPositions(await openHere(ports, opening, deadline))];
  });
}

/** See the head of this file. Throws for what is wrong with the whole request; what single partitions refuse is in the answer. */
export async function openWriter(
  ports: FrontPorts,
  request: OpenWriterRequest,
  deadline: number,
): Promise<OpenWriterResponse> {
  const topic = readyTopic(ports.view, request.topic);
  const names = checked(ports, request);
  const { opened, ...writer } = await instance(ports, request, deadline);
  if (!opened) return { ...NOTHING, ...writer, opened };
  const asked = await askedOf(ports, topic, names, deadline);
  // An opening, and a topic that the producer comes to, fence everywhere; a question for groups only where they are.
  const everywhere = request.epoch === 0 || names.length === 0;
  const targets = asked.filter(({ groups }) => everywhere || groups.length > 0);
  const zeros = (): number[] => names.map(() => 0);
  const answer = {
    ...writer,
    opened,
    partitionErrors: [] as PartitionError[],
    partitions: zeros(),
    lastProducerSequences: zeros(),
    lastGroupSequences: zeros(),
  };
  await Promise.all(
    targets.map(async (target) => {
      const { partition, groups } = target;
      const opening = { shard: partition.shard, ...writer, groups };
      try {
        const positions = await openAtLeader(ports, opening, deadline);
        answer.partitionErrors.push(...fill(answer, target, positions));
      } catch (error) {
        answer.partitionErrors.push(failureOf(ports, target, error));
      }
    }),
  );
  throwIfFenced(answer.partitionErrors);
  return answer;
}

function checked(ports: FrontPorts, request: OpenWriterRequest): readonly Buffer[] {
  const { producerName, epoch, producerId, groups, instance: word } = request;
  const nameBytes = Buffer.byteLength(producerName);
  if (nameBytes === 0 || nameBytes > PRODUCER_NAME_BYTES_MAX) {
    throw new RefusalError(
      'INVALID_PRODUCER_NAME',
      `the producer's name has ${nameBytes} bytes; allowed are 1 to ${PRODUCER_NAME_BYTES_MAX}`,
    );
  }
  if ((epoch === 0) !== (producerId === 0)) {
    const message = `epoch ${epoch} with producer_id ${producerId}: both are 0 to open, and as answered afterwards`;
    throw new RefusalError('INVALID_REQUEST', message);
  }
  const wordBytes = Buffer.byteLength(word);
  if (epoch === 0 && (wordBytes === 0 || wordBytes > WRITER_INSTANCE_BYTES_MAX)) {
    const message = `instance has ${wordBytes} bytes; an opening needs 1 to ${WRITER_INSTANCE_BYTES_MAX}`;
    throw new RefusalError('INVALID_REQUEST', message);
  }
  if (groups.length > OPEN_WRITER_GROUPS_MAX) {
    const message = `${groups.length} groups, the limit is ${OPEN_WRITER_GROUPS_MAX}; ask for the others in another request`;
    throw new RefusalError('BATCH_TOO_LARGE', message);
  }
  const limit = ports.limits.groupBytesMax;
  return groups.map((group, index) => {
    const bytes = Buffer.from(group, 'utf8');
    if (bytes.length > 0 && bytes.length <= limit) return bytes;
    const message = `group ${index} has ${bytes.length} bytes; allowed are 1 to ${limit}`;
    throw new RefusalError('INVALID_GROUP', message);
  });
}

/** A new instance, or the one that asks, unless this node knows of a newer one already. */
async function instance(
  ports: FrontPorts,
  request: OpenWriterRequest,
  deadline: number,
): Promise<OpenedWriter> {
  const { producerName: name, epoch, producerId, previousEpoch } = request;
  if (epoch === 0) {
    return ports.admin.openWriter({ name, previousEpoch, instance: request.instance }, deadline);
  }
  const newest = ports.view.writer(name);
  if (newest !== undefined && newest.producerId !== producerId) {
    const message = `producer "${name}" has id ${newest.producerId}, the request's is ${producerId}`;
    throw new RefusalError('INVALID_REQUEST', message);
  }
  if (newest !== undefined && newest.epoch > epoch) {
    throw new RefusalError(
      'PRODUCER_FENCED',
      `producer "${name}" was opened with epoch ${newest.epoch}, the request's is ${epoch}: another instance took over`,
    );
  }
  return { producerId, epoch, opened: true };
}

/**
 * The groups by partition. One without a route gets it first: this node's table may be behind, and only the command to meta says for
 * certain that the group was nowhere before.
 */
async function askedOf(
  ports: FrontPorts,
  topic: TopicView,
  names: readonly Buffer[],
  deadline: number,
): Promise<readonly Asked[]> {
  const { view, assigner } = ports;
  const find = (name: Buffer): number => view.findRoute(topic.id, name, 0, name.length);
  const unrouted = names.filter((name) => find(name) < 0);
  if (unrouted.length > 0) await assigner.assign(topic.id, unrouted, deadline);
  const asked = topic.partitions.map((partition): Asked => ({ partition, groups: [] }));
  names.forEach((name, index) => {
    const row = find(name);
    if (row < 0) throw new RefusalError('STALE_ROUTE', `the new route of group ${index} is gone already`);
    const life = view.routeEpoch(topic.id, row);
    asked[view.routePartition(topic.id, row)]?.groups.push({ index, name, life });
  });
  return asked;
}

async function openAtLeader(
  ports: FrontPorts,
  opening: WriterOpening,
  deadline: number,
): Promise<readonly WriterPosition[]> {
  const leader = ports.leaders.leader(opening.shard)?.node;
  if (leader === undefined) {
    throw new RefusalError('NO_LEADER', 'the partition has no leader at the moment');
  }
  if (leader === ports.node) return openHere(ports, opening, deadline);
  const parts = [encodeWriterOpening(opening)];
  const question = { shard: opening.shard, leader, kind: REQUEST_OPEN_WRITER, parts, deadline };
  const positions = decodeWriterPositions(await callLeader(ports, question));
  if (positions.length === opening.groups.length) return positions;
  throw new RefusalError('INTERNAL', `${positions.length} positions for ${opening.groups.length} groups`);
}

function openHere(
  ports: FrontPorts,
  opening: WriterOpening,
  deadline: number,
): Promise<readonly WriterPosition[]> {
  const partition = ports.partitions.get(opening.shard);
  if (partition !== undefined) return partition.openWriter(opening, deadline);
  const message = `node ${ports.node} has no open replica of shard ${opening.shard}`;
  return Promise.reject(new RefusalError('NOT_LEADER', message));
}

/** Puts positions where the request's groups are; gives what a partition could not tell. */
function fill(
  answer: {
    readonly partitions: number[];
    readonly lastProducerSequences: number[];
    readonly lastGroupSequences: number[];
  },
  { partition, groups }: Asked,
  positions: readonly WriterPosition[],
): PartitionError[] {
  const unknown: number[] = [];
  groups.forEach(({ index }, row) => {
    const position = positions[row];
    if (position === undefined) return;
    answer.partitions[index] = partition.partition;
    answer.lastProducerSequences[index] = position.lastProducerSequence;
    answer.lastGroupSequences[index] = position.lastGroupSequence;
    if (!position.known) unknown.push(index);
  });
  if (unknown.length === 0) return [];
  const message =
    'later producers have displaced this one in the group: what it stored there can not be told';
  return [errorOf(partition.partition, 'WRITER_UNKNOWN', message, unknown, '')];
}

function failureOf(ports: FrontPorts, { partition, groups }: Asked, error: unknown): PartitionError {
  const refusal =
    error instanceof RefusalError ? error : new RefusalError('INTERNAL', String(error), { cause: error });
  const indexes = groups.map(({ index }) => index);
  const address = leaderAddress(ports.view, ports.leaders.leader(partition.shard)?.node ?? 0);
  return errorOf(partition.partition, refusal.code, refusal.message, indexes, address);
}

function errorOf(
  partition: number,
  code: ErrorCode,
  message: string,
  messageIndexes: readonly number[],
  address: string,
): PartitionError {
  return {
    partition,
    code,
    message,
    notApplied: code !== 'NOT_COMMITTED',
    messageIndexes,
    leaderAddress: address,
  };
}

/** One partition that knows of a newer instance is enough: the producer is over. */
function throwIfFenced(errors: readonly PartitionError[]): void {
  const fenced = errors.find(({ code }) => code === 'PRODUCER_FENCED');
  if (fenced !== undefined) throw new RefusalError('PRODUCER_FENCED', fenced.message);
}
