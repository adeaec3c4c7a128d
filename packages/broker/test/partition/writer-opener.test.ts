import { describe, expect, it } from 'vitest';
import type { WriterOpening } from '../../src/contracts.ts';
import { groupNames } from '../../src/partition/group-names.ts';
import {
  decodeWriterOpening,
  decodeWriterPositions,
  encodeWriterOpening,
  encodeWriterPositions,
} from '../../src/partition/index.ts';
import { PartitionState } from '../../src/partition/partition-state.ts';
import { GROUP_WRITERS_MAX } from '../../src/partition/writer-rows.ts';
import { DEADLINE, leading, send, store } from './appending.ts';
import { batch } from './batches.ts';
import { peek, replay, type Setup, settle } from './setup.ts';

const OLD = { id: 21, epoch: 1 };
const NEW = { id: 21, epoch: 2 };

const opening = (epoch: number, groups: readonly string[], life = 1): WriterOpening => ({
  shard: 7 as WriterOpening['shard'],
  producerId: 21,
  epoch,
  groups: groups.map((name) => ({ name: Buffer.from(name), life })),
});

/** Opens and commits the fence. */
async function open(setup: Setup, epoch: number, groups: readonly string[], life = 1) {
  const answer = setup.partition.openWriter(opening(epoch, groups, life), DEADLINE);
  setup.shard.commit();
  return answer;
}

