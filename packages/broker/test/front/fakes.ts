/** A node around the front door, in memory: partitions that store, a route table that is a Map, peers that are other such nodes. */
import { crc32 } from 'node:zlib';
import type { Clock, NodeId, Shard, ShardId } from '@seriatim/multiraft';
import { DEFAULT_LIMITS, type ProduceLimits, RefusalError } from '@seriatim/protocol';
import type { ReplicaId } from '@seriatim/raft';
import type {
  Admin,
  AppendAnswer,
  AppendBatch,
  MetaView,
  Offset,
  OpenedWriter,
  Partition,
  PeerCalls,
  RecordStretch,
  TopicId,
  TopicView,
  WriterOpening,
  WriterPosition,
} from '../../src/contracts.ts';
import { RUN_STORED } from '../../src/contracts.ts';
import { FrontDoor } from '../../src/front/front-door.ts';
import type { FrontPorts } from '../../src/front/ports.ts';
import { RealClock } from '../../src/node/real-clock.ts';
import { FakeDefinitions } from '../partition/fake-definitions.ts';
import { FakeAdministrationCaller, FakeSubscriptionAdmin } from './fake-administration.ts';
import { FakeDispatch } from './fake-dispatch.ts';

export const node = (id: number): NodeId => id as NodeId;
const shardOf = (partition: number): ShardId => (10 + partition) as ShardId;

interface Stored {
  readonly group: string;
  readonly sequence: number;
  readonly life: number;
  readonly bytes: Buffer;
}

/** Stores what it is given, checks what a partition may rely on. */
export class FakePartition {
  readonly records: Stored[] = [];
  readonly dispatch = new FakeDispatch();
  #partition: Partition | null = null;
  readonly batches: AppendBatch[] = [];
  readonly sequences = new Map<string, number>();
  /** What to answer instead of storing. */
  answer: ((batch: AppendBatch) => AppendAnswer) | null = null;
  readonly openings: WriterOpening[] = [];
  /** What a named producer is told. */
  positions: (opening: WriterOpening) => readonly WriterPosition[] = ({ groups }) =>
    groups.map(() => ({ known: true, lastProducerSequence: 3, lastGroupSequence: 5 }));
  waiting: (() => void)[] = [];
  readonly shard: Shard;

  constructor(partition: number) {
    const status = {
      role: 'leader',
      term: 3,
      replica: 100 + partition,
      last: 9,
      progress: [{ replica: 900, state: 'replicate', match: 7, next: 8, active: true, learner: false }],
    };
    this.shard = {
      id: shardOf(partition),
      replica: status.replica as ReplicaId,
      status: () => status,
    } as unknown as Shard;
  }

  append(batch: AppendBatch): Promise<AppendAnswer> {
    this.batches.push(batch);
    if (this.answer !== null) return Promise.resolve(this.answer(batch));
    const body = Buffer.from(batch.body);
    const receipt = { status: [] as number[], firstOffset: [] as number[], firstSequence: [] as number[] };
    let at = 0;
    for (let run = 0; run < batch.runs; run++) {
      const end = batch.bodyEnd[run] ?? 0;
      const group = body.toString('utf8', batch.groupStart[run], batch.groupEnd[run]);
      if (crc32(body.subarray(at, end)) !== batch.checksum[run]) throw new Error('the checksum is wrong');
      receipt.status.push(RUN_STORED);
      receipt.firstOffset.push(this.records.length);
      receipt.firstSequence.push(group === '' ? 0 : (this.sequences.get(group) ?? 0) + 1);
      let count = 0;
      while (at < end) {
        const length = messageLength(body, at);
        const sequence = group === '' ? 0 : (this.sequences.get(group) ?? 0) + 1;
        if (group !== '') this.sequences.set(group, sequence);
        this.records.push({
          group,
          sequence,
          life: batch.life[run] ?? 0,
          bytes: body.subarray(at, at + length),
        });
        at += length;
        count++;
      }
      if (count !== batch.count[run]) throw new Error('the count is wrong');
    }
    for (const wake of this.waiting.splice(0)) wake();
    return Promise.resolve({ type: 'receipt', timestamp: 1_000, ...receipt, errors: [] });
  }

  /** The same one each time. */
  asPartition(topic: TopicId, partition: number): Partition {
    this.#partition ??= this.#make(topic, partition);
    return this.#partition;
  }

