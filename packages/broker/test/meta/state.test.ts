import type { NodeId } from '@seriatim/multiraft';
import type { Entry, Index, Term } from '@seriatim/raft';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { TopicId } from '../../src/contracts.ts';
import { encodeCommand, groupColumns } from '../../src/meta/command-codec.ts';
import { MetaFormatError } from '../../src/meta/fields.ts';
import type { MetaCommand, MetaResult, TopicRecord } from '../../src/meta/model.ts';
import { MetaState } from '../../src/meta/state.ts';
import { FakeMetaShard, ids, imageBytes, registerNodes, topicCommand, utf8 } from './fakes.ts';

const TERM = 0 as Term;
let meta: FakeMetaShard;
let state: MetaState;

beforeEach(() => {
  meta = new FakeMetaShard(1);
  state = meta.state(1);
  registerNodes(meta, 3);
});

function run(command: MetaCommand): MetaResult {
  const index = meta.append(encodeCommand(command));
  state.expect(index, TERM);
  meta.commit();
  const result = state.takeResult(index, TERM);
  if (result === null) throw new Error('no result');
  return result;
}

function create(name: string, partitions = 8, replicas = 3, groupsMax?: number): TopicRecord {
  run(topicCommand(name, partitions, replicas, groupsMax));
  const topic = state.topic(name);
  if (topic === undefined) throw new Error(`topic ${name} was not created`);
  return topic;
}

function assign(topic: TopicId, ...groups: string[]): MetaResult {
  return run({ type: 'assignRoutes', topics: [groupColumns(topic, groups.map(utf8))] });
}

function route(topic: TopicId, group: string): { partition: number; epoch: number } | null {
  const bytes = utf8(`<${group}>`);
  const row = state.findRoute(topic, bytes, 1, bytes.length - 1);
  return row < 0
    ? null
    : { partition: state.routePartition(topic, row), epoch: state.routeEpoch(topic, row) };
}

describe('topics', () => {
  test('a new topic is placed at once, takes messages when its operation ended, and keeps its ids', () => {
    const topic = create('orders', 4, 2);
    expect(topic).toMatchObject({ ready: false, replicas: 2 });
    expect(topic.partitions.map(({ partition }) => partition)).toEqual([0, 1, 2, 3]);
    const [operation] = state.operations();
    expect(operation).toMatchObject({ kind: 'createTopic', state: 'running', topic: topic.id });
    run({ type: 'endOperation', operation: operation?.id ?? 0, time: 7 });
    expect(state.topic('orders')).toMatchObject({ ready: true, id: topic.id, partitions: topic.partitions });
    expect(state.operations()).toMatchObject([{ state: 'done', endedAt: 7 }]);
    expect(state.shardOwner(topic.partitions[2]?.shard as never)).toMatchObject({
      topic: { ready: true },
      partition: { partition: 2 },
    });
  });

  test('a name that exists is refused, but the same request again finds its topic', () => {
    const topic = create('orders');
    expect(run(topicCommand('orders', 8, 3))).toEqual({ type: 'topic', topic: topic.id });
    expect(run({ ...topicCommand('orders', 8, 3), token: 'other' } as MetaCommand)).toMatchObject({
      type: 'refused',
      code: 'TOPIC_EXISTS',
    });
    expect(state.topics()).toHaveLength(1);
  });

  test.each([
    [0, 3, 'INVALID_PARTITION_COUNT', '0 partitions', '1024'],
    [1025, 3, 'INVALID_PARTITION_COUNT', '1025', '1024'],
    [1, 4, 'INVALID_REPLICA_COUNT', '4 replicas', '1 to 3'],
    [1, 0, 'INVALID_REPLICA_COUNT', '0 replicas', '1 to 3'],
  ])('%d partitions with %d replicas are refused with %s', (partitions, replicas, code, value, limit) => {
    const result = run(topicCommand('x', partitions, replicas));
    expect(result).toMatchObject({ type: 'refused', code });
    expect(result.type === 'refused' && result.message).toContain(value);
    expect(result.type === 'refused' && result.message).toContain(limit);
    expect(state.topics()).toHaveLength(0);
  });

  test('a deleted topic is gone at once with its routes, and its ids are never given again', () => {
    const first = create('orders', 2, 3);
    assign(first.id, 'a', 'b');
    expect(run({ type: 'deleteTopic', name: 'orders', token: 'd', time: 1 })).toEqual({ type: 'done' });
    expect(state.topic('orders')).toBeUndefined();
    expect(state.shardOwner(first.partitions[0]?.shard as never)).toBeUndefined();
    expect(state.routeCount(first.id)).toBe(0);
    expect(state.operations().map(({ kind, state: at }) => [kind, at])).toEqual([
      ['createTopic', 'done'],
      ['deleteTopic', 'running'],
    ]);
    const second = create('orders', 2, 3);
    const numbers = (topic: TopicRecord): number[] =>
      topic.partitions.flatMap(({ shard, replicas }) => [shard, ...replicas.map(({ replica }) => replica)]);
    expect(second.id).toBeGreaterThan(first.id);
    expect(Math.min(...numbers(second).filter((id) => id < 1000))).toBeGreaterThan(
      Math.max(...numbers(first).filter((id) => id < 1000)),
    );
    expect(numbers(second).some((id) => numbers(first).includes(id))).toBe(false);
  });

  test('deleting what is not there is refused, the same deletion again is done', () => {
    create('orders');
    const deletion: MetaCommand = { type: 'deleteTopic', name: 'orders', token: 'd', time: 1 };
    run(deletion);
    expect(run(deletion)).toEqual({ type: 'done' });
    expect(run({ ...deletion, token: 'e' })).toMatchObject({ type: 'refused', code: 'UNKNOWN_TOPIC' });
  });
});

