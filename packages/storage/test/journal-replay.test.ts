import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ShardId } from '@seriatim/multiraft';
import type { Entry, Index, Term } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import { defaultStorageConfig } from '../src/config.ts';
import { Journal } from '../src/journal.ts';
import { replayJournal } from '../src/journal-replay.ts';
import { journalFileName } from '../src/journal-scan.ts';
import { nodeFileSystem } from '../src/node-file-system.ts';
import { entries, REPLICA, SHARD, temporaryDirectory } from './support/fixture.ts';
import { ManualClock } from './support/manual-clock.ts';

const JOURNAL = 4711;
const OTHER = 9 as ShardId;
const files = nodeFileSystem();

async function begin(directory: string, clock: ManualClock): Promise<Journal> {
  const journal = new Journal({
    files,
    directory,
    clock,
    config: { ...defaultStorageConfig, journalFileBytes: 8_192 },
    journal: JOURNAL,
    salt: () => 99,
    onFault: (error) => {
      throw error;
    },
    shards: new Map(),
    extents: [],
    nextFrame: 1,
    nextFile: 1,
    resets: [],
    onFile: () => {},
  });
  await journal.start();
  return journal;
}

function put(journal: Journal, shard: ShardId, written: readonly Entry[]): Promise<void> {
  const hardState = { term: 1 as Term, vote: REPLICA };
  return new Promise((resolve) =>
    journal.write({ shard, replica: REPLICA, hardState, entries: written, reset: null }, resolve),
  );
}

/** Both were found by the simulation: a sound journal was taken for a lost one. */
describe('replayJournal', () => {
  test('takes the end of a log from the oldest file left, also when a commit index stands before it', async () => {
    const directory = temporaryDirectory();
    const journal = await begin(directory, new ManualClock());
    await put(journal, SHARD, entries(1, 3));
    journal.noteCommit(SHARD, 3 as Index);
    await put(journal, OTHER, entries(1, 2, 5_000));
    expect(await journal.release(() => 1_000 as Index)).toBe(1);
    await journal.close();
    const replayed = await replayJournal(files, directory, JOURNAL, () => true);
    expect(replayed).toMatchObject({ type: 'sound' });
    expect(replayed.type === 'sound' && replayed.shards.get(SHARD)?.last).toBe(3);
  });

  test('goes on behind the proof of a quiet moment when the next frame came in a new file and the old was not cut', async () => {
    const directory = temporaryDirectory();
    const clock = new ManualClock();
    const journal = await begin(directory, clock);
    await put(journal, SHARD, entries(1, 3));
    await new Promise((resolve) => setImmediate(resolve));
    const first = join(directory, journalFileName(1));
    const before = readFileSync(first);
    let uncut = before;
    clock.advance(1_000);
    while (uncut.equals(before)) {
      await new Promise((resolve) => setImmediate(resolve));
      uncut = readFileSync(first);
    }
    await put(journal, SHARD, entries(4, 5, 5_000));
    await journal.close();
    writeFileSync(first, uncut);
    const replayed = await replayJournal(files, directory, JOURNAL, () => true);
    expect(replayed.type === 'lost' ? replayed.reason : replayed.shards.get(SHARD)?.last).toBe(5);
  });
});
