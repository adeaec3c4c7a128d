import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { DeadLetter, DeadLetterResult } from '../../../src/consume-contracts.ts';
import type { TopicId } from '../../../src/contracts.ts';
import type { SubscriptionId } from '../../../src/subscription-contracts.ts';
import { store } from '../appending.ts';
import { type Setup, settle } from '../setup.ts';
import type { FakeConsumer } from './fake-consumer.ts';
import {
  consumer,
  nextLeader,
  pass,
  pin,
  produce,
  progress,
  remove,
  subscribed,
  turn,
} from './subscribed.ts';

const SKIP = { maxDeliveries: 1, poisonPolicy: 1, deadLetterTopic: 5 as TopicId };

/** Fails the message with this content. */
function fail(one: FakeConsumer, content: string, reason = 'poison'): void {
  const message = one.open.find((open) => open.content === content);
  if (message === undefined) throw new Error(`${content} is not there`);
  one.nack(message, 0, reason);
}

const places = (setup: Setup) =>
  setup.letters.map(({ group, producerSequence, origin }) => [group, producerSequence, origin.sequence]);

/** A dead-letter topic that takes the letters of one producer as RunJudge would. */
class LetterTopic {
  /** Producer's sequence, group and sequence of each. */
  readonly stored: string[] = [];
  #last: DeadLetter | null = null;
  /** The group is forgotten, and its writers with it. */
  forget(): void {
    this.#last = null;
  }

