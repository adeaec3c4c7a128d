import { describe, expect, it } from 'vitest';
import { RUN_DUPLICATE, RUN_REFUSED, RUN_STORED } from '../../src/contracts.ts';
import { AppendHeader } from '../../src/partition/append-header.ts';
import { DEADLINE, leading, P1, P2, send, store } from './appending.ts';
import { batch, contents } from './batches.ts';
import { peek, receipt, settle } from './setup.ts';

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

  it('goes on in a new epoch of a producer behind the last sequence and fences the older one', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1', '2'] }]);
    const again = await store(setup, [{ group: 'a', sequence: 1, values: ['x'] }], { id: 11, epoch: 2 });
    expect(again.errors).toMatchObject([{ code: 'WRITER_UNKNOWN' }]);
    expect(
      (await store(setup, [{ group: 'a', sequence: 3, values: ['x'] }], { id: 11, epoch: 2 })).status,
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
