import type { NodeId, ShardId } from '@seriatim/multiraft';
import { beforeEach, describe, expect, test } from 'vitest';
import type { TopicId } from '../../src/contracts.ts';
import type { SubscriptionId, SubscriptionView } from '../../src/subscription-contracts.ts';
import { FakeCluster } from './cluster.ts';
import { topicCommand } from './fakes.ts';
import { createCommand, settings } from './subscription-command.ts';

const ADA = { who: 'ada', why: 'because' };
let cluster: FakeCluster;
let topic: TopicId;
let shards: ShardId[];

async function newTopic(partitions: number): Promise<void> {
  const creation = cluster
    .service(1)
    .admin.createTopic(
      { name: 'orders', partitions, replicas: 3, retentionMilliseconds: 0, retentionBytes: 0 },
      cluster.clock.now() + 10_000,
    );
  await cluster.clock.advance(300);
  const created = await creation;
  topic = created.id;
  shards = created.partitions.map(({ shard }) => shard);
}

beforeEach(async () => {
  cluster = new FakeCluster(3);
  await cluster.start();
  await newTopic(4);
});

const create = (node: number, name = 'billing', milliseconds = 20_000): Promise<SubscriptionView> =>
  cluster.service(node).subscriptions.create(topic, name, settings(), cluster.clock.now() + milliseconds);
const view = (node = 1, id = 1): SubscriptionView | undefined =>
  cluster.meta.state(node).subscriptionById(id as SubscriptionId);
const states = (): string[] =>
  cluster.meta
    .state(2)
    .operations()
    .filter(({ kind }) => kind.endsWith('Subscription'))
    .map(({ kind, state }) => `${kind} ${state}`);
const stepsAt = (shard: ShardId | undefined): number =>
  cluster.administration.steps.filter((item) => item.shard === shard).length;

/** The promise's outcome once time has moved on; null while there is none. */
async function after<T>(milliseconds: number, promise: Promise<T>): Promise<T | Error | null> {
  let outcome: T | Error | null = null;
  promise.then(
    (value) => {
      outcome = value;
    },
    (error: Error) => {
      outcome = error;
    },
  );
  await cluster.clock.advance(milliseconds);
  return outcome;
}

