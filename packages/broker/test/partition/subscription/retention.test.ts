import { describe, expect, it } from 'vitest';
import { neededFrom } from '../../../src/partition/subscription/needed-records.ts';
import type { SubscriptionId } from '../../../src/subscription-contracts.ts';
import { definition, FakeDefinitions } from '../fake-definitions.ts';
import { type Setup, settle } from '../setup.ts';
import { consumer, pass, produce, progress, remove, subscribed, turn } from './subscribed.ts';

/** What was stored below an offset may go, but for subscriptions. */
function closeFirstSegment(setup: Setup, nextOffset: number): void {
  const common = { lastTimestamp: setup.clock.wall - 900, bytes: 100 };
  const lastIndex = setup.shard.committed;
  setup.source.list = [
    { ...common, lastIndex: lastIndex - 1, nextOffset, closed: true },
    { ...common, lastIndex, nextOffset: setup.partition.highWatermark, closed: false },
  ];
  setup.retention = { retentionMilliseconds: 600, retentionBytes: 1 };
}

const lag = async (setup: Setup) => {
  const answer = setup.partition.administration.lag(1 as SubscriptionId, 10, setup.clock.time + 1_000);
  await turn(setup);
  return answer;
};

describe('a subscription and retention', () => {
  it('is told of what was removed before it was looked at, counts it, and goes on', async () => {
    const setup = await subscribed();
    await produce(setup, 'a1 a2 b1 a3');
    await remove(setup, 3);
    const one = await consumer(setup, 'one');
    expect(one.events).toContainEqual({
      type: 'fell-behind',
      group: '',
      life: 0,
      firstSequence: 1,
      lastSequence: 3,
    });
    expect(one.contents()).toEqual(['a:3']);
    one.ackAll();
    await turn(setup);
    await progress(setup);
    expect(await lag(setup)).toMatchObject({ lost: 3, unsettled: 0 });
  });

  it('is told of the gap in a group that was not read on in time', async () => {
    const setup = await subscribed({}, { groupInFlightMax: 2, groupReadAheadMax: 2 }, { tailBytesMax: 10 });
    for (const words of ['a1 a2', 'a3 a4', 'a5', 'a6', 'b1']) await produce(setup, words);
    const one = await consumer(setup, 'one');
    expect(one.contents()).toEqual(['a:1', 'a:2', 'b:1']);
    await remove(setup, 5);
    one.ackAll();
    await turn(setup);
    expect(one.events).toEqual([
      { type: 'fell-behind', group: 'a', life: 1, firstSequence: 3, lastSequence: 5 },
    ]);
    expect(one.contents().at(-1)).toBe('a:6');
    one.ackAll();
    await turn(setup);
    await progress(setup);
    expect(await lag(setup)).toMatchObject({ unsettled: 0 });
    expect((await lag(setup)).lost).toBe(3);
  });

  it('keeps what it has not settled when it retains that, the furthest group included', async () => {
    const setup = await subscribed({ maxDeliveries: 1 });
    const definitions = new FakeDefinitions();
    const needed = () => neededFrom(definitions, setup.partition.state.subscriptions);
    definitions.set(definition(1));
    expect(needed()).toBe(Number.POSITIVE_INFINITY);
    definitions.change(1, { retainUnread: true });
    expect(needed()).toBe(0);
    await produce(setup, 'a1 b1 b2 c1');
    const one = await consumer(setup, 'one');
    const [first] = one.open.filter(({ content }) => content === 'b:1');
    if (first === undefined) throw new Error('b:1 was not delivered');
    one.nack(first);
    one.ackAll();
    await turn(setup);
    await progress(setup);
    // b is parked at its head, all else is settled.
    expect(needed()).toBe(1);
  });

  it('is taken to retain while the leader has not heard of its definition, until it hears of its deletion', async () => {
    const setup = await subscribed();
    const { definitions } = setup;
    const needed = () => neededFrom(definitions, setup.partition.state.subscriptions);
    expect(needed()).toBe(Number.POSITIVE_INFINITY);
    definitions.lag(1);
    expect(needed()).toBe(0);
    definitions.remove(1);
    expect(needed()).toBe(Number.POSITIVE_INFINITY);
    expect(setup.partition.state.subscriptions.get(1)).toBeDefined();
    await pass(setup, 10_000);
    expect(setup.partition.state.subscriptions.get(1)).toBeUndefined();
  });

  it('keeps what a rewind or a pin needs that is accepted and not applied', async () => {
    const setup = await subscribed({ retainUnread: true });
    await produce(setup, 'a1 a2');
    await produce(setup, 'b1');
    closeFirstSegment(setup, 1);
    const one = await consumer(setup, 'one');
    one.ackAll();
    await progress(setup);
    const { administration } = setup.partition;
    const retained = async (back: () => Promise<unknown>): Promise<number> => {
      const done = back();
      setup.shard.confirmReads();
      await settle();
      setup.clock.advance(10_000);
      await turn(setup);
      await done;
      return setup.partition.lowWatermark;
    };
    const deadline = setup.clock.time + 60_000;
    const rewind = { type: 'rewind', sequence: 1, who: '', why: '' } as const;
    const id = 1 as SubscriptionId;
    expect(await retained(() => administration.act(id, 'a', rewind, deadline))).toBe(0);
    one.ackAll();
    const start = { kind: 0, offset: 0, time: 0 };
    setup.definitions.change(1, { generation: 2 });
    const pin = { type: 'pin', operation: 2, subscription: id, generation: 2, start } as const;
    expect(await retained(() => administration.positionStep(pin, deadline))).toBe(0);
  });

  it('keeps the segments that it needs, and lets them go when it needs them no more', async () => {
    const setup = await subscribed({ retainUnread: true });
    await produce(setup, 'a1 a2');
    await produce(setup, 'b1');
    closeFirstSegment(setup, 2);
    const retain = async (): Promise<number> => {
      setup.clock.advance(10_000);
      await turn(setup);
      return setup.partition.lowWatermark;
    };
    expect(await retain()).toBe(0);
    const one = await consumer(setup, 'one');
    one.ackAll();
    await turn(setup);
    await progress(setup);
    expect(await retain()).toBe(2);
  });
});
