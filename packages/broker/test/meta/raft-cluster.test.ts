import { META_SHARD, type NodeId } from '@seriatim/multiraft';
import { describe, expect, test } from 'vitest';
import type { TopicId, TopicView } from '../../src/contracts.ts';
import { ids, imageBytes, utf8 } from './fakes.ts';
import { RaftCluster, votersOf } from './raft-cluster.ts';

async function startCluster(seed: number): Promise<RaftCluster> {
  const cluster = new RaftCluster(3, seed);
  for (const node of ids(3)) await cluster.start(node);
  await cluster.run(4_000);
  return cluster;
}

/** Runs the simulation until the promise settles; its outcome and the milliseconds it took. */
async function finish<T>(cluster: RaftCluster, promise: Promise<T>): Promise<{ value: T; took: number }> {
  let settled = false;
  const watched = promise.finally(() => {
    settled = true;
  });
  watched.catch(() => {});
  const began = cluster.scheduler.now;
  while (!settled && cluster.scheduler.now < began + 60_000) await cluster.run(20);
  return { value: await watched, took: cluster.scheduler.now - began };
}

function create(cluster: RaftCluster, node: number, partitions: number): Promise<TopicView> {
  const { service, process } = cluster.node(node);
  return service.admin.createTopic(
    { name: 'orders', partitions, replicas: 3, retentionMilliseconds: 0, retentionBytes: 0 },
    process.clock.now() + 30_000,
  );
}

const metaLeader = (cluster: RaftCluster): number =>
  [...cluster.nodes].find(([, { state }]) => state.leadership.confirmed)?.[0] ?? 0;

describe('meta over real Raft', () => {
  test('a topic is created through a follower, its leaders spread, and all replicas agree', async () => {
    const cluster = await startCluster(1);
    expect([...cluster.nodes.values()].every(({ service }) => service.ready)).toBe(true);
    const follower = ids(3).find((node) => node !== metaLeader(cluster)) ?? 1;
    const { value } = await finish(cluster, create(cluster, follower, 9));
    expect(value).toMatchObject({ ready: true });
    await cluster.run(15_000);
    expect(cluster.led(1)).toEqual([3, 3, 3]);
    const { service, process } = cluster.node(follower);
    const groups = Array.from({ length: 1_000 }, (_, n) => utf8(`g${n}`));
    const assigned = service.assigner.assign(value.id as TopicId, groups, process.clock.now() + 5_000);
    await finish(cluster, assigned);
    await cluster.run(500);
    const images = [...cluster.nodes.values()].map(({ state }) => imageBytes(state).toString('hex'));
    expect(new Set(images).size).toBe(1);
    expect(cluster.node(2).state.routeCount(value.id)).toBe(1_000);
  });

  test('the leader of meta dies while a topic is created: it comes to be all the same', async () => {
    for (const seed of [2, 3, 4]) {
      const cluster = await startCluster(seed);
      const leader = metaLeader(cluster);
      const survivor = ids(3).find((node) => node !== leader) ?? 1;
      const creation = create(cluster, survivor, 6);
      await cluster.run(30);
      cluster.kill(leader);
      const { value } = await finish(cluster, creation);
      expect(value.ready).toBe(true);
      expect(cluster.node(survivor).state.topics()).toHaveLength(1);
      await cluster.start(leader as NodeId);
      await cluster.run(20_000);
      expect(cluster.led(survivor)).toEqual([2, 2, 2]);
      expect([...cluster.nodes.values()].every(({ service }) => service.ready)).toBe(true);
    }
  });

  test('all nodes go down at once and come back with topics, routes and placement', async () => {
    const cluster = await startCluster(5);
    const { value } = await finish(cluster, create(cluster, 1, 4));
    const { service, process } = cluster.node(2);
    await finish(
      cluster,
      service.assigner.assign(value.id, [utf8('a'), utf8('b')], process.clock.now() + 5_000),
    );
    for (const node of ids(3)) cluster.kill(node);
    await cluster.run(1_000);
    for (const node of ids(3)) await cluster.start(node);
    await cluster.run(10_000);
    const { state } = cluster.node(3);
    expect(state.routeCount(value.id)).toBe(2);
    expect(state.topic('orders')).toMatchObject({ ready: true, partitions: value.partitions });
    expect(cluster.led(3).reduce((sum, led) => sum + led, 0)).toBe(4);
    expect(state.nodes().map(({ bootNumber }) => bootNumber)).toEqual([2, 2, 2]);
  });

  test('a deleted topic leaves nothing behind, also on a node that was down', async () => {
    const cluster = await startCluster(6);
    await finish(cluster, create(cluster, 1, 4));
    cluster.kill(3);
    await cluster.run(3_000);
    const { service, process } = cluster.node(1);
    await finish(cluster, service.admin.deleteTopic('orders', process.clock.now() + 10_000));
    await cluster.run(2_000);
    expect([...cluster.node(1).host.shards()].map(({ id }) => id)).toEqual([META_SHARD]);
    await cluster.start(3 as NodeId);
    await cluster.run(8_000);
    expect([...cluster.node(3).host.shards()].map(({ id }) => id)).toEqual([META_SHARD]);
    expect(
      cluster
        .node(2)
        .state.operations()
        .map(({ state }) => state),
    ).toEqual(['done', 'done']);
  });

  test('a node that lost its disk comes back by itself with new replicas, which vote and lead', async () => {
    const cluster = await startCluster(7);
    await finish(cluster, create(cluster, 1, 6));
    await cluster.run(10_000);
    cluster.kill(2);
    await cluster.run(5_000);
    const back = cluster.startLost(2 as NodeId);
    await finish(cluster, back);
    await cluster.run(40_000);
    const { state } = cluster.node(1);
    expect(state.operations().at(-1)).toMatchObject({ kind: 'replaceReplicas', state: 'done' });
    const leader = metaLeader(cluster);
    expect([...votersOf(cluster.node(leader).host.get(META_SHARD))].sort()).toEqual(
      state.metaReplicas.map(({ replica }) => replica).sort(),
    );
    for (const { shard, replicas } of state.topic('orders')?.partitions ?? []) {
      const node = cluster.node(1).leaders.leader(shard)?.node ?? 0;
      const placed = replicas.map(({ replica }) => replica).sort();
      expect([...votersOf(cluster.node(node).host.get(shard))].sort()).toEqual(placed);
    }
    expect(cluster.led(1)).toEqual([2, 2, 2]);
    expect(imageBytes(cluster.node(2).state).equals(imageBytes(state))).toBe(true);
    // The new replicas carry the cluster when another node goes.
    cluster.kill(3);
    await cluster.run(6_000);
    expect(cluster.led(1).reduce((sum, led) => sum + led, 0)).toBe(6);
    expect(cluster.events.filter((event) => event.includes('shard') && event.includes('Error'))).toEqual([]);
  });
});
