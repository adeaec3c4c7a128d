import { describe, expect, it } from 'vitest';
import { OrderedProducer, type ProducerOptions } from '../src/producer.ts';
import type { Fate } from './fake-transport.ts';
import { failure, setUp } from './producer-setup.ts';

describe('OrderedProducer: expectedSequence', () => {
  it('lets one of two writers win and tells the other the current sequence', async () => {
    const { broker, clock, transport, producer } = setUp();
    const other = new OrderedProducer({ endpoints: ['n:1'], clock, transport } as ProducerOptions);
    await clock.until(producer.send('t', { messageGroup: 'a', value: '1' }));
    const expecting = { expectedSequence: 1 };
    const results = await clock.until(
      Promise.allSettled([
        producer.send('t', { messageGroup: 'a', value: 'mine' }, expecting),
        other.send('t', { messageGroup: 'a', value: 'theirs' }, expecting),
      ]),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const [lost] = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    expect(lost).toMatchObject({
      code: 'SEQUENCE_CONFLICT',
      outcome: 'not-applied',
      retryable: false,
      details: { currentSequence: 2 },
    });
    expect(broker.group('t', 'a')).toHaveLength(2);
    // It asked a question and has its answer: the group goes on without being resumed.
    const again = { expectedSequence: 2 };
    for (const one of [producer, other]) {
      const outcome = one.send('t', { messageGroup: 'a', value: 'again' }, again);
      await clock.until(
        outcome.then(
          () => {},
          () => {},
        ),
      );
    }
    expect(broker.group('t', 'a')).toHaveLength(3);
  });

  it('is answered with the first receipt when the answer was lost', async () => {
    const { broker, clock, transport, producer } = setUp();
    await clock.until(producer.send('t', { messageGroup: 'a', value: '1' }));
    const fates: Fate[] = ['answer lost'];
    transport.fate = () => fates.shift() ?? 'ok';
    const sent = producer.send('t', { messageGroup: 'a', value: '2' }, { expectedSequence: 1 });
    expect(await clock.until(sent)).toMatchObject({ sequence: 2, duplicate: true });
    expect(broker.group('t', 'a')).toEqual(['1', '2']);
  });

  it('stores a batch whole or not at all, in a run of its own', async () => {
    const { broker, clock, producer } = setUp({ requestBytesTarget: 200 });
    const values = Array.from({ length: 10 }, (_, index) => ({ value: `value ${index}` }));
    const calls = [
      producer.send('t', { messageGroup: 'a', value: 'before' }),
      producer.sendMessageGroupBatch('t', 'a', values, { expectedSequence: 1 }),
      producer.send('t', { messageGroup: 'a', value: 'behind' }),
      producer.send('t', { messageGroup: 'b', value: 'x'.repeat(150) }),
    ];
    await clock.until(Promise.all(calls));
    expect(broker.group('t', 'a')).toEqual(['before', ...values.map(({ value }) => value), 'behind']);
    const runs = broker.requests.flatMap(({ walked }) => walked.runExpectedSequences);
    expect(runs.filter((expected) => expected > 0)).toEqual([2]);
  });

  it('fails what waits behind a conflict', async () => {
    const { broker, clock, producer } = setUp();
    const conflict = failure(producer.send('t', { messageGroup: 'a', value: 'x' }, { expectedSequence: 5 }));
    const behind = failure(producer.send('t', { messageGroup: 'a', value: 'y' }));
    expect(await clock.until(conflict)).toMatchObject({ details: { currentSequence: 0 } });
    expect(await clock.until(behind)).toMatchObject({ code: 'EARLIER_FAILED', name: 'GroupHaltedError' });
    expect(broker.topic('t').groups.get('a')?.lastSequence).toBe(0);
  });

  it('refuses what it can not keep', async () => {
    const { clock, producer } = setUp({ requestBytesTarget: 100 });
    const sent = (value: string, expectedSequence: number) =>
      clock.until(failure(producer.send('t', { messageGroup: 'a', value }, { expectedSequence })));
    expect(await sent('x', -1)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await sent('x'.repeat(101), 1)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const careless = setUp({ idempotent: false });
    const error = failure(
      careless.producer.send('t', { messageGroup: 'a', value: 'x' }, { expectedSequence: 0 }),
    );
    expect(await careless.clock.until(error)).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
