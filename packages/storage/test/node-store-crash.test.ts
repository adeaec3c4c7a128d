import { rmSync } from 'node:fs';
import type { ShardId } from '@seriatim/multiraft';
import type { Index } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import { openLevelStore } from '../src/level-store.ts';
import { nodeFileSystem } from '../src/node-file-system.ts';
import type { NodeStore } from '../src/node-store.ts';
import { openNodeStore } from '../src/open-node-store.ts';
import { CrashPoint, crashingFiles, crashingStore } from './support/crash.ts';
import {
  describeEntry,
  entries,
  type openWhole,
  REPLICA,
  SHARD,
  smallConfig,
  storeOptions,
  temporaryDirectory,
  write,
} from './support/fixture.ts';
import { chunksOf, imageText, indexes, meta, readAll } from './support/reading.ts';

describe('NodeStore after a crash', () => {
  /** The journal begins new files and lets old ones go during the run. */
  const config = { ...smallConfig, journalFileBytes: 4_096 };

  const RESTING = 9 as ShardId;

  interface Progress {
    durable: number;
    term: number;
    checkpointed: number;
    committed: number;
    /** A shard that nobody checkpoints was written. */
    resting: boolean;
  }

  /** Writes, overwrites, commits, checkpoints and receives; notes what was confirmed. */
  async function live(store: NodeStore, from: number, progress: Progress): Promise<void> {
    await write(store, entries(1, 3), { shard: RESTING });
    progress.resting = true;
    for (let i = from; i < from + 24; i += 3) {
      progress.term++;
      await write(store, entries(i, i + 4, 150, 1), { term: progress.term });
      progress.durable = i + 4;
      commitLike(store, progress, i + 1);
      if (i % 2 === 0) {
        await store.checkpoint(SHARD, REPLICA, meta(i + 1), chunksOf(`at ${i + 1}`));
        progress.checkpointed = i + 1;
      }
      store.segments.removeBefore(SHARD, (i - 8) as Index);
    }
  }

  function commitLike(store: NodeStore, progress: Progress, to: number): void {
    store.committed(SHARD, entries(progress.committed + 1, to, 150), describeEntry);
    progress.committed = to;
  }

  test('has everything that was confirmed, wherever it stops', async () => {
    for (let limit = 3; ; limit += 1) {
      const directory = temporaryDirectory();
      const point = new CrashPoint(limit);
      const progress: Progress = { durable: 0, term: 0, checkpointed: 0, committed: 0, resting: false };
      const closing: (() => Promise<void>)[] = [];
      const dying = openNodeStore(
        storeOptions(directory, {
          config,
          files: crashingFiles(nodeFileSystem(), point),
          openImages: async (path) => {
            const store = await openLevelStore(path);
            closing.push(() => store.close());
            return crashingStore(store, point);
          },
        }),
      ).then(async (opened) => {
        if (opened.type === 'open') await live(opened.store, 1, progress);
        return 'survived';
      });
      const died = expect
        .poll(() => point.dead, { timeout: 5_000, interval: 1 })
        .toBe(true)
        .then(
          () => 'died',
          () => 'alive',
        );
      const outcome = await Promise.race([dying, died]);
      await new Promise((resolve) => setTimeout(resolve, 2));
      for (const close of closing) await close();
      await point.closeFiles();
      const again = await openNodeStore(storeOptions(directory));
      if (again.type !== 'open') throw new Error(`limit ${limit}: ${again.reason}`);
      await check(again, progress, limit);
      await again.store.close();
      rmSync(directory, { recursive: true });
      if (outcome === 'survived') {
        expect(limit).toBeGreaterThan(100);
        return;
      }
    }
  }, 120_000);

  async function check(
    opened: Awaited<ReturnType<typeof openWhole>>,
    progress: Progress,
    limit: number,
  ): Promise<void> {
    const shard = opened.recovered.find((found) => found.shard === SHARD);
    const resting = opened.recovered.find((found) => found.shard === RESTING);
    if (progress.resting) expect(indexes(resting?.entries ?? [])).toEqual([1, 2, 3]);
    const label = `stopped at change ${limit}`;
    expect(opened.damaged, label).toEqual([]);
    expect(opened.warnings, label).toEqual([]);
    const image = shard?.image?.index ?? 0;
    const last = shard?.entries[shard.entries.length - 1]?.index ?? image;
    expect(last, label).toBeGreaterThanOrEqual(progress.durable);
    expect(shard?.hardState.term ?? 0, label).toBeGreaterThanOrEqual(progress.term - 1);
    expect(image, label).toBeGreaterThanOrEqual(progress.checkpointed);
    if (shard === undefined) return;
    expect(shard.first, label).toBeLessThanOrEqual(image + 1);
    expect(indexes(shard.entries), label).toEqual(indexes(entries(image + 1, last)));
    if (image > 0) expect(await imageText(opened.store), label).toBe(`${image}:at ${image}-1,at ${image}-2`);
    expect(await readAll(opened.store, shard.first), label).toEqual(indexes(entries(shard.first, last)));
  }
});
