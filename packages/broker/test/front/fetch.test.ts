import {
  type DecodedFetchResponse,
  decodeFetchResponse,
  decodeMessage,
  encodeGroupField,
  encodeMessage,
  encodeOrderedProduceHead,
  FETCH_FROM_EARLIEST,
  FETCH_FROM_LATEST,
  FETCH_FROM_OFFSET,
  type FetchRequest,
  messageSize,
  RefusalError,
  WireWriter,
} from '@seriatim/protocol';
import { describe, expect, test } from 'vitest';
import { FakeCluster } from './fakes.ts';

async function store(
  cluster: FakeCluster,
  lines: readonly (readonly [group: string, value: string])[],
): Promise<void> {
  const writer = new WireWriter(256);
  for (const [group, value] of lines) {
    const field = encodeGroupField(group);
    encodeMessage(writer, { value }, field, messageSize({ value }, field.length));
  }
  encodeOrderedProduceHead(writer, {
    topic: 'orders',
    producerId: 0,
    producerEpoch: 0,
    runLengths: [],
    runSequences: [],
  });
  await cluster.door.orderedProduce(Buffer.from(writer.take()), cluster.deadline());
}

const whole: FetchRequest = {
  topic: 'orders',
  partition: 0,
  offset: 0,
  from: FETCH_FROM_OFFSET,
  untilEnd: true,
  group: '',
  responseBytes: 0,
};

async function read(
  cluster: FakeCluster,
  request: Partial<FetchRequest>,
  door = cluster.door,
): Promise<DecodedFetchResponse[]> {
  const responses: DecodedFetchResponse[] = [];
  for await (const bytes of door.fetch({ ...whole, ...request }, new AbortController().signal)) {
    responses.push(decodeFetchResponse(bytes));
  }
  return responses;
}

const values = (responses: readonly DecodedFetchResponse[]): string[] =>
  responses.flatMap(({ bytes, messageStarts, messageEnds }) =>
    messageStarts.map((start, index) =>
      decodeMessage(bytes, start, messageEnds[index] ?? 0).value.toString(),
    ),
  );

async function filled(nodes: number): Promise<FakeCluster> {
  const cluster = new FakeCluster(1, nodes);
  for (let i = 0; i < 10; i++) await store(cluster, [[i % 2 === 0 ? 'even' : 'odd', `v${i}`]]);
  return cluster;
}

