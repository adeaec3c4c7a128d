import type { ShardId } from '@seriatim/multiraft';
import type { SegmentReader } from '@seriatim/storage';
import { describe, expect, test } from 'vitest';
import { segmentSource } from '../../src/node/segment-source.ts';

const shard = 5 as ShardId;
const entry = { index: 3, data: new Uint8Array(1) };
function source(reader: Partial<SegmentReader>) {
  const damage: string[] = [];
  return { damage, source: segmentSource(reader as SegmentReader, shard, (reason) => damage.push(reason)) };
}

describe('the records of a partition', () => {
  test('are what the segments hold, nothing where they hold no such offset', async () => {
    const found = source({
      readByOffset: async (_shard, offset) =>
        offset < 10
          ? { type: 'below', first: 10 }
          : ({ type: 'records', records: [{ entry, description: null }] } as never),
      readGroup: async () => ({ type: 'records', records: [{ entry }], nextOffset: 77 }) as never,
    }).source;
    expect(await found.read(3, 100)).toEqual([]);
    expect(await found.read(12, 100)).toEqual([entry]);
    expect(await found.readGroup(1, 12, 100)).toEqual({ entries: [entry], nextOffset: 77 });
  });

  test('are refused where they are damaged, and the damage is told', async () => {
    const damaged = async () => ({ type: 'damaged', reason: 'checksum at 64' }) as const;
    const { damage, source: broken } = source({ readByOffset: damaged, readGroup: damaged });
    await expect(broken.read(1, 1)).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(broken.readGroup(1, 1, 1)).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(damage).toEqual(['checksum at 64', 'checksum at 64']);
  });

  test('end with a segment without records where the one before it ends', () => {
    const extent = { lastTimestamp: 1, bytes: 10, closed: true };
    const segments = source({
      segments: () =>
        [
          { ...extent, lastIndex: 9, endOffset: 40 },
          { ...extent, lastIndex: 12, endOffset: -1 },
          { ...extent, lastIndex: 20, endOffset: 55 },
        ] as never,
    }).source.segments();
    expect(segments.map(({ lastIndex, nextOffset }) => [lastIndex, nextOffset])).toEqual([
      [9, 40],
      [12, 40],
      [20, 55],
    ]);
  });
});
