import { describe, expect, it } from 'vitest';
import { RUN_DUPLICATE, RUN_REFUSED, RUN_STORED, RUN_UNKNOWN } from '../../src/contracts.ts';
import { AppendHeader } from '../../src/partition/append-header.ts';
import { groupNames } from '../../src/partition/group-names.ts';
import { GroupRecords } from '../../src/partition/group-records.ts';
import { writeImage } from '../../src/partition/image-codec.ts';
import { batch, contents, type RunSpec } from './batches.ts';
import { peek, receipt, replay, type Setup, settle, setUp } from './setup.ts';

const P1 = { id: 11, epoch: 1 };
const P2 = { id: 12, epoch: 1 };
const DEADLINE = 10_000;
const ZEROES = { appliedIndex: 0, nextOffset: 0, lowWatermark: 0, firstIndex: 0, lastTimestamp: 0 };

async function leading(config: Parameters<typeof setUp>[0] = {}): Promise<Setup> {
  const setup = await setUp(config);
  setup.shard.leadConfirmed();
  return setup;
}

function send({ partition }: Setup, runs: readonly RunSpec[], producer = P1): Promise<unknown> {
  return partition.append(batch(runs, producer), DEADLINE);
}

/** Appends and commits. */
async function store(setup: Setup, runs: readonly RunSpec[], producer = P1) {
  const answer = setup.partition.append(batch(runs, producer), DEADLINE);
  setup.clock.turn();
  setup.shard.commit();
  setup.shard.confirmReads();
  return receipt(await answer);
}

describe('a partition leader that stores', () => {
  it('gives dense offsets and sequences per group, and answers after the commit', async () => {
    const setup = await leading();
    const answer = setup.partition.append(
      batch(
        [
          { group: 'a', sequence: 1, values: ['1', '2'] },
          { group: 'b', sequence: 1, values: ['3'] },
        ],
        P1,
      ),
      DEADLINE,
    );
    const seen = peek(answer);
    setup.clock.turn();
    await settle();
    expect(seen.value).toBeUndefined();
    setup.shard.commit();
    expect(receipt(await answer)).toMatchObject({
      status: [RUN_STORED, RUN_STORED],
      firstOffset: [0, 2],
      firstSequence: [1, 1],
      timestamp: setup.clock.wall,
    });
    const second = await store(setup, [{ group: 'a', sequence: 3, values: ['4'] }]);
    expect(second).toMatchObject({ firstOffset: [3], firstSequence: [3] });
    expect(setup.partition.group('a')).toEqual({
      life: 1,
      lastSequence: 3,
      lastOffset: 3,
      lastTimestamp: setup.clock.wall,
    });
    expect(setup.partition.group('c')).toBeNull();
    expect(setup.partition.groupCount()).toBe(2);
  });

  it('merges the batches of one turn into one entry, with bodies byte for byte', async () => {
    const setup = await leading();
    const first = batch([{ group: 'a', sequence: 1, values: ['1'] }], P1);
    const second = batch([{ values: ['plain', 'x'.repeat(300)] }]);
    const third = batch(
      [
        { group: 'a', sequence: 1, values: ['2'] },
        { group: 'b', sequence: 1, values: ['3'] },
      ],
      P2,
    );
    const answers = [first, second, third].map((one) => setup.partition.append(one, DEADLINE));
    setup.clock.turn();
    expect(setup.shard.proposed).toBe(1);
    const data = setup.shard.log.at(-1)?.data ?? new Uint8Array(0);
    const header = new AppendHeader();
    header.read(data);
    expect(Buffer.from(data.subarray(header.bodyStart))).toEqual(
      Buffer.concat([first.body, second.body, third.body]),
    );
    setup.shard.commit();
    expect((await Promise.all(answers)).map((answer) => receipt(answer).firstOffset)).toEqual([
      [0],
      [1],
      [3, 4],
    ]);
    expect(receipt(await (answers[2] as Promise<never>)).firstSequence).toEqual([2, 1]);
  });

  it('pipelines runs of a writer before the earlier ones are committed', async () => {
    const setup = await leading();
    const answers = [];
    for (let sequence = 1; sequence <= 3; sequence++) {
      answers.push(send(setup, [{ group: 'a', sequence, values: [`${sequence}`] }]));
      setup.clock.turn();
    }
    expect(setup.shard.proposed).toBe(3);
    setup.shard.commit();
    expect(await Promise.all(answers)).toMatchObject([
      { firstSequence: [1] },
      { firstSequence: [2] },
      { firstSequence: [3] },
    ]);
  });

  it('cuts entries at the size limit and holds back while too many are in flight', async () => {
    const setup = await leading({ entryBytesMax: 100, entriesInFlightMax: 2 });
    const answers = [];
    for (let n = 1; n <= 6; n++)
      answers.push(send(setup, [{ group: `g${n}`, sequence: 1, values: ['v'.repeat(80)] }]));
    setup.clock.turn();
    expect(setup.shard.proposed).toBe(2);
    setup.shard.commit();
    setup.clock.turn();
    expect(setup.shard.proposed).toBe(4);
    setup.shard.commit();
    setup.clock.turn();
    setup.shard.commit();
    expect(await Promise.all(answers)).toHaveLength(6);
    expect(setup.partition.highWatermark).toBe(6);
  });
});