describe('routes', () => {
  test('a group gets the log index as its epoch, and keeps its route when it is assigned again', () => {
    const topic = create('orders');
    const before = meta.log.length;
    expect(assign(topic.id, 'a', 'b')).toEqual({ type: 'routes', assigned: 2, full: 0 });
    const first = route(topic.id, 'a');
    expect(first?.epoch).toBe(before + 1);
    expect(assign(topic.id, 'a', 'c', 'c')).toEqual({ type: 'routes', assigned: 1, full: 0 });
    expect(route(topic.id, 'a')).toEqual(first);
    expect(route(topic.id, 'c')?.epoch).toBe(before + 2);
    expect(route(topic.id, 'd')).toBeNull();
  });

  test('10,000 groups on 8 partitions deviate less than 10 % from the mean', () => {
    const topic = create('orders');
    for (let n = 0; n < 10_000; n += 1_000) {
      assign(topic.id, ...Array.from({ length: 1_000 }, (_, at) => `user-${n + at}`));
    }
    expect(state.routeCount(topic.id)).toBe(10_000);
    for (const load of state.loads(topic.id)) expect(Math.abs(load - 1_250)).toBeLessThan(125);
    const counted = new Array<number>(8).fill(0);
    for (const { partition } of state.routes(topic.id)) counted[partition] = (counted[partition] ?? 0) + 1;
    expect(counted).toEqual(state.loads(topic.id));
  });

  test('the limit of a topic bounds its table; names of no group and topics that are gone are passed over', () => {
    const topic = create('orders', 2, 3, 3);
    expect(assign(topic.id, 'a', 'b', 'c', 'd', 'a')).toEqual({ type: 'routes', assigned: 3, full: 1 });
    expect(route(topic.id, 'd')).toBeNull();
    const other = create('other', 1, 1);
    expect(assign(other.id, '', 'x'.repeat(257), 'fits')).toMatchObject({ assigned: 1 });
    expect(assign(99 as TopicId, 'a')).toEqual({ type: 'routes', assigned: 0, full: 0 });
  });

  test('a removed route comes back with a higher epoch', () => {
    const topic = create('orders', 2, 3);
    assign(topic.id, 'a', 'b');
    const first = route(topic.id, 'a');
    run({ type: 'removeRoutes', topics: [groupColumns(topic.id, [utf8('a'), utf8('nobody')])] });
    expect(route(topic.id, 'a')).toBeNull();
    expect([...state.routes(topic.id)].map(({ group }) => group)).toEqual(['b']);
    assign(topic.id, 'a');
    expect(route(topic.id, 'a')?.epoch).toBeGreaterThan(first?.epoch ?? 0);
  });
});

