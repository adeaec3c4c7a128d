import { describe, expect, it } from 'vitest';
import type { GroupAction, SubscriptionId } from '../../../src/subscription-contracts.ts';
import { store } from '../appending.ts';
import { type Setup, settle } from '../setup.ts';
import type { Delivered, FakeConsumer } from './fake-consumer.ts';
import { consumer, nextLeader, pass, produce, progress, remove, subscribed, turn } from './subscribed.ts';

const ID = 1 as SubscriptionId;
const ACTOR = { who: 'me', why: 'because' };

const ask = (setup: Setup, group: string, action: GroupAction) => {
  const asked = setup.partition.administration.act(ID, group, action, setup.clock.time + 1_000);
  asked.catch(() => {});
  return asked;
};
const act = async (setup: Setup, group: string, action: GroupAction) => {
  const asked = ask(setup, group, action);
  await turn(setup);
  return asked;
};
const listParked = async (setup: Setup) => {
  const asked = setup.partition.administration.parked(ID, null, setup.clock.time + 1_000);
  await turn(setup);
  return asked;
};
const row = (setup: Setup, key: number) => {
  const rows = setup.partition.state.subscriptions.get(1)?.rows;
  const at = rows?.find(key) ?? -1;
  return at < 0 ? undefined : rows?.row(at);
};
const applied = (setup: Setup) => setup.partition.state.subscriptions.get(1);

function fail(one: FakeConsumer, content: string): void {
  const message = one.open.find((open) => open.content === content);
  if (message === undefined) throw new Error(`${content} was not delivered`);
  one.nack(message, 0, 'poison');
}

/** Group b is parked at its first message of three; a is settled. */
async function parked(one: { consumer?: FakeConsumer } = {}): Promise<Setup> {
  const setup = await subscribed({ maxDeliveries: 1 }, {}, { tailBytesMax: 10 });
  await produce(setup, 'a1 b1');
  await produce(setup, 'b2 b3');
  one.consumer = await consumer(setup, 'one');
  fail(one.consumer, 'b:1');
  one.consumer.ackAll();
  await progress(setup);
  return setup;
}

