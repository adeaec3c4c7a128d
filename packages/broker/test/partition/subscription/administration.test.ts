import { describe, expect, it } from 'vitest';
import type { GroupAction, SubscriptionId } from '../../../src/subscription-contracts.ts';
import { definition } from '../fake-definitions.ts';
import type { Setup } from '../setup.ts';
import { consumer, nextLeader, pass, pin, produce, progress, subscribed, turn } from './subscribed.ts';

const ID = 1 as SubscriptionId;
const ACTOR = { who: 'me', why: 'because' };

/** What an answer comes to, everything that can happen having happened. */
async function answer<T>(setup: Setup, work: Promise<T>): Promise<T> {
  const caught = work.catch((error: unknown) => error as never);
  await turn(setup);
  const value = await caught;
  if (value instanceof Error) throw value;
  return value;
}

const deadline = (setup: Setup): number => setup.clock.time + 1_000;
const act = (setup: Setup, group: string, action: GroupAction) =>
  answer(setup, setup.partition.administration.act(ID, group, action, deadline(setup)));
const explain = (setup: Setup, group: string) =>
  answer(setup, setup.partition.administration.explain(ID, group, deadline(setup)));
const lag = (setup: Setup, top = 10) =>
  answer(setup, setup.partition.administration.lag(ID, top, deadline(setup)));

/** Group b has failed for good at its first message; a is settled, c is not delivered. */
async function parked(): Promise<Setup> {
  const setup = await subscribed({ maxDeliveries: 1 });
  await produce(setup, 'a1 b1 b2 b3');
  const one = await consumer(setup, 'one');
  const head = one.open.find(({ content }) => content === 'b:1');
  if (head === undefined) throw new Error('b:1 was not delivered');
  one.nack(head, 0, 'poison');
  one.ackAll();
  await progress(setup);
  return setup;
}

