import { describe, expect, it } from 'vitest';
import type { SubscriptionId } from '../../../src/subscription-contracts.ts';
import type { Setup } from '../setup.ts';
import { type Delivered, FakeConsumer } from './fake-consumer.ts';
import { consumer, nextLeader, pass, produce, progress, subscribed, turn } from './subscribed.ts';

/** Longer than a holder is waited for. */
const GONE_MILLISECONDS = 2_100;

const at = (messages: readonly Delivered[], place: number): Delivered => {
  const message = messages[place];
  if (message === undefined) throw new Error(`there is no message ${place}`);
  return message;
};

const standing = (setup: Setup) => setup.partition.state.subscriptions.get(1);

describe('a settlement', () => {
  it('is refused from a consumer that does not hold the group, whatever token it names', async () => {
    const setup = await subscribed();
    const holder = await consumer(setup, 'one');
    await produce(setup, 'a1 a2');
    const other = await consumer(setup, 'two');
    const acked = other.ack(at(holder.all, 0));
    const failed = other.nack(at(holder.all, 0));
    await progress(setup);
    expect([other.refused.get(acked), other.refused.get(failed)]).toEqual(['HOLD_LOST', 'HOLD_LOST']);
    expect(standing(setup)).toMatchObject({ floor: 0, done: 0 });
    holder.ackAll();
    await progress(setup);
    expect([...holder.refused]).toEqual([]);
    expect(standing(setup)).toMatchObject({ floor: 2, done: 2 });
  });

  it('shortens no hold: an acknowledgement, or a shorter extension, leaves it as long as it was extended', async () => {
    const setup = await subscribed({ holdMilliseconds: 1_000 });
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 a2');
    const [first] = one.all;
    if (first === undefined) throw new Error('nothing came');
    one.extend(first, 5_000);
    one.ack(first);
    one.extend(first);
    await pass(setup, 4_500);
    expect(one.lost()).toEqual([]);
    await pass(setup, 600);
    expect(one.lost()).toEqual(['HOLD_EXPIRED']);
    // The next hold has the usual length again.
    const again = one.all.at(-1);
    expect(one.contents()).toEqual(['a:1', 'a:2', 'a:2']);
    if (again === undefined) throw new Error('nothing came again');
    one.extend(again, 5_000);
    one.nack(again);
    await pass(setup, 1_100);
    await pass(setup, 100);
    expect(one.lost()).toHaveLength(2);
  });

  it('is refused for what was not delivered yet', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one', 1);
    await produce(setup, 'a1 a2');
    expect(one.contents()).toEqual(['a:1']);
    const row = one.ack({ ...at(one.all, 0), sequence: 2 });
    await progress(setup);
    expect(one.refused.get(row)).toBe('SETTLEMENT_OUT_OF_ORDER');
    expect(standing(setup)).toMatchObject({ floor: 0, done: 0 });
  });

  it('that fails another message than the first unsettled one is refused: nothing passes the first', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 a2 a3');
    const row = one.nack(at(one.all, 1));
    await progress(setup);
    expect(one.refused.get(row)).toBe('SETTLEMENT_OUT_OF_ORDER');
    expect(standing(setup)).toMatchObject({ floor: 0, done: 0 });
    one.ack(at(one.all, 2));
    await progress(setup);
    expect(one.contents()).toEqual(['a:1', 'a:2', 'a:3']);
    expect(standing(setup)).toMatchObject({ floor: 3, done: 3 });
  });

  it('that fails a message has its group wait so long, also at the next leader', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 a2');
    one.nack(at(one.all, 0), 1_000);
    await pass(setup, 400);
    expect(one.contents()).toEqual(['a:1', 'a:2']);
    await nextLeader(setup);
    void one.attach(setup.partition);
    await pass(setup, 400);
    expect(one.contents()).toEqual(['a:1', 'a:2']);
    await pass(setup, 300);
    expect(one.contents()).toEqual(['a:1', 'a:2', 'a:1', 'a:2']);
  });
});

/**
 * Both were given group `a`: one at the first leader, two at the second, where one is attached and did not say what it holds. A third leads now.
 */
async function twiceGiven(beforeThird: (two: FakeConsumer) => void = () => {}) {
  const setup = await subscribed();
  const one = await consumer(setup, 'one');
  await produce(setup, 'a1 a2');
  const holds = { one: one.holds(), two: one.holds() };
  await nextLeader(setup);
  one.creditMessages = 0;
  void one.attach(setup.partition, 1, null);
  const two = new FakeConsumer('two');
  void two.attach(setup.partition);
  await pass(setup, GONE_MILLISECONDS);
  expect(two.contents()).toEqual(['a:1', 'a:2']);
  holds.two = two.holds();
  beforeThird(two);
  await progress(setup);
  await nextLeader(setup);
  return { setup, one, two, holds };
}

const kinds = ({ events }: FakeConsumer): string[] =>
  events.map(({ type }) => type).filter((type) => type !== 'leadership-ended');

