import { describe, expect, it } from 'vitest';
import { RUN_DUPLICATE, RUN_REFUSED, RUN_STORED, RUN_UNKNOWN } from '../../src/contracts.ts';
import { groupNames } from '../../src/partition/group-names.ts';
import { GroupRecords } from '../../src/partition/group-records.ts';
import { writeImage } from '../../src/partition/image-codec.ts';
import { SubscriptionsState } from '../../src/partition/subscription/subscription-state.ts';
import { DEADLINE, leading, P1, P2, send, store } from './appending.ts';
import { batch } from './batches.ts';
import { peek, receipt, replay, settle, setUp } from './setup.ts';

const ZEROES = { appliedIndex: 0, nextOffset: 0, lowWatermark: 0, firstIndex: 0, lastTimestamp: 0 };

describe('a partition leader whose leadership is in doubt', () => {
  it('answers NOT_LEADER at once when it does not lead', async () => {
    const setup = await setUp();
    expect(await send(setup, [{ group: 'a', sequence: 1, values: ['1'] }])).toMatchObject({
      type: 'refusal',
      code: 'NOT_LEADER',
      notApplied: true,
    });
  });

  it('proposes nothing before its no-op is applied, and then what waited', async () => {
    const setup = await setUp();
    setup.shard.lead();
    const answer = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.turn();
    expect(setup.shard.proposed).toBe(0);
    setup.shard.commit();
    setup.clock.turn();
    setup.shard.commit();
    expect(await answer).toMatchObject({ status: [RUN_STORED] });
  });

  it('does not let a batch wait long for a leader that does not get confirmed', async () => {
    const setup = await setUp();
    setup.shard.lead();
    const answer = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.advance(100);
    expect(await answer).toMatchObject({ code: 'NOT_LEADER', notApplied: true });
  });

  it('says not applied for what another leader overwrote, and stores the retry as new', async () => {
    const setup = await leading();
    const answer = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.turn();
    setup.shard.lose(1);
    setup.shard.commit();
    expect(await answer).toMatchObject({ code: 'NOT_LEADER', notApplied: true });
    setup.shard.leadConfirmed();
    const again = await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    expect(again).toMatchObject({ status: [RUN_STORED], firstOffset: [0], firstSequence: [1] });
    expect(replay(setup.shard).hash()).toBe(setup.partition.state.hash());
  });

  it('knows a run as a duplicate that the next leader committed for it', async () => {
    const setup = await leading();
    const answer = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.turn();
    setup.shard.lose();
    setup.shard.commit();
    expect(await answer).toMatchObject({ status: [RUN_STORED] });
    setup.shard.leadConfirmed();
    expect(await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }])).toMatchObject({
      status: [RUN_DUPLICATE],
    });
  });

  it('tells a committed duplicate apart from a run that was overwritten', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    void send(setup, [{ group: 'c', sequence: 1, values: ['c'] }]);
    setup.clock.turn();
    const answer = send(setup, [
      { group: 'a', sequence: 1, values: ['1'] },
      { group: 'b', sequence: 1, values: ['2'] },
      { group: 'c', sequence: 1, values: ['c'] },
    ]);
    setup.clock.turn();
    setup.shard.lose(2);
    setup.shard.commit();
    expect(await answer).toMatchObject({
      status: [RUN_DUPLICATE, RUN_REFUSED, RUN_UNKNOWN],
      errors: [{ code: 'NOT_LEADER' }, { code: 'NOT_COMMITTED' }],
    });
  });

  it('says unknown for what an image jumped over, and not applied for what was only refused by it', async () => {
    const setup = await leading();
    const stored = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.turn();
    const refused = send(setup, [{ group: 'a', sequence: 7, values: ['7'] }]);
    setup.clock.turn();
    setup.shard.confirmReads();
    setup.shard.lose();
    setup.shard.jump();
    expect(await stored).toMatchObject({ code: 'NOT_COMMITTED', notApplied: false });
    expect(await refused).toMatchObject({ code: 'NOT_LEADER', notApplied: true });
  });

  it('takes an unknown group only in a life above those it has forgotten', async () => {
    const setup = await setUp();
    const numbers = { ...ZEROES, highestForgotten: 9 };
    setup.partition.state.restore([
      ...writeImage(numbers, groupNames(), new GroupRecords(), [], new SubscriptionsState()),
    ]);
    setup.shard.leadConfirmed();
    const stale = await store(setup, [{ group: 'a', life: 9, sequence: 1, values: ['1'] }]);
    expect(stale.errors).toMatchObject([{ code: 'STALE_ROUTE' }]);
    const taken = await store(setup, [{ group: 'a', life: 10, sequence: 1, values: ['1'] }]);
    expect(taken.status).toEqual([RUN_STORED]);
    const copy = replay(setup.shard, 0);
    copy.restore([...setup.partition.state.image()]);
    expect(copy.highestForgotten).toBe(9);
  });

  it('answers unknown when the deadline passes before the commit', async () => {
    const setup = await leading();
    const answer = setup.partition.append(batch([{ group: 'a', sequence: 1, values: ['1'] }], P1), 1_500);
    setup.clock.turn();
    setup.clock.advance(499);
    const seen = peek(answer);
    await settle();
    expect(seen.value).toBeUndefined();
    setup.clock.advance(1);
    expect(await answer).toMatchObject({ type: 'refusal', code: 'NOT_COMMITTED', notApplied: false });
    setup.shard.commit();
    expect((await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }])).status).toEqual([
      RUN_DUPLICATE,
    ]);
  });

  it('does not turn in circles when its timer fires a fraction too early', async () => {
    const setup = await leading();
    setup.clock.earliness = 0.4;
    const answer = setup.partition.append(batch([{ group: 'a', sequence: 1, values: ['1'] }], P1), 1_500);
    setup.clock.turn();
    setup.clock.advance(499.7);
    expect(await answer).toMatchObject({ code: 'NOT_COMMITTED', notApplied: false });
  });

  it('answers not applied when the deadline passes before it was proposed', async () => {
    const setup = await leading({ entriesInFlightMax: 1 });
    void send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.turn();
    const answer = setup.partition.append(batch([{ group: 'b', sequence: 1, values: ['1'] }], P1), 1_200);
    setup.clock.advance(200);
    expect(await answer).toMatchObject({ code: 'NOT_COMMITTED', notApplied: true });
    setup.shard.commit();
    setup.clock.turn();
    expect(setup.shard.proposed).toBe(1);
  });

  it('answers all that waits when it closes', async () => {
    const setup = await leading({ entriesInFlightMax: 1 });
    const proposed = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.turn();
    const queued = send(setup, [{ group: 'b', sequence: 1, values: ['1'] }]);
    setup.partition.close();
    expect(await proposed).toMatchObject({ code: 'NOT_COMMITTED', notApplied: false });
    expect(await queued).toMatchObject({ code: 'SHUTTING_DOWN', notApplied: true });
    expect(await send(setup, [])).toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(setup.clock.timers).toBe(0);
  });
});

