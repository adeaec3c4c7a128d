import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Entry, Index, Term } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import { defaultStorageConfig } from '../src/config.ts';
import { nodeFileSystem } from '../src/node-file-system.ts';
import {
  endOffset,
  firstOffset,
  offsetAtTime,
  readByOffset,
  readEntries,
  readGroup,
} from '../src/segment-reading.ts';
import { ShardSegments, type ShardSegmentsOptions } from '../src/shard-segments.ts';
import { describeEntry, entries, SHARD, smallConfig, temporaryDirectory } from './support/fixture.ts';
import { ManualClock } from './support/manual-clock.ts';

const clock = new ManualClock();

function optionsFor(directory: string): ShardSegmentsOptions {
  return {
    files: nodeFileSystem(),
    clock,
    config: { ...defaultStorageConfig, ...smallConfig },
    directory: join(directory, '7'),
    shard: SHARD,
    onFault: (error) => {
      throw error;
    },
    onWritten: () => {},
  };
}

async function opened(directory: string, base: number): Promise<ShardSegments> {
  const position = { index: base as Index, term: (base === 0 ? 0 : 1) as Term };
  const { opened: segments, damage } = await ShardSegments.open(optionsFor(directory), position);
  expect(damage).toEqual([]);
  return segments;
}

/** Two records in each entry; every tenth is without any, so that offsets and indexes drift apart. */
const describeMost = (entry: Parameters<typeof describeEntry>[0]) =>
  entry.index % 10 === 0 ? null : { ...describeEntry(entry), offset: offsetOf(entry.index) };
const offsetOf = (index: number): number => (index - 1 - Math.floor((index - 1) / 10)) * 2;

async function filled(directory: string, to = 120): Promise<ShardSegments> {
  const segments = await opened(directory, 0);
  for (let i = 1; i <= to; i += 4) segments.append(entries(i, Math.min(i + 3, to), 100), describeMost);
  return segments;
}

async function offsetsFrom(segments: ShardSegments, offset: number): Promise<number[]> {
  const found = await readByOffset(segments, offset, 500);
  if (found.type !== 'records') throw new Error(found.type);
  return found.records.map(({ description }) => description?.offset ?? -1);
}

/** Runs on the segments as they are while written, when synced, and after a restart. */
function inEveryState(name: string, run: (segments: ShardSegments) => Promise<void>): void {
  test(`${name}: while being written`, async () => {
    const segments = await filled(temporaryDirectory());
    await run(segments);
    await segments.close();
  });
  test(`${name}: when synced`, async () => {
    const segments = await filled(temporaryDirectory());
    await segments.sync();
    await run(segments);
    await segments.close();
  });
  test(`${name}: after a restart, with and without index files`, async () => {
    const directory = temporaryDirectory();
    const segments = await filled(directory);
    await segments.sync();
    await segments.close();
    const again = await opened(directory, 120);
    await run(again);
    await again.close();
    const place = join(directory, '7');
    for (const file of readdirSync(place).filter((found) => found.endsWith('.index')))
      rmSync(join(place, file));
    const rebuilt = await opened(directory, 120);
    await run(rebuilt);
    await rebuilt.close();
  });
}

