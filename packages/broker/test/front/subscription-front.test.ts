import { decodeMessage, type ListParkedGroupsResponse, RefusalError } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { definition } from '../partition/fake-definitions.ts';
import { type FakeAdministration, NO_LEADER } from './fake-administration.ts';
import { FakeCluster } from './fakes.ts';

const NEW = {
  topic: 'orders',
  name: 's1',
  start: 0,
  startOffset: 0,
  startTimeMs: 0,
  maxDeliveries: 0,
  poisonPolicy: 0,
  deadLetterTopic: '',
  holdMs: 0,
  retainUnread: false,
  backoffMs: 0,
  backoffMaxMs: 0,
};
const PLACE = { topic: 'orders', name: 's1' };
const ACTOR = { who: 'me', why: 'because' };

function setUp() {
  const cluster = new FakeCluster(2, 1);
  cluster.definitions.set(definition(1));
  cluster.addRoute('a', 1);
  const { subscriptions, groups } = cluster.door;
  const partition = (number: number): FakeAdministration => {
    const shard = cluster.topic.partitions[number]?.shard;
    if (shard === undefined) throw new Error(`no partition ${number}`);
    return cluster.administration.at(shard);
  };
  return { cluster, subscriptions, groups, partition, deadline: cluster.deadline() };
}

const refusal = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof RefusalError ? error.code : error),
  );

describe('administration of subscriptions', () => {
  it('creates one with the defaults that are said', async () => {
    const { subscriptions, deadline } = setUp();
    const { subscription } = await subscriptions.create({ ...NEW, name: 'fresh' }, deadline);
    expect(subscription).toMatchObject({
      topic: 'orders',
      name: 'fresh',
      maxDeliveries: 5,
      holdMs: 30_000,
      backoffMs: 100,
      backoffMaxMs: 30_000,
      poisonPolicy: 0,
    });
    const slow = await subscriptions.create({ ...NEW, name: 'slow', backoffMs: 60_000 }, deadline);
    expect(slow.subscription).toMatchObject({ backoffMs: 60_000, backoffMaxMs: 60_000 });
  });

  it.each([
    [{ start: 1, startOffset: 5 }, 'INVALID_SUBSCRIPTION'],
    [{ start: 2, startTimeMs: 5 }, 'INVALID_SUBSCRIPTION'],
    [{ start: 4 }, 'INVALID_SUBSCRIPTION'],
    [{ poisonPolicy: 1 }, 'INVALID_SUBSCRIPTION'],
    [{ poisonPolicy: 1, deadLetterTopic: 'nope' }, 'INVALID_SUBSCRIPTION'],
    [{ poisonPolicy: 1, deadLetterTopic: 'orders' }, 'INVALID_SUBSCRIPTION'],
    [{ topic: 'nope' }, 'UNKNOWN_TOPIC'],
  ])('refuses %j as %s', async (wrong, code) => {
    const { subscriptions, deadline } = setUp();
    expect(await refusal(subscriptions.create({ ...NEW, ...wrong }, deadline))).toBe(code);
  });

  it('lists those of a topic or of all, by name', async () => {
    const { cluster, subscriptions } = setUp();
    cluster.definitions.set({ ...definition(2), name: 'a-first' });
    const { subscriptions: all } = await subscriptions.list({ topic: '' });
    expect(all.map(({ name }) => name)).toEqual(['a-first', 's1']);
    expect(await refusal(subscriptions.list({ topic: 'nope' }))).toBe('UNKNOWN_TOPIC');
  });

  it('describes it partition by partition, with what could not be asked, and the groups that lag most', async () => {
    const { subscriptions, partition, deadline } = setUp();
    partition(0).lagStatus = {
      ...partition(0).lagStatus,
      top: [
        { group: 'x', unsettled: 3, state: 1 },
        { group: 'y', unsettled: 9, state: 2 },
      ],
    };
    partition(1).refusal = NO_LEADER;
    const described = await subscriptions.describe({ ...PLACE, topGroups: 1 }, deadline);
    expect(described.partitions).toMatchObject([
      { partition: 0, unsettled: 7, oldestUnsettledMs: 900, code: '' },
      { partition: 1, unsettled: 0, code: 'NO_LEADER' },
    ]);
    expect(described.groups).toEqual([{ group: 'y', partition: 0, unsettled: 9, state: 2 }]);
    expect(await refusal(subscriptions.describe({ ...PLACE, topGroups: 1_001 }, deadline))).toBe(
      'INVALID_REQUEST',
    );
  });

  it('resets after it has said what that means, and changes nothing in a dry run', async () => {
    const { cluster, subscriptions, deadline } = setUp();
    const request = { ...PLACE, start: 2, startOffset: 2, startTimeMs: 0, ...ACTOR };
    const dry = await subscriptions.reset({ ...request, dryRun: true }, deadline);
    expect(dry).toMatchObject({ generation: 1 });
    expect(cluster.subscriptions.calls).toEqual([]);
    const reset = await subscriptions.reset({ ...request, dryRun: false }, deadline);
    expect(reset).toEqual({ ...dry, generation: 2 });
    expect(reset.partitions[1]).toEqual({
      partition: 1,
      fromOffset: 5,
      toOffset: 2,
      repeatedMessages: 3,
      skippedMessages: 1,
    });
    expect(cluster.subscriptions.calls).toMatchObject([{ type: 'reset', actor: ACTOR }]);
  });

  it.each([
    [{ start: 4 }, 'INVALID_SUBSCRIPTION'],
    [{ start: 1, startOffset: 2 }, 'INVALID_SUBSCRIPTION'],
    [{ why: 'w'.repeat(257) }, 'INVALID_REQUEST'],
  ])('refuses reset %# as %s, in a dry run as well, and asks no partition', async (wrong, code) => {
    const { cluster, subscriptions, partition, deadline } = setUp();
    partition(0).refusal = NO_LEADER;
    const request = { ...PLACE, start: 0, startOffset: 0, startTimeMs: 0, ...ACTOR, ...wrong };
    for (const dryRun of [true, false]) {
      expect(await refusal(subscriptions.reset({ ...request, dryRun }, deadline))).toBe(code);
    }
    expect(cluster.subscriptions.calls).toEqual([]);
  });

  it('pauses and deletes the whole, and lists who did what, newest first', async () => {
    const { cluster, subscriptions, deadline } = setUp();
    await subscriptions.pause({ ...PLACE, group: '', ...ACTOR }, true, deadline);
    expect(cluster.definitions.subscription(cluster.topic.id, 's1')?.paused).toBe(true);
    const { actions } = await subscriptions.actions({ ...PLACE, group: '', limit: 0 }, deadline);
    expect(actions.map(({ timeMs, action }) => [timeMs, action])).toEqual([
      [60, 'pause'],
      [60, 'pause'],
      [50, 'create'],
    ]);
    await subscriptions.delete(PLACE, deadline);
    expect(await refusal(subscriptions.delete(PLACE, deadline))).toBe('UNKNOWN_SUBSCRIPTION');
  });
});