describe('a partition leader under load', () => {
  it('leaves no trace of an entry that the core refused, and proposes it again', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.shard.refuseWith = 'tooMuchUncommitted';
    const runs = [
      { group: 'a', sequence: 2, values: ['2'] },
      { group: 'b', sequence: 1, values: ['3', '4'] },
    ];
    const answer = send(setup, runs);
    setup.clock.turn();
    setup.shard.refuseWith = null;
    const other = send(setup, [{ group: 'b', sequence: 1, values: ['5'] }], P2);
    setup.clock.advance(10);
    setup.shard.commit();
    expect(await answer).toMatchObject({ firstOffset: [1, 2], firstSequence: [2, 1] });
    expect(await other).toMatchObject({ firstOffset: [4], firstSequence: [3] });
    expect(replay(setup.shard).hash()).toBe(setup.partition.state.hash());
  });

  it('answers NOT_LEADER when the core hands over', async () => {
    const setup = await leading();
    setup.shard.refuseWith = 'transferring';
    const answer = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.turn();
    expect(await answer).toMatchObject({ code: 'NOT_LEADER', notApplied: true });
  });

  it('refuses while the disk is nearly full', async () => {
    const setup = await leading();
    setup.diskHasRoom = false;
    expect(await send(setup, [{ group: 'a', sequence: 1, values: ['1'] }])).toMatchObject({
      code: 'DISK_FULL',
      notApplied: true,
    });
  });

  it('refuses above the limit of unanswered bytes, and takes more when answers went out', async () => {
    const setup = await leading({ unansweredBytesMax: 1_000 });
    const big = [{ group: 'a', sequence: 1, values: ['v'.repeat(900)] }];
    const first = send(setup, big);
    expect(await send(setup, [{ group: 'b', sequence: 1, values: ['v'] }])).toMatchObject({
      code: 'OVERLOADED',
      notApplied: true,
    });
    setup.clock.turn();
    setup.shard.commit();
    await first;
    expect((await store(setup, [{ group: 'b', sequence: 1, values: ['v'] }])).status).toEqual([RUN_STORED]);
  });

  it('keeps order and offsets over many runs of one group in flight', async () => {
    const setup = await leading({ entriesInFlightMax: 1_000 });
    const answers = [];
    for (let n = 0; n < 600; n++) {
      answers.push(setup.partition.append(batch([{ group: 'hot', values: [`${n}`] }]), DEADLINE));
      setup.clock.turn();
      if (n === 300) setup.shard.commit(200);
    }
    setup.shard.commit();
    const sequences = (await Promise.all(answers)).map((answer) => receipt(answer).firstSequence[0]);
    expect(sequences).toEqual(Array.from({ length: 600 }, (_, n) => n + 1));
  });
});
