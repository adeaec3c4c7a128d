import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { failure, messagesOf, setUp } from './producer-setup.ts';

describe('OrderedProducer: limits', () => {
  it('stays within its requests per node', async () => {
    const { clock, transport, producer } = setUp({ requestBytesTarget: 500, requestsPerNodeMax: 2 });
    await clock.until(producer.sendOrderedMessages('t', messagesOf(3000, 300)));
    transport.inFlightMax = 0;
    await clock.until(producer.sendOrderedMessages('t', messagesOf(3000, 300)));
    expect(transport.inFlightMax).toBe(6);
  });

  it('stays within its bytes under way', async () => {
    const limits = { requestBytesTarget: 2000, requestsPerNodeMax: 20, inFlightBytesMax: 9000 };
    const { clock, broker, transport, producer } = setUp(limits);
    await clock.until(producer.sendOrderedMessages('t', messagesOf(3000, 300)));
    expect(transport.inFlightMax).toBeGreaterThan(2);
    expect(transport.bytesInFlightMax).toBeLessThanOrEqual(9000);
    for (let group = 0; group < 300; group++) expect(broker.group('t', `g${group}`)).toHaveLength(10);
  });

  it('lets calls over the memory limit wait, in their order', async () => {
    const { clock, broker, producer } = setUp({ pendingMessagesMax: 10 });
    const calls = Array.from({ length: 8 }, (_, call) =>
      producer.sendMessageGroupBatch(
        't',
        'a',
        Array.from({ length: 4 }, (__, index) => ({ value: `${call * 4 + index}` })),
      ),
    );
    await clock.until(Promise.all(calls));
    expect(broker.group('t', 'a')).toEqual(Array.from({ length: 32 }, (_, index) => `${index}`));
    expect(Math.max(...broker.requests.map(({ walked }) => walked.count))).toBeLessThanOrEqual(10);
  });

  it('lets no small call overtake a large one that waits', async () => {
    const { clock, broker, producer } = setUp({ pendingMessagesMax: 10 });
    const batch = (name: string) => Array.from({ length: 8 }, (_, index) => ({ value: `${name}${index}` }));
    const calls = [
      producer.sendMessageGroupBatch('t', 'a', batch('x')),
      producer.sendMessageGroupBatch('t', 'a', batch('y')),
      producer.sendSingleOrderedMessage('t', 'a', undefined, 'last'),
    ];
    await clock.until(Promise.all(calls));
    expect(broker.group('t', 'a')).toHaveLength(17);
    expect(broker.group('t', 'a').at(-1)).toBe('last');
  });

  it('tries a partition in trouble with one request at a time', async () => {
    const { clock, broker, transport, producer } = setUp({ partitions: 1, requestBytesTarget: 200 });
    await clock.until(producer.sendOrderedMessages('t', messagesOf(40, 40)));
    broker.partition('t', 0).leader = -1;
    transport.latency = () => 50;
    const sending = producer.sendOrderedMessages('t', messagesOf(40, 40));
    await clock.pass(2000);
    transport.inFlightMax = 0;
    await clock.pass(2000);
    expect(transport.inFlightMax).toBe(1);
    broker.partition('t', 0).leader = 1;
    expect(await clock.until(sending)).toHaveLength(40);
  });

  it('forgets idle groups above its limit, under a new identity', async () => {
    const { clock, broker, producer } = setUp({ lanesMax: 10 });
    for (let round = 0; round < 4; round++) {
      await clock.until(producer.sendOrderedMessages('t', messagesOf(40, 20)));
      await clock.pass(10);
    }
    expect(broker.initProducerCalls).toBeGreaterThan(1);
    expect(broker.group('t', 'g7')).toHaveLength(8);
  });

  it('refuses what no broker would take before anything is sent', async () => {
    const { clock, broker, producer } = setUp();
    const cases = [
      [producer.sendSingleOrderedMessage('t', '', undefined, 'x'), 'INVALID_GROUP'],
      [producer.sendSingleOrderedMessage('t', 'ü'.repeat(129), undefined, 'x'), 'INVALID_GROUP'],
      [producer.sendSingleOrderedMessage('t', '\ud800', undefined, 'x'), 'INVALID_GROUP'],
      [
        producer.sendSingleOrderedMessage('t', 'a', undefined, Buffer.alloc(1024 * 1024)),
        'MESSAGE_TOO_LARGE',
      ],
      [producer.sendSingleOrderedMessage('', 'a', undefined, 'x'), 'INVALID_ARGUMENT'],
      [producer.sendMessageGroupBatch('t', 'a', [{ value: 5 as never }]), 'INVALID_ARGUMENT'],
    ] as const;
    for (const [promise, code] of cases)
      expect(await failure(promise)).toMatchObject({ code, outcome: 'not-applied' });
    expect(broker.requests).toHaveLength(0);
    expect(() => setUp({ requestsPerNodeMax: 0 })).toThrow(/requestsPerNodeMax: 0/);
    expect(await clock.until(producer.sendOrderedMessages('t', []))).toEqual([]);
  });
});
