import { describe, expect, it } from 'vitest';
import type { TopicId } from '../../../src/contracts.ts';
import type { SubscriptionId } from '../../../src/subscription-contracts.ts';
import type { Setup } from '../setup.ts';
import type { FakeConsumer } from './fake-consumer.ts';
import { consumer, pass, produce, progress, subscribed, turn } from './subscribed.ts';

const SKIP = { maxDeliveries: 1, poisonPolicy: 1, deadLetterTopic: 5 as TopicId };

/** Fails the message with this content. */
function fail(one: FakeConsumer, content: string, reason = 'poison'): void {
  const message = one.open.find((open) => open.content === content);
  if (message === undefined) throw new Error(`${content} is not there`);
  one.nack(message, 0, reason);
}

const places = (setup: Setup) =>
  setup.letters.map(({ group, producerSequence, origin }) => [group, producerSequence, origin.sequence]);

describe('a head that goes to the dead-letter topic', () => {
  it('is written when the row that says so is applied, not before, and the group goes on behind it', async () => {
    const setup = await subscribed(SKIP);
    await produce(setup, 'a1 a2 b1');
    const one = await consumer(setup, 'one');
    fail(one, 'a:1');
    setup.clock.turn();
    expect(setup.letters).toEqual([]);
    await progress(setup);
    await turn(setup);
    expect(setup.letters).toMatchObject([
      {
        topic: 5,
        group: 'a',
        producerId: 901,
        producerSequence: 1,
        failures: 1,
        reason: 'poison',
        origin: { partition: 0, offset: 0, sequence: 1, life: 1 },
      },
    ]);
    expect(one.contents()).toEqual(['a:1', 'a:2', 'b:1', 'a:2']);
    one.ackAll();
    await progress(setup);
    expect(setup.partition.state.subscriptions.get(1)).toMatchObject({ done: 3, floor: 3, lost: 0 });
  });

  it('is numbered group by group, so that the next one is not taken for a repetition', async () => {
    const setup = await subscribed(SKIP);
    await produce(setup, 'a1 a2 b1');
    const one = await consumer(setup, 'one');
    fail(one, 'a:1');
    fail(one, 'b:1');
    await progress(setup);
    await turn(setup);
    fail(one, 'a:2');
    await progress(setup);
    await turn(setup);
    expect(places(setup)).toEqual([
      ['a', 1, 1],
      ['b', 1, 1],
      ['a', 2, 2],
    ]);
  });

  it('is written again, and alike, while its fate is not known', async () => {
    const setup = await subscribed(SKIP);
    setup.letterResult = { type: 'retry' };
    await produce(setup, 'a1 a2');
    const one = await consumer(setup, 'one');
    fail(one, 'a:1');
    await progress(setup);
    await pass(setup, 250);
    setup.letterResult = { type: 'stored' };
    await pass(setup, 250);
    expect(setup.letters.length).toBeGreaterThan(1);
    for (const letter of setup.letters) expect(letter).toEqual(setup.letters[0]);
    expect(one.contents().at(-1)).toBe('a:2');
  });

  it('is written again by the next leader, and alike, when the first one fell before it was settled', async () => {
    const setup = await subscribed(SKIP);
    setup.letterResult = { type: 'retry' };
    await produce(setup, 'a1 a2');
    const one = await consumer(setup, 'one');
    fail(one, 'a:1');
    await progress(setup);
    await turn(setup);
    const before = setup.letters.length;
    setup.shard.lose();
    await turn(setup);
    setup.letterResult = { type: 'stored' };
    setup.shard.lead();
    await turn(setup);
    await pass(setup, 500);
    expect(setup.letters.length).toBeGreaterThan(before);
    expect(setup.letters.at(-1)).toEqual(setup.letters[0]);
    const two = await consumer(setup, 'two');
    await pass(setup, 2_100);
    expect(two.contents()).toEqual(['a:2']);
  });

  it('parks its group when the topic refuses it for good', async () => {
    const setup = await subscribed(SKIP);
    setup.letterResult = { type: 'refused', code: 'MESSAGE_TOO_LARGE' };
    await produce(setup, 'a1 a2');
    const one = await consumer(setup, 'one');
    fail(one, 'a:1');
    await progress(setup);
    await progress(setup);
    const parked = setup.partition.administration.parked(1 as SubscriptionId, null, setup.clock.time + 1_000);
    await turn(setup);
    expect(await parked).toMatchObject([
      { group: 'a', headSequence: 1, waiting: 2, reason: 'MESSAGE_TOO_LARGE' },
    ]);
    expect(one.contents()).toEqual(['a:1', 'a:2']);
  });
});
