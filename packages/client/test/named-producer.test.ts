import { describe, expect, it } from 'vitest';
import { OrderedProducer, type ProducerOptions } from '../src/producer.ts';
import type { Fate } from './fake-transport.ts';
import { failure, messagesOf, setUp } from './producer-setup.ts';

const NAMED = { producerName: 'billing' } as const;

/** Another process with the same name. */
function takeOver({
  clock,
  transport,
}: Pick<ReturnType<typeof setUp>, 'clock' | 'transport'>): OrderedProducer {
  const options = { endpoints: ['n:1', 'n:2', 'n:3'], clock, transport, ...NAMED };
  return new OrderedProducer(options as ProducerOptions);
}

describe('a named OrderedProducer', () => {
  it('goes on behind what the one before it stored, also where the answer never came', async () => {
    const setup = setUp(NAMED);
    const { broker, clock, transport, producer } = setup;
    await clock.until(producer.sendOrderedMessages('t', messagesOf(6, 2)));
    transport.fate = () => 'answer lost';
    void failure(producer.send('t', { messageGroup: 'g0', value: 'last' }));
    await clock.pass(5);
    producer.abort();
    transport.fate = () => 'ok';
    const next = takeOver(setup);
    const positions = await clock.until(next.positions('t', ['g1', 'g0', 'new']));
    expect(positions.map(({ group, lastProducerSequence }) => [group, lastProducerSequence])).toEqual([
      ['g1', 3],
      ['g0', 4],
      ['new', 0],
    ]);
    expect(await clock.until(next.send('t', { messageGroup: 'g0', value: 'next' }))).toMatchObject({
      sequence: 5,
    });
    expect(broker.group('t', 'g0')).toEqual(['0', '2', '4', 'last', 'next']);
    expect(broker.initProducerCalls).toBe(0);
  });

  it('is over when a newer one was opened: what waits and what comes fails, and nothing of it is stored', async () => {
    const setup = setUp(NAMED);
    const { broker, clock, producer } = setup;
    await clock.until(producer.send('t', { messageGroup: 'a', value: '1' }));
    const next = takeOver(setup);
    await clock.until(next.positions('t', ['a']));
    const events: string[] = [];
    producer.events.on('fenced', ({ error }) => events.push(error.code));
    expect(
      await clock.until(failure(producer.send('t', { messageGroup: 'a', value: 'late' }))),
    ).toMatchObject({
      code: 'PRODUCER_FENCED',
      outcome: 'not-applied',
      retryable: false,
    });
    expect(
      await clock.until(failure(producer.send('t', { messageGroup: 'b', value: 'late' }))),
    ).toMatchObject({
      code: 'PRODUCER_FENCED',
    });
    expect(events).toEqual(['PRODUCER_FENCED']);
    expect(await clock.until(next.send('t', { messageGroup: 'a', value: '2' }))).toMatchObject({
      sequence: 2,
    });
    expect(broker.group('t', 'a')).toEqual(['1', '2']);
  });

  it('asks for many groups in few questions, and fences each topic once', async () => {
    const { broker, clock, producer } = setUp(NAMED);
    broker.createTopic('u', 2);
    await clock.until(producer.sendOrderedMessages('t', messagesOf(2500, 1250)));
    await clock.until(producer.sendOrderedMessages('u', messagesOf(4, 2)));
    await clock.until(producer.sendOrderedMessages('u', messagesOf(4, 2)));
    const asked = broker.openings.map(({ topic, epoch, groups }) => [topic, epoch, groups.length]);
    expect(asked).toEqual([
      ['t', 0, 0],
      ['t', 1, 0],
      ['t', 1, 1000],
      ['t', 1, 250],
      ['u', 1, 0],
      ['u', 1, 2],
    ]);
  });

  it('waits for the partition of a group that can not be asked, and lets the others flow', async () => {
    const { broker, clock, producer } = setUp({ ...NAMED, timeoutMilliseconds: 1000 });
    broker.partition('t', 1).leader = -1;
    const result = await clock.until(producer.sendSettled('t', messagesOf(3, 3)));
    expect(result.failures.map(({ index, error }) => [index, error.code])).toEqual([[1, 'NO_LEADER']]);
    broker.partition('t', 1).leader = 1;
    expect(await clock.until(producer.send('t', { messageGroup: 'g1', value: 'x' }))).toMatchObject({
      sequence: 1,
    });
  });

  it('asks again where it stands when the group no longer knows it', async () => {
    const { broker, clock, producer } = setUp(NAMED);
    await clock.until(producer.sendOrderedMessages('t', messagesOf(2, 1)));
    broker.topic('t').groups.get('g0')?.writers.clear();
    expect(await clock.until(producer.send('t', { messageGroup: 'g0', value: 'x' }))).toMatchObject({
      sequence: 3,
    });
    expect(broker.group('t', 'g0')).toEqual(['0', '1', 'x']);
  });

  it('repeats an opening whose answer is lost, and what is under way besides', async () => {
    const { broker, clock, transport, producer } = setUp(NAMED);
    transport.down.add('n:1');
    const fates: Fate[] = ['answer lost', 'refused', 'late', 'request lost'];
    transport.fate = () => fates.shift() ?? 'ok';
    await clock.until(producer.sendOrderedMessages('t', messagesOf(20, 4)));
    for (let group = 0; group < 4; group++) expect(broker.group('t', `g${group}`)).toHaveLength(5);
  });

  it('needs a name to go on from', async () => {
    const { clock, producer } = setUp();
    expect(await clock.until(failure(producer.positions('t', ['a'])))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(() => setUp({ producerName: '' })).toThrow(/producerName/);
    expect(() => setUp({ producerName: 'x', idempotent: false })).toThrow(/producerName/);
  });
});
