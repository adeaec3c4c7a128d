import { describe, expect, it } from 'vitest';
import type { Offset } from '../../src/contracts.ts';
import { batch, contents } from './batches.ts';
import { type Setup, setUp } from './setup.ts';

async function filled(config: Parameters<typeof setUp>[0] = {}): Promise<Setup> {
  const setup = await setUp(config);
  setup.shard.leadConfirmed();
  for (let n = 0; n < 20; n++) {
    const runs = [
      { group: 'a', life: 3, values: [`${n}.0`, `${n}.1`, `${n}.2`] },
      { group: n % 2 === 0 ? 'even' : 'odd', values: [`${n}.3`] },
      { values: [`${n}.4`] },
    ];
    void setup.partition.append(batch(runs), 100_000);
    setup.clock.wall++;
    setup.clock.turn();
    if (n % 3 === 2) setup.shard.commit();
  }
  setup.shard.commit();
  return setup;
}

const at = (offset: number): Offset => offset as Offset;

/** Everything from `offset` on, read in steps. */
async function readAll({ partition }: Setup, offset: number, bytesMax: number, group: string | null) {
  const all = { values: [] as string[], offsets: [] as number[], sequences: [] as number[], steps: 0 };
  for (let next = at(offset); next < partition.highWatermark; all.steps++) {
    const stretch = await partition.read(next, bytesMax, group);
    expect(stretch.nextOffset).toBeGreaterThan(next);
    all.values.push(...contents(stretch.body));
    stretch.runLengths.forEach((length, run) => {
      for (let message = 0; message < length; message++) {
        all.offsets.push((stretch.runOffsets[run] ?? 0) + message);
        all.sequences.push(stretch.runSequences[run] === 0 ? 0 : (stretch.runSequences[run] ?? 0) + message);
      }
    });
    next = stretch.nextOffset;
  }
  return all;
}

const EVERYTHING = Array.from({ length: 20 }, (_, n) => [
  `a${n}.0`,
  `a${n}.1`,
  `a${n}.2`,
  `${n % 2 === 0 ? 'even' : 'odd'}${n}.3`,
  `${n}.4`,
]).flat();

describe('a partition that is read', () => {
  it.each([
    ['memory', 1_000_000],
    ['segments', 1],
    ['both', 300],
  ])('gives all records from every offset on, out of %s', async (_name, tailBytesMax) => {
    const setup = await filled({ tailBytesMax });
    for (const bytesMax of [1, 20, 70, 10_000]) {
      for (const offset of [0, 1, 2, 3, 4, 52, 98, 99, 100]) {
        const all = await readAll(setup, offset, bytesMax, null);
        expect(all.values).toEqual(EVERYTHING.slice(offset));
        expect(all.offsets).toEqual(EVERYTHING.map((_, n) => n).slice(offset));
      }
    }
  });

  it.each([1_000_000, 1, 300])('gives only the runs of a group (tail of %d bytes)', async (tailBytesMax) => {
    const setup = await filled({ tailBytesMax });
    for (const bytesMax of [1, 9, 10_000]) {
      const odd = await readAll(setup, 0, bytesMax, 'odd');
      expect(odd.values).toEqual(EVERYTHING.filter((value) => value.startsWith('odd')));
      expect(odd.sequences).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      const a = await readAll(setup, 51, bytesMax, 'a');
      expect(a.values).toEqual(EVERYTHING.slice(51).filter((value) => value.startsWith('a')));
      expect(a.offsets[0]).toBe(51);
      expect(a.sequences[0]).toBe(32);
    }
    expect((await readAll(setup, 0, 100, 'nobody')).values).toEqual([]);
  });

  it('gives lives, sequences and times of each run, and bodies without copying', async () => {
    const setup = await filled();
    const stretch = await setup.partition.read(at(6), 25, null);
    expect(stretch).toMatchObject({
      baseOffset: 6,
      runOffsets: [6, 8, 9],
      runLengths: [2, 1, 1],
      runSequences: [5, 1, 0],
      runLives: [3, 1, 0],
    });
    expect(new Set(stretch.runTimestamps).size).toBe(1);
    const data = setup.shard.log[2]?.data;
    expect(stretch.body.every((part) => part.buffer === data?.buffer)).toBe(true);
    expect(stretch.body).toHaveLength(1);
  });

  it('is empty at the high watermark and refuses outside of what is stored', async () => {
    const setup = await filled();
    expect(await setup.partition.read(at(100), 10, null)).toMatchObject({
      nextOffset: 100,
      runLengths: [],
      body: [],
    });
    await expect(setup.partition.read(at(101), 10, null)).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
    });
    await expect(setup.partition.read(at(-1), 10, null)).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
    });
  });

  it('gives nothing that is not committed', async () => {
    const setup = await filled();
    void setup.partition.append(batch([{ values: ['later'] }]), 100_000);
    setup.clock.turn();
    expect(setup.partition.highWatermark).toBe(100);
    expect((await setup.partition.read(at(100), 10, null)).runLengths).toEqual([]);
    await expect(setup.partition.read(at(101), 10, null)).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
    });
  });

  it('says so when this replica lacks the segment', async () => {
    const setup = await filled({ tailBytesMax: 1 });
    setup.source.empty = true;
    await expect(setup.partition.read(at(0), 10, null)).rejects.toMatchObject({ code: 'NOT_READY' });
  });

  it('uses the group index for what is not in memory', async () => {
    const setup = await filled({ tailBytesMax: 1 });
    await readAll(setup, 0, 10_000, 'odd');
    expect(setup.source.reads).toBe(0);
    expect(setup.source.groupReads).toBe(1);
  });
});