describe('administration of groups', () => {
  it('asks the partition of the route', async () => {
    const { groups, partition, deadline } = setUp();
    const explained = await groups.explain({ ...PLACE, group: 'a' }, deadline);
    expect(explained).toMatchObject({ group: 'a', partition: 1, state: 2, sinceMs: 5, untilMs: 99 });
    await groups.pause({ ...PLACE, group: 'a', ...ACTOR }, true, deadline);
    expect(await groups.rewind({ ...PLACE, group: 'a', sequence: 3, ...ACTOR }, deadline)).toEqual({
      repeatedMessages: 4,
    });
    expect(partition(0).acts).toEqual([]);
    expect(partition(1).acts.map(({ action }) => action.type)).toEqual(['pause', 'rewind']);
  });

  it.each([
    ['explain', 'nobody', 'UNKNOWN_GROUP'],
    ['explain', '', 'INVALID_GROUP'],
    ['explain', 'g'.repeat(257), 'INVALID_GROUP'],
  ])('%s of group %j is refused as %s', async (_call, group, code) => {
    const { groups, deadline } = setUp();
    expect(await refusal(groups.explain({ ...PLACE, group }, deadline))).toBe(code);
  });

  it('keeps nothing with an action that is longer than said', async () => {
    const { groups, partition, deadline } = setUp();
    const long = { ...PLACE, group: 'a', ...ACTOR, who: 'ü'.repeat(129) };
    expect(await refusal(groups.pause(long, true, deadline))).toBe('INVALID_REQUEST');
    expect(await refusal(groups.rewind({ ...long, sequence: 3 }, deadline))).toBe('INVALID_REQUEST');
    expect(await refusal(groups.resolve({ ...RESOLVE, resolution: 1, why: 'w'.repeat(257) }, deadline))).toBe(
      'INVALID_REQUEST',
    );
    expect(partition(1).acts).toEqual([]);
    await groups.pause({ ...long, who: 'ü'.repeat(128) }, true, deadline);
    expect(partition(1).acts).toHaveLength(1);
  });

  const parked = (group: string) => ({
    group,
    life: 1,
    headSequence: 2,
    headOffset: 7,
    waiting: 3,
    failures: 5,
    reason: 'bad',
    since: 9,
  });

  it('goes on behind a page that is short because a group was resolved meanwhile', async () => {
    const { groups, partition, cluster } = setUp();
    partition(0).parkedGroups = Array.from({ length: 1_500 }, (_, number) => parked(`g${number}`));
    partition(0).resolvedMeanwhile.add('g3');
    const names: string[] = [];
    const { signal } = new AbortController();
    for await (const page of groups.parked(PLACE, signal, () => cluster.deadline())) {
      names.push(...page.groups.map(({ group }) => group));
    }
    expect(names).toHaveLength(1_499);
    expect(names.at(-1)).toBe('g1499');
  });

  it('pages parked groups through all partitions', async () => {
    const { groups, partition, cluster } = setUp();
    partition(0).parkedGroups = Array.from({ length: 1_500 }, (_, number) => parked(`g${number}`));
    partition(1).parkedGroups = [parked('last')];
    const pages: ListParkedGroupsResponse[] = [];
    const signal = new AbortController().signal;
    for await (const page of groups.parked(PLACE, signal, () => cluster.deadline())) pages.push(page);
    expect(pages.map((page) => page.groups.length)).toEqual([1_000, 500, 1]);
    expect(pages[2]?.groups[0]).toMatchObject({ group: 'last', partition: 1, sinceMs: 9, waiting: 3 });
  });

  const RESOLVE = { ...PLACE, group: 'a', headSequence: 0, replacement: null, ...ACTOR };
  const MESSAGE = {
    key: new Uint8Array(0),
    value: Buffer.from('new'),
    messageGroup: '',
    headers: [],
    producerTimestampMs: 0,
  };

  it('takes a parked group up in each way', async () => {
    const { groups, partition, deadline } = setUp();
    for (const resolution of [1, 2, 4]) await groups.resolve({ ...RESOLVE, resolution }, deadline);
    const replaced = await groups.resolve({ ...RESOLVE, resolution: 3, replacement: MESSAGE }, deadline);
    expect(replaced).toEqual({ settledMessages: 1, waitingMessages: 4 });
    const actions = partition(1).acts.map(({ action }) => action);
    expect(actions.map(({ type }) => type)).toEqual(['retry', 'skip', 'discard', 'replace']);
    const last = actions[3];
    const bytes = Buffer.from(last?.type === 'replace' ? last.replacement : []);
    expect(decodeMessage(bytes, 0, bytes.length)).toMatchObject({ group: 'a', value: Buffer.from('new') });
  });

  it.each([
    [{ resolution: 0 }, 'INVALID_REQUEST'],
    [{ resolution: 3 }, 'INVALID_REQUEST'],
    [{ resolution: 1, replacement: MESSAGE }, 'INVALID_REQUEST'],
    [{ resolution: 3, replacement: { ...MESSAGE, messageGroup: 'b' } }, 'INVALID_GROUP'],
    [{ resolution: 3, replacement: { ...MESSAGE, value: Buffer.alloc(2_000_000) } }, 'MESSAGE_TOO_LARGE'],
  ])('refuses resolution %# as %s', async (wrong, code) => {
    const { groups, deadline } = setUp();
    expect(await refusal(groups.resolve({ ...RESOLVE, ...wrong }, deadline))).toBe(code);
  });

  it('refuses to discard or replace messages without group unless their head is said', async () => {
    const { groups, partition, deadline } = setUp();
    const request = { ...RESOLVE, group: '' };
    expect(await refusal(groups.resolve({ ...request, resolution: 4 }, deadline))).toBe('INVALID_REQUEST');
    const replace = { ...request, resolution: 3, replacement: MESSAGE };
    expect(await refusal(groups.resolve(replace, deadline))).toBe('INVALID_REQUEST');
    expect(partition(0).acts).toEqual([]);
    await groups.resolve({ ...request, resolution: 4, headSequence: 5 }, deadline);
    expect(partition(0).acts).toHaveLength(1);
  });

  it('resolves messages without group in each partition where they are parked', async () => {
    const { groups, partition, deadline } = setUp();
    partition(0).refusal = new RefusalError('GROUP_NOT_PARKED', 'not parked');
    const request = { ...RESOLVE, group: '', resolution: 1 };
    expect(await groups.resolve(request, deadline)).toEqual({ settledMessages: 1, waitingMessages: 4 });
    partition(1).refusal = new RefusalError('GROUP_NOT_PARKED', 'not parked');
    expect(await refusal(groups.resolve(request, deadline))).toBe('GROUP_NOT_PARKED');
    partition(1).refusal = NO_LEADER;
    expect(await refusal(groups.resolve(request, deadline))).toBe('NO_LEADER');
  });

  it('resolves messages without group only where their head is the one that is named', async () => {
    const { groups, partition, deadline } = setUp();
    const request = { ...RESOLVE, group: '', resolution: 2, headSequence: 8 };
    partition(0).refusal = new RefusalError('HEAD_CHANGED', 'the head is 5 now');
    expect(await groups.resolve(request, deadline)).toEqual({ settledMessages: 1, waitingMessages: 4 });
    partition(1).refusal = new RefusalError('GROUP_NOT_PARKED', 'not parked');
    expect(await refusal(groups.resolve(request, deadline))).toBe('HEAD_CHANGED');
  });
});