describe('Fetch', () => {
  test('gives everything up to the confirmed end and ends', async () => {
    const cluster = await filled(1);
    const responses = await read(cluster, { responseBytes: 40 });
    expect(responses.length).toBeGreaterThan(2);
    expect(values(responses)).toEqual(Array.from({ length: 10 }, (_, i) => `v${i}`));
    expect(responses[0]).toMatchObject({ partition: 0, baseOffset: 0, highWatermark: 10, runOffsets: [] });
    expect(await read(cluster, { offset: 10 })).toEqual([]);
    expect(await read(cluster, { from: FETCH_FROM_LATEST })).toEqual([]);
    expect(values(await read(cluster, { from: FETCH_FROM_EARLIEST, offset: 99 }))).toHaveLength(10);
  });

  test('gives the records of one group with their offsets', async () => {
    const cluster = await filled(1);
    const responses = await read(cluster, { group: 'odd', offset: 2 });
    expect(values(responses)).toEqual(['v3', 'v5', 'v7', 'v9']);
    expect(responses.flatMap((response) => response.runOffsets)).toEqual([3, 5, 7, 9]);
    expect(responses.flatMap((response) => response.runSequences)).toEqual([2, 3, 4, 5]);
    expect(await read(cluster, { group: 'nobody' })).toEqual([]);
  });

  test('reads over one hop where another node leads', async () => {
    const cluster = await filled(2);
    expect(cluster.leaders).toEqual([1]);
    expect(values(await read(cluster, { responseBytes: 40 }, cluster.doors[1]))).toHaveLength(10);
    expect(values(await read(cluster, { group: 'even' }, cluster.doors[1]))).toHaveLength(5);
  });

  test('does not go past the end that was confirmed when it began', async () => {
    const cluster = await filled(1);
    const [partition] = cluster.partitions;
    const reading = cluster.door.fetch({ ...whole, responseBytes: 1 }, new AbortController().signal);
    const first = await reading.next();
    expect(first.done).toBe(false);
    await store(cluster, [['even', 'later']]);
    expect(partition?.records.length).toBe(11);
    const rest: string[] = [];
    for await (const bytes of reading) rest.push(...values([decodeFetchResponse(bytes)]));
    expect(rest).toEqual(Array.from({ length: 9 }, (_, i) => `v${i + 1}`));
  });

  test('waits at the end for more, until the reader leaves', async () => {
    const cluster = await filled(1);
    const leaving = new AbortController();
    const request = { ...whole, untilEnd: false, from: FETCH_FROM_LATEST };
    const reading = cluster.door.fetch(request, leaving.signal);
    const start = await reading.next();
    expect(decodeFetchResponse(start.value ?? Buffer.alloc(0))).toMatchObject({
      baseOffset: 10,
      runLengths: [],
    });
    const next = reading.next();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await store(cluster, [['even', 'fresh']]);
    const { value } = await next;
    expect(values(value === undefined ? [] : [decodeFetchResponse(value)])).toEqual(['fresh']);
    const end = reading.next();
    leaving.abort();
    expect((await end).done).toBe(true);
  });

  test('says at once where "latest" is, also over one hop, so that a broken stream skips nothing', async () => {
    const cluster = await filled(2);
    for (const door of cluster.doors) {
      const request = { ...whole, untilEnd: false, from: FETCH_FROM_LATEST };
      const reading = door.fetch(request, new AbortController().signal);
      const { value } = await reading.next();
      expect(values(value === undefined ? [] : [decodeFetchResponse(value)])).toEqual([]);
      expect(decodeFetchResponse(value ?? Buffer.alloc(0)).baseOffset).toBe(10);
      await reading.return(undefined);
    }
  });

  test('bridges a moment without leader', async () => {
    const cluster = await filled(1);
    cluster.leaders[0] = 0;
    const reading = read(cluster, {});
    setTimeout(() => {
      cluster.leaders[0] = 1;
    }, 40);
    expect(values(await reading)).toHaveLength(10);
  });

  test.each([
    ['UNKNOWN_TOPIC', { topic: 'other' }],
    ['UNKNOWN_PARTITION', { partition: 3 }],
    ['OFFSET_OUT_OF_RANGE', { offset: 11 }],
    ['INVALID_REQUEST', { from: 9 }],
    ['INVALID_REQUEST', { responseBytes: 1 << 30 }],
    ['INVALID_GROUP', { group: 'x'.repeat(257) }],
  ] as const)('refuses with %s', async (code, request) => {
    const cluster = await filled(1);
    const error = await read(cluster, request).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusalError);
    expect(error).toMatchObject({ code });
  });
});

describe('descriptions', () => {
  test('show routes with the last append, from whichever node leads', async () => {
    const cluster = await filled(2);
    for (const door of cluster.doors) {
      const { route } = await door.getRoute({ topic: 'orders', group: 'odd' });
      expect(route).toEqual({
        topic: 'orders',
        group: 'odd',
        partition: 0,
        epoch: 2,
        leader: 1,
        lastSequence: 5,
        lastAccessMs: 5,
      });
    }
    const listed: string[] = [];
    const request = { topic: 'orders', partition: 0, anyPartition: true, prefix: 'e' };
    for await (const page of cluster.door.listRoutes(request, new AbortController().signal)) {
      listed.push(...page.routes.map((route) => `${route.group} ${route.lastSequence}`));
    }
    expect(listed).toEqual(['even 5']);
    await expect(cluster.door.getRoute({ topic: 'orders', group: 'none' })).rejects.toMatchObject({
      code: 'UNKNOWN_GROUP',
    });
    await expect(cluster.door.getRoute({ topic: 'orders', group: '' })).rejects.toMatchObject({
      code: 'INVALID_GROUP',
    });
  });

  test('show the cluster and the state of each replica', async () => {
    const cluster = await filled(2);
    const shown = await cluster.doors[1]?.describeCluster();
    expect(shown?.meta).toEqual({ leader: 1, term: 3 });
    expect(shown?.partitions).toMatchObject([{ topic: 'orders', leader: 1, highWatermark: 10, groups: 2 }]);
    const topic = await cluster.door.describeTopic({ name: 'orders' });
    expect(topic.partitions[0]?.replicaStates).toEqual([{ node: 1, behind: 0, reason: '' }]);
    expect((await cluster.door.capabilities()).requestTypes).toContain(22);
  });
});
