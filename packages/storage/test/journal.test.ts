import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ShardId } from '@seriatim/multiraft';
import type { Entry, Index, Term } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import { defaultStorageConfig } from '../src/config.ts';
import { Journal, type JournalOptions } from '../src/journal.ts';
import { FRAME_ALIGNMENT } from '../src/journal-format.ts';
import { type LostJournal, type ReplayedJournal, replayJournal } from '../src/journal-replay.ts';
import { journalFileName, listJournalFiles } from '../src/journal-scan.ts';
import { nodeFileSystem } from '../src/node-file-system.ts';
import { entries, REPLICA, SHARD, temporaryDirectory } from './support/fixture.ts';
import { ManualClock } from './support/manual-clock.ts';

const JOURNAL = 4711;
const files = nodeFileSystem();
const replay = (directory: string): Promise<ReplayedJournal | LostJournal> =>
  replayJournal(files, directory, JOURNAL, () => true);

function optionsFor(directory: string, change: Partial<JournalOptions> = {}): JournalOptions {
  return {
    files,
    directory,
    clock: new ManualClock(),
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
    ...change,
  };
}

async function begin(directory: string, change: Partial<JournalOptions> = {}): Promise<Journal> {
  const journal = new Journal(optionsFor(directory, change));
  await journal.start();
  return journal;
}

function put(journal: Journal, written: readonly Entry[], shard: ShardId = SHARD, term = 1): Promise<void> {
  const hardState = { term: term as Term, vote: REPLICA };
  return new Promise((resolve) =>
    journal.write({ shard, replica: REPLICA, hardState, entries: written, reset: null }, resolve),
  );
}

/** What a replay must give, as text: comparing is all that tests do with it. */
function picture(replayed: ReplayedJournal | LostJournal): string {
  if (replayed.type === 'lost') return `lost: ${replayed.reason}`;
  return [...replayed.shards.values()]
    .map(
      ({ shard, term, vote, last, entries: found }) =>
        `${shard} ${term} ${vote} ${last} ${found.map(({ index, term: t, data }) => `${index}/${t}/${Buffer.from(data).toString('hex')}`).join()}`,
    )
    .sort()
    .join('\n');
}