describe('a named producer in a partition', () => {
  it('is told what it stored and where the group stands, and goes on behind it', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1', '2'] }], OLD);
    await store(setup, [{ group: 'a', values: ['other'] }], { id: 0, epoch: 0 });
    expect(await open(setup, 2, ['a', 'new'])).toEqual([
      { known: true, lastProducerSequence: 2, lastGroupSequence: 3 },
      { known: true, lastProducerSequence: 0, lastGroupSequence: 0 },
    ]);
    expect((await store(setup, [{ group: 'a', sequence: 3, values: ['3'] }], NEW)).firstSequence).toEqual([
      4,
    ]);
    expect((await store(setup, [{ group: 'new', sequence: 1, values: ['1'] }], NEW)).status).toEqual([0]);
  });

  it('is not told before the fence is committed, and then of everything that an older instance had sent before it', async () => {
    const setup = await leading();
    const sent = send(setup, [{ group: 'a', sequence: 1, values: ['1'] }], OLD);
    setup.clock.turn();
    const told = peek(setup.partition.openWriter(opening(2, ['a']), DEADLINE));
    await settle();
    expect(told.value).toBeUndefined();
    setup.shard.commit();
    await settle();
    expect(told.value).toEqual([{ known: true, lastProducerSequence: 1, lastGroupSequence: 1 }]);
    expect(await sent).toMatchObject({ type: 'receipt', status: [0] });
  });

  it('fences an older instance from the moment that the fence is proposed: what it sends never changes the answer', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }], OLD);
    const told = setup.partition.openWriter(opening(2, ['a']), DEADLINE);
    const late = peek(setup.partition.append(lateBatch(), DEADLINE));
    setup.clock.turn();
    await settle();
    // The refusal hangs on a fence that is not committed yet.
    expect(late.value).toBeUndefined();
    setup.shard.commit();
    setup.shard.confirmReads();
    await settle();
    expect(late.value).toMatchObject({ type: 'receipt', errors: [{ code: 'PRODUCER_FENCED' }] });
    expect(await told).toMatchObject([{ lastProducerSequence: 1 }]);
    const refused = await store(setup, [{ group: 'other', sequence: 1, values: ['x'] }], OLD);
    expect(refused.errors).toMatchObject([{ code: 'PRODUCER_FENCED' }]);
  });

  it('forgets a fence that the next leader did not keep', async () => {
    const setup = await leading();
    const told = setup.partition.openWriter(opening(2, ['a']), DEADLINE).catch((error: unknown) => error);
    setup.shard.lose(setup.shard.committed);
    setup.shard.commit();
    expect(await told).toMatchObject({ code: 'NOT_LEADER', outcome: 'not-applied' });
    setup.shard.leadConfirmed();
    const stored = await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }], OLD);
    expect(stored.status).toEqual([0]);
  });

  it('keeps fences in images and over a change of leaders', async () => {
    const setup = await leading();
    await open(setup, 5, []);
    const copy = new PartitionState({ names: () => groupNames(3), tailBytesMax: 1_000 });
    copy.restore(setup.partition.state.image());
    expect(copy.fences.epoch(21)).toBe(5);
    expect(copy.hash()).toBe(setup.partition.state.hash());
    expect(replay(setup.shard).hash()).toBe(copy.hash());
    setup.shard.lose();
    setup.shard.leadConfirmed();
    const refused = await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }], { id: 21, epoch: 4 });
    expect(refused.errors).toMatchObject([{ code: 'PRODUCER_FENCED' }]);
  });

  it('refuses an instance that was overtaken, and one that does not lead', async () => {
    const setup = await leading();
    await open(setup, 3, []);
    await expect(open(setup, 2, ['a'])).rejects.toMatchObject({ code: 'PRODUCER_FENCED' });
    setup.shard.lose();
    await expect(open(setup, 4, [])).rejects.toMatchObject({ code: 'NOT_LEADER', outcome: 'not-applied' });
  });

  it('says that it can not tell where later producers displaced it', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }], OLD);
    for (let id = 100; id < 100 + GROUP_WRITERS_MAX; id++) {
      await store(setup, [{ group: 'a', sequence: 1, values: ['x'] }], { id, epoch: 1 });
    }
    expect(await open(setup, 2, ['a'])).toMatchObject([{ known: false, lastGroupSequence: 65 }]);
  });

  it('refuses to be told of an older life of a group, and knows nothing of a newer one', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', life: 4, sequence: 1, values: ['1'] }], OLD);
    await expect(open(setup, 2, ['a'], 3)).rejects.toMatchObject({ code: 'STALE_ROUTE' });
    expect(await open(setup, 2, ['a'], 5)).toMatchObject([{ lastProducerSequence: 0, lastGroupSequence: 0 }]);
  });

  it('never answers a run of the instance before as a duplicate: only its own repetitions are', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }], OLD);
    await open(setup, 2, []);
    const again = await store(setup, [{ group: 'a', sequence: 1, values: ['1'] }], NEW);
    expect(again.errors).toMatchObject([{ code: 'WRITER_UNKNOWN' }]);
    const gap = await store(setup, [{ group: 'a', sequence: 3, values: ['3'] }], NEW);
    expect(gap.errors).toMatchObject([{ code: 'SEQUENCE_GAP' }]);
  });

  it('gives up at the deadline, and when the partition closes, with outcome unknown', async () => {
    const setup = await leading();
    const late = setup.partition
      .openWriter(opening(2, []), setup.clock.now() + 50)
      .catch((error: unknown) => error);
    setup.clock.advance(51);
    expect(await late).toMatchObject({ code: 'NOT_COMMITTED', outcome: 'unknown' });
    const closed = setup.partition.openWriter(opening(2, []), DEADLINE).catch((error: unknown) => error);
    setup.partition.close();
    expect(await closed).toMatchObject({ code: 'NOT_COMMITTED', outcome: 'unknown' });
  });

  it('refuses more openings than its limit at a time', async () => {
    const setup = await leading({ openingsInFlightMax: 1 });
    const first = setup.partition.openWriter(opening(2, []), DEADLINE);
    const second = setup.partition.openWriter(opening(3, []), DEADLINE).catch((error: unknown) => error);
    expect(await second).toMatchObject({ code: 'OVERLOADED' });
    setup.shard.commit();
    expect(await first).toEqual([]);
  });

  it('writes between nodes what it reads', () => {
    const asked = opening(7, ['a', 'ü'], 9);
    expect(decodeWriterOpening(encodeWriterOpening(asked))).toEqual({
      ...asked,
      groups: asked.groups.map(({ name, life }) => ({ name: new Uint8Array(name), life })),
    });
    const positions = [{ known: false, lastProducerSequence: 0, lastGroupSequence: 2 ** 40 }];
    expect(decodeWriterPositions(encodeWriterPositions(positions))).toEqual(positions);
  });
});

const lateBatch = () => batch([{ group: 'a', sequence: 2, values: ['late'] }], OLD);
