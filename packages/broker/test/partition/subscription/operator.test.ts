import { describe, expect, it } from 'vitest';
import type { GroupAdministration } from '../../../src/partition/subscription/group-administration.ts';
import type { GroupAction, SubscriptionId } from '../../../src/subscription-contracts.ts';
import { store } from '../appending.ts';
import { type Setup, settle } from '../setup.ts';
import type { FakeConsumer } from './fake-consumer.ts';
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

  it('takes a paused group from a holder that came back and is not found yet, and goes on behind what was settled', async () => {
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
    expect(one.events).toContainEqual(
      expect.objectContaining({ type: 'hold-lost', group: 'b', tokenEpoch: 3, tokenCounter: 1 }),
    );
    source.read = read;
    await act(setup, 'b', { type: 'resume', ...ACTOR });
    await pass(setup, 500);
    expect(one.contents()).toEqual(['b:1', 'b:2', 'b:3', 'c:1', 'b:3']);
    const again = one.all.at(-1);
    if (again !== undefined) one.ack(again);
    await progress(setup);
    expect(one.refused.size).toBe(0);
    expect(applied(setup)).toMatchObject({ done: 3 });
  });

  it('keeps nothing back for good when it is refused', async () => {
    const setup = await subscribed();
    const { administration } = setup.partition;
    const rewind = { type: 'rewind', sequence: 1, ...ACTOR } as const;
    await expect(act(setup, 'nobody', rewind)).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' });
    expect((administration as GroupAdministration).goesBack).toBe(false);
  });

  it('leaves progress going when it comes between a refusal and the next try', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 b1 b2');
    const first = one.all[0];
    if (first === undefined) throw new Error('nothing came');
    one.ack(first);
    setup.shard.refuseWith = 'tooMuchUncommitted';
    setup.clock.advance(6);
    setup.clock.turn();
    setup.shard.refuseWith = null;
    await act(setup, 'b', { type: 'pause', ...ACTOR });
    const [, , second] = one.all;
    if (second === undefined) throw new Error('b:2 was not delivered');
    one.ack(second);
    await progress(setup);
    expect(one.unanswered).toBe(0);
    expect(applied(setup)).toMatchObject({ done: 3 });
  });

  it('replaces the head of the messages without group, and skips none that retention left', async () => {
    const setup = await subscribed({ maxDeliveries: 1 }, {}, { tailBytesMax: 10 });
    const one = await consumer(setup, 'one');
    const ungrouped = async (value: string): Promise<void> => {
      await store(setup, [{ group: '', values: [value] }], { id: 0, epoch: 0 });
      await turn(setup);
    };
    await ungrouped(':1');
    await produce(setup, 'g1');
    await ungrouped(':2');
    const [head] = one.all;
    if (head === undefined) throw new Error('nothing came');
    one.ackAll();
    await ungrouped(':3');
    fail(one, ':3');
    await progress(setup);
    const replacement = Buffer.from(':new');
    await act(setup, '', { type: 'replace', headSequence: 4, replacement, ...ACTOR });
    expect(one.contents().at(-1)).toBe(':new');
    fail(one, ':new');
    await progress(setup);
    await ungrouped(':4');
    await remove(setup, 4);
    const [parkedHead] = await listParked(setup);
    expect(parkedHead).toMatchObject({ group: '', headSequence: 4 });
    expect(await act(setup, '', { type: 'skip', headSequence: 0, ...ACTOR })).toMatchObject({ settled: 0 });
    expect(one.contents().at(-1)).toBe(':4');
  });
});
