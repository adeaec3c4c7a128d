import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ShardId } from '@seriatim/multiraft';
import type { Index, ReplicaId, Term } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import type { NodeStore } from '../src/node-store.ts';
import { openNodeStore } from '../src/open-node-store.ts';
import {
  describeEntry,
  entries,
  entry,
  openWhole,
  REPLICA,
  SHARD,
  smallConfig,
  storeOptions,
  temporaryDirectory,
  write,
} from './support/fixture.ts';
import { chunksOf, imageText, indexes, meta, readAll } from './support/reading.ts';

function commit(store: NodeStore, from: number, to: number, term = 1): void {
  store.committed(SHARD, entries(from, to, 100, term), describeEntry);
}

describe('NodeStore', () => {
  test('gives back votes, entries and commit after a restart', async () => {
    const directory = temporaryDirectory();
    const first = await openWhole(directory);
    expect(first.recovered).toEqual([]);
    await write(first.store, entries(1, 5, 100), { term: 3, vote: 2 });
    commit(first.store, 1, 2);
    await write(first.store, entries(6, 6, 100));
    await first.store.close();
    const second = await openWhole(directory);
    const [shard] = second.recovered;
    expect(shard).toMatchObject({
      shard: SHARD,
      replica: REPLICA,
      hardState: { term: 3, vote: 2 },
      image: null,
      first: 1,
      commit: 2,
    });
    expect(indexes(shard?.entries ?? [])).toEqual([1, 2, 3, 4, 5, 6]);
    expect(second.identity.bootNumber).toBe(2);
    await second.store.close();
  });

  test('reads entries from memory and from segments alike, with the term before them', async () => {
    const { store } = await openWhole(temporaryDirectory());
    await write(store, entries(1, 100, 100), { term: 1 });
    commit(store, 1, 90);
    await write(store, entries(101, 110, 100, 2), { term: 2 });
    expect(await readAll(store, 1)).toEqual(indexes(entries(1, 110)));
    expect(await readAll(store, 95)).toEqual(indexes(entries(95, 110)));
    for (const [from, previous] of [
      [1, 0],
      [50, 1],
      [101, 1],
      [102, 2],
      [111, 2],
    ] as const) {
      expect(await store.read(SHARD, from as Index, 10)).toMatchObject({
        type: 'entries',
        previousTerm: previous,
      });
    }
    const found = await store.read(SHARD, 40 as Index, 1);
    expect(found.type === 'entries' && found.entries[0]).toEqual(entry(40, 100));
    await store.close();
  });

  test('an entry at an index that was written before overwrites it and all behind it', async () => {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await write(store, entries(1, 10, 100), { term: 1 });
    await write(store, entries(4, 5, 100, 2), { term: 2 });
    expect(await readAll(store, 1)).toEqual([1, 2, 3, 4, 5]);
    await store.close();
    const again = await openWhole(directory);
    expect(again.recovered[0]?.entries.map(({ term }) => term)).toEqual([1, 1, 1, 2, 2]);
    await again.store.close();
  });

  test('starts from the image after a checkpoint, keeps older entries in segments, and lets the journal go', async () => {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    for (let i = 1; i <= 200; i++) {
      await write(store, [entry(i, 100)], { term: 1 });
      commit(store, i, i);
    }
    expect(store.checkpointDue(SHARD)).toBe(true);
    const before = store.statistics().journalFileBytes;
    await store.checkpoint(SHARD, REPLICA, meta(195), chunksOf('state'));
    expect(store.checkpointDue(SHARD)).toBe(false);
    expect(store.statistics().journalFileBytes).toBeLessThan(before / 2);
    await store.close();
    const again = await openWhole(directory);
    const [shard] = again.recovered;
    expect(shard).toMatchObject({ image: meta(195), first: 1, commit: 199 });
    expect(indexes(shard?.entries ?? [])).toEqual([196, 197, 198, 199, 200]);
    expect(await imageText(again.store)).toBe('195:state-1,state-2');
    expect(await readAll(again.store, 1)).toEqual(indexes(entries(1, 200)));
    commit(again.store, 196, 200);
    expect(await readAll(again.store, 150)).toEqual(indexes(entries(150, 200)));
    expect(again.store.segments.endOffset(SHARD)).toBe(400);
    await again.store.close();
  });

  test('installs an image: the log before is void and begins behind it', async () => {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await write(store, entries(1, 10, 100), { term: 1 });
    const writer = store.receiveImage(SHARD, REPLICA, meta(50, 4));
    for (const chunk of chunksOf('sent')) await writer.add(chunk);
    await writer.complete();
    await new Promise<void>((resolve) =>
      store.write(
        {
          shard: SHARD,
          replica: REPLICA,
          hardState: { term: 4 as Term, vote: 0 as ReplicaId },
          entries: entries(51, 52, 100, 4),
          reset: { index: 50 as Index, term: 4 as Term },
        },
        resolve,
      ),
    );
    expect(await store.read(SHARD, 51 as Index, 1)).toMatchObject({ type: 'entries', previousTerm: 4 });
    expect(await store.read(SHARD, 50 as Index, 1)).toEqual({ type: 'compacted', first: 51 });
    await store.close();
    const again = await openWhole(directory);
    expect(again.recovered[0]).toMatchObject({ image: meta(50, 4), first: 51 });
    expect(indexes(again.recovered[0]?.entries ?? [])).toEqual([51, 52]);
    expect(await imageText(again.store)).toBe('50:sent-1,sent-2');
    await again.store.close();
  });

  test('forgets a removed shard and all its files', async () => {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await write(store, entries(1, 100, 100), { term: 1 });
    commit(store, 1, 100);
    await store.checkpoint(SHARD, REPLICA, meta(100), chunksOf('x'));
    await store.remove(SHARD);
    expect(readdirSync(join(directory, 'segments'))).toEqual([]);
    await write(store, entries(1, 2), { term: 9, replica: 77 as ReplicaId });
    await store.close();
    const again = await openWhole(directory);
    expect(again.recovered).toMatchObject([{ replica: 77, image: null, hardState: { term: 9 } }]);
    await again.store.close();
  });

  test('asks shards that keep an old journal file for an image, and copies forward what nobody commits', async () => {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    const quiet = 8 as ShardId;
    const stuck = 9 as ShardId;
    await write(store, entries(1, 2), { shard: quiet, term: 1 });
    store.committed(quiet, entries(1, 2), describeEntry);
    await write(store, entries(1, 3), { shard: stuck, term: 1 });
    let index = 0;
    for (let i = 0; i < 400; i++) {
      index++;
      await write(store, [entry(index, 400)], { term: 1 });
      store.committed(SHARD, [entry(index, 400)], describeEntry);
      if (store.checkpointDue(SHARD)) await store.checkpoint(SHARD, REPLICA, meta(index), chunksOf('busy'));
      if (store.checkpointDue(quiet)) await store.checkpoint(quiet, REPLICA, meta(2), chunksOf('quiet'));
    }
    expect(store.statistics().journalFileBytes).toBeLessThan(80_000);
    await store.close();
    const again = await openWhole(directory);
    const found = new Map(again.recovered.map((shard) => [shard.shard, shard]));
    expect(found.get(quiet)?.image?.index).toBe(2);
    expect(indexes(found.get(stuck)?.entries ?? [])).toEqual([1, 2, 3]);
    await again.store.close();
  });
});