  #make(topic: TopicId, partition: number): Partition {
    const high = (): Offset => this.records.length as Offset;
    return {
      topic,
      partition,
      shard: this.shard,
      get highWatermark() {
        return high();
      },
      lowWatermark: 0 as Offset,
      append: (batch) => this.append(batch),
      openWriter: async (opening) => {
        this.openings.push(opening);
        return this.positions(opening);
      },
      confirmedHighWatermark: async () => high(),
      read: async (offset, bytesMax, group) => this.read(offset, bytesMax, group),
      waitFor: (offset, signal) =>
        new Promise((resolve) => {
          if (high() > offset) return resolve();
          this.waiting.push(resolve);
          signal.addEventListener('abort', () => resolve());
        }),
      group: (name) => {
        const lastSequence = this.sequences.get(name);
        return lastSequence === undefined ? null : { life: 1, lastSequence, lastOffset: 0, lastTimestamp: 5 };
      },
      groupCount: () => this.sequences.size,
      dispatch: this.dispatch,
      get administration(): never {
        throw new Error('not needed here');
      },
    };
  }

  read(offset: Offset, bytesMax: number, group: string | null): RecordStretch {
    if (offset > this.records.length) {
      throw new RefusalError('OFFSET_OUT_OF_RANGE', `offset ${offset} is above ${this.records.length}`);
    }
    const columns = { runLengths: [] as number[], runSequences: [] as number[], runLives: [] as number[] };
    const more = { runTimestamps: [] as number[], runOffsets: [] as number[], body: [] as Uint8Array[] };
    let at: number = offset;
    for (let bytes = 0; at < this.records.length && (bytes === 0 || bytes < bytesMax); at++) {
      const record = this.records[at];
      if (record === undefined || (group !== null && record.group !== group)) continue;
      columns.runLengths.push(1);
      columns.runSequences.push(record.sequence);
      columns.runLives.push(record.life);
      more.runTimestamps.push(1_000);
      more.runOffsets.push(at);
      more.body.push(record.bytes);
      bytes += record.bytes.length;
    }
    return { baseOffset: offset, nextOffset: at as Offset, ...columns, ...more };
  }
}

function messageLength(body: Buffer, at: number): number {
  let length = 0;
  let position = at + 1;
  for (let shift = 0; ; shift += 7) {
    const byte = body[position++] ?? 0;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return position + length - at;
  }
}

interface Route {
  readonly group: string;
  readonly partition: number;
  readonly epoch: number;
}

/** Nodes of one cluster in memory, sharing topic "orders" and its routes. */
export class FakeCluster {
  readonly clock: Clock = new RealClock();
  readonly definitions = new FakeDefinitions();
  readonly subscriptions = new FakeSubscriptionAdmin(this.definitions);
  readonly administration = new FakeAdministrationCaller();
  readonly partitions: FakePartition[];
  readonly routes: Route[] = [];
  readonly writers = new Map<string, { readonly producerId: number; readonly epoch: number }>();
  /** Node that leads a partition; 0: nobody. */
  readonly leaders: number[];
  readonly handlers = new Map<number, Map<number, Parameters<PeerCalls['handle']>[1]>>();
  readonly doors: FrontDoor[] = [];
  readonly topic: TopicView;
  readonly leaderListeners = new Set<(shard: ShardId) => void>();
  /** Calls between nodes are never answered. */
  frozen = false;
  topicReady = true;
  metaLeader = 1;
  lookUps = 0;

