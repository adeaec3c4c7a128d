import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { Index, ReplicaId, Term } from '@seriatim/raft';
import { nodeFileSystem, openLevelStore, openNodeStore } from '@seriatim/storage';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RealClock } from '../../src/node/real-clock.ts';
import { segmentSource } from '../../src/node/segment-source.ts';
import { defaultPartitionConfig } from '../../src/partition/config.ts';
import { groupNames } from '../../src/partition/group-names.ts';
import { PartitionReader } from '../../src/partition/partition-reader.ts';
import { PartitionState } from '../../src/partition/partition-state.ts';
import { batch, contents } from './batches.ts';
import { setUp } from './setup.ts';

const SHARD = 7 as ShardId;

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'partition-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Entries of a partition with 300 messages in three groups, as a leader made them. */
async function someLog() {
  const setup = await setUp();
  setup.shard.leadConfirmed();
  for (let n = 0; n < 100; n++) {
    const runs = ['a', `g${n % 10}`, 'z'].map((group) => ({ group, values: [`${n}`.padEnd(50, '.')] }));
    void setup.partition.append(batch(runs), 1e6);
    setup.clock.turn();
    setup.shard.commit();
  }
  return setup.shard.log;
}

describe('a partition whose records lie in real segments', () => {
  it('is read by offset and by group, and its oldest segments go by retention', async () => {
    const opened = await openNodeStore({
      directory,
      node: 1 as NodeId,
      files: nodeFileSystem(),
      openImages: openLevelStore,
      clock: new RealClock(),
      random: Math.random,
      onFault: (error) => {
        throw error;
      },
      config: {
        segmentBytes: 2_000,
        segmentPieceBytes: 500,
        tailBytesMax: 1_000,
        freeBytesRefuse: 1,
        freeBytesStop: 0,
      },
    });
    if (opened.type !== 'open') throw new Error(opened.reason);
    const { store } = opened;
    const state = new PartitionState({ names: groupNames, tailBytesMax: 1 });
    const log = await someLog();
    const hardState = { term: 1 as Term, vote: 1 as ReplicaId };
    await new Promise<void>((durable) => {
      store.write({ shard: SHARD, replica: 1 as ReplicaId, hardState, entries: log, reset: null }, durable);
    });
    for (const entry of log) {
      state.apply([entry]);
      store.committed(SHARD, [entry], (one) => state.describe(one));
    }
    const source = segmentSource(store.segments, SHARD, () => {});
    const reader = new PartitionReader({ state, source, config: defaultPartitionConfig });
    const read = async (offset: number, group: string | null): Promise<string[]> => {
      const found: string[] = [];
      for (let next = offset; next < state.nextOffset; ) {
        const stretch = await reader.read(next, 700, group);
        expect(stretch.nextOffset).toBeGreaterThan(next);
        found.push(...contents(stretch.body).map((content) => content.replaceAll('.', '')));
        next = stretch.nextOffset;
      }
      return found;
    };
    const everything = Array.from({ length: 100 }, (_, n) => [`a${n}`, `g${n % 10}${n}`, `z${n}`]).flat();
    expect(await read(0, null)).toEqual(everything);
    expect(await read(151, null)).toEqual(everything.slice(151));
    expect(await read(0, 'g4')).toEqual(everything.filter((content) => content.startsWith('g4')));
    const views = source.segments();
    expect(views.length).toBeGreaterThan(5);
    expect(views.at(-1)?.nextOffset).toBe(300);
    const meta = {
      index: log.length as Index,
      term: 1 as Term,
      configuration: { voters: [1 as ReplicaId], outgoing: [], learners: [], learnersNext: [] },
    };
    await store.checkpoint(SHARD, 1 as ReplicaId, meta, state.image());
    source.removeBefore((views[2]?.lastIndex ?? 0) + 1);
    await expect.poll(() => source.segments().length).toBe(views.length - 3);
    await expect(reader.read(0, 100, null)).rejects.toMatchObject({ code: 'NOT_READY' });
    expect(await read(views[2]?.nextOffset ?? 0, null)).toEqual(everything.slice(views[2]?.nextOffset));
    await store.close();
  });
});