describe('creation', () => {
  test('through any node answers when every partition has pinned its start, each asked once', async () => {
    cluster.administration.held.add(shards[2] as ShardId);
    const creation = create(3);
    expect(await after(1_000, creation)).toBeNull();
    expect(view(3)).toMatchObject({ ready: false });
    expect(states()).toEqual(['createSubscription running']);
    cluster.administration.release();
    expect(await after(50, creation)).toMatchObject({ id: 1, name: 'billing', ready: true, generation: 1 });
    expect(states()).toEqual(['createSubscription done']);
    expect(cluster.administration.generations(1, shards)).toEqual([1, 1, 1, 1]);
    expect(cluster.administration.steps.map(({ step }) => step)).toEqual(
      shards.map(() => ({
        type: 'pin',
        operation: 2,
        subscription: 1,
        generation: 1,
        start: { kind: 0, offset: 0, time: 0 },
      })),
    );
    expect(cluster.clock.timers).toBeLessThanOrEqual(1);
  });

  test('repeats a step whose answer was lost, with longer and longer pauses where it is refused', async () => {
    const [lost, refusing] = shards as [ShardId, ShardId];
    cluster.administration.lostAnswers.set(lost, 2);
    cluster.administration.failing.set(refusing, 'OVERLOADED');
    const creation = create(1);
    await cluster.clock.advance(5_000);
    expect(stepsAt(lost)).toBe(3);
    // At 0, 50, 150, 350, 750, 1,550, 3,150 ms, then every 2 s.
    expect(stepsAt(refusing)).toBe(7);
    await cluster.clock.advance(10_000);
    expect(stepsAt(refusing)).toBe(12);
    cluster.administration.failing.clear();
    expect(await after(2_050, creation)).toMatchObject({ ready: true });
    expect(stepsAt(shards[3])).toBe(1);
  });

  test('waits for a partition without leader and asks the next leader at once', async () => {
    cluster.electionsHeld = true;
    cluster.leaders.set(shards[1] as ShardId, null);
    const creation = create(1);
    expect(await after(6_000, creation)).toBeNull();
    expect(stepsAt(shards[1])).toBe(0);
    cluster.leaders.set(shards[1] as ShardId, 2);
    expect(await after(20, creation)).toMatchObject({ ready: true });
  });

  test('goes on under the next leader of meta, which asks again what it does not know', async () => {
    cluster.administration.held.add(shards[0] as ShardId);
    const creation = create(2);
    await cluster.clock.advance(100);
    cluster.meta.lead(0);
    await cluster.clock.advance(1_000);
    expect(stepsAt(shards[1])).toBe(1);
    cluster.administration.held.clear();
    cluster.meta.lead(3);
    expect(await after(100, creation)).toMatchObject({ ready: true });
    expect(shards.map(stepsAt)).toEqual([2, 2, 2, 2]);
    cluster.administration.release();
    await cluster.clock.advance(1_000);
    expect(states()).toEqual(['createSubscription done']);
  });

  test('at its deadline says that it goes on, and it does; the same request then finds it', async () => {
    cluster.administration.held.add(shards[0] as ShardId);
    const creation = create(2, 'billing', 1_000);
    expect(await after(1_100, creation)).toMatchObject({ code: 'DEADLINE', outcome: 'unknown' });
    const again = create(3);
    expect(await after(200, again)).toBeNull();
    cluster.administration.release();
    expect(await after(100, again)).toMatchObject({ id: 1, ready: true });
    expect(view(2)).toMatchObject({ ready: true });
  });

  test('of many partitions keeps a limit of steps under way', async () => {
    const [first] = shards as [ShardId];
    cluster.service(1).admin.deleteTopic('orders', cluster.clock.now() + 1_000);
    await cluster.clock.advance(500);
    await newTopic(100);
    expect(shards[0]).not.toBe(first);
    for (const shard of shards) cluster.administration.held.add(shard);
    const creation = create(1);
    await cluster.clock.advance(500);
    expect(cluster.administration.mostUnderWay).toBe(64);
    cluster.administration.release();
    expect(await after(100, creation)).toMatchObject({ ready: true });
    expect(cluster.administration.generations(1, shards)).toEqual(shards.map(() => 1));
    expect(cluster.administration.mostUnderWay).toBe(64);
  });

  test('does not wait for another operation that can not go on', async () => {
    cluster.administration.held.add(shards[0] as ShardId);
    const stuck = create(1, 'stuck');
    await cluster.clock.advance(300);
    cluster.administration.held.clear();
    expect(await after(50, create(1, 'other'))).toMatchObject({ name: 'other', ready: true });
    expect(await after(50, stuck)).toBeNull();
    cluster.administration.release();
    expect(await after(50, stuck)).toMatchObject({ name: 'stuck', ready: true });
  });

  test('ends with UNKNOWN_SUBSCRIPTION when the topic is deleted meanwhile, and nobody is asked any more', async () => {
    cluster.administration.failing.set(shards[0] as ShardId, 'OVERLOADED');
    const creation = create(2);
    await cluster.clock.advance(300);
    await cluster.service(1).admin.deleteTopic('orders', cluster.clock.now() + 1_000);
    expect(await after(100, creation)).toMatchObject({ code: 'UNKNOWN_SUBSCRIPTION' });
    const asked = cluster.administration.steps.length;
    await cluster.clock.advance(5_000);
    expect(cluster.administration.steps).toHaveLength(asked);
  });

  test('is ended when meta has a quorum again, however often that takes', async () => {
    cluster.administration.held.add(shards[0] as ShardId);
    const creation = create(1);
    await cluster.clock.advance(100);
    cluster.meta.held = true;
    cluster.administration.release();
    await cluster.clock.advance(6_000);
    expect(states()).toEqual(['createSubscription running']);
    cluster.meta.held = false;
    expect(await after(5_000, creation)).toMatchObject({ ready: true });
  });

  test('is driven by nobody where nothing was started or all was stopped, and leaves no timer', async () => {
    cluster.administration.failing.set(shards[0] as ShardId, 'OVERLOADED');
    const creation = create(2).catch((error: unknown) => error);
    await cluster.clock.advance(300);
    await Promise.all(cluster.services.map((service) => service.stop()));
    const asked = cluster.administration.steps.length;
    await cluster.clock.advance(25_000);
    expect(cluster.administration.steps).toHaveLength(asked);
    expect(await creation).toMatchObject({ code: 'DEADLINE' });
    expect(cluster.clock.timers).toBe(0);
  });
});