  constructor(partitions: number, nodes: number, limits: ProduceLimits = DEFAULT_LIMITS) {
    this.partitions = Array.from({ length: partitions }, (_, partition) => new FakePartition(partition));
    this.leaders = this.partitions.map((_, partition) => (partition % nodes) + 1);
    this.topic = this.#topic(partitions);
    for (let id = 1; id <= nodes; id++) this.doors.push(new FrontDoor(this.#ports(node(id), limits)));
  }

  get door(): FrontDoor {
    const [door] = this.doors;
    if (door === undefined) throw new Error('no node');
    return door;
  }

  deadline(milliseconds = 2_000): number {
    return this.clock.now() + milliseconds;
  }

  /** Another node leads a partition from now on; 0: nobody. */
  lead(partition: number, node: number): void {
    this.leaders[partition] = node;
    for (const listener of this.leaderListeners) listener(shardOf(partition));
  }

  addRoute(group: string, partition: number): void {
    this.routes.push({ group, partition, epoch: this.routes.length + 1 });
  }

  #topic(partitions: number): TopicView {
    const cluster = this;
    return {
      id: 1 as TopicId,
      name: 'orders',
      replicas: 3,
      retentionMilliseconds: 0,
      retentionBytes: 0,
      get ready() {
        return cluster.topicReady;
      },
      partitions: Array.from({ length: partitions }, (_, partition) => ({
        partition,
        shard: shardOf(partition),
        replicas: [{ replica: (100 + partition) as ReplicaId, node: node(1) }],
      })),
    };
  }

  #ports(id: NodeId, limits: ProduceLimits): FrontPorts {
    const view = this.#view();
    return {
      node: id,
      clock: this.clock,
      view,
      limits,
      version: '0.0.0-test',
      definitions: this.definitions,
      subscriptions: this.subscriptions,
      administration: this.administration,
      router: {
        routeOf: (topic, bytes, start, end) => {
          this.lookUps++;
          return view.findRoute(topic, bytes, start, end);
        },
      },
      assigner: { assign: (_topic, groups, deadline) => this.#assign(groups, deadline) },
      admin: {
        createTopic: async () => {
          throw new RefusalError('TOPIC_EXISTS', 'topic "orders" exists');
        },
        deleteTopic: async () => undefined,
        producerId: async () => 77,
        openWriter: async (request) => this.#open(request),
      },
      leaders: {
        leader: (shard) => {
          const leader = this.leaders[shard - 10] ?? this.metaLeader;
          return leader === 0 ? undefined : { node: node(leader), term: 3 };
        },
        onChange: (listener) => {
          this.leaderListeners.add(listener);
          return () => this.leaderListeners.delete(listener);
        },
      },
      partitions: {
        get: (shard) =>
          this.leaders[shard - 10] === id
            ? this.partitions[shard - 10]?.asPartition(this.topic.id, shard - 10)
            : undefined,
        all: () => [],
      },
      calls: this.#calls(id),
      peerState: () => 'up',
    };
  }

  #open({ name, previousEpoch }: Parameters<Admin['openWriter']>[0]): OpenedWriter {
    const known = this.writers.get(name) ?? { producerId: 500 + this.writers.size, epoch: 0 };
    if (known.epoch !== previousEpoch) return { ...known, opened: false };
    const next = { producerId: known.producerId, epoch: known.epoch + 1 };
    this.writers.set(name, next);
    return { ...next, opened: true };
  }

  async #assign(groups: readonly Uint8Array[], deadline: number): Promise<void> {
    if (this.metaLeader === 0) {
      await new Promise<void>((resolve) =>
        this.clock.after(Math.max(0, deadline - this.clock.now()), resolve),
      );
      throw new RefusalError('NO_META_LEADER', 'the meta shard has no leader');
    }
    await Promise.resolve();
    for (const group of groups)
      this.addRoute(Buffer.from(group).toString(), this.routes.length % this.partitions.length);
  }

  #calls(id: NodeId): PeerCalls {
    const own = new Map<number, Parameters<PeerCalls['handle']>[1]>();
    this.handlers.set(id, own);
    return {
      call: async (to, kind, parts, deadline) => {
        if (this.frozen) return new Promise(() => {});
        const handler = this.handlers.get(to)?.get(kind);
        if (handler === undefined) throw new RefusalError('PEER_UNREACHABLE', `node ${to} can't be reached`);
        return Buffer.concat(await handler(id, Buffer.concat(parts), deadline));
      },
      handle: (kind, handler) => own.set(kind, handler),
    };
  }

  #view(): MetaView {
    return {
      clusterId: 'test',
      nodes: () => [1, 2].map((id) => this.#node(id)),
      node: (id) => this.#node(id),
      topics: () => [this.topic],
      topic: (name) => (name === 'orders' ? this.topic : undefined),
      topicById: () => this.topic,
      shardOwner: (shard) => {
        const partition = this.topic.partitions[shard - 10];
        return partition === undefined ? undefined : { topic: this.topic, partition };
      },
      findRoute: (_topic, bytes, start, end) => {
        const name = Buffer.from(bytes.subarray(start, end)).toString();
        return this.routes.findIndex((route) => route.group === name);
      },
      routePartition: (_topic, row) => this.routes[row]?.partition ?? -1,
      routeEpoch: (_topic, row) => this.routes[row]?.epoch ?? 0,
      routes: () => this.routes,
      routeCount: () => this.routes.length,
      loads: () =>
        this.partitions.map(
          (_, partition) => this.routes.filter((route) => route.partition === partition).length,
        ),
      writer: (name) => this.writers.get(name),
      onChange: () => undefined,
    };
  }

  #node(id: number): ReturnType<MetaView['nodes']>[number] {
    return {
      id: node(id),
      clientAddress: `host${id}:7101`,
      peerAddress: `host${id}:7201`,
      pid: 40 + id,
      bootNumber: 1,
    };
  }
}