describe('of two consumers that a group was given to by leaders that are gone', () => {
  it('the one with the higher token takes it from the other, that came first', async () => {
    const { setup, one, two, holds } = await twiceGiven();
    void one.attach(setup.partition, 1, holds.one);
    await turn(setup);
    expect(kinds(one)).toEqual(['held']);
    void two.attach(setup.partition, 1, holds.two);
    await turn(setup);
    expect(kinds(two)).toEqual(['held']);
    expect(one.lost()).toEqual(['HOLD_TAKEN']);
  });

  it('the one with the lower token does not get what the other has again', async () => {
    const { setup, one, two, holds } = await twiceGiven();
    void two.attach(setup.partition, 1, holds.two);
    void one.attach(setup.partition, 1, holds.one);
    await turn(setup);
    expect(kinds(two)).toEqual(['held']);
    expect(one.lost()).toEqual(['HOLD_TAKEN']);
    const held = two.events.find(({ type }) => type === 'held');
    if (held?.type !== 'held') throw new Error('it holds nothing');
    two.ack({ ...at(two.all, 1), epoch: held.tokenEpoch, counter: held.tokenCounter });
    await progress(setup);
    expect([...two.refused]).toEqual([]);
    expect(standing(setup)).toMatchObject({ floor: 2, done: 2 });
  });

  it('none gets it again when it is parked since', async () => {
    const { setup, one, holds } = await twiceGiven((two) => void two.reject(at(two.all, 0)));
    void one.attach(setup.partition, 1, holds.one);
    await turn(setup);
    expect(one.lost()).toEqual(['GROUP_PARKED']);
    await pass(setup, GONE_MILLISECONDS);
    expect(one.contents()).toEqual(['a:1', 'a:2']);
  });
});

describe('a hold that was over long before its consumer names it is lost', () => {
  it('when another one has settled of it', async () => {
    const { setup, one, holds } = await twiceGiven((two) => void two.ack(at(two.all, 0)));
    void one.attach(setup.partition, 1, holds.one);
    await turn(setup);
    expect(kinds(one)).toEqual(['hold-lost']);
    expect(one.lost()).toEqual(['HOLD_TAKEN']);
  });

  it('when another one has settled all of it, so that the floor has passed it', async () => {
    const { setup, one, holds } = await twiceGiven((two) => two.ackAll());
    expect(standing(setup)).toMatchObject({ floor: 2, done: 2 });
    await produce(setup, 'a3');
    void one.attach(setup.partition, 1, holds.one);
    await turn(setup);
    expect(kinds(one)).toEqual(['hold-lost']);
    expect(one.lost()).toEqual(['HOLD_TAKEN']);
  });

  it('when its first message has failed since', async () => {
    const { setup, one, two, holds } = await twiceGiven((holder) => void holder.nack(at(holder.all, 0)));
    two.creditMessages = 0;
    void one.attach(setup.partition, 1, holds.one);
    await turn(setup);
    expect(one.lost()).toEqual(['HOLD_EXPIRED']);
  });

  it('when its session was given up', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 a2');
    const holds = one.holds();
    await nextLeader(setup);
    // It takes nothing, and is waited for.
    await consumer(setup, 'two', 0);
    await pass(setup, GONE_MILLISECONDS);
    expect([...(standing(setup)?.sessions ?? [])]).toEqual(['session-two']);
    await nextLeader(setup);
    void one.attach(setup.partition, 1, holds);
    await turn(setup);
    expect(one.lost()).toEqual(['HOLD_EXPIRED']);
  });

  it('when its group was rewound', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 a2 a3');
    one.ack(at(one.all, 1));
    await progress(setup);
    const holds = one.holds().map((hold) => ({ ...hold, settledSequence: 2 }));
    expect(holds).toMatchObject([{ headOffset: 2, lastSequence: 3 }]);
    // Its stream is broken, and so it does not hear of it.
    void one.attachment?.detach('broken');
    const action = { type: 'rewind', sequence: 1, who: 'ops', why: 'a test' } as const;
    const rewound = setup.partition.administration.act(
      1 as SubscriptionId,
      'a',
      action,
      setup.clock.time + 1_000,
    );
    await progress(setup);
    await rewound;
    await nextLeader(setup);
    void one.attach(setup.partition, 1, holds);
    await turn(setup);
    expect(one.lost()).toEqual(['GROUP_REWOUND']);
    await pass(setup, GONE_MILLISECONDS);
    expect(one.contents().slice(3)).toEqual(['a:1', 'a:2', 'a:3']);
  });

  it('but not when it had settled all that it was given', async () => {
    const { setup, one, holds } = await twiceGiven((two) => two.ackAll());
    const [hold] = holds.one;
    if (hold === undefined) throw new Error('it holds nothing');
    void one.attach(setup.partition, 1, [{ ...hold, headOffset: -1, headAttempt: 0 }]);
    await turn(setup);
    expect(kinds(one)).toEqual(['held']);
  });
});