  judge(letter: DeadLetter): DeadLetterResult {
    const last = this.#last;
    const expected = (last?.producerSequence ?? 0) + 1;
    const { producerSequence: sequence, group, origin } = letter;
    if (last !== null && isDeepStrictEqual(last, letter)) return { type: 'stored' };
    if (sequence !== expected) {
      return {
        type: 'refused',
        code: last !== null && sequence > expected ? 'SEQUENCE_GAP' : 'WRITER_UNKNOWN',
      };
    }
    this.#last = letter;
    this.stored.push(`${sequence}: ${group}${origin.sequence}`);
    return { type: 'stored' };
  }
}

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

  it('gets the sequence that the topic expects, when letters before it were not counted or the topic forgot the group', async () => {
    const setup = await subscribed(SKIP);
    const topic = new LetterTopic();
    await produce(setup, 'a1 a2 a3 a4');
    const one = await consumer(setup, 'one');
    fail(one, 'a:1');
    // The letter of a:1 is stored, and the subscription begins anew before that is noted.
    setup.judgeLetter = (letter) => {
      topic.judge(letter);
      return { type: 'retry' };
    };
    await progress(setup);
    setup.definitions.change(1, { generation: 2, ready: true });
    await pin(setup, 1, 2);
    setup.judgeLetter = (letter) => topic.judge(letter);
    await turn(setup);
    fail(one, 'a:1');
    await pass(setup, 500);
    fail(one, 'a:2');
    await pass(setup, 500);
    expect(topic.stored).toEqual(['1: a1', '2: a2']);
    topic.forget();
    fail(one, 'a:3');
    await pass(setup, 500);
    expect(topic.stored).toEqual(['1: a1', '2: a2', '1: a3']);
    setup.shard.lose();
    await turn(setup);
    setup.shard.leadConfirmed();
    await pass(setup, 3_000);
    const two = await consumer(setup, 'two');
    await pass(setup, 3_000);
    fail(two, 'a:4');
    await pass(setup, 500);
    expect(topic.stored).toEqual(['1: a1', '2: a2', '1: a3', '2: a4']);
  });

  it('is another one after a reset in which the first was stored', async () => {
    const setup = await subscribed(SKIP);
    const topic = new LetterTopic();
    await produce(setup, 'a1 a2');
    const one = await consumer(setup, 'one');
    setup.judgeLetter = (letter) => {
      topic.judge(letter);
      return { type: 'retry' };
    };
    fail(one, 'a:1');
    await progress(setup);
    setup.definitions.change(1, { generation: 2, ready: true });
    await pin(setup, 1, 2, { kind: 2, offset: 1, time: 0 });
    setup.judgeLetter = (letter) => topic.judge(letter);
    await turn(setup);
    fail(one, 'a:2');
    await pass(setup, 500);
    expect(topic.stored).toEqual(['1: a1', '2: a2']);
    await progress(setup);
    expect(setup.partition.state.subscriptions.get(1)).toMatchObject({ floor: 2, done: 2 });
  });

  it('is not made of what lies behind a head that retention removed: that is delivered', async () => {
    const setup = await subscribed(SKIP, {}, { tailBytesMax: 10 });
    await produce(setup, 'a1');
    await produce(setup, 'a2 b1');
    const one = await consumer(setup, 'one');
    setup.letterResult = { type: 'retry' };
    fail(one, 'a:1');
    await progress(setup);
    await remove(setup, 1);
    setup.letterResult = { type: 'stored' };
    setup.letters.length = 0;
    await pass(setup, 500);
    expect(setup.letters).toEqual([]);
    expect(one.contents().at(-1)).toBe('a:2');
    one.ackAll();
    await progress(setup);
    expect(setup.partition.state.subscriptions.get(1)).toMatchObject({ floor: 3, done: 3, lost: 1 });
  });

  it('is alike when its group was paused and resumed meanwhile', async () => {
    const setup = await subscribed(SKIP);
    setup.letterResult = { type: 'retry' };
    await produce(setup, 'a1 a2');
    const one = await consumer(setup, 'one');
    fail(one, 'a:1');
    await progress(setup);
    const { administration } = setup.partition;
    for (const type of ['pause', 'resume'] as const) {
      const action = { type, who: 'me', why: 'because' };
      const done = administration.act(1 as SubscriptionId, 'a', action, setup.clock.time + 1_000);
      await turn(setup);
      await done;
    }
    await nextLeader(setup);
    await pass(setup, 500);
    expect(setup.letters.length).toBeGreaterThan(2);
    for (const letter of setup.letters) expect(letter).toEqual(setup.letters[0]);
  });

  it('is written of a message without group also when retention removed what lies before it', async () => {
    const setup = await subscribed(SKIP, {}, { tailBytesMax: 10 });
    const ungrouped = async (value: string): Promise<void> => {
      await store(setup, [{ group: '', values: [value] }], { id: 0, epoch: 0 });
      await turn(setup);
    };
    const one = await consumer(setup, 'one');
    await ungrouped(':1');
    fail(one, ':1');
    await progress(setup);
    await turn(setup);
    await produce(setup, 'g1 g2 g3');
    one.ackAll();
    await progress(setup);
    await remove(setup, 3);
    await ungrouped(':2');
    fail(one, ':2');
    await progress(setup);
    await pass(setup, 500);
    expect(setup.letters.map(({ producerSequence, origin }) => [producerSequence, origin.sequence])).toEqual([
      [1, 1],
      [2, 5],
    ]);
  });

  it('is written of the head that fails before it is stored that the one before it is gone', async () => {
    const setup = await subscribed(SKIP, {}, { tailBytesMax: 10 });
    await produce(setup, 'a1');
    await produce(setup, 'a2 a3');
    const one = await consumer(setup, 'one');
    setup.letterResult = { type: 'retry' };
    fail(one, 'a:1');
    await progress(setup);
    await remove(setup, 1);
    setup.letterResult = { type: 'stored' };
    setup.letters.length = 0;
    // It is noticed that a:1 is gone, a:2 is delivered, and fails before that is stored.
    setup.clock.advance(210);
    for (let round = 0; round < 4; round++) {
      setup.clock.turn();
      await settle();
    }
    fail(one, 'a:2');
    await pass(setup, 500);
    expect(setup.letters.map(({ origin }) => origin.sequence)).toEqual([2]);
    expect(one.contents().at(-1)).toBe('a:3');
  });
});
