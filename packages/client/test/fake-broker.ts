import { Buffer } from 'node:buffer';
import { crc32 } from 'node:zlib';
import {
  type DecodedMessage,
  type DescribeClusterResponse,
  decodeMessage,
  encodeFetchResponse,
  encodeOrderedProduceResponse,
  encodeProduceResponse,
  type FetchRequest,
  MessageWalker,
  type OpenWriterRequest,
  type OpenWriterResponse,
  type PartitionError,
  RefusalError,
  type Route,
  SUPPORTED_REQUEST_TYPES,
  type TopicInfo,
  type WalkedMessages,
  type WalkedOrderedProduce,
} from '@seriatim/protocol';

export interface StoredRecord {
  readonly offset: number;
  readonly group: string;
  readonly sequence: number;
  readonly bytes: Buffer;
  readonly message: DecodedMessage;
}
interface StoredRun {
  readonly first: number;
  readonly count: number;
  readonly checksum: number;
  readonly offset: number;
  readonly sequence: number;
}
interface GroupState {
  readonly partition: number;
  lastSequence: number;
  readonly writers: Map<number, { last: number; readonly runs: Map<number, StoredRun> }>;
}
export interface FakePartition {
  /** Index of the node; -1: no leader. */
  leader: number;
  readonly records: StoredRecord[];
}
interface FakeTopic {
  readonly info: TopicInfo;
  readonly partitions: FakePartition[];
  readonly groups: Map<string, GroupState>;
}
type RunResult =
  | { readonly duplicate: boolean; readonly offset: number; readonly sequence: number }
  | RunError;
interface RunError {
  readonly code: string;
  readonly message: string;
  readonly partition: number;
  readonly leaderAddress: string;
  readonly currentSequence?: number;
}

/** The broker's rules of produce, in memory: routes, dense sequences, writers that know their last runs. No Raft, no disk. */
export class FakeBroker {
  readonly addresses: string[];
  readonly topics = new Map<string, FakeTopic>();
  readonly #walker = new MessageWalker();
  #producers = 0;
  #topicIds = 0;
  initProducerCalls = 0;
  /** What GetCapabilities answers. */
  requestTypes: readonly number[] = SUPPORTED_REQUEST_TYPES;
  readonly named = new Map<
    string,
    { readonly producerId: number; readonly epoch: number; readonly instance: string }
  >();
  readonly openings: OpenWriterRequest[] = [];
  /** Behind gRPC, ListTopics is never answered. */
  stalled = false;
  /** Requests per node, for tests of where things are sent. */
  readonly requests: { readonly node: number; readonly walked: WalkedOrderedProduce }[] = [];

  constructor(addresses: readonly string[]) {
    this.addresses = [...addresses];
  }

