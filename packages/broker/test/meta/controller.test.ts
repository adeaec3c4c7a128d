import type { NodeId } from '@seriatim/multiraft';
import { beforeEach, describe, expect, test } from 'vitest';
import { REQUEST_META_ADMIN, type TopicView } from '../../src/contracts.ts';
import { FakeCluster } from './cluster.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = new FakeCluster(3);
  await cluster.start();
});

function createTopic(node: number, name: string, partitions = 6, replicas = 3): Promise<TopicView> {
  return cluster
    .service(node)
    .admin.createTopic(
      { name, partitions, replicas, retentionMilliseconds: 0, retentionBytes: 0 },
      cluster.clock.now() + 10_000,
    );
}

const operations = (): string[] =>
  cluster.meta
    .state(2)
    .operations()
    .map(({ kind, state }) => `${kind} ${state}`);

describe('controller', () => {
  test('names the cluster, registers its nodes and raises the feature level', () => {
    const state = cluster.meta.state(2);
    expect(state.clusterId).toBe('c');
    expect(state.nodes().map(({ id, clientAddress }) => `${id} ${clientAddress}`)).toEqual([
      '1 c1',
      '2 c2',
      '3 c3',
    ]);
    expect(state.featureLevel).toBe(2);
    expect(cluster.services.every(({ ready }) => ready)).toBe(true);
  });

  test('a topic is created through any node; the answer comes when every partition has a leader', async () => {
    cluster.electionsHeld = true;
    let created: TopicView | null = null;
    const creation = createTopic(3, 'orders').then((topic) => {
      created = topic;
    });
    await cluster.clock.advance(1_000);
    expect(created).toBeNull();
    expect(cluster.meta.state(3).topic('orders')?.ready).toBe(false);
    expect(operations()).toEqual(['createTopic running']);
    cluster.electionsHeld = false;
    cluster.elect();
    await cluster.clock.advance(100);
    await creation;
    expect(created).toMatchObject({ name: 'orders', ready: true });
    expect(operations()).toEqual(['createTopic done']);
    expect(cluster.led(3)).toEqual([2, 2, 2]);
  });

  test('an operation goes on under the next leader of meta', async () => {
    cluster.electionsHeld = true;
    const creation = createTopic(3, 'orders');
    await cluster.clock.advance(500);
    cluster.meta.lead(0);
    cluster.electionsHeld = false;
    cluster.elect();
    await cluster.clock.advance(1_000);
    expect(operations()).toEqual(['createTopic running']);
    cluster.meta.lead(2);
    await cluster.clock.advance(300);
    expect((await creation).ready).toBe(true);
    expect(operations()).toEqual(['createTopic done']);
  });

  test('a deletion ends when the last node has removed the files, also one that was away', async () => {
    const creation = createTopic(1, 'orders');
    await cluster.clock.advance(300);
    await creation;
    cluster.network.cut.add(3);
    cluster.meta.slow.add(3);
    await cluster.service(2).admin.deleteTopic('orders', cluster.clock.now() + 1_000);
    await cluster.clock.advance(1_000);
    expect(cluster.open.get(1)?.size).toBe(0);
    expect(cluster.open.get(3)?.size).toBe(6);
    expect(operations()).toEqual(['createTopic done', 'deleteTopic running']);
    expect([...(cluster.network.callers.get(REQUEST_META_ADMIN) ?? [])]).toEqual([1]);
    cluster.network.cut.clear();
    cluster.meta.slow.clear();
    cluster.meta.catchUp(3);
    await cluster.clock.advance(1_000);
    expect(cluster.open.get(3)?.size).toBe(0);
    expect(operations()).toEqual(['createTopic done', 'deleteTopic done']);
  });

  test('a replacement whose topic is deleted meanwhile ends', async () => {
    cluster.electionsHeld = true;
    const creation = createTopic(1, 'orders', 2).catch((error: unknown) => error);
    await cluster.clock.advance(300);
    cluster.network.cut.add(3);
    await cluster
      .service(1)
      .client.submit(
        { type: 'replaceReplicas', node: 3 as NodeId, token: 'lost', time: 1 },
        cluster.clock.now() + 1_000,
      );
    await cluster.clock.advance(500);
    expect(operations()).toContain('replaceReplicas running');
    cluster.network.cut.clear();
    await cluster.service(1).admin.deleteTopic('orders', cluster.clock.now() + 1_000);
    await cluster.clock.advance(1_000);
    expect(await creation).toMatchObject({ code: 'UNKNOWN_TOPIC' });
    const [operation] = cluster.meta
      .state(1)
      .operations()
      .filter(({ kind }) => kind === 'replaceReplicas');
    if (operation?.kind !== 'replaceReplicas') throw new Error('no operation');
    expect(operation.replacements.map(({ shard, done }) => [shard, done])).toEqual([
      [1, false],
      [2, true],
      [3, true],
    ]);
  });

  test('leaders go back to a node that was away, and then stay', async () => {
    const creation = createTopic(1, 'orders', 9);
    await cluster.clock.advance(300);
    await creation;
    cluster.network.cut.add(3);
    for (const { shard } of cluster.meta.state(1).topic('orders')?.partitions ?? []) {
      if (cluster.leaders.leader(shard)?.node === 3) cluster.leaders.set(shard, 2);
    }
    await cluster.clock.advance(5_000);
    expect(cluster.led(3)).toEqual([3, 6, 0]);
    cluster.network.cut.clear();
    await cluster.clock.advance(8_000);
    expect(cluster.led(3)).toEqual([3, 3, 3]);
    expect(cluster.transfers).toBe(3);
    await cluster.clock.advance(20_000);
    expect(cluster.transfers).toBe(3);
  });

  test('does nothing where meta is not led, and leaves no timer behind when stopped', async () => {
    cluster.meta.lead(0);
    const before = cluster.meta.propositions;
    await cluster.clock.advance(2_000);
    expect(cluster.meta.propositions).toBe(before);
    await Promise.all(cluster.services.map((service) => service.stop()));
    await cluster.clock.advance(600);
    expect(cluster.clock.timers).toBe(0);
  });
});