describe('while a node does not know subscriptions', () => {
  const old = { id: 3 as NodeId, clientAddress: 'c3', peerAddress: 'p3', pid: 3, bootNumber: 1 };

  test('none is created: it would stop there; it is when the node was upgraded, or refused at the deadline', async () => {
    const mixed = new FakeCluster(3);
    mixed.meta.lead(1);
    for (const service of mixed.services.slice(0, 2)) service.start();
    mixed.meta.apply({ type: 'registerNode', ...old, featureLevel: 1 });
    await mixed.clock.advance(500);
    expect(mixed.meta.state(2).featureLevel).toBe(1);
    mixed.meta.apply(topicCommand('orders', 1, 1));
    const begin = (milliseconds: number): Promise<unknown> =>
      mixed
        .service(2)
        .subscriptions.create(1 as TopicId, 's', settings(), mixed.clock.now() + milliseconds)
        .catch((error: unknown) => error);
    const [refused, waiting] = [begin(500), begin(5_000)];
    await mixed.clock.advance(600);
    expect(await refused).toMatchObject({ code: 'NOT_READY', outcome: 'not-applied' });
    expect(mixed.meta.state(2).subscriptions(1 as TopicId)).toEqual([]);
    // An older node still can read an image of this state.
    expect([...mixed.meta.state(2).image()][0]?.[0]).toBe(1);
    mixed.meta.apply({ type: 'registerNode', ...old, bootNumber: 2, featureLevel: 2 });
    await mixed.clock.advance(500);
    expect(await waiting).toMatchObject({ name: 's', ready: true });
    expect([...mixed.meta.state(2).image()][0]?.[0]).toBe(2);
  });
});