  createTopic(name: string, partitions: number, replicas = 1): TopicInfo {
    if (this.topics.has(name)) throw new RefusalError('TOPIC_EXISTS', `topic ${name} exists`);
    if (partitions < 1)
      throw new RefusalError('INVALID_PARTITION_COUNT', `partitions: ${partitions} (1 to 1024)`);
    const info = { name, id: ++this.#topicIds, partitions, replicas, retentionMs: 0, retentionBytes: 0 };
    this.topics.set(name, {
      info,
      partitions: Array.from({ length: partitions }, (_, index) => ({
        leader: index % this.addresses.length,
        records: [],
      })),
      groups: new Map(),
    });
    return info;
  }

  topic(name: string): FakeTopic {
    const topic = this.topics.get(name);
    if (topic === undefined) throw new RefusalError('UNKNOWN_TOPIC', `topic ${name} does not exist`);
    return topic;
  }

  partition(topic: string, partition: number): FakePartition {
    const found = this.topic(topic).partitions[partition];
    if (found === undefined)
      throw new RefusalError('UNKNOWN_PARTITION', `${topic} has no partition ${partition}`);
    return found;
  }

  initProducer(): { readonly producerId: number; readonly epoch: number } {
    this.initProducerCalls++;
    return { producerId: ++this.#producers, epoch: 1 };
  }

  openWriter(request: OpenWriterRequest): OpenWriterResponse {
    this.openings.push(request);
    const { producerName, groups, instance } = request;
    const topic = this.topic(request.topic);
    const known = this.named.get(producerName) ?? { producerId: ++this.#producers, epoch: 0, instance: '' };
    const nothing = {
      partitions: [],
      partitionErrors: [],
      lastProducerSequences: [],
      lastGroupSequences: [],
    };
    if (request.epoch === 0 && known.instance !== instance && known.epoch !== request.previousEpoch) {
      return { ...nothing, producerId: known.producerId, epoch: known.epoch, opened: false };
    }
    if (request.epoch !== 0 && request.epoch < known.epoch) {
      throw new RefusalError('PRODUCER_FENCED', `epoch ${known.epoch} was opened`);
    }
    const opens = request.epoch === 0 && known.instance !== instance;
    const { producerId } = known;
    const writer = opens
      ? { producerId, epoch: known.epoch + 1, instance }
      : { producerId, epoch: known.epoch, instance: known.instance };
    this.named.set(producerName, writer);
    const states = groups.map((group) => this.#groupState(topic, group));
    const leaderless = (partition: number): boolean => (topic.partitions[partition]?.leader ?? -1) < 0;
    const lost = states.flatMap(({ partition }, index) => (leaderless(partition) ? [index] : []));
    const error = {
      partition: 0,
      code: 'NO_LEADER',
      message: 'no leader',
      notApplied: true,
      leaderAddress: '',
    };
    return {
      producerId,
      epoch: writer.epoch,
      opened: true,
      partitionErrors: lost.length === 0 ? [] : [{ ...error, messageIndexes: lost }],
      partitions: states.map(({ partition }) => partition),
      lastProducerSequences: states.map(({ writers }) => writers.get(writer.producerId)?.last ?? 0),
      lastGroupSequences: states.map(({ lastSequence }) => lastSequence),
    };
  }

  /** A plain Produce. */
  produce(request: Buffer): Buffer {
    const walked = this.#walker.produce(Buffer.from(request));
    const { records } = this.partition(walked.topic, walked.partition);
    const baseOffset = records.length;
    for (let index = 0; index < walked.count; index++) this.#store(records, walked, index, '', 0);
    const { partition, count: messages } = walked;
    return encodeProduceResponse({ partition, baseOffset, messages, timestampMs: 1 });
  }

  #groupState(topic: FakeTopic, group: string): GroupState {
    let state = topic.groups.get(group);
    if (state === undefined) {
      state = { partition: topic.groups.size % topic.partitions.length, lastSequence: 0, writers: new Map() };
      topic.groups.set(group, state);
    }
    return state;
  }

  #store(
    records: StoredRecord[],
    walked: WalkedMessages,
    index: number,
    group: string,
    sequence: number,
  ): void {
    const bytes = Buffer.from(walked.buffer.subarray(walked.starts[index], walked.ends[index]));
    const lengthBytes = bytes.length < 130 ? 1 : bytes.length < 16_388 ? 2 : 3;
    const message = decodeMessage(bytes, 1 + lengthBytes, bytes.length);
    records.push({ offset: records.length, group, sequence, bytes, message });
  }

  /** The records of a group in the order of their sequences. */
  group(topic: string, group: string): readonly string[] {
    const records = this.topic(topic).partitions.flatMap((partition) => partition.records);
    return records
      .filter((record) => record.group === group)
      .sort((a, b) => a.sequence - b.sequence)
      .map((record) => record.message.value.toString());
  }

  describe(): DescribeClusterResponse {
    return {
      clusterId: 'fake',
      nodes: this.addresses.map((address, index) => ({
        id: index + 1,
        address,
        alive: true,
        pid: process.pid,
      })),
      meta: { leader: 1, term: 1 },
      partitions: [...this.topics].flatMap(([topic, { partitions }]) =>
        partitions.map(({ leader, records }, partition) => ({
          topic,
          partition,
          leader: leader + 1,
          term: 1,
          replicas: this.addresses.map((_, index) => index + 1),
          highWatermark: records.length,
          lowWatermark: 0,
          replicaStates: this.addresses.map((_, index) => ({ node: index + 1, behind: 0, reason: '' })),
          groups: [...this.topic(topic).groups.values()].filter((state) => state.partition === partition)
            .length,
        })),
      ),
    };
  }

  route(topicName: string, group: string): Route {
    const state = this.topic(topicName).groups.get(group);
    if (state === undefined)
      throw new RefusalError('UNKNOWN_GROUP', `group ${group} has no route in ${topicName}`);
    const leader = this.partition(topicName, state.partition).leader + 1;
    return {
      topic: topicName,
      group,
      partition: state.partition,
      epoch: 1,
      leader,
      lastSequence: state.lastSequence,
      lastAccessMs: 1_700_000_000_000,
    };
  }

  /** Handles a request that reached `node`. */
  orderedProduce(node: number, request: Buffer): Buffer {
    const walked = this.#walker.orderedProduce(Buffer.from(request));
    this.requests.push({ node, walked });
    const topic = this.topic(walked.topic);
    const { count } = walked;
    const columns = () => new Array<number>(count).fill(0);
    const statuses = columns();
    const partitions = columns();
    const offsets = columns();
    const sequences = columns();
    const errors: PartitionError[] = [];
    const took = new Map<number, number>();
    let first = 0;
    for (const [run, length] of (walked.producerId === 0 ? columns().fill(1) : walked.runLengths).entries()) {
      const result = this.#appendRun(topic, walked, run, first, length);
      const indexes = Array.from({ length }, (_, step) => first + step);
      if ('code' in result) {
        errors.push({ ...result, notApplied: true, messageIndexes: indexes });
        for (const index of indexes) statuses[index] = 2;
      } else {
        const { partition } = topic.groups.get(groupOf(walked, first)) as GroupState;
        took.set(partition, (took.get(partition) ?? 0) + length);
        indexes.forEach((index, step) => {
          statuses[index] = result.duplicate ? 1 : 0;
          partitions[index] = partition;
          offsets[index] = result.offset + step;
          sequences[index] = result.sequence + step;
        });
      }
      first += length;
    }
    return encodeOrderedProduceResponse({
      partitionResponses: [...took].map(([partition, messages]) => ({
        partition,
        messages,
        baseOffset: 0,
        timestampMs: 1_700_000_000_000,
        leader: (topic.partitions[partition] as FakePartition).leader + 1,
      })),
      partitionErrors: errors,
      totalMessages: count,
      successfulMessages: statuses.filter((status) => status < 2).length,
      statuses,
      partitions,
      offsets,
      sequences,
    });
  }

  #appendRun(
    topic: FakeTopic,
    walked: WalkedOrderedProduce,
    run: number,
    first: number,
    length: number,
  ): RunResult {
    const group = groupOf(walked, first);
    const state = this.#groupState(topic, group);
    const partition = topic.partitions[state.partition] as FakePartition;
    if (partition.leader < 0) {
      return { code: 'NO_LEADER', message: 'no leader', partition: state.partition, leaderAddress: '' };
    }
    const newest = [...this.named.values()].find(({ producerId }) => producerId === walked.producerId);
    if (newest !== undefined && walked.producerEpoch < newest.epoch) {
      const message = `epoch ${newest.epoch} was opened`;
      return { code: 'PRODUCER_FENCED', message, partition: state.partition, leaderAddress: '' };
    }
    const bytes = walked.buffer.subarray(walked.starts[first], walked.ends[first + length - 1]);
    const checksum = crc32(bytes);
    const firstSequence = walked.runSequences[run] ?? 0;
    let writer = state.writers.get(walked.producerId);
    const known = writer?.runs.get(firstSequence);
    if (walked.producerId !== 0 && known !== undefined) {
      if (known.count === length && known.checksum === checksum) return { ...known, duplicate: true };
      return { code: 'SEQUENCE_GAP', message: 'another run', partition: state.partition, leaderAddress: '' };
    }
    if (walked.producerId !== 0 && firstSequence !== (writer?.last ?? 0) + 1) {
      const code = writer === undefined ? 'WRITER_UNKNOWN' : 'SEQUENCE_GAP';
      const message = `sequence ${firstSequence} after ${writer?.last ?? 0}`;
      return { code, message, partition: state.partition, leaderAddress: '' };
    }
    const expected = walked.runExpectedSequences[run] ?? 0;
    if (expected !== 0 && expected !== state.lastSequence + 1) {
      const error = {
        code: 'SEQUENCE_CONFLICT',
        message: 'another sequence',
        currentSequence: state.lastSequence,
      };
      return { ...error, partition: state.partition, leaderAddress: '' };
    }
    const stored = {
      first: firstSequence,
      count: length,
      checksum,
      offset: partition.records.length,
      sequence: state.lastSequence + 1,
    };
    if (writer === undefined) {
      writer = { last: 0, runs: new Map() };
      state.writers.set(walked.producerId, writer);
    }
    writer.last = firstSequence + length - 1;
    writer.runs.set(firstSequence, stored);
    for (let index = first; index < first + length; index++) {
      this.#store(partition.records, walked, index, group, ++state.lastSequence);
    }
    return { ...stored, duplicate: false };
  }

  /** Responses of a Fetch: two records each; null where the stream waits for more. */
  fetch(request: FetchRequest, offset: number): { readonly bytes: Buffer; readonly next: number } | null {
    const { records } = this.partition(request.topic, request.partition);
    if (offset > records.length)
      throw new RefusalError('OFFSET_OUT_OF_RANGE', `offset ${offset} of ${records.length}`);
    const rest = records
      .slice(offset)
      .filter((record) => request.group === '' || record.group === request.group)
      .slice(0, 2);
    const [head] = rest;
    const last = rest.at(-1);
    if (head === undefined || last === undefined) return null;
    const bytes = encodeFetchResponse(
      {
        partition: request.partition,
        baseOffset: head.offset,
        highWatermark: records.length,
        runLengths: rest.map(() => 1),
        runSequences: rest.map((record) => record.sequence),
        runLives: rest.map(() => 7),
        runTimestampsMs: rest.map((record) => 1_700_000_000_000 + record.offset),
        runOffsets: request.group === '' ? [] : rest.map((record) => record.offset),
      },
      rest.map((record) => record.bytes),
    );
    return { bytes, next: last.offset + 1 };
  }
}

const groupOf = (walked: WalkedOrderedProduce, index: number): string =>
  walked.buffer.toString('utf8', walked.groupStarts[index], walked.groupEnds[index]);