describe('admin', () => {
  test.each([
    ['', 1, 1, 'INVALID_TOPIC_NAME'],
    ['a b', 1, 1, 'INVALID_TOPIC_NAME'],
    ['..', 1, 1, 'INVALID_TOPIC_NAME'],
    ['x'.repeat(250), 1, 1, 'INVALID_TOPIC_NAME'],
    ['x', 0, 1, 'INVALID_PARTITION_COUNT'],
    ['x', 1.5, 1, 'INVALID_PARTITION_COUNT'],
    ['x', 1_025, 1, 'INVALID_PARTITION_COUNT'],
    ['x', 1, 0, 'INVALID_REPLICA_COUNT'],
    ['x', 1, 4, 'INVALID_REPLICA_COUNT'],
  ])(
    'topic %j with %d partitions and %d replicas is refused: %s',
    async (name, partitions, replicas, code) => {
      const creation = createTopic(2, name, partitions, replicas).catch((error: unknown) => error);
      await cluster.clock.advance(100);
      expect(await creation).toMatchObject({ code, outcome: 'not-applied' });
      expect(cluster.meta.state(1).topics()).toHaveLength(0);
    },
  );

  test('a topic that exists is refused, an unknown one can not be deleted', async () => {
    const creation = createTopic(1, 'orders');
    await cluster.clock.advance(300);
    await creation;
    await expect(createTopic(2, 'orders')).rejects.toMatchObject({ code: 'TOPIC_EXISTS' });
    const deletion = cluster.service(2).admin.deleteTopic('nothing', cluster.clock.now() + 100);
    await expect(deletion).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' });
  });

  test('at the deadline it says that the topic exists without leaders', async () => {
    cluster.electionsHeld = true;
    const creation = createTopic(1, 'orders').catch((error: unknown) => error);
    await cluster.clock.advance(10_100);
    expect(await creation).toMatchObject({
      code: 'DEADLINE',
      outcome: 'unknown',
      message: expect.stringContaining('6 of its 6 partitions'),
    });
  });

  test('producer ids of all nodes differ, and a block serves many', async () => {
    const proposed = cluster.meta.propositions;
    const asked = Array.from({ length: 90 }, (_, n) =>
      cluster.service((n % 3) + 1).admin.producerId(cluster.clock.now() + 1_000),
    );
    const given = await Promise.all(asked);
    expect(new Set(given).size).toBe(90);
    expect(Math.min(...given)).toBeGreaterThan(0);
    expect(cluster.meta.propositions - proposed).toBe(3);
  });

  test('without a meta leader a producer id is refused in time', async () => {
    cluster.meta.lead(0);
    const asked = [100, 300].map((milliseconds) =>
      cluster
        .service(1)
        .admin.producerId(cluster.clock.now() + milliseconds)
        .catch((error: unknown) => error),
    );
    await cluster.clock.advance(700);
    for (const outcome of await Promise.all(asked)) expect(outcome).toMatchObject({ code: 'NO_META_LEADER' });
  });
});
