/** The service Subscriptions as a client meets it: each RPC over real gRPC reaches what it names, and refusals carry their code. */
import { Client, credentials, type MethodDefinition, type ServiceError, status } from '@grpc/grpc-js';
import {
  fromServiceError,
  type ListParkedGroupsResponse,
  RefusalError,
  type SubscriptionMethodName,
  subscriptionsService,
} from '@seriatim/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaultGrpcLimits, GrpcServer } from '../../src/front/grpc-server.ts';
import { definition } from '../partition/fake-definitions.ts';
import type { FakeAdministration } from './fake-administration.ts';
import { FakeCluster } from './fakes.ts';

const cluster = new FakeCluster(2, 1);
const server = new GrpcServer({
  door: cluster.door,
  clock: cluster.clock,
  listen: '127.0.0.1:0',
  limits: defaultGrpcLimits,
  onFailure: () => undefined,
});
let client: Client;
beforeAll(async () => {
  const port = await server.listen();
  server.serve(true);
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  cluster.addRoute('a', 1);
});
beforeEach(() => {
  cluster.definitions.set(definition(1));
  cluster.subscriptions.calls.splice(0);
  partition(1).acts.splice(0);
});
afterAll(async () => {
  client.close();
  await server.drain(1_000);
  await server.close();
});

const PLACE = { topic: 'orders', name: 's1' };
const ACTOR = { who: 'me', why: 'because' };
const START = { start: 0, startOffset: 0, startTimeMs: 0 };
const SETTINGS = {
  ...START,
  maxDeliveries: 0,
  poisonPolicy: 0,
  deadLetterTopic: '',
  holdMs: 0,
  retainUnread: false,
  backoffMs: 0,
  backoffMaxMs: 0,
};

function partition(number: number): FakeAdministration {
  const shard = cluster.topic.partitions[number]?.shard;
  if (shard === undefined) throw new Error(`no partition ${number}`);
  return cluster.administration.at(shard);
}

function call(name: SubscriptionMethodName, request: object): Promise<unknown> {
  const method = subscriptionsService[name] as MethodDefinition<object, unknown>;
  const { path, requestSerialize, responseDeserialize } = method;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      { deadline: Date.now() + 5_000 },
      (error, response) => (error === null ? resolve(response) : reject(error)),
    );
  });
}

function parkedPages(): Promise<ListParkedGroupsResponse[]> {
  const { path, requestSerialize, responseDeserialize } = subscriptionsService.ListParkedGroups;
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, PLACE);
  const pages: ListParkedGroupsResponse[] = [];
  return new Promise((resolve, reject) => {
    stream.on('data', (page: ListParkedGroupsResponse) => pages.push(page));
    stream.on('error', reject);
    stream.on('end', () => resolve(pages));
  });
}

const failure = (work: Promise<unknown>): Promise<ServiceError> =>
  work.then(
    () => Promise.reject(new Error('it was done')),
    (error: ServiceError) => error,
  );