describe('NodeStore with damage', () => {
  async function lived(): Promise<string> {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await write(store, entries(1, 60, 100), { term: 1 });
    commit(store, 1, 60);
    await store.checkpoint(SHARD, REPLICA, meta(50), chunksOf('state'));
    await store.close();
    return directory;
  }
  const copyOf = (directory: string): string => {
    const copy = temporaryDirectory();
    cpSync(directory, copy, { recursive: true });
    return copy;
  };
  const flip = (path: string, at: number): void => {
    const bytes = readFileSync(path);
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    writeFileSync(path, bytes);
  };

  test('a lost journal is told as such at every start, and nothing but startOver opens the store', async () => {
    const directory = await lived();
    rmSync(join(directory, 'journal'), { recursive: true });
    for (const boot of [2, 3]) {
      const found = await openNodeStore(storeOptions(directory));
      expect(found).toMatchObject({
        type: 'lost',
        reason: 'the journal is gone',
        identity: { bootNumber: boot },
      });
    }
    const found = await openNodeStore(storeOptions(directory));
    if (found.type !== 'lost') throw new Error('not lost');
    const over = await found.startOver();
    expect(over.recovered).toEqual([]);
    expect(over.identity).toMatchObject({ bootNumber: 4, losses: [4] });
    await write(over.store, entries(1, 1), { term: 1, replica: 99 as ReplicaId });
    await over.store.close();
    const again = await openWhole(directory);
    expect(again.recovered).toMatchObject([{ replica: 99, image: null }]);
    await again.store.close();
  });

  test('a missing or damaged identity beside a journal is a loss too', async () => {
    const directory = await lived();
    const damaged = copyOf(directory);
    flip(join(damaged, 'identity'), 30);
    expect((await openNodeStore(storeOptions(damaged))).type).toBe('lost');
    rmSync(join(directory, 'identity'));
    expect((await openNodeStore(storeOptions(directory))).type).toBe('lost');
    expect((await openNodeStore(storeOptions(directory))).type).toBe('lost');
  });

  test('refuses the directory of another node', async () => {
    const directory = await lived();
    await expect(openNodeStore(storeOptions(directory, { node: 2 as never }))).rejects.toThrow(
      /belongs to node 1/,
    );
  });

  test('a shard whose image is gone while the journal needs it is named, and not given', async () => {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    for (let i = 1; i <= 150; i++) {
      await write(store, [entry(i, 200)], { term: 1 });
      commit(store, i, i);
    }
    await store.checkpoint(SHARD, REPLICA, meta(145), chunksOf('state'));
    await store.close();
    rmSync(join(directory, 'images'), { recursive: true });
    const opened = await openWhole(directory);
    expect(opened.recovered).toEqual([]);
    expect(opened.damaged).toMatchObject([{ shard: SHARD, replica: REPLICA, hardState: { term: 1 } }]);
    await opened.store.remove(SHARD);
    await opened.store.close();
    const again = await openWhole(directory);
    expect(again.damaged).toEqual([]);
    await again.store.close();
  });

  test('damaged segments cost no vote and are never served: who needs them is sent an image', async () => {
    const directory = await lived();
    const segments = join(directory, 'segments', String(SHARD));
    for (const name of readdirSync(segments).filter((file) => file.endsWith('.segment'))) {
      const copy = copyOf(directory);
      flip(join(copy, 'segments', String(SHARD), name), 400);
      const opened = await openWhole(copy);
      const [shard] = opened.recovered;
      expect(shard).toMatchObject({ image: meta(50) });
      for (let from = 1; from <= 50; from++) {
        const found = await opened.store.read(SHARD, from as Index, 1);
        if (found.type === 'entries') expect(found.entries).toEqual([entry(from, 100)]);
        else expect(found.first).toBeGreaterThan(from);
      }
      commitAgain(opened.store);
      expect(await readAll(opened.store, 51)).toEqual(indexes(entries(51, 60)));
      await opened.store.close();
    }
  });

  function commitAgain(store: NodeStore): void {
    store.committed(SHARD, entries(51, 60, 100), describeEntry);
  }

  test('stops below the lower floor of free space and says so, refuses below the upper one', async () => {
    const directory = temporaryDirectory();
    const refusing = await openWhole(directory, { config: { ...smallConfig, freeBytesRefuse: 2 ** 52 } });
    expect(refusing.store.status()).toBe('refuse');
    await refusing.store.close();
    const faults: Error[] = [];
    const stopping = await openWhole(directory, {
      config: { ...smallConfig, freeBytesRefuse: 2 ** 52, freeBytesStop: 2 ** 51 },
      onFault: (error) => faults.push(error),
    });
    expect(stopping.store.status()).toBe('stop');
    await expect.poll(() => faults.length).toBe(1);
    expect(faults[0]).toMatchObject({ code: 'noSpace' });
    await stopping.store.close();
  });
});

describe('a second process', () => {
  test('on the same directory is refused and raises no boot number', async () => {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await expect(openNodeStore(storeOptions(directory))).rejects.toMatchObject({ name: 'StorageError' });
    await store.close();
    const again = await openWhole(directory);
    expect(again.identity.bootNumber).toBe(2);
    await again.store.close();
  });
});
