import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EntriesRead } from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, SnapshotMeta, Term } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import type { NodeStore } from '../src/node-store.ts';
import {
  configuration,
  describeEntry,
  entries,
  openWhole,
  REPLICA,
  SHARD,
  temporaryDirectory,
  write,
} from './support/fixture.ts';

const meta = (index: number): SnapshotMeta => ({ index: index as Index, term: 1 as Term, configuration });
const OTHER = 4 as ReplicaId;

/** A store with entries 1 to 100 committed, an image at 90, and everything below 41 removed as far as segments allow. */
async function leaderStore(directory: string): Promise<NodeStore> {
  const { store } = await openWhole(directory);
  await write(store, entries(1, 100), { term: 1 });
  store.committed(SHARD, entries(1, 100), describeEntry);
  await store.checkpoint(SHARD, REPLICA, meta(90), [Buffer.from('state')]);
  store.segments.removeBefore(SHARD, 41 as Index);
  await store.checkpoint(SHARD, REPLICA, meta(91), [Buffer.from('state')]);
  return store;
}

async function pieces(store: NodeStore, to: number): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  for await (const piece of store.records(SHARD, to as Index)) found.push(piece);
  return found;
}

async function receive(store: NodeStore, to: number, sent: readonly Uint8Array[]): Promise<void> {
  const writer = store.receiveImage(SHARD, OTHER, meta(to));
  await writer.add(Buffer.from('state'));
  for (const piece of sent) await writer.addRecords(piece);
  await writer.complete();
}

function reset(store: NodeStore, index: number, behind: readonly Entry[] = []): Promise<void> {
  return new Promise((resolve) =>
    store.write(
      {
        shard: SHARD,
        replica: OTHER,
        hardState: { term: 1 as Term, vote: 0 as ReplicaId },
        entries: behind,
        reset: { index: index as Index, term: 1 as Term },
      },
      resolve,
    ),
  );
}

async function indexesFrom(store: NodeStore, from: number): Promise<number[]> {
  const found: number[] = [];
  for (;;) {
    const read: EntriesRead = await store.read(SHARD, (from + found.length) as Index, 300);
    if (read.type === 'compacted') throw new Error(`compacted, first ${read.first}`);
    if (read.entries.length === 0) return found;
    found.push(...read.entries.map(({ index }) => index));
  }
}

const range = (from: number, to: number): number[] => entries(from, to).map(({ index }) => index);

