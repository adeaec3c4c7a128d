import {
  type DecodedOrderedProduceResponse,
  decodeOrderedProduceResponse,
  decodeProduceResponse,
  encodeGroupField,
  encodeMessage,
  encodeOrderedProduceHead,
  encodeProduceHead,
  messageSize,
  NO_PARTITION,
  type OrderedProduceHead,
  RefusalError,
  WireWriter,
} from '@seriatim/protocol';
import { describe, expect, test } from 'vitest';
import { FakeCluster } from './fakes.ts';

type Line = readonly [group: string, value: string];

function messages(writer: WireWriter, lines: readonly Line[]): void {
  for (const [group, value] of lines) {
    const field = group === '' ? new Uint8Array(0) : encodeGroupField(group);
    encodeMessage(writer, { value }, field, messageSize({ value }, field.length));
  }
}
function request(lines: readonly Line[], head: Partial<OrderedProduceHead> = {}): Buffer {
  const writer = new WireWriter(256);
  messages(writer, lines);
  encodeOrderedProduceHead(writer, {
    topic: 'orders',
    producerId: 0,
    producerEpoch: 0,
    runLengths: [],
    runSequences: [],
    ...head,
  });
  return Buffer.from(writer.take());
}
function plain(partition: number, lines: readonly Line[], topic = 'orders'): Buffer {
  const writer = new WireWriter(256);
  messages(writer, lines);
  encodeProduceHead(writer, topic, partition);
  return Buffer.from(writer.take());
}
async function send(
  cluster: FakeCluster,
  bytes: Buffer,
  milliseconds = 2_000,
): Promise<DecodedOrderedProduceResponse> {
  return decodeOrderedProduceResponse(
    await cluster.door.orderedProduce(bytes, cluster.deadline(milliseconds)),
  );
}
async function refused(promise: Promise<unknown>): Promise<RefusalError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof RefusalError) return error;
  throw new Error(`no refusal but ${String(error)}`);
}

