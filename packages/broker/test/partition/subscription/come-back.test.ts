import { describe, expect, it } from 'vitest';
import type { PartitionSubscriptions } from '../../../src/partition/subscription/partition-subscriptions.ts';
import type { SubscriptionId } from '../../../src/subscription-contracts.ts';
import { type Setup, settle } from '../setup.ts';
import { type Delivered, FakeConsumer } from './fake-consumer.ts';
import { consumer, nextLeader, pass, produce, progress, subscribed, turn } from './subscribed.ts';

describe('a holder after a change of leader', () => {
  it('keeps its groups when its open stream is there first and says only then what it holds', async () => {
    const setup = await subscribed();
    const first = await consumer(setup, 'one');
    await produce(setup, 'a1 a2 b1');
    const other = await consumer(setup, 'two');
    const holds = first.holds();
    await nextLeader(setup);
    // The streams were open before: they are attached, and have not said what they hold.
    for (const one of [first, other]) void one.attach(setup.partition, 1, null);
    await turn(setup);
    first.creditMessages = 1000;
    await pass(setup, 100);
    expect(other.contents()).toEqual([]);
    void first.attach(setup.partition, 1, holds);
    void other.attach(setup.partition, 1, []);
    await pass(setup, 20);
    const kinds = first.events.map(({ type }) => type);
    expect(kinds.filter((type) => type === 'held')).toHaveLength(2);
    expect(kinds).not.toContain('hold-lost');
    expect(other.contents()).toEqual([]);
  });

  it('is given them again after its time, when it says nothing, and stays attached', async () => {
    const setup = await subscribed();
    const first = await consumer(setup, 'one');
    await produce(setup, 'a1');
    await nextLeader(setup);
    void first.attach(setup.partition, 1, null);
    await pass(setup, 1000);
    expect(first.contents()).toEqual(['a:1']);
    await pass(setup, 1500);
    await pass(setup, 20);
    expect(first.contents()).toEqual(['a:1', 'a:1']);
    const { subscriptions } = setup.partition.state;
    expect(subscriptions.get(1)?.sessions.has(first.session)).toBe(true);
  });
});

/** The next generation is proposed, and not committed. */
async function beginAnew(setup: Setup): Promise<{ readonly done: Promise<unknown> }> {
  setup.definitions.change(1, { generation: 2 });
  const start = { kind: 0, offset: 0, time: 0 };
  const step = {
    type: 'pin',
    operation: 1,
    subscription: 1 as SubscriptionId,
    generation: 2,
    start,
  } as const;
  const done = setup.partition.administration.positionStep(step, setup.clock.time + 1_000);
  await settle();
  return { done };
}

describe('a consumer that is being attached', () => {
  it('stays known when it comes again before it is applied that it left', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one');
    const { sessions } = setup.partition.state.subscriptions.get(1) ?? { sessions: new Set() };
    void one.attachment?.detach('clean');
    await settle();
    await settle();
    expect(setup.shard.log.length).toBeGreaterThan(setup.shard.committed);
    const again = one.attach(setup.partition);
    await settle();
    await turn(setup);
    await again;
    expect([...sessions]).toEqual(['session-one']);
  });

  it('attaches anew when the subscription begins anew meanwhile, and is given nothing before', async () => {
    const setup = await subscribed();
    await produce(setup, 'a1');
    const one = new FakeConsumer('one');
    const attaching = expect(one.attach(setup.partition)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    await settle();
    const pinned = await beginAnew(setup);
    await turn(setup);
    await Promise.all([attaching, pinned.done]);
    const { dispatch } = setup.partition;
    expect((dispatch as PartitionSubscriptions).desk(1 as SubscriptionId)?.consumers).toEqual([]);
    const two = await consumer(setup, 'two');
    expect(two.contents()).toEqual(['a:1']);
  });

  it('is told so when the subscription begins anew before it could be answered what it named', async () => {
    const setup = await subscribed();
    await produce(setup, 'a1');
    const one = await consumer(setup, 'one');
    const pinned = await beginAnew(setup);
    setup.definitions.change(1, { generation: 1 });
    await one.attach(setup.partition);
    setup.shard.commit();
    await turn(setup);
    await pinned.done;
    expect(one.events).toContainEqual({ type: 'leadership-ended' });
  });

  it('is answered when its hold ends before its group is found, also in a subscription that is paused', async () => {
    const setup = await subscribed({ holdMilliseconds: 1_000 }, {}, { tailBytesMax: 10 });
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1');
    await produce(setup, 'b1');
    setup.source.empty = true;
    await nextLeader(setup);
    void one.attach(setup.partition, 1, one.holds());
    await turn(setup);
    setup.definitions.change(1, { paused: true });
    const held = one.events.find((event) => event.type === 'held' && event.group === 'a');
    if (held?.type !== 'held') throw new Error('a was not kept');
    const row = one.ack({ ...one.all[0], epoch: held.tokenEpoch, counter: held.tokenCounter } as Delivered);
    await pass(setup, 500);
    expect(one.refused.get(row)).toBeUndefined();
    await pass(setup, 1_000);
    expect(one.refused.get(row)).toBe('HOLD_LOST');
  });

  it('stays known when the core refused at first that it left', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one');
    setup.shard.refuseWith = 'tooMuchUncommitted';
    void one.attachment?.detach('clean');
    await settle();
    await settle();
    setup.shard.refuseWith = null;
    const again = one.attach(setup.partition);
    await settle();
    await pass(setup, 10);
    await again;
    expect([...(setup.partition.state.subscriptions.get(1)?.sessions ?? [])]).toEqual(['session-one']);
  });

  it('loses a paused group of which it lacks what was on its way, and settles the others at once', async () => {
    const setup = await subscribed();
    await produce(setup, 'a1 a2 b1');
    const one = await consumer(setup, 'one');
    const holds = one.holds().map((hold) => ({ ...hold, lastSequence: 1 }));
    await one.attachment?.detach('broken');
    const action = { type: 'pause', who: '', why: '' } as const;
    const paused = setup.partition.administration.act(
      1 as SubscriptionId,
      'a',
      action,
      setup.clock.time + 1_000,
    );
    await turn(setup);
    await paused;
    void one.attach(setup.partition, 1, holds);
    await turn(setup);
    const kinds = one.events.map((event) => ('group' in event ? `${event.group} ${event.type}` : event.type));
    expect(kinds).toEqual(expect.arrayContaining(['a hold-lost', 'b held']));
    const held = one.events.find((event) => event.type === 'held');
    const last = one.all.find(({ content }) => content === 'b:1');
    if (held?.type !== 'held' || last === undefined) throw new Error('b was not kept');
    one.ack({ ...last, counter: held.tokenCounter });
    await progress(setup);
    expect(one.unanswered).toBe(0);
    expect(one.refused.size).toBe(0);
  });
});