describe('records that come with an image', () => {
  test('are read at the receiver as at the sender: by index, offset and group, before and after a restart', async () => {
    const leader = await leaderStore(temporaryDirectory());
    const first = leader.segments.segments(SHARD)[0]?.firstIndex ?? 0;
    expect(first).toBeGreaterThan(1);
    expect(first).toBeLessThanOrEqual(41);
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await receive(store, 91, await pieces(leader, 91));
    await reset(store, 91, entries(92, 95));
    store.committed(SHARD, entries(92, 95), describeEntry);
    const check = async (read: NodeStore, to: number): Promise<void> => {
      expect(await indexesFrom(read, first)).toEqual(range(first, 95));
      expect(await read.read(SHARD, (first - 1) as Index, 1)).toEqual({ type: 'compacted', first });
      for (const at of [first, 60, to]) {
        const asked = [(at - 1) * 2, 1] as const;
        expect(await read.segments.readByOffset(SHARD, ...asked)).toEqual(
          await leader.segments.readByOffset(SHARD, ...asked),
        );
      }
      const groups = await read.segments.readGroup(SHARD, 3, 0, 1_000_000);
      const indexes = groups.type === 'records' ? groups.records.map(({ entry }) => entry.index) : [];
      expect(indexes).toEqual(range(first, to).filter((index) => index % 5 === 3));
    };
    await check(store, 95);
    await store.close();
    const again = await openWhole(directory);
    expect(again.recovered[0]).toMatchObject({ first, image: meta(91) });
    again.store.committed(SHARD, entries(92, 95), describeEntry);
    await check(again.store, 95);
    await leader.close();
    await again.store.close();
  });

  test('are there after a crash between the image and the log that begins behind it', async () => {
    const leader = await leaderStore(temporaryDirectory());
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await write(store, entries(1, 3), { term: 1, replica: OTHER });
    await receive(store, 91, await pieces(leader, 91));
    await store.close();
    const again = await openWhole(directory);
    const first = again.recovered[0]?.first ?? 0;
    expect(first).toBeGreaterThan(1);
    expect(first).toBeLessThanOrEqual(41);
    expect(await indexesFrom(again.store, first)).toEqual(range(first, 91));
    await leader.close();
    await again.store.close();
  });

  test('are forgotten, and their files removed, when the image is not taken', async () => {
    const leader = await leaderStore(temporaryDirectory());
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await write(store, entries(1, 95), { term: 1, replica: OTHER });
    store.committed(SHARD, entries(1, 95), describeEntry);
    await receive(store, 91, await pieces(leader, 91));
    await store.checkpoint(SHARD, OTHER, meta(95), [Buffer.from('own')]);
    expect(readdirSync(join(directory, 'segments'))).toEqual([String(SHARD)]);
    await store.close();
    const again = await openWhole(directory);
    expect(again.recovered[0]).toMatchObject({ first: 1, image: meta(95) });
    expect(await indexesFrom(again.store, 1)).toEqual(range(1, 95));
    await leader.close();
    await again.store.close();
  });

  test('leave nothing behind when the transfer is given up, or the process dies in it', async () => {
    const leader = await leaderStore(temporaryDirectory());
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await write(store, entries(1, 3), { term: 1, replica: OTHER });
    const [piece] = await pieces(leader, 91);
    const given = store.receiveImage(SHARD, OTHER, meta(91));
    await given.addRecords(piece ?? new Uint8Array());
    await given.abort();
    expect(readdirSync(join(directory, 'segments'))).not.toContain(`${SHARD}.91`);
    await store.receiveImage(SHARD, OTHER, meta(91)).addRecords(piece ?? new Uint8Array());
    await store.close();
    const again = await openWhole(directory);
    expect(readdirSync(join(directory, 'segments'))).not.toContain(`${SHARD}.91`);
    expect(again.recovered[0]).toMatchObject({ image: null, first: 1 });
    await leader.close();
    await again.store.close();
  });

  test('begin behind a segment that is damaged where they come from', async () => {
    const source = temporaryDirectory();
    const leader = await leaderStore(source);
    const extents = leader.segments.segments(SHARD);
    const damaged = extents[1];
    const name = `${String(damaged?.firstIndex).padStart(16, '0')}.segment`;
    const path = join(source, 'segments', String(SHARD), name);
    const bytes = readFileSync(path);
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const { store } = await openWhole(temporaryDirectory());
    await receive(store, 91, await pieces(leader, 91));
    await reset(store, 91);
    const first = extents[2]?.firstIndex ?? 0;
    expect(await indexesFrom(store, first)).toEqual(range(first, 91));
    expect(await store.read(SHARD, (first - 1) as Index, 1)).toEqual({ type: 'compacted', first });
    await leader.close();
    await store.close();
  });

  test('are refused when a byte is not as it was sent, or they are of another shard', async () => {
    const leader = await leaderStore(temporaryDirectory());
    const { store } = await openWhole(temporaryDirectory());
    const [piece] = await pieces(leader, 91);
    const torn = Uint8Array.from(piece ?? []);
    torn[150] = (torn[150] ?? 0) ^ 1;
    const writer = store.receiveImage(SHARD, OTHER, meta(91));
    await expect(writer.addRecords(torn)).rejects.toThrow(/is not what was sent/);
    await expect(writer.addRecords(torn.subarray(0, 64))).rejects.toThrow(/empty piece/);
    await expect(
      store.receiveImage(9 as typeof SHARD, OTHER, meta(91)).addRecords(piece ?? torn),
    ).rejects.toThrow(/wrong head/);
    await expect(store.receiveImage(SHARD, OTHER, meta(20)).addRecords(piece ?? torn)).rejects.toThrow(
      /beyond the image/,
    );
    await leader.close();
    await store.close();
  });
});
