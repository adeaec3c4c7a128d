import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import type { Fate } from './fake-transport.ts';
import { failure, messagesOf, setUp } from './producer-setup.ts';

describe('OrderedProducer', () => {
  it('gives receipts in the order of the messages, with dense sequences per group', async () => {
    const { clock, broker, producer } = setUp();
    const receipts = await clock.until(producer.sendOrderedMessages('t', messagesOf(9, 3)));
    expect(receipts.map((receipt) => receipt.sequence)).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
    expect(receipts.every((receipt) => !receipt.duplicate)).toBe(true);
    expect(broker.group('t', 'g1')).toEqual(['1', '4', '7']);
    const record = broker.partition('t', receipts[4]?.partition ?? 0).records[receipts[4]?.offset ?? 0];
    expect(record?.message.value.toString()).toBe('4');
  });

  it('keeps the order of overlapping calls of all three kinds', async () => {
    const { clock, broker, producer } = setUp();
    const calls = [
      producer.sendSingleOrderedMessage('t', 'a', 'key', '1'),
      producer.sendMessageGroupBatch('t', 'a', [{ value: '2' }, { value: Buffer.from('3') }]),
      producer.sendOrderedMessages('t', [
        { messageGroup: 'b', value: 'x' },
        { messageGroup: 'a', value: '4' },
      ]),
      producer.sendSingleOrderedMessage('t', 'a', undefined, '5'),
    ];
    await clock.until(Promise.all(calls));
    expect(broker.group('t', 'a')).toEqual(['1', '2', '3', '4', '5']);
  });

  it('has one run of a group under way and gathers the next meanwhile', async () => {
    const { clock, broker, producer } = setUp();
    const first = producer.sendSingleOrderedMessage('t', 'a', undefined, '0');
    await clock.pass(2);
    const later = Array.from({ length: 50 }, (_, index) =>
      producer.sendSingleOrderedMessage('t', 'a', undefined, `${index + 1}`),
    );
    await clock.until(Promise.all([first, ...later]));
    expect(broker.requests.map(({ walked }) => walked.count)).toEqual([1, 50]);
    expect(broker.requests.map(({ walked }) => walked.runSequences)).toEqual([[1], [2]]);
  });

  it('goes on with the numbers of a lane that was idle for long', async () => {
    const { clock, broker, producer } = setUp();
    await clock.until(producer.sendMessageGroupBatch('t', 'a', [{ value: '1' }, { value: '2' }]));
    await clock.pass(86_400_000);
    await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, '3'));
    expect(broker.requests.map(({ walked }) => walked.runSequences)).toEqual([[1], [3]]);
    expect(broker.initProducerCalls).toBe(1);
  });

  it('sends known groups to the leaders of their partitions', async () => {
    const { clock, broker, producer } = setUp();
    await clock.until(producer.sendOrderedMessages('t', messagesOf(30, 30)));
    broker.requests.length = 0;
    await clock.until(producer.sendOrderedMessages('t', messagesOf(30, 30)));
    expect(broker.requests).toHaveLength(3);
    for (const { node, walked } of broker.requests) {
      const group = walked.buffer.toString('utf8', walked.groupStarts[0], walked.groupEnds[0]);
      expect(broker.route('t', group).leader).toBe(node + 1);
      expect(walked.count).toBe(10);
    }
  });

  it('repeats a run exactly when the answer was lost, and gets the original receipt', async () => {
    const { clock, broker, transport, producer } = setUp();
    const fates: Fate[] = ['answer lost'];
    transport.fate = () => fates.shift() ?? 'ok';
    const first = producer.sendMessageGroupBatch('t', 'a', [{ value: '1' }, { value: '2' }]);
    await clock.pass(2);
    const second = producer.sendSingleOrderedMessage('t', 'a', undefined, '3');
    const [receipts, receipt] = await clock.until(Promise.all([first, second]));
    expect(receipts.map(({ duplicate, sequence }) => [duplicate, sequence])).toEqual([
      [true, 1],
      [true, 2],
    ]);
    expect(receipt).toMatchObject({ sequence: 3, duplicate: false });
    expect(broker.group('t', 'a')).toEqual(['1', '2', '3']);
  });

  it('waits out a partition without a leader while the others go on (G6)', async () => {
    const { clock, broker, producer } = setUp();
    await clock.until(producer.sendOrderedMessages('t', messagesOf(6, 6)));
    const stuck = broker.partition('t', 1);
    const { leader } = stuck;
    stuck.leader = -1;
    const blocked = producer.sendSingleOrderedMessage('t', 'g1', undefined, 'blocked');
    const started = clock.now();
    for (let round = 0; round < 20; round++) {
      await clock.until(producer.sendSingleOrderedMessage('t', 'g0', undefined, `${round}`));
    }
    expect(clock.now() - started).toBeLessThan(200);
    await clock.pass(3000);
    stuck.leader = leader;
    const back = clock.now();
    expect(await clock.until(blocked)).toMatchObject({ sequence: 2 });
    expect(clock.now() - back).toBeLessThan(250);
  });

  it('goes to another node when the leader of its partitions is gone', async () => {
    const { clock, broker, transport, producer } = setUp();
    await clock.until(producer.sendOrderedMessages('t', messagesOf(30, 30)));
    transport.down.add('n:2');
    const started = clock.now();
    const sending = producer.sendOrderedMessages('t', messagesOf(30, 30));
    await clock.pass(150);
    for (const partition of broker.topic('t').partitions) if (partition.leader === 1) partition.leader = 2;
    const receipts = await clock.until(sending);
    expect(receipts.every((receipt) => receipt.sequence === 2)).toBe(true);
    expect(clock.now() - started).toBeLessThan(500);
  });

  it('leaves a frozen leader after one vain attempt, though it is still named as the leader', async () => {
    const { clock, broker, transport, producer } = setUp({ partitions: 1 });
    await clock.until(producer.sendOrderedMessages('t', messagesOf(30, 30)));
    transport.frozen.add('n:1');
    const started = clock.now();
    await clock.until(producer.sendOrderedMessages('t', messagesOf(30, 30)));
    expect(clock.now() - started).toBeLessThan(1200);
    const before = clock.now();
    for (let round = 0; round < 20; round++)
      await clock.until(producer.sendSingleOrderedMessage('t', 'g1', undefined, 'x'));
    // Answers still name the frozen node; it is not connected, so nothing is sent to it again.
    expect(clock.now() - before).toBeLessThan(200);
    expect(broker.group('t', 'g1')).toHaveLength(22);
  });

  it('closes after what is under way, or at once', async () => {
    const { clock, broker, producer } = setUp();
    const sending = producer.sendOrderedMessages('t', messagesOf(10, 2));
    const closing = producer.close();
    expect(await failure(producer.sendSingleOrderedMessage('t', 'a', undefined, 'x'))).toMatchObject({
      code: 'CLOSED',
    });
    expect(await clock.until(sending)).toHaveLength(10);
    await clock.until(closing);
    expect(broker.group('t', 'g0')).toHaveLength(5);
    const other = setUp();
    const lost = failure(other.producer.sendOrderedMessages('t', messagesOf(10, 2)));
    other.producer.abort();
    expect(await other.clock.until(lost)).toMatchObject({ code: 'CLOSED' });
  });

  for (let seed = 1; seed <= 25; seed++) {
    it(`loses nothing, doubles nothing and keeps every order through faults (seed ${seed})`, async () => {
      const { clock, broker, transport, producer } = setUp({
        seed,
        requestBytesTarget: 400,
        attemptTimeoutMilliseconds: 300,
        requestsPerNodeMax: 2,
      });
      const fates: readonly Fate[] = ['refused', 'request lost', 'answer lost', 'late'];
      let faulty = true;
      transport.fate = () =>
        faulty && clock.random() < 0.3 ? (fates[Math.floor(clock.random() * 4)] ?? 'ok') : 'ok';
      transport.latency = () => clock.random() * 20;
      const stir = (): void => {
        if (!faulty) return;
        for (const partition of broker.topic('t').partitions)
          partition.leader = Math.floor(clock.random() * 4) - 1;
        clock.schedule(50 + clock.random() * 100, stir);
      };
      stir();
      const expected = new Map<string, string[]>();
      const calls: Promise<unknown>[] = [];
      for (let call = 0; call < 60; call++) {
        const messages = Array.from({ length: 1 + Math.floor(clock.random() * 8) }, (_, index) => ({
          messageGroup: `g${Math.floor(clock.random() * 7)}`,
          value: `${call}.${index}`,
        }));
        for (const { messageGroup, value } of messages) {
          const values = expected.get(messageGroup) ?? [];
          values.push(value);
          expected.set(messageGroup, values);
        }
        calls.push(producer.sendOrderedMessages('t', messages, { timeoutMilliseconds: 300_000 }));
        await clock.pass(clock.random() * 30);
      }
      await clock.pass(2000);
      faulty = false;
      for (const partition of broker.topic('t').partitions) partition.leader = 0;
      await clock.until(Promise.all(calls));
      await clock.pass(5000);
      for (const [group, values] of expected) expect(broker.group('t', group)).toEqual(values);
      // Losing the count of a lane would be healed by a new identity: it must not come to that.
      expect(broker.initProducerCalls).toBe(1);
    });
  }
});