describe('a partition leader and retries', () => {
  it('answers a retry of the last run with the original receipt', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['0'] }], P2);
    await store(setup, [{ group: 'a', sequence: 1, values: ['1', '2'] }]);
    setup.clock.wall += 5_000;
    const before = setup.shard.log.length;
    const again = await store(setup, [{ group: 'a', sequence: 1, values: ['1', '2'] }]);
    expect(again).toMatchObject({
      status: [RUN_DUPLICATE],
      firstOffset: [1],
      firstSequence: [2],
      timestamp: setup.clock.wall - 5_000,
    });
    expect(setup.shard.log.length).toBe(before);
  });

  it('lets the answer to a duplicate of a run in flight wait for that run', async () => {
    const setup = await leading();
    const first = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    setup.clock.turn();
    const again = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }]);
    const seen = peek(again);
    setup.clock.turn();
    await settle();
    expect(seen.value).toBeUndefined();
    setup.shard.commit();
    expect(await first).toMatchObject({ status: [RUN_STORED], firstOffset: [0] });
    expect(await again).toMatchObject({ status: [RUN_DUPLICATE], firstOffset: [0], firstSequence: [1] });
  });

  it('stores the new runs of a batch whose others are duplicates', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'b', sequence: 1, values: ['old'] }]);
    const answer = await store(setup, [
      { group: 'a', sequence: 1, values: ['1'] },
      { group: 'b', sequence: 1, values: ['old'] },
      { group: 'c', sequence: 1, values: ['2'] },
      { group: 'd', sequence: 1, values: ['3'] },
    ]);
    expect(answer.status).toEqual([RUN_STORED, RUN_DUPLICATE, RUN_STORED, RUN_STORED]);
    expect(answer.firstOffset).toEqual([1, 0, 2, 3]);
    const stretch = await setup.partition.read(0 as never, 1_000, null);
    expect(contents(stretch.body)).toEqual(['bold', 'a1', 'c2', 'd3']);
  });

  it.each([
    ['a gap', { sequence: 5, values: ['x'] }, 'SEQUENCE_GAP'],
    ['an old sequence', { sequence: 1, values: ['1', '2'] }, 'WRITER_UNKNOWN'],
    ['the last run with another content', { sequence: 3, values: ['X'] }, 'WRITER_UNKNOWN'],
    ['the last run with another length', { sequence: 3, values: ['3', '4'] }, 'WRITER_UNKNOWN'],
    ['an older life', { sequence: 4, values: ['4'], life: 6 }, 'STALE_ROUTE'],
  ])('refuses %s and stores nothing', async (_name, run, code) => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1', '2'], life: 7 }]);
    await store(setup, [{ group: 'a', sequence: 3, values: ['3'], life: 7 }]);
    const answer = await store(setup, [{ group: 'a', life: 7, ...run }]);
    expect(answer).toMatchObject({ status: [RUN_REFUSED], errors: [{ run: 0, code }] });
    expect(setup.partition.highWatermark).toBe(3);
  });

  it('refuses the same while the runs it is judged by are in flight', async () => {
    const setup = await leading();
    void send(setup, [{ group: 'a', sequence: 1, values: ['1', '2'] }]);
    setup.clock.turn();
    const gap = send(setup, [{ group: 'a', sequence: 4, values: ['x'] }]);
    const fenced = send(setup, [{ group: 'a', sequence: 3, values: ['x'] }], { id: 11, epoch: 0 });
    const seen = peek(gap);
    setup.clock.turn();
    setup.shard.confirmReads();
    await settle();
    expect(seen.value).toBeUndefined();
    setup.shard.commit();
    expect(await gap).toMatchObject({ errors: [{ code: 'SEQUENCE_GAP' }] });
    expect(await fenced).toMatchObject({ errors: [{ code: 'PRODUCER_FENCED' }] });
  });

  it('gives a refusal only after a majority confirmed that it leads', async () => {
    const setup = await leading();
    const lost = send(setup, [{ group: 'a', sequence: 9, values: ['x'] }]);
    const kept = send(setup, [{ group: 'a', sequence: 9, values: ['x'] }]);
    const seen = peek(kept);
    setup.clock.turn();
    await settle();
    expect(seen.value).toBeUndefined();
    setup.shard.confirmReads(false);
    expect(await lost).toMatchObject({ type: 'refusal', code: 'NOT_LEADER', notApplied: true });
  });

  it('begins a new epoch of a producer at 1 and fences the older one', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1', '2'] }]);
    const next = await store(setup, [{ group: 'a', sequence: 3, values: ['x'] }], { id: 11, epoch: 2 });
    expect(next.errors).toMatchObject([{ code: 'WRITER_UNKNOWN' }]);
    expect(
      (await store(setup, [{ group: 'a', sequence: 1, values: ['x'] }], { id: 11, epoch: 2 })).status,
    ).toEqual([RUN_STORED]);
    expect((await store(setup, [{ group: 'a', sequence: 3, values: ['x'] }])).errors).toMatchObject([
      { code: 'PRODUCER_FENCED' },
    ]);
  });

  it('begins a new life of a group at sequence 1 and forgets the writers of the former', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1', '2'] }]);
    const renewed = send(setup, [{ group: 'a', sequence: 1, values: ['3'], life: 4 }]);
    setup.clock.turn();
    const stale = send(setup, [{ group: 'a', sequence: 3, values: ['4'] }]);
    const next = send(setup, [{ group: 'a', sequence: 2, values: ['5'], life: 4 }]);
    setup.clock.turn();
    setup.shard.commit();
    setup.shard.confirmReads();
    expect(await renewed).toMatchObject({ firstSequence: [1], firstOffset: [2] });
    expect(await stale).toMatchObject({ errors: [{ code: 'STALE_ROUTE' }] });
    expect(await next).toMatchObject({ firstSequence: [2], firstOffset: [3] });
    expect(setup.partition.group('a')).toMatchObject({ life: 4, lastSequence: 2 });
  });

  it('never stores a late retry of a displaced writer', async () => {
    const setup = await leading();
    for (let id = 1; id <= 65; id++) {
      await store(setup, [{ group: 'a', sequence: 1, values: [`${id}`] }], { id, epoch: 1 });
    }
    const retry = await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }], { id: 1, epoch: 1 });
    expect(retry.errors).toMatchObject([{ code: 'WRITER_UNKNOWN' }]);
    const next = await store(setup, [{ group: 'a', sequence: 2, values: ['1'] }], { id: 1, epoch: 1 });
    expect(next.errors).toMatchObject([{ code: 'WRITER_UNKNOWN' }]);
    const known = await store(setup, [{ group: 'a', sequence: 1, values: ['2'] }], { id: 2, epoch: 1 });
    expect(known.status).toEqual([RUN_DUPLICATE]);
    const other = await store(setup, [{ group: 'a', sequence: 1, values: ['new'] }], { id: 66, epoch: 1 });
    expect(other.status).toEqual([RUN_STORED]);
  });

  it('refuses an idempotent run without group', async () => {
    const setup = await leading();
    expect((await store(setup, [{ sequence: 1, values: ['x'] }])).errors).toMatchObject([
      { code: 'INVALID_REQUEST' },
    ]);
  });
});

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
    setup.partition.state.restore([...writeImage(numbers, groupNames(), new GroupRecords())]);
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
