import type { NodeId, ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { describe, expect, test } from 'vitest';
import type { TopicView } from '../../src/contracts.ts';
import type { PartitionAdministration, SubscriptionId } from '../../src/subscription-contracts.ts';
import { ids, imageBytes } from './fakes.ts';
import { RaftCluster } from './raft-cluster.ts';
import { settings } from './subscription-command.ts';

const PARTITIONS = 6;
const ADA = { who: 'ada', why: 'a test' };
const LATEST = { kind: 1, offset: 0, time: 0 };

/** Runs the simulation until the promise settles. */
async function finish<T>(cluster: RaftCluster, promise: Promise<T>): Promise<T> {
  let settled = false;
  const watched = promise.finally(() => {
    settled = true;
  });
  watched.catch(() => {});
  const began = cluster.scheduler.now;
  while (!settled && cluster.scheduler.now < began + 60_000) await cluster.run(20);
  return watched;
}

const deadline = (cluster: RaftCluster, node: number): number =>
  cluster.node(node).process.clock.now() + 30_000;

async function startCluster(seed: number): Promise<{ cluster: RaftCluster; topic: TopicView }> {
  const cluster = new RaftCluster(3, seed, true);
  for (const node of ids(3)) await cluster.start(node);
  await cluster.run(4_000);
  const topic = await finish(
    cluster,
    cluster
      .node(1)
      .service.admin.createTopic(
        { name: 'orders', partitions: PARTITIONS, replicas: 3, retentionMilliseconds: 0, retentionBytes: 0 },
        deadline(cluster, 1),
      ),
  );
  return { cluster, topic };
}

function create(cluster: RaftCluster, node: number, topic: TopicView, name = 'billing') {
  const { subscriptions } = cluster.node(node).service;
  return subscriptions.create(topic.id, name, settings(), deadline(cluster, node));
}

/** What the leaders of all partitions say of a subscription, once each has one: `there`, or the code of their refusal. */
async function known(cluster: RaftCluster, topic: TopicView, id: number): Promise<string[]> {
  const leaders = (): (Leader | undefined)[] => topic.partitions.map(({ shard }) => leaderOf(cluster, shard));
  for (let turn = 0; turn < 500 && leaders().includes(undefined); turn++) await cluster.run(20);
  const asked = leaders().map(async (leader) => {
    if (leader === undefined) return 'NO_LEADER';
    try {
      await leader.administration.preview(id as SubscriptionId, LATEST, leader.until);
      return 'there';
    } catch (error) {
      if (error instanceof RefusalError) return error.code;
      throw error;
    }
  });
  return finish(cluster, Promise.all(asked));
}

interface Leader {
  readonly administration: PartitionAdministration;
  readonly until: number;
}

function leaderOf(cluster: RaftCluster, shard: ShardId): Leader | undefined {
  for (const { partitions, process } of cluster.nodes.values()) {
    const partition = partitions.get(shard);
    if (partition?.shard.leadsForSure() !== true) continue;
    return { administration: partition.administration, until: process.clock.now() + 5_000 };
  }
  return undefined;
}

const everywhere = (what: string): string[] => Array.from({ length: PARTITIONS }, () => what);

describe('subscriptions over real Raft', () => {
  test('are in every partition when their creation is answered, and in none when their deletion is', async () => {
    const { cluster, topic } = await startCluster(21);
    const view = await finish(cluster, create(cluster, 2, topic));
    expect(view).toMatchObject({ ready: true, generation: 1 });
    expect(await known(cluster, topic, view.id)).toEqual(everywhere('there'));
    const { subscriptions } = cluster.node(3).service;
    const reset = subscriptions.reset(view.id, LATEST, ADA, deadline(cluster, 3));
    expect(await finish(cluster, reset)).toMatchObject({ ready: true, generation: 2 });
    await finish(cluster, subscriptions.delete(view.id, ADA, deadline(cluster, 3)));
    expect(await known(cluster, topic, view.id)).toEqual(everywhere('UNKNOWN_SUBSCRIPTION'));
    await cluster.run(500);
    const images = [...cluster.nodes.values()].map(({ state }) => imageBytes(state).toString('hex'));
    expect(new Set(images).size).toBe(1);
  });

  test.each([22, 23, 24, 25])(
    'seed %d: come to be when a node that leads meta or partitions dies meanwhile, and outlive all nodes',
    async (seed) => {
      const { cluster, topic } = await startCluster(seed);
      const [leader] = [...cluster.nodes].find(([, { state }]) => state.leadership.confirmed) ?? [
        1 as NodeId,
      ];
      const victim = seed % 2 === 0 ? leader : (leader % 3) + 1;
      const survivor = ids(3).find((node) => node !== victim && node !== leader) ?? 1;
      const creation = create(cluster, survivor, topic);
      await cluster.run(seed - 15);
      cluster.kill(victim);
      const view = await finish(cluster, creation);
      expect(view).toMatchObject({ ready: true, generation: 1 });
      expect(await known(cluster, topic, view.id)).toEqual(everywhere('there'));
      for (const node of [...cluster.nodes.keys()]) cluster.kill(node);
      await cluster.run(1_000);
      for (const node of ids(3)) await cluster.start(node);
      await cluster.run(10_000);
      expect(cluster.node(survivor).state.subscriptionById(view.id)).toEqual(view);
      expect(await known(cluster, topic, view.id)).toEqual(everywhere('there'));
      expect(cluster.events.filter((event) => event.includes('Error'))).toEqual([]);
    },
  );
});
