import { describe, expect, it } from 'vitest';
import type { Offset } from '../../src/contracts.ts';
import { COMMAND_REMOVE_BEFORE } from '../../src/partition/command.ts';
import { batch } from './batches.ts';
import { peek, type Setup, settle, setUp } from './setup.ts';

const at = (offset: number): Offset => offset as Offset;

async function leading(config: Parameters<typeof setUp>[0] = {}): Promise<Setup> {
  const setup = await setUp(config);
  setup.shard.leadConfirmed();
  return setup;
}

function store(setup: Setup, values: readonly string[]): void {
  void setup.partition.append(batch([{ values }]), 1_000_000);
  setup.clock.turn();
  setup.shard.commit();
}

describe('waiting at the end of a partition', () => {
  it('ends when a record can be read', async () => {
    const setup = await leading();
    const waits = peek(setup.partition.waitFor(at(0), new AbortController().signal).then(() => true));
    const later = peek(setup.partition.waitFor(at(1), new AbortController().signal).then(() => true));
    await settle();
    expect(waits.value).toBeUndefined();
    store(setup, ['1']);
    await settle();
    expect([waits.value, later.value]).toEqual([true, undefined]);
    await setup.partition.waitFor(at(0), new AbortController().signal);
  });

  it('ends when the reader leaves, and when the partition closes', async () => {
    const setup = await leading();
    const controller = new AbortController();
    const left = setup.partition.waitFor(at(0), controller.signal);
    const closed = setup.partition.waitFor(at(0), new AbortController().signal);
    controller.abort();
    await left;
    await setup.partition.waitFor(at(0), controller.signal);
    setup.partition.close();
    await closed;
    await setup.partition.waitFor(at(0), new AbortController().signal);
  });

  it('is refused above the limit', async () => {
    const setup = await leading({ waitersMax: 1 });
    void setup.partition.waitFor(at(0), new AbortController().signal);
    await expect(setup.partition.waitFor(at(0), new AbortController().signal)).rejects.toMatchObject({
      code: 'OVERLOADED',
    });
  });
});

describe('the confirmed high watermark', () => {
  it('is given when a majority confirmed the leader', async () => {
    const setup = await leading();
    const asked = setup.partition.confirmedHighWatermark(2_000);
    store(setup, ['1', '2']);
    setup.shard.confirmReads();
    expect(await asked).toBe(2);
    expect(setup.clock.timers).toBe(2);
  });

  it('is refused by a follower, after a lost leadership and at the deadline', async () => {
    const setup = await setUp();
    await expect(setup.partition.confirmedHighWatermark(2_000)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    setup.shard.leadConfirmed();
    const lost = setup.partition.confirmedHighWatermark(2_000);
    setup.shard.confirmReads(false);
    await expect(lost).rejects.toMatchObject({ code: 'NOT_LEADER' });
    const late = setup.partition.confirmedHighWatermark(2_000);
    setup.clock.advance(1_000);
    await expect(late).rejects.toMatchObject({ code: 'DEADLINE' });
  });
});

describe('retention of a partition', () => {
  const segment = (lastIndex: number, nextOffset: number, lastTimestamp: number, closed = true) => ({
    lastIndex,
    nextOffset,
    lastTimestamp,
    bytes: 100,
    closed,
  });

  async function withSegments(): Promise<Setup> {
    const setup = await leading();
    for (let n = 0; n < 3; n++) store(setup, [`${n}`]);
    const { wall } = setup.clock;
    setup.source.list = [segment(2, 1, wall - 900), segment(3, 2, wall - 500), segment(4, 3, wall, false)];
    return setup;
  }

  it('proposes to remove old segments, and applying removes them on each replica', async () => {
    const setup = await withSegments();
    setup.retention = { retentionMilliseconds: 600, retentionBytes: 0 };
    setup.clock.advance(10_000);
    setup.clock.advance(10_000);
    expect(setup.shard.log.filter((entry) => entry.data[1] === COMMAND_REMOVE_BEFORE)).toHaveLength(1);
    expect(setup.partition.lowWatermark).toBe(0);
    setup.shard.commit();
    expect(setup.partition.lowWatermark).toBe(1);
    expect(setup.source.removed).toEqual([3]);
    setup.clock.advance(20_000);
    expect(setup.shard.log.length).toBe(setup.shard.committed);
    await expect(setup.partition.read(at(0), 10, null)).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
    });
  });

  it('decides nothing by age while the clock is not trusted, but by size', async () => {
    const setup = await withSegments();
    setup.clockTrusted = false;
    setup.retention = { retentionMilliseconds: 600, retentionBytes: 0 };
    setup.clock.advance(10_000);
    expect(setup.shard.log.length).toBe(setup.shard.committed);
    setup.retention = { retentionMilliseconds: 600, retentionBytes: 100 };
    setup.clock.advance(10_000);
    setup.shard.commit();
    expect(setup.partition.lowWatermark).toBe(2);
  });

  it('is decided by the leader only', async () => {
    const setup = await withSegments();
    setup.shard.lose();
    setup.retention = { retentionMilliseconds: 1, retentionBytes: 1 };
    const length = setup.shard.log.length;
    setup.clock.advance(20_000);
    expect(setup.shard.log.length).toBe(length);
    setup.partition.close();
    expect(setup.clock.timers).toBe(0);
  });
});