describe('administration of a subscription in a partition', () => {
  it('pins nothing for a subscription that this node does not know', async () => {
    const setup = await subscribed();
    await expect(pin(setup, 9)).rejects.toMatchObject({ code: 'NOT_READY' });
    setup.definitions.set(definition(9));
    expect(await pin(setup, 9)).toEqual({ generation: 1, floor: 0 });
  });

  it.each([
    [{ kind: 0, offset: 0, time: 0 }, 0],
    [{ kind: 1, offset: 0, time: 0 }, 3],
    [{ kind: 2, offset: 2, time: 0 }, 2],
    [{ kind: 2, offset: 99, time: 0 }, 3],
    [{ kind: 3, offset: 0, time: 1_700_000_000_500 }, 2],
    [{ kind: 3, offset: 0, time: 1_800_000_000_000 }, 3],
  ])('pins the start %j at offset %i', async (start, floor) => {
    const setup = await subscribed();
    await produce(setup, 'a1 a2');
    await pass(setup, 1_000);
    await produce(setup, 'a3');
    setup.definitions.set(definition(2));
    expect(await pin(setup, 2, 1, start)).toEqual({ generation: 1, floor });
    // Asked again it says what is in force.
    await produce(setup, 'a4');
    expect(await pin(setup, 2, 1, start)).toEqual({ generation: 1, floor });
  });

  it('says what a reset would deliver again and leave out', async () => {
    const setup = await parked();
    const preview = (offset: number) =>
      answer(
        setup,
        setup.partition.administration.preview(ID, { kind: 2, offset, time: 0 }, deadline(setup)),
      );
    expect(await preview(0)).toMatchObject({ to: 0, repeated: 1, skipped: 0 });
    expect(await preview(3)).toMatchObject({ to: 3, repeated: 0, skipped: 2 });
    expect(await preview(4)).toMatchObject({ to: 4, repeated: 0, skipped: 3 });
  });

  it('counts lag, the oldest message, and the groups that lag most', async () => {
    const setup = await parked();
    await pass(setup, 500);
    await produce(setup, 'c1');
    const status = await lag(setup);
    expect(status).toMatchObject({
      unsettled: 4,
      groupsBehind: 1,
      groupsParked: 1,
      groupsHeld: 1,
      consumers: 1,
      lost: 0,
    });
    expect(status.oldestUnsettledMilliseconds).toBeGreaterThanOrEqual(500);
    expect(status.top).toEqual([
      { group: 'b', unsettled: 3, state: 4 },
      { group: 'c', unsettled: 1, state: 2 },
    ]);
    expect((await lag(setup, 1)).top).toHaveLength(1);
  });

  it('explains what each group does and what happens next', async () => {
    const setup = await parked();
    await produce(setup, 'c1');
    expect(await explain(setup, 'a')).toMatchObject({ state: 0, settledSequence: 1, lastSequence: 1 });
    expect(await explain(setup, 'b')).toMatchObject({
      state: 4,
      failures: 1,
      why: 'poison',
      settledSequence: 0,
    });
    expect(await explain(setup, 'c')).toMatchObject({ state: 2, consumer: 'one', deliveredSequence: 1 });
    await expect(explain(setup, 'nobody')).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' });
  });

  it('does not pass what another group still has to tell: the next leader delivers it', async () => {
    const setup = await subscribed();
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 b1');
    const [first] = one.all;
    if (first === undefined) throw new Error('nothing came');
    // The row of a is told with the next progress command, which this leader does not live to propose.
    one.nack(first);
    await act(setup, 'b', { type: 'pause', ...ACTOR });
    await nextLeader(setup);
    const two = await consumer(setup, 'two');
    await pass(setup, 2_100);
    expect(two.contents()).toEqual(['a:1']);
  });

  it('is refused when leadership ended while it read, also when this replica leads again', async () => {
    const setup = await subscribed({}, {}, { tailBytesMax: 10 });
    const one = await consumer(setup, 'one');
    await produce(setup, 'a1 a2');
    await produce(setup, 'b1 b2 b3');
    one.ackAll();
    await progress(setup);
    let goOn: () => void = () => {};
    const hanging = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const { source } = setup;
    const readGroup = source.readGroup.bind(source);
    source.readGroup = (...wanted) => hanging.then(() => readGroup(...wanted));
    const action = { type: 'rewind', sequence: 1, ...ACTOR } as const;
    const refused = expect(
      setup.partition.administration.act(ID, 'a', action, deadline(setup)),
    ).rejects.toMatchObject({ code: 'NOT_LEADER' });
    await turn(setup);
    await nextLeader(setup);
    goOn();
    await turn(setup);
    await refused;
    expect(setup.partition.state.subscriptions.get(1)).toMatchObject({ floor: 5, done: 5 });
  });

  it('lists what was done to groups, its own doing included', async () => {
    const setup = await parked();
    await act(setup, 'b', { type: 'retry', headSequence: 1, ...ACTOR });
    const actions = await answer(setup, setup.partition.administration.actions(ID, 'b', 10, deadline(setup)));
    expect(actions.map(({ action, who, why, sequence }) => [action, who, why, sequence])).toEqual([
      ['resolve-retry', 'me', 'because', 1],
      ['park', '', 'poison', 1],
    ]);
  });

  it.each([
    [{ type: 'retry', headSequence: 2, ...ACTOR }, 'b', 'HEAD_CHANGED'],
    [{ type: 'retry', headSequence: 0, ...ACTOR }, 'a', 'GROUP_NOT_PARKED'],
    [{ type: 'rewind', sequence: 1, ...ACTOR }, 'b', 'GROUP_PARKED'],
    [{ type: 'rewind', sequence: 9, ...ACTOR }, 'a', 'SEQUENCE_OUT_OF_RANGE'],
    [{ type: 'skip', headSequence: 0, ...ACTOR }, 'nobody', 'UNKNOWN_GROUP'],
  ] as const)('refuses %j of group %s as %s', async (action, group, code) => {
    const setup = await parked();
    await expect(act(setup, group, action)).rejects.toMatchObject({ code });
  });

  it.each([
    ['retry', { settled: 0, waiting: 3 }, ['b:1', 'b:2', 'b:3']],
    ['skip', { settled: 1, waiting: 2 }, ['b:2', 'b:3']],
    ['discard', { settled: 3, waiting: 0 }, []],
  ] as const)('takes a parked group up by %s', async (type, result, delivered) => {
    const setup = await parked();
    const two = await consumer(setup, 'two');
    expect(await act(setup, 'b', { type, headSequence: 1, ...ACTOR })).toEqual(result);
    await turn(setup);
    const seen = [...two.contents()];
    expect(seen.length === 0 || seen[0] === delivered[0]).toBe(true);
    expect((await lag(setup)).groupsParked).toBe(0);
  });

  it('stops a group that is paused, whoever holds it, and goes on behind what was settled', async () => {
    const setup = await subscribed();
    await produce(setup, 'a1 a2');
    const one = await consumer(setup, 'one');
    await act(setup, 'a', { type: 'pause', ...ACTOR });
    await produce(setup, 'a3');
    one.ackAll();
    await progress(setup);
    expect(one.contents()).toEqual(['a:1', 'a:2']);
    expect(await explain(setup, 'a')).toMatchObject({ state: 5, settledSequence: 2, why: 'because' });
    expect(await act(setup, 'a', { type: 'pause', ...ACTOR })).toEqual({ settled: 0, waiting: 1 });
    await act(setup, 'a', { type: 'resume', ...ACTOR });
    await turn(setup);
    expect(one.contents()).toEqual(['a:1', 'a:2', 'a:3']);
  });

  it('delivers a group again from a sequence on, and takes it from whoever holds it', async () => {
    const setup = await subscribed();
    await produce(setup, 'a1 a2 a3');
    const one = await consumer(setup, 'one');
    const [, second] = one.open;
    if (second === undefined) throw new Error('a:2 was not delivered');
    one.ack(second);
    await progress(setup);
    expect(await act(setup, 'a', { type: 'rewind', sequence: 1, ...ACTOR })).toEqual({
      settled: 0,
      waiting: 3,
    });
    await turn(setup);
    expect(one.lost()).toEqual(['GROUP_REWOUND']);
    expect(one.contents()).toEqual(['a:1', 'a:2', 'a:3', 'a:1', 'a:2', 'a:3']);
    expect((await lag(setup)).unsettled).toBe(3);
  });
});