describe('nodes', () => {
  test('an older start than the one known is refused, the same again is done', () => {
    const node = (bootNumber: number): MetaCommand => ({
      type: 'registerNode',
      id: 2 as NodeId,
      clientAddress: 'x:1',
      peerAddress: 'x:2',
      pid: 9,
      bootNumber,
      featureLevel: 1,
    });
    expect(run(node(5))).toEqual({ type: 'done' });
    expect(run(node(5))).toEqual({ type: 'done' });
    expect(run(node(4))).toMatchObject({ type: 'refused', code: 'NOT_READY' });
    expect(state.node(2 as NodeId)?.bootNumber).toBe(5);
  });

  test('the feature level rises only when every node knows it, and above this program it stops the shard', () => {
    expect(run({ type: 'raiseFeatureLevel', level: 1 })).toEqual({ type: 'done' });
    expect(run({ type: 'raiseFeatureLevel', level: 2 })).toMatchObject({ type: 'refused' });
    expect(state.featureLevel).toBe(1);
    const register = (id: number): MetaCommand => ({
      type: 'registerNode',
      id: id as NodeId,
      clientAddress: '',
      peerAddress: '',
      pid: 1,
      bootNumber: 9,
      featureLevel: 3,
    });
    for (const id of ids(3)) run(register(id));
    expect(() => meta.apply({ type: 'raiseFeatureLevel', level: 3 })).toThrow(MetaFormatError);
  });

  test('producer ids are handed out in blocks that never meet', () => {
    expect(run({ type: 'reserveProducerIds', count: 10 })).toEqual({
      type: 'producerIds',
      first: 1,
      count: 10,
    });
    expect(run({ type: 'reserveProducerIds', count: 5 })).toEqual({
      type: 'producerIds',
      first: 11,
      count: 5,
    });
  });

  test.each([0, 1_000_001])('%d producer ids at once are refused', (count) => {
    expect(run({ type: 'reserveProducerIds', count })).toMatchObject({
      type: 'refused',
      code: 'INVALID_REQUEST',
    });
  });

  test('a node that lost its disk gets new ids for all its replicas, the meta replica first', () => {
    const topic = create('orders', 3, 3);
    const result = run({ type: 'replaceReplicas', node: 2 as NodeId, token: 'r', time: 1 });
    if (result.type !== 'replica') throw new Error(result.type);
    const placed = (state.topic('orders')?.partitions ?? []).flatMap(({ replicas }) => replicas);
    const fresh = placed.filter(({ node }) => node === 2).map(({ replica }) => replica);
    expect(fresh).toHaveLength(3);
    for (const replica of fresh) expect(replica).toBeGreaterThan(result.replica);
    for (const { founders } of topic.partitions)
      expect(founders.some((id) => fresh.includes(id))).toBe(false);
    expect(state.metaNode(result.replica)).toBe(2);
    expect(run({ type: 'replaceReplicas', node: 2 as NodeId, token: 'r', time: 1 })).toEqual(result);
    const operation = state.operations().find(({ kind }) => kind === 'replaceReplicas');
    if (operation?.kind !== 'replaceReplicas') throw new Error('no operation');
    expect(operation.replacements).toHaveLength(4);
    for (const { shard } of operation.replacements) {
      run({ type: 'replicaReplaced', operation: operation.id, shard, time: 8 });
    }
    expect(state.operations().at(-1)).toMatchObject({ state: 'done', endedAt: 8 });
  });

  test('a second loss gives new ids again and ends the first operation', () => {
    create('orders', 1, 3);
    const first = run({ type: 'replaceReplicas', node: 2 as NodeId, token: 'r', time: 1 });
    const second = run({ type: 'replaceReplicas', node: 2 as NodeId, token: 's', time: 2 });
    if (first.type !== 'replica' || second.type !== 'replica') throw new Error('not replaced');
    expect(second.replica).toBeGreaterThan(first.replica);
    const states = state.operations().filter(({ kind }) => kind === 'replaceReplicas');
    expect(states.map((operation) => operation.state)).toEqual(['done', 'running']);
  });
});

const NAMES = ['t1', 't2', 't3'];
const command = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom(...NAMES).map((name) => topicCommand(name, 3, 2, 20)) },
  fc
    .tuple(fc.constantFrom(...NAMES), fc.nat({ max: 3 }))
    .map(([name, token]): MetaCommand => ({ type: 'deleteTopic', name, token: `d${token}`, time: 3 })),
  fc.nat({ max: 8 }).map((operation): MetaCommand => ({ type: 'endOperation', operation, time: 4 })),
  fc.nat({ max: 5 }).map((node): MetaCommand => {
    return { type: 'replaceReplicas', node: node as NodeId, token: `r${node}`, time: 5 };
  }),
  fc.constant<MetaCommand>({ type: 'reserveProducerIds', count: 7 }),
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.constantFrom<'assignRoutes' | 'removeRoutes'>('assignRoutes', 'assignRoutes', 'removeRoutes'),
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 12 }),
      )
      .map(
        ([type, topic, groups]): MetaCommand => ({
          type,
          topics: [
            groupColumns(
              topic as TopicId,
              groups.map((group) => utf8(`g${group}`)),
            ),
          ],
        }),
      ),
  },
);