describe('the service Subscriptions', () => {
  it('creates, lists, describes, resets and deletes', async () => {
    expect(await call('CreateSubscription', { ...SETTINGS, topic: 'orders', name: 'new' })).toMatchObject({
      subscription: { name: 'new', maxDeliveries: 5 },
    });
    expect(await call('ListSubscriptions', { topic: 'orders' })).toMatchObject({
      subscriptions: [{ name: 'new' }],
    });
    cluster.definitions.set(definition(1));
    expect(await call('DescribeSubscription', { ...PLACE, topGroups: 5 })).toMatchObject({
      subscription: { name: 's1' },
      partitions: [{ partition: 0 }, { partition: 1 }],
    });
    expect(await call('ResetSubscription', { ...PLACE, ...START, dryRun: true, ...ACTOR })).toMatchObject({
      generation: 1,
    });
    expect(await call('ResetSubscription', { ...PLACE, ...START, dryRun: false, ...ACTOR })).toMatchObject({
      generation: 2,
    });
    await call('DeleteSubscription', PLACE);
    expect(cluster.definitions.subscription(cluster.topic.id, 's1')).toBeUndefined();
  });

  it('pauses and resumes the whole where no group is named, else that group', async () => {
    await call('PauseSubscription', { ...PLACE, group: '', ...ACTOR });
    await call('ResumeSubscription', { ...PLACE, group: '', ...ACTOR });
    expect(cluster.subscriptions.calls).toMatchObject([
      { type: 'pause', paused: true, actor: ACTOR },
      { type: 'pause', paused: false, actor: ACTOR },
    ]);
    expect(partition(1).acts).toEqual([]);
    await call('PauseSubscription', { ...PLACE, group: 'a', ...ACTOR });
    await call('ResumeSubscription', { ...PLACE, group: 'a', ...ACTOR });
    expect(cluster.subscriptions.calls).toHaveLength(2);
    expect(partition(1).acts).toEqual([
      { group: 'a', action: { type: 'pause', ...ACTOR } },
      { group: 'a', action: { type: 'resume', ...ACTOR } },
    ]);
  });

  it('rewinds, explains and resolves a group, and lists actions', async () => {
    expect(await call('RewindGroup', { ...PLACE, group: 'a', sequence: 2, ...ACTOR })).toEqual({
      repeatedMessages: 4,
    });
    expect(await call('ExplainGroup', { ...PLACE, group: 'a' })).toMatchObject({ group: 'a', partition: 1 });
    const resolve = { ...PLACE, group: 'a', resolution: 2, headSequence: 7, replacement: null, ...ACTOR };
    expect(await call('ResolveGroup', resolve)).toEqual({ settledMessages: 1, waitingMessages: 4 });
    expect(partition(1).acts.map(({ action }) => action.type)).toEqual(['rewind', 'skip']);
    expect(await call('ListSubscriptionActions', { ...PLACE, group: '', limit: 2 })).toMatchObject({
      actions: [{ action: 'pause', timeMs: 60 }, { action: 'pause' }],
    });
  });

  it('streams parked groups page by page, and ends', async () => {
    const parked = {
      life: 1,
      headSequence: 2,
      headOffset: 7,
      waiting: 3,
      failures: 5,
      reason: 'bad',
      since: 9,
    };
    partition(0).parkedGroups = Array.from({ length: 1_001 }, (_, number) => ({
      ...parked,
      group: `g${number}`,
    }));
    const pages = await parkedPages();
    expect(pages.map(({ groups }) => groups.length)).toEqual([1_000, 1]);
    partition(0).parkedGroups = [];
    expect(await parkedPages()).toEqual([]);
  });

  it.each([
    [
      'DescribeSubscription',
      { ...PLACE, name: 'nope', topGroups: 0 },
      'UNKNOWN_SUBSCRIPTION',
      status.NOT_FOUND,
    ],
    ['ExplainGroup', { ...PLACE, group: 'nobody' }, 'UNKNOWN_GROUP', status.NOT_FOUND],
    [
      'CreateSubscription',
      { ...SETTINGS, topic: 'orders', name: 'x', poisonPolicy: 1 },
      'INVALID_SUBSCRIPTION',
      status.INVALID_ARGUMENT,
    ],
  ] as const)('%s is refused with %s', async (name, request, code, number) => {
    const error = await failure(call(name, request));
    expect(error.code).toBe(number);
    expect(fromServiceError(error)).toMatchObject({ code, outcome: 'not-applied' });
  });

  it('says what a partition refuses, as it was told', async () => {
    partition(1).refusal = new RefusalError('HEAD_CHANGED', 'the head is 9 now, not 7; look again');
    const resolve = { ...PLACE, group: 'a', resolution: 1, headSequence: 7, replacement: null, ...ACTOR };
    const error = await failure(call('ResolveGroup', resolve));
    partition(1).refusal = null;
    expect(error.code).toBe(status.FAILED_PRECONDITION);
    expect(fromServiceError(error)).toMatchObject({ code: 'HEAD_CHANGED', message: /9 now/ });
  });
});