describe('ShardSegments', () => {
  inEveryState('finds entries by offset', async (segments) => {
    expect(firstOffset(segments)).toBe(0);
    expect(endOffset(segments)).toBe(216);
    for (let offset = 0; offset < 216; offset++) {
      const found = await offsetsFrom(segments, offset);
      expect(found.length).toBeGreaterThan(0);
      expect(found).toEqual(found.map((_, i) => offset - (offset % 2) + 2 * i));
    }
    expect(await offsetsFrom(segments, 216)).toEqual([]);
    expect(await offsetsFrom(segments, 500)).toEqual([]);
  });

  inEveryState('finds entries by group', async (segments) => {
    for (const from of [0, 57, 100, 230]) {
      const found: number[] = [];
      for (let offset = from; ; ) {
        const read = await readGroup(segments, 3, offset, 250);
        if (read.type !== 'records') throw new Error(read.type);
        found.push(...read.records.map(({ entry }) => entry.index));
        expect(read.nextOffset).toBeGreaterThanOrEqual(offset);
        if (read.records.length === 0) break;
        offset = read.nextOffset;
      }
      const expected = [];
      for (let index = 3; index <= 120; index += 5) if (offsetOf(index) + 2 > from) expected.push(index);
      expect(found).toEqual(expected);
    }
    expect(await readGroup(segments, 99, 0, 250)).toEqual({ type: 'records', records: [], nextOffset: 216 });
  });

  inEveryState('finds the first offset at or after a time', async (segments) => {
    for (const [time, offset] of [
      [0, 0],
      [10, 0],
      [11, 2],
      [505, 90],
      [1_190, 214],
      [1_191, -1],
    ] as const) {
      expect(await offsetAtTime(segments, time), `time ${time}`).toBe(offset);
    }
  });

  inEveryState('reads entries by index', async (segments) => {
    for (let from = 1; from <= 120; from++) {
      const found = await readEntries(segments, from as Index, 250);
      if (found.type !== 'entries') throw new Error(found.type);
      expect(found.previousTerm).toBe(from === 1 ? 0 : 1);
      expect(found.entries).toEqual(entries(from, from + found.entries.length - 1, 100));
      expect(found.entries.length).toBeGreaterThan(0);
    }
  });

  test('writes pieces of their size at once, and smaller ones when they are old enough', async () => {
    const segments = await opened(temporaryDirectory(), 0);
    segments.append(entries(1, 1, 20), describeEntry);
    await new Promise((resolve) => setImmediate(resolve));
    expect(segments.segments[0]?.written).toBe(0);
    clock.advance(1_000);
    await expect.poll(() => segments.segments[0]?.written).toBeGreaterThan(64);
    const before = segments.segments[0]?.written ?? 0;
    segments.append(entries(2, 8, 100), describeEntry);
    await expect.poll(() => segments.segments[0]?.written).toBeGreaterThan(before);
    await segments.close();
  });

  test('removes whole closed segments below an index and never the newest', async () => {
    const segments = await filled(temporaryDirectory());
    await segments.sync();
    const second = segments.segments[1]?.index.head.first ?? 0;
    expect(await segments.removeBefore(second as Index)).toBe(1);
    expect(segments.first).toBe(second);
    expect(await readByOffset(segments, 0, 100)).toMatchObject({ type: 'below', first: offsetOf(second) });
    expect(await readEntries(segments, 1 as Index, 100)).toEqual({ type: 'below', first: second });
    await segments.removeBefore(1_000 as Index);
    expect(segments.segments.length).toBe(1);
    await segments.close();
  });

  test('is cut to the position of the image when opened, wherever that is', async () => {
    for (let cut = 0; cut <= 120; cut += 11) {
      const directory = temporaryDirectory();
      const first = await filled(directory);
      await first.sync();
      await first.close();
      const segments = await opened(directory, cut);
      expect(segments.next).toBe(cut + 1);
      expect(segments.first).toBe(1);
      // What is written again may be longer and shorter than before.
      segments.append(entries(cut + 1, cut + 30, 60), describeMost);
      await segments.sync();
      await segments.close();
      const again = await opened(directory, cut + 30);
      const all = [];
      for (let next = 1; next <= cut + 30; ) {
        const found = await readEntries(again, next as Index, 10_000);
        if (found.type !== 'entries') throw new Error(found.type);
        all.push(...found.entries);
        next = (found.entries[found.entries.length - 1]?.index ?? 0) + 1;
      }
      expect(all).toEqual([...entries(1, cut, 100), ...entries(cut + 1, cut + 30, 60)]);
      await again.close();
    }
  });

  test('never serves a byte that was changed, wherever it lies', async () => {
    const directory = temporaryDirectory();
    const segments = await filled(directory, 40);
    await segments.sync();
    await segments.close();
    const place = join(directory, '7');
    const genuine = entries(1, 40, 100);
    const check = (found: readonly Entry[]): void => {
      for (const entry of found) expect(entry).toEqual(genuine[entry.index - 1]);
    };
    const originals = new Map(readdirSync(place).map((name) => [name, readFileSync(join(place, name))]));
    let damaged = 0;
    for (const [name, bytes] of originals) {
      for (let at = 5; at < bytes.length; at += 149) {
        rmSync(place, { recursive: true });
        mkdirSync(place);
        for (const [other, content] of originals) writeFileSync(join(place, other), content);
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
        writeFileSync(join(place, name), flipped);
        const base = { index: 40 as Index, term: 1 as Term };
        const { opened: tested } = await ShardSegments.open(optionsFor(directory), base);
        for (let index = 1; index <= 40; index += 7) {
          const found = await readEntries(tested, index as Index, 1_000_000);
          if (found.type === 'entries') check(found.entries);
          else damaged++;
        }
        const group = await readGroup(tested, 2, 0, 1_000_000);
        if (group.type === 'records') check(group.records.map(({ entry }) => entry));
        else damaged++;
        await tested.close();
      }
    }
    expect(damaged).toBeGreaterThan(20);
  });
});