describe('Journal', () => {
  test('gives back the logs and votes of all shards after it was closed', async () => {
    const directory = temporaryDirectory();
    const journal = await begin(directory);
    await Promise.all([put(journal, entries(1, 3)), put(journal, entries(1, 2), 9 as ShardId, 4)]);
    await put(journal, entries(3, 5, 20, 2), SHARD, 2);
    await journal.close();
    const replayed = await replay(directory);
    expect(picture(replayed)).toMatch(/^7 2 3 5 1\/1.*2\/1.*3\/2.*4\/2.*5\/2[^\n]*\n9 4 3 2 1\/1/);
  });

  test('puts writes of many shards that come in one turn into one flush', async () => {
    const journal = await begin(temporaryDirectory());
    const before = journal.statistics().flushes;
    await Promise.all(Array.from({ length: 50 }, (_, i) => put(journal, entries(1, 1), (i + 1) as ShardId)));
    expect(journal.statistics().flushes).toBe(before + 1);
    await journal.close();
  });

  test('calls back in the order of the writes, never inside the call', async () => {
    const journal = await begin(temporaryDirectory());
    const order: number[] = [];
    const done = Array.from({ length: 20 }, (_, i) =>
      put(journal, entries(i + 1, i + 1)).then(() => order.push(i)),
    );
    expect(order).toEqual([]);
    await Promise.all(done);
    expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
    await journal.close();
  });

  test('begins each new file with the state of every shard, so that older ones may go', async () => {
    const directory = temporaryDirectory();
    const journal = await begin(directory);
    await put(journal, entries(1, 2), 9 as ShardId, 5);
    for (let i = 1; i <= 60; i++) await put(journal, entries(i, i, 400));
    expect((await listJournalFiles(files, directory)).length).toBeGreaterThan(3);
    const below = (shard: ShardId): Index => (shard === SHARD ? 50 : 2) as Index;
    expect(await journal.release(below)).toBeGreaterThan(2);
    expect(await journal.release(below)).toBe(0);
    await journal.close();
    const replayed = await replay(directory);
    if (replayed.type === 'lost') throw new Error(replayed.reason);
    expect(replayed.shards.get(9 as ShardId)).toMatchObject({ term: 5, last: 2, entries: [] });
    expect(replayed.shards.get(SHARD)?.last).toBe(60);
    expect(replayed.shards.get(SHARD)?.entries[0]?.index).toBeLessThanOrEqual(51);
  });

  test('keeps no file for entries that were overwritten or copied forward', async () => {
    const directory = temporaryDirectory();
    const journal = await begin(directory);
    await put(journal, entries(1, 3, 100));
    for (let i = 1; i <= 60; i++) await put(journal, entries(i, i, 400), 9 as ShardId);
    const below = (shard: ShardId): Index => (shard === SHARD ? 0 : 60) as Index;
    expect(await journal.release(below)).toBe(0);
    expect(journal.holdsOldest(below)).toEqual([SHARD]);
    await new Promise<void>((resolve) => journal.copyForward(SHARD, entries(1, 3, 100), resolve));
    expect(await journal.release(below)).toBeGreaterThan(2);
    await journal.close();
    const replayed = await replay(directory);
    if (replayed.type === 'lost') throw new Error(replayed.reason);
    expect(replayed.shards.get(SHARD)?.entries.map(({ index }) => index)).toEqual([1, 2, 3]);
  });

  test('goes on after a restart, in a new file', async () => {
    const directory = temporaryDirectory();
    const first = await begin(directory);
    await put(first, entries(1, 3));
    await first.close();
    const found = await replay(directory);
    if (found.type === 'lost') throw new Error(found.reason);
    const shards = new Map([
      [
        SHARD,
        {
          replica: REPLICA,
          term: 1 as Term,
          vote: REPLICA,
          first: 1 as Index,
          last: 3 as Index,
          commit: 0 as Index,
        },
      ],
    ]);
    const second = await begin(directory, {
      shards,
      extents: found.files,
      nextFrame: found.nextFrame,
      nextFile: found.nextFile,
    });
    await put(second, entries(4, 5));
    await second.close();
    const replayed = await replay(directory);
    expect(replayed.type === 'sound' && replayed.shards.get(SHARD)?.entries.length).toBe(5);
  });

  test('never tries a failed sync again: it reports once and confirms nothing more', async () => {
    const directory = temporaryDirectory();
    const faults: Error[] = [];
    let failing = false;
    const failingFiles = {
      ...files,
      create: async (path: string) => {
        const file = await files.create(path);
        return Object.assign(Object.create(file), {
          write: file.write.bind(file),
          preallocate: file.preallocate.bind(file),
          close: file.close.bind(file),
          sync: () => (failing ? Promise.reject(new Error('EIO')) : file.sync()),
        });
      },
    };
    const journal = await begin(directory, { files: failingFiles, onFault: (error) => faults.push(error) });
    failing = true;
    let confirmed = 0;
    const count = (): void => {
      confirmed++;
    };
    journal.write(
      { shard: SHARD, replica: REPLICA, hardState: null, entries: entries(1, 1), reset: null },
      count,
    );
    await expect.poll(() => faults.length).toBe(1);
    failing = false;
    journal.write(
      { shard: SHARD, replica: REPLICA, hardState: null, entries: entries(2, 2), reset: null },
      count,
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect(confirmed).toBe(0);
    expect(faults.map(({ message }) => message)).toEqual(['EIO']);
    await journal.close();
  });
});

describe('what a crash or damage leaves', () => {
  /** A journal of a few frames, a quiet moment after the last. */
  async function written(
    quiet: boolean,
  ): Promise<{ directory: string; path: string; bytes: Buffer; pictures: string[]; ends: number[] }> {
    const directory = temporaryDirectory();
    const clock = new ManualClock();
    const journal = await begin(directory, { clock });
    const pictures = [picture(await replay(directory))];
    const ends = [FRAME_ALIGNMENT * 2];
    for (let i = 1; i <= 3; i++) {
      await put(journal, entries(i, i, 600));
      pictures.push(picture(await replay(directory)));
      ends.push(FRAME_ALIGNMENT + journal.statistics().bytes);
    }
    await new Promise((resolve) => setImmediate(resolve));
    if (quiet) clock.advance(100);
    await journal.close();
    const path = join(directory, journalFileName(1));
    return { directory, path, bytes: readFileSync(path), pictures, ends };
  }

  test('a last frame torn at any byte is cut, and everything before it is there', async () => {
    const { directory, path, bytes, pictures, ends } = await written(false);
    const from = ends[2] ?? 0;
    for (let cut = from; cut < (ends[3] ?? 0); cut += 1) {
      // Zeros from here on: the machine had not written them yet.
      const torn = Buffer.concat([bytes.subarray(0, cut), Buffer.alloc(bytes.length - cut)]);
      writeFileSync(path, torn);
      const whole = bytes.subarray(cut, ends[3]).every((byte) => byte === 0);
      expect(picture(await replay(directory))).toBe(pictures[whole ? 3 : 2]);
    }
  });

  test('a last frame whose first sectors are missing is cut as well', async () => {
    const { directory, path, bytes, pictures, ends } = await written(false);
    const torn = Buffer.from(bytes);
    torn.fill(0, ends[2], (ends[2] ?? 0) + FRAME_ALIGNMENT);
    writeFileSync(path, torn);
    expect(picture(await replay(directory))).toBe(pictures[2]);
  });

  test('a bit flipped anywhere either changes nothing or is reported as loss, once the journal was quiet', async () => {
    const { directory, path, bytes, pictures, ends } = await written(true);
    let lost = 0;
    for (let at = 0; at < (ends[3] ?? 0) + 2 * FRAME_ALIGNMENT; at += 7) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(path, flipped);
      const found = picture(await replay(directory));
      if (found.startsWith('lost')) lost++;
      else expect(found, `bit at ${at}`).toBe(pictures[3]);
    }
    expect(lost).toBeGreaterThan(250);
  });

  test('without the proof of a quiet moment, damage to the last frame looks like a torn one', async () => {
    const { directory, path, bytes, pictures, ends } = await written(false);
    const flipped = Buffer.from(bytes);
    flipped[(ends[2] ?? 0) + 100] = 0xff;
    writeFileSync(path, flipped);
    expect(picture(await replay(directory))).toBe(pictures[2]);
  });

  test('a proof that was overwritten by a torn frame costs nothing', async () => {
    const { directory, path, bytes, pictures, ends } = await written(true);
    const torn = Buffer.from(bytes);
    torn.fill(0xaa, (ends[3] ?? 0) + FRAME_ALIGNMENT, (ends[3] ?? 0) + 3 * FRAME_ALIGNMENT);
    writeFileSync(path, torn);
    expect(picture(await replay(directory))).toBe(pictures[3]);
  });

  test('a file that is missing, cut short, or of another journal is a loss', async () => {
    const directory = temporaryDirectory();
    const journal = await begin(directory);
    for (let i = 1; i <= 60; i++) await put(journal, entries(i, i, 400));
    await journal.close();
    const numbers = await listJournalFiles(files, directory);
    const last = numbers[numbers.length - 1] ?? 0;
    const damages: [string, (copy: string) => void][] = [
      ['middle file missing', (copy) => rmSync(join(copy, journalFileName(2)))],
      ['cut short', (copy) => truncateSync(join(copy, journalFileName(2)), 4_096)],
    ];
    const used = numbers.filter(
      (number) =>
        readFileSync(join(directory, journalFileName(number)))
          .subarray(512, 516)
          .toString() === 'FRAM',
    );
    damages.push([
      'newest file missing',
      (copy) => {
        for (let number = used[used.length - 1] ?? 0; number <= last; number++)
          rmSync(join(copy, journalFileName(number)));
      },
    ]);
    for (const [name, damage] of damages) {
      const copy = temporaryDirectory();
      cpSync(directory, copy, { recursive: true });
      damage(copy);
      expect((await replay(copy)).type, name).toBe('lost');
    }
    expect((await replayJournal(files, directory, 1, () => true)).type).toBe('lost');
    expect((await replay(directory)).type).toBe('sound');
  });
});
