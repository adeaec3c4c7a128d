import { decodeMessage, RefusalError } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import type { DeadLetter } from '../../src/consume-contracts.ts';
import type { TopicId } from '../../src/contracts.ts';
import { FrontDeadLetters } from '../../src/front/dead-letters.ts';
import type { SubscriptionId } from '../../src/subscription-contracts.ts';
import { definition } from '../partition/fake-definitions.ts';
import { FakeCluster } from './fakes.ts';

/** The letters of a subscription go to the topic that they come from here: there is only one. */
const LETTER: DeadLetter = {
  topic: 1 as TopicId,
  group: 'a',
  producerId: 901,
  producerSequence: 1,
  message: Buffer.from([0x12, 3, 0x62, 0x61, 0x64, 0x1a, 1, 0x61]),
  origin: {
    topic: 1 as TopicId,
    subscription: 1 as SubscriptionId,
    partition: 2,
    offset: 70,
    life: 5,
    sequence: 9,
  },
  failures: 5,
  reason: 'wörse than bad',
};

function setUp() {
  const cluster = new FakeCluster(1, 1);
  cluster.definitions.set(definition(1));
  cluster.addRoute('a', 0);
  const view = cluster.door;
  const answers: { refuse: unknown } = { refuse: null };
  const letters = new FrontDeadLetters({
    produce: (request, deadline) => {
      if (answers.refuse !== null) return Promise.reject(answers.refuse);
      return view.orderedProduce(request, deadline);
    },
    view: { topicById: (id: number) => (id === 1 ? cluster.topic : undefined) } as never,
    definitions: cluster.definitions,
  });
  return { cluster, letters, answers, deadline: cluster.deadline() };
}

describe('a dead letter', () => {
  it('is the message as it was, with where it comes from in headers, under the producer of its subscription', async () => {
    const { cluster, letters, deadline } = setUp();
    expect(await letters.write(LETTER, deadline)).toEqual({ type: 'stored' });
    const [partition] = cluster.partitions;
    expect(partition?.batches[0]).toMatchObject({ producerId: 901, producerEpoch: 1, producerSequence: [1] });
    const bytes = partition?.records[0]?.bytes ?? Buffer.alloc(0);
    const stored = decodeMessage(bytes, bytes[1] === undefined || bytes[1] < 0x80 ? 2 : 3, bytes.length);
    expect(stored).toMatchObject({ group: 'a', value: Buffer.from('bad') });
    const headers = Object.fromEntries(
      stored.headers.map(({ name, value }) => [
        name.slice('seriatim-dead-letter-'.length),
        Buffer.from(value).toString(),
      ]),
    );
    expect(headers).toEqual({
      topic: 'orders',
      subscription: 's1',
      partition: '2',
      offset: '70',
      life: '5',
      sequence: '9',
      attempts: '5',
      reason: 'wörse than bad',
    });
  });

  it('has the same bytes when it is written again', async () => {
    const { cluster, letters, deadline } = setUp();
    await letters.write(LETTER, deadline);
    await letters.write(LETTER, deadline);
    const [first, second] = cluster.partitions[0]?.batches ?? [];
    expect(second?.checksum).toEqual(first?.checksum);
  });

  it('gets a group where the message had none', async () => {
    const { cluster, letters, deadline } = setUp();
    const message = Buffer.from([0x12, 3, 0x62, 0x61, 0x64]);
    expect(await letters.write({ ...LETTER, group: '', message }, deadline)).toEqual({ type: 'stored' });
    expect(cluster.partitions[0]?.records[0]?.group).toBe('seriatim-ungrouped-2');
  });

  it.each([
    ['NO_LEADER', { type: 'retry', code: 'NO_LEADER' }],
    ['NOT_COMMITTED', { type: 'retry', code: 'NOT_COMMITTED' }],
    ['WRITER_UNKNOWN', { type: 'refused', code: 'WRITER_UNKNOWN' }],
    ['MESSAGE_TOO_LARGE', { type: 'refused', code: 'MESSAGE_TOO_LARGE' }],
    ['INTERNAL', { type: 'retry', code: 'INTERNAL' }],
  ] as const)('that is answered %s comes to %j', async (code, result) => {
    const { letters, answers, deadline } = setUp();
    answers.refuse = new RefusalError(code, 'no');
    expect(await letters.write(LETTER, deadline)).toEqual(result);
  });

  it('is refused when its topic is gone, and waits while its own names are not known here', async () => {
    const { letters, deadline, cluster } = setUp();
    expect(await letters.write({ ...LETTER, topic: 9 as TopicId }, deadline)).toEqual({
      type: 'refused',
      code: 'UNKNOWN_TOPIC',
    });
    cluster.definitions.remove(1);
    expect(await letters.write(LETTER, deadline)).toEqual({ type: 'retry' });
  });
});