describe('OrderedProduce', () => {
  test('buckets messages by group, keeps their order, and answers for each', async () => {
    const cluster = new FakeCluster(2, 1);
    cluster.addRoute('a', 0);
    cluster.addRoute('b', 1);
    cluster.addRoute('c', 0);
    const lines: Line[] = [
      ['a', '1'],
      ['b', '1'],
      ['a', '2'],
      ['c', '1'],
      ['a', '3'],
    ];
    const answer = await send(cluster, request(lines));
    expect(answer.totalMessages).toBe(5);
    expect(answer.successfulMessages).toBe(5);
    expect(answer.statuses).toEqual([0, 0, 0, 0, 0]);
    expect(answer.partitions).toEqual([0, 1, 0, 0, 0]);
    expect(answer.offsets).toEqual([0, 0, 1, 3, 2]);
    expect(answer.sequences).toEqual([1, 1, 2, 1, 3]);
    expect(
      answer.partitionResponses.map(({ partition, messages: count, leader }) => [partition, count, leader]),
    ).toEqual([
      [0, 4, 1],
      [1, 1, 1],
    ]);
    const [first] = cluster.partitions[0]?.batches ?? [];
    expect(first?.runs).toBe(2);
    expect(first?.life).toEqual([1, 3]);
    expect(first?.count).toEqual([3, 1]);
  });

  test('looks a group of consecutive messages up once, and one that comes back by its row', async () => {
    const cluster = new FakeCluster(1, 1);
    cluster.addRoute('a', 0);
    await send(cluster, request(Array.from({ length: 100 }, (_, i): Line => ['a', String(i)])));
    expect(cluster.lookUps).toBe(1);
    expect(cluster.partitions[0]?.batches[0]?.runs).toBe(1);
  });

  test('sends what another node leads over one hop', async () => {
    const cluster = new FakeCluster(3, 3);
    const lines = Array.from({ length: 30 }, (_, i): Line => [`g${i}`, `v${i}`]);
    for (let i = 0; i < 30; i++) cluster.addRoute(`g${i}`, i % 3);
    const answer = await send(cluster, request(lines));
    expect(answer.successfulMessages).toBe(30);
    expect(answer.partitionResponses.map((one) => one.leader).sort()).toEqual([1, 2, 3]);
    expect(cluster.partitions.map((partition) => partition.records.length)).toEqual([10, 10, 10]);
  });

  test('gives groups without a route one, and sends known ones on their way at once', async () => {
    const cluster = new FakeCluster(2, 1);
    cluster.addRoute('known', 1);
    const answer = await send(
      cluster,
      request([
        ['new', '1'],
        ['known', '1'],
        ['new', '2'],
        ['other', '1'],
      ]),
    );
    expect(answer.successfulMessages).toBe(4);
    expect(answer.sequences).toEqual([1, 1, 2, 1]);
    expect(cluster.partitions[1]?.records[0]?.group).toBe('known');
  });

  test('without a meta leader serves known groups and reports new ones as without partition', async () => {
    const cluster = new FakeCluster(1, 1);
    cluster.metaLeader = 0;
    cluster.addRoute('known', 0);
    const lines: Line[] = [
      ['known', '1'],
      ['new', '1'],
    ];
    const answer = await send(cluster, request(lines), 50);
    expect(answer.statuses).toEqual([0, 2]);
    expect(answer.partitionErrors).toMatchObject([
      { partition: NO_PARTITION, code: 'NO_META_LEADER', notApplied: true, messageIndexes: [1] },
    ]);
    const error = await refused(cluster.door.orderedProduce(request([['new', '1']]), cluster.deadline(50)));
    expect(error).toMatchObject({ code: 'NO_META_LEADER', outcome: 'not-applied' });
  });

  test('reports a partition without leader at once, the others are stored', async () => {
    const cluster = new FakeCluster(2, 1);
    cluster.addRoute('a', 0);
    cluster.addRoute('b', 1);
    cluster.leaders[1] = 0;
    const started = performance.now();
    const lines: Line[] = [
      ['b', '1'],
      ['a', '1'],
    ];
    const answer = await send(cluster, request(lines));
    expect(performance.now() - started).toBeLessThan(100);
    expect(answer.statuses).toEqual([2, 0]);
    expect(answer.partitionErrors).toMatchObject([
      { partition: 1, code: 'NO_LEADER', notApplied: true, messageIndexes: [0] },
    ]);
    const error = await refused(cluster.door.orderedProduce(request([['b', '1']]), cluster.deadline()));
    expect(error.code).toBe('NO_LEADER');
  });

  test('names the leader that refused, and says what is not known', async () => {
    const cluster = new FakeCluster(2, 2);
    cluster.addRoute('a', 0);
    cluster.addRoute('b', 1);
    const second = cluster.partitions[1];
    if (second !== undefined) {
      second.answer = () => ({
        type: 'refusal',
        code: 'NOT_COMMITTED',
        message: 'no quorum',
        notApplied: false,
      });
    }
    const lines: Line[] = [
      ['a', '1'],
      ['b', '1'],
    ];
    const answer = await send(cluster, request(lines));
    expect(answer.statuses).toEqual([0, 3]);
    expect(answer.partitionErrors).toMatchObject([
      { partition: 1, code: 'NOT_COMMITTED', notApplied: false, leaderAddress: 'host2:7101' },
    ]);
    expect(
      await refused(cluster.door.orderedProduce(request([['b', '1']]), cluster.deadline())),
    ).toMatchObject({
      code: 'NOT_COMMITTED',
      outcome: 'unknown',
      leaderAddress: 'host2:7101',
    });
  });

  test('passes runs of a producer on as they are, duplicates and refusals run by run', async () => {
    const cluster = new FakeCluster(1, 1);
    cluster.addRoute('a', 0);
    cluster.addRoute('b', 0);
    cluster.addRoute('c', 0);
    const [partition] = cluster.partitions;
    if (partition === undefined) throw new Error('no partition');
    partition.answer = () => ({
      type: 'receipt',
      timestamp: 5,
      status: [1, 2, 0],
      firstOffset: [40, 0, 50],
      firstSequence: [7, 0, 9],
      errors: [{ run: 1, code: 'SEQUENCE_GAP', message: 'a gap' }],
    });
    const lines: Line[] = [
      ['a', '1'],
      ['a', '2'],
      ['b', '1'],
      ['c', '1'],
    ];
    const head = { producerId: 9, producerEpoch: 1, runLengths: [2, 1, 1], runSequences: [5, 8, 1] };
    const answer = await send(cluster, request(lines, head));
    expect(partition.batches[0]).toMatchObject({
      producerId: 9,
      producerEpoch: 1,
      producerSequence: [5, 8, 1],
    });
    expect(answer.statuses).toEqual([1, 1, 2, 0]);
    expect(answer.offsets).toEqual([40, 41, 0, 50]);
    expect(answer.sequences).toEqual([7, 8, 0, 9]);
    expect(answer.partitionErrors).toMatchObject([
      { code: 'SEQUENCE_GAP', notApplied: true, messageIndexes: [2] },
    ]);
    expect(answer.partitionResponses).toMatchObject([{ messages: 3, baseOffset: 40, timestampMs: 5 }]);
  });

  test('does not wait for a leader that is silent and leads no more: what it did is unknown', async () => {
    const cluster = new FakeCluster(2, 2);
    cluster.addRoute('a', 0);
    cluster.addRoute('b', 1);
    cluster.frozen = true;
    const answering = send(
      cluster,
      request([
        ['a', '1'],
        ['b', '1'],
      ]),
    );
    await new Promise((resolve) => setImmediate(resolve));
    cluster.lead(0, 1);
    expect(cluster.leaderListeners.size).toBe(1);
    cluster.lead(1, 0);
    const answer = await answering;
    expect(answer.statuses).toEqual([0, 3]);
    expect(answer.partitionErrors).toMatchObject([{ code: 'NOT_LEADER', notApplied: false, partition: 1 }]);
    expect(cluster.leaderListeners.size).toBe(0);
  });

  test('refuses a group with two runs, known or new', async () => {
    const cluster = new FakeCluster(1, 1);
    const head = { producerId: 9, producerEpoch: 1, runLengths: [1, 1, 1], runSequences: [1, 1, 2] };
    const lines: Line[] = [
      ['a', '1'],
      ['b', '1'],
      ['a', '2'],
    ];
    expect((await refused(send(cluster, request(lines, head)))).message).toContain('runs 0 and 2');
    cluster.addRoute('a', 0);
    expect((await refused(send(cluster, request(lines, head)))).code).toBe('INVALID_REQUEST');
    expect(cluster.partitions[0]?.records).toEqual([]);
  });

  test('refuses an unknown topic, one that is not ready, and everything while shutting down', async () => {
    const cluster = new FakeCluster(1, 1);
    const lines: Line[] = [['a', '1']];
    expect((await refused(send(cluster, request(lines, { topic: 'other' })))).code).toBe('UNKNOWN_TOPIC');
    cluster.topicReady = false;
    expect((await refused(send(cluster, request(lines)))).code).toBe('TOPIC_NOT_READY');
    cluster.door.close();
    expect((await refused(send(cluster, request(lines)))).code).toBe('SHUTTING_DOWN');
  });
});

describe('Produce', () => {
  test('appends to the named partition in request order, here or over one hop', async () => {
    const cluster = new FakeCluster(2, 2);
    for (const partition of [0, 1]) {
      const lines: Line[] = [
        ['', 'x'],
        ['', 'y'],
      ];
      const answer = decodeProduceResponse(
        await cluster.door.produce(plain(partition, lines), cluster.deadline()),
      );
      expect(answer).toEqual({ partition, baseOffset: 0, messages: 2, timestampMs: 1_000 });
      expect(cluster.partitions[partition]?.records.map((record) => record.group)).toEqual(['', '']);
    }
  });

  test('refuses a group, an unknown partition and a partition without leader', async () => {
    const cluster = new FakeCluster(1, 1);
    const to = (bytes: Buffer) => refused(cluster.door.produce(bytes, cluster.deadline()));
    expect((await to(plain(0, [['g', 'x']]))).code).toBe('GROUP_NOT_ALLOWED');
    expect(await to(plain(7, [['', 'x']]))).toMatchObject({
      code: 'UNKNOWN_PARTITION',
      outcome: 'not-applied',
    });
    cluster.leaders[0] = 0;
    expect((await to(plain(0, [['', 'x']]))).code).toBe('NO_LEADER');
  });
});