describe('determinism', () => {
  test('replicas that apply in other stretches, or start from an image in between, end the same', () => {
    fc.assert(
      fc.property(
        fc.array(command, { maxLength: 40 }),
        fc.nat({ max: 40 }),
        fc.integer({ min: 1, max: 5 }),
        (commands, cut, stretch) => {
          const cluster = new FakeMetaShard(1);
          registerNodes(cluster, 3);
          for (const one of commands) cluster.append(encodeCommand(one));
          const entries = cluster.log;
          const whole = new MetaState();
          whole.apply(entries);
          const pieces = new MetaState();
          for (let at = 0; at < entries.length; at += stretch) pieces.apply(entries.slice(at, at + stretch));
          const early = new MetaState();
          early.apply(entries.slice(0, cut));
          const restored = new MetaState();
          restored.restore(early.image());
          restored.apply(entries.slice(cut));
          expect(imageBytes(pieces).equals(imageBytes(whole))).toBe(true);
          expect(imageBytes(restored).equals(imageBytes(whole))).toBe(true);
          expect(restored.topics()).toEqual(whole.topics());
          for (const { id } of whole.topics()) expect(restored.loads(id)).toEqual(whole.loads(id));
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('image', () => {
  test('holds the whole state in chunks of at most 64 KiB', () => {
    const topic = create('orders', 8, 3);
    for (let n = 0; n < 20; n++) {
      assign(
        topic.id,
        ...Array.from({ length: 1_000 }, (_, at) => `a-group-with-a-longer-name-${n * 1_000 + at}`),
      );
    }
    const chunks = [...state.image()];
    for (const chunk of chunks) expect(chunk.length).toBeLessThanOrEqual(64 * 1024);
    const copy = new MetaState();
    let changes = 0;
    copy.onChange(() => {
      changes += 1;
    });
    copy.restore(chunks);
    expect(changes).toBe(1);
    expect(copy.appliedIndex).toBe(state.appliedIndex);
    expect(copy.clusterId).toBe('c');
    expect(copy.nodes()).toEqual(state.nodes());
    expect(copy.operations()).toEqual(state.operations());
    expect([...copy.routes(topic.id)]).toEqual([...state.routes(topic.id)]);
    expect(imageBytes(copy).equals(imageBytes(state))).toBe(true);
  });

  test('is not read when its version is unknown, a chunk is missing or one too many', () => {
    create('orders', 2, 3);
    const chunks = [...state.image()];
    const copy = new MetaState();
    expect(() => copy.restore(chunks.slice(0, -1))).toThrow();
    expect(() => copy.restore([...chunks, new Uint8Array(1)])).toThrow(MetaFormatError);
    chunks[0]?.fill(9, 0, 1);
    expect(() => copy.restore(chunks)).toThrow(MetaFormatError);
    expect(() => copy.restore([])).toThrow(MetaFormatError);
  });
});

describe('answers', () => {
  test('are kept only for those who wait, and waits for an index end when it is applied', () => {
    const index = meta.apply({ type: 'reserveProducerIds', count: 1 });
    expect(state.takeResult(index, TERM)).toBeNull();
    const overwritten = (index + 1) as Index;
    state.expect(overwritten, 7 as Term);
    state.expect(overwritten, TERM);
    meta.apply({ type: 'reserveProducerIds', count: 1 });
    expect(state.takeResult(overwritten, 7 as Term)).toBeNull();
    expect(state.takeResult(overwritten, 8 as Term)).toBeNull();
    expect(state.takeResult(overwritten, TERM)).toMatchObject({ type: 'producerIds', first: 2 });
    expect(state.takeResult(overwritten, TERM)).toBeNull();
    state.expect((overwritten + 1) as Index, 7 as Term);
    meta.apply({ type: 'reserveProducerIds', count: 1 });
    expect(state.takeResult((overwritten + 1) as Index, 7 as Term)).toBeNull();
    let reached = 0;
    const cancel = state.whenApplied((index + 3) as Index, () => {
      reached += 10;
    });
    state.whenApplied((index + 4) as Index, () => {
      reached += 1;
    });
    cancel();
    const noop = (at: number): Entry => {
      return { index: at as Index, term: 2 as Term, type: 'noop', data: new Uint8Array(0) };
    };
    state.apply([noop(index + 3)]);
    expect(reached).toBe(0);
    state.apply([noop(index + 4)]);
    expect(reached).toBe(1);
  });
});