describe("an operator's action", () => {
  it('sees what the one before it did, also when both were let go by one confirmation', async () => {
    const setup = await parked();
    setup.shard.confirmed = false;
    const first = ask(setup, 'b', { type: 'skip', headSequence: 1, ...ACTOR });
    const second = ask(setup, 'b', { type: 'skip', headSequence: 1, ...ACTOR });
    const third = ask(setup, 'b', { type: 'pause', ...ACTOR });
    setup.shard.confirmed = true;
    await turn(setup);
    expect(await first).toEqual({ settled: 1, waiting: 2 });
    await expect(second).rejects.toMatchObject({ code: 'GROUP_NOT_PARKED' });
    // It had nothing to read, and so came first.
    expect(await third).toEqual({ settled: 0, waiting: 3 });
    await progress(setup);
    expect(row(setup, 2)).toMatchObject({ settled: 1, flags: 5 });
  });

  it('is not answered as done while the one that did it may still be lost', async () => {
    const setup = await parked();
    const first = ask(setup, 'b', { type: 'pause', ...ACTOR });
    await settle();
    const second = ask(setup, 'b', { type: 'pause', ...ACTOR });
    await settle();
    setup.shard.lose(setup.shard.committed);
    await turn(setup);
    await expect(first).rejects.toMatchObject({ code: 'NOT_COMMITTED' });
    await expect(second).rejects.toMatchObject({ code: 'NOT_COMMITTED' });
  });

  it('is refused when where the group stands can not be read, and settles nothing', async () => {
    const setup = await subscribed({ maxDeliveries: 1 }, { readAheadBytesMax: 1 }, { tailBytesMax: 10 });
    await produce(setup, 'a1 a2');
    await produce(setup, 'c1 c2 c3');
    setup.source.empty = true;
    await expect(act(setup, 'a', { type: 'pause', ...ACTOR })).rejects.toMatchObject({ code: 'NOT_READY' });
    setup.source.empty = false;
    const one = await consumer(setup, 'one');
    await pass(setup, 200);
    expect(one.contents().filter((content) => content[0] === 'a')).toEqual(['a:1', 'a:2']);
  });

  it.each(['skip', 'retry'] as const)(
    'delivers by %s what lies behind a head that retention removed',
    async (type) => {
      const found: { consumer?: FakeConsumer } = {};
      const setup = await parked(found);
      await remove(setup, 2);
      const [group] = await listParked(setup);
      expect(group).toMatchObject({ headSequence: 1, waiting: 3 });
      const replacement = new Uint8Array(8);
      const replace = { type: 'replace', headSequence: 1, replacement, ...ACTOR } as const;
      await expect(act(setup, 'b', replace)).rejects.toMatchObject({ code: 'HEAD_CHANGED' });
      expect(await act(setup, 'b', { type, headSequence: 1, ...ACTOR })).toMatchObject({ settled: 0 });
      expect(found.consumer?.contents().slice(-2)).toEqual(['b:2', 'b:3']);
      expect(found.consumer?.events).toContainEqual(
        expect.objectContaining({ type: 'fell-behind', group: 'b', firstSequence: 1, lastSequence: 1 }),
      );
      found.consumer?.ackAll();
      await progress(setup);
      expect(applied(setup)).toMatchObject({ floor: 4, done: 4, lost: 1 });
    },
  );

  it('counts messages without group by what they are, not by their places', async () => {
    const setup = await subscribed({ maxDeliveries: 1 });
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 a2');
    await store(setup, [{ group: '', values: [':1'] }], { id: 0, epoch: 0 });
    await turn(setup);
    fail(one, ':1');
    await progress(setup);
    await produce(setup, 'b1 b2');
    await store(setup, [{ group: '', values: [':2'] }], { id: 0, epoch: 0 });
    await turn(setup);
    await progress(setup);
    expect(applied(setup)).toMatchObject({ done: 0 });
    expect(await act(setup, '', { type: 'discard', headSequence: 3, ...ACTOR })).toEqual({
      settled: 2,
      waiting: 0,
    });
    expect(applied(setup)).toMatchObject({ done: 2 });
    expect(await act(setup, '', { type: 'rewind', sequence: 3, ...ACTOR })).toMatchObject({ waiting: 1 });
    expect(applied(setup)).toMatchObject({ done: 0 });
    expect(one.contents().filter((content) => content[0] === ':')).toEqual([':1', ':1', ':2']);
    one.ackAll();
    await progress(setup);
    expect(applied(setup)).toMatchObject({ done: 6, floor: 6 });
  });

  it('keeps why a parked group failed when it is paused and resumed', async () => {
    const setup = await parked();
    const since = (await listParked(setup))[0]?.since;
    await pass(setup, 1_000);
    await act(setup, 'b', { type: 'pause', ...ACTOR });
    expect(await listParked(setup)).toMatchObject([{ group: 'b', reason: 'poison', since }]);
    await act(setup, 'b', { type: 'resume', ...ACTOR });
    await nextLeader(setup);
    expect(await listParked(setup)).toMatchObject([{ group: 'b', reason: 'poison', since }]);
  });

  it('pauses a group whose holder came back and is not found yet, and goes on behind what was settled', async () => {
    const setup = await subscribed({}, {}, { tailBytesMax: 10 });
    const one = await consumer(setup, 'one');
    await produce(setup, 'b1 b2');
    one.ackAll();
    await progress(setup);
    await produce(setup, 'b3');
    await produce(setup, 'c1');
    const holds = one.holds();
    const { source } = setup;
    const read = source.read.bind(source);
    source.read = () => Promise.resolve([]);
    await nextLeader(setup);
    void one.attach(setup.partition, 1, holds);
    await turn(setup);
    await act(setup, 'b', { type: 'pause', ...ACTOR });
    source.read = read;
    await act(setup, 'b', { type: 'resume', ...ACTOR });
    await pass(setup, 500);
    expect(one.events).toContainEqual(
      expect.objectContaining({ type: 'held', group: 'b', tokenEpoch: 3, tokenCounter: 1 }),
    );
    one.ack({ ...one.all[2], epoch: 3, counter: 1 } as Delivered);
    await progress(setup);
    expect(one.refused.size).toBe(0);
    expect(applied(setup)).toMatchObject({ done: 3 });
  });
});