describe('reset, deletion and pause', () => {
  beforeEach(async () => {
    const creation = create(1);
    await cluster.clock.advance(100);
    await creation;
    cluster.administration.steps.length = 0;
  });
  const id = 1 as SubscriptionId;
  const deadline = (): number => cluster.clock.now() + 20_000;
  const latest = { kind: 1, offset: 0, time: 0 };

  test('a reset answers when every partition has the new generation', async () => {
    cluster.administration.held.add(shards[1] as ShardId);
    const reset = cluster.service(3).subscriptions.reset(id, latest, ADA, deadline());
    expect(await after(500, reset)).toBeNull();
    expect(view()).toMatchObject({ ready: false, generation: 2 });
    cluster.administration.release();
    expect(await after(50, reset)).toMatchObject({ ready: true, generation: 2, start: latest });
    expect(cluster.administration.generations(1, shards)).toEqual([2, 2, 2, 2]);
    expect(cluster.administration.steps[0]?.step).toMatchObject({ type: 'pin', start: latest, operation: 3 });
  });

  test('of two resets at a time one is refused', async () => {
    const outcomes = Promise.allSettled(
      [2, 3].map((node) => cluster.service(node).subscriptions.reset(id, latest, ADA, deadline())),
    );
    await cluster.clock.advance(200);
    const found = (await outcomes).map((one) =>
      one.status === 'fulfilled' ? one.value.generation : one.reason.code,
    );
    expect(found.sort()).toEqual([2, 'SUBSCRIPTION_NOT_READY']);
  });

  test('a deletion answers when every partition has forgotten it', async () => {
    cluster.administration.held.add(shards[1] as ShardId);
    const deletion = cluster.service(2).subscriptions.delete(id, ADA, deadline());
    expect(await after(500, deletion)).toBeNull();
    expect(view()).toMatchObject({ ready: false });
    cluster.administration.release();
    await cluster.clock.advance(50);
    await deletion;
    expect(view()).toBeUndefined();
    const state = cluster.meta.state(1);
    expect([id, id + 1].map((one) => state.wasDeleted(one as SubscriptionId))).toEqual([true, false]);
    expect(cluster.administration.generations(1, shards)).toEqual([0, 0, 0, 0]);
    expect(cluster.administration.steps.map(({ step }) => step.type)).toEqual(shards.map(() => 'drop'));
    const again = cluster.service(2).subscriptions.delete(id, ADA, deadline());
    await expect(again).rejects.toMatchObject({ code: 'UNKNOWN_SUBSCRIPTION' });
  });

  test('a pause is known to the node that asked, and its actions are told newest first', async () => {
    const { subscriptions } = cluster.service(3);
    const pause = subscriptions.pause(id, true, ADA, deadline());
    await cluster.clock.advance(50);
    await pause;
    expect(view(3)).toMatchObject({ paused: true, ready: true });
    expect(subscriptions.actions(id, 10).map(({ action, who }) => `${action} ${who}`)).toEqual([
      'pause ada',
      'create ',
    ]);
    expect(subscriptions.actions(id, 1)).toHaveLength(1);
    expect(subscriptions.actions(id, 0)).toHaveLength(0);
    expect(subscriptions.actions(9 as SubscriptionId, 10)).toEqual([]);
  });

  test('what can not be is refused before anything is proposed', async () => {
    const proposed = cluster.meta.propositions;
    const { subscriptions } = cluster.service(2);
    const long = { who: 'ä'.repeat(129), why: '' };
    const refusals: [Promise<unknown>, string][] = [
      [subscriptions.create(topic, '', settings(), deadline()), 'INVALID_SUBSCRIPTION'],
      [
        subscriptions.create(topic, 's', settings({ maxDeliveries: Number.NaN }), deadline()),
        'INVALID_SUBSCRIPTION',
      ],
      [subscriptions.reset(id, { ...latest, time: 1.5 }, ADA, deadline()), 'INVALID_SUBSCRIPTION'],
      [subscriptions.reset(id, latest, long, deadline()), 'INVALID_REQUEST'],
      [subscriptions.pause(id, true, long, deadline()), 'INVALID_REQUEST'],
      [subscriptions.delete(id, long, deadline()), 'INVALID_REQUEST'],
      [subscriptions.reset(9 as SubscriptionId, latest, ADA, deadline()), 'UNKNOWN_SUBSCRIPTION'],
      [subscriptions.delete(9 as SubscriptionId, ADA, deadline()), 'UNKNOWN_SUBSCRIPTION'],
    ];
    for (const [refusal, code] of refusals) await expect(refusal).rejects.toMatchObject({ code });
    expect(cluster.meta.propositions).toBe(proposed);
  });

  test('what the meta leader refuses is told with its code', async () => {
    const other = { ...settings(), maxDeliveries: 7 };
    const refusal = cluster.service(2).subscriptions.create(topic, 'billing', other, deadline());
    expect(await after(50, refusal)).toMatchObject({ code: 'SUBSCRIPTION_EXISTS', outcome: 'not-applied' });
  });
});

describe('definitions on a node', () => {
  test('are told with their topic once per stretch that changed them, and not otherwise', async () => {
    const told: TopicId[] = [];
    const state = cluster.meta.state(3);
    state.onSubscriptionChange((changed) => told.push(changed));
    cluster.meta.apply({ type: 'reserveProducerIds', count: 1 });
    expect(told).toEqual([]);
    cluster.meta.slow.add(3);
    cluster.meta.apply(createCommand(topic, 'a', 't1'));
    cluster.meta.apply(createCommand(topic, 'b', 't2'));
    cluster.meta.catchUp(3);
    expect(told).toEqual([topic]);
    expect(state.subscriptions(topic).map(({ name }) => name)).toEqual(['a', 'b']);
    expect(state.subscription(topic, 'b')).toBe(state.subscriptionById(2 as SubscriptionId));
    expect(state.subscription(topic, 'c')).toBeUndefined();
    expect(state.subscriptions(9 as TopicId)).toEqual([]);
  });

  test('that an image has no longer are told as changed, as those that it brings', async () => {
    const empty = [...cluster.meta.state(1).image()];
    const creation = create(1);
    await cluster.clock.advance(100);
    await creation;
    const state = cluster.meta.state(3);
    const full = [...state.image()];
    const told: TopicId[] = [];
    state.onSubscriptionChange((changed) => told.push(changed));
    state.restore(empty);
    expect([told, state.subscriptions(topic)]).toEqual([[topic], []]);
    state.restore(full);
    expect([told, state.subscriptions(topic).length]).toEqual([[topic, topic], 1]);
  });
});
