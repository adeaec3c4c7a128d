import { join } from 'node:path';
import type { ShardId } from '@seriatim/multiraft';
import type { Index, Term } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import { chunkKey, footerKey } from '../src/image-format.ts';
import { ImageStore } from '../src/image-store.ts';
import { openLevelStore } from '../src/level-store.ts';
import type { KeyValueStore } from '../src/ports.ts';
import { configuration, REPLICA, SHARD, temporaryDirectory } from './support/fixture.ts';

const meta = (index: number) => ({ index: index as Index, term: 2 as Term, configuration });
const none = { first: 1 as Index, endOffset: -1 };
const newStore = (): Promise<KeyValueStore> => openLevelStore(join(temporaryDirectory(), 'level'));

async function put(
  images: ImageStore,
  index: number,
  chunks: readonly string[],
  shard: ShardId = SHARD,
): Promise<void> {
  const writer = images.write({ shard, replica: REPLICA, meta: meta(index) });
  for (const chunk of chunks) await writer.add(Buffer.from(chunk));
  await images.adopt(await writer.complete(none));
}

async function text(images: ImageStore, shard: ShardId = SHARD): Promise<string | undefined> {
  const read = images.read(shard);
  if (read === null) return undefined;
  let all = `${read.footer.meta.index}:`;
  for await (const chunk of read.chunks) all += Buffer.from(chunk).toString();
  return all;
}

async function keyCount(store: KeyValueStore): Promise<number> {
  let count = 0;
  for await (const _ of store.iterate({ from: Uint8Array.of(0), to: Uint8Array.of(255) })) count++;
  return count;
}

describe('ImageStore', () => {
  test('keeps one generation per shard: the one before goes when the next is complete', async () => {
    const store = await newStore();
    const { images } = await ImageStore.open(store);
    await put(images, 5, ['a', 'b']);
    await put(images, 8, ['c'], 9 as ShardId);
    await put(images, 7, ['d', 'e', 'f']);
    expect(await text(images)).toBe('7:def');
    expect(await keyCount(store)).toBe(4 + 2);
    const { images: again, damage } = await ImageStore.open(store);
    expect(damage).toEqual([]);
    expect(await text(again)).toBe('7:def');
    expect(await text(again, 9 as ShardId)).toBe('8:c');
    await store.close();
  });

  test('an image broken off at any point leaves the one before, and no rest of itself', async () => {
    const store = await newStore();
    const { images } = await ImageStore.open(store);
    await put(images, 5, ['old']);
    const writer = images.write({ shard: SHARD, replica: REPLICA, meta: meta(9) });
    const big = Buffer.alloc(64 * 1024);
    for (let i = 0; i < 20; i++) await writer.add(big);
    expect(await keyCount(store)).toBeGreaterThan(10);
    const { images: again, damage } = await ImageStore.open(store);
    expect(damage).toEqual([]);
    expect(await text(again)).toBe('5:old');
    expect(await keyCount(store)).toBe(2);
    await store.close();
  });

  test('complete but not yet adopted, the newer one is taken', async () => {
    const store = await newStore();
    const { images } = await ImageStore.open(store);
    await put(images, 5, ['old']);
    const writer = images.write({ shard: SHARD, replica: REPLICA, meta: meta(9) });
    await writer.add(Buffer.from('new'));
    await writer.complete(none);
    const { images: again } = await ImageStore.open(store);
    expect(await text(again)).toBe('9:new');
    expect(await keyCount(store)).toBe(2);
    await store.close();
  });

  test('damage to any bit of a chunk or footer makes the older image the newest, and is told', async () => {
    for (const key of [footerKey(SHARD, 2), chunkKey(SHARD, 2, 0), chunkKey(SHARD, 2, 1)]) {
      const store = await newStore();
      const { images } = await ImageStore.open(store);
      await put(images, 5, ['old']);
      const writer = images.write({ shard: SHARD, replica: REPLICA, meta: meta(9) });
      for (const chunk of ['ne', 'w']) await writer.add(Buffer.from(chunk));
      await writer.complete(none);
      const value = Buffer.from((await store.get(key)) ?? []);
      const at = value.length - 1;
      value[at] = (value[at] ?? 0) ^ 1;
      await store.batch([{ type: 'put', key, value }], { sync: true });
      const { images: again, damage } = await ImageStore.open(store);
      expect(damage.length).toBe(1);
      expect(await text(again)).toBe('5:old');
      await store.close();
    }
  });

  test('a chunk in the place of another is damage', async () => {
    const store = await newStore();
    const { images } = await ImageStore.open(store);
    await put(images, 5, ['aa', 'bb']);
    const first = (await store.get(chunkKey(SHARD, 1, 0))) ?? new Uint8Array();
    await store.batch([{ type: 'put', key: chunkKey(SHARD, 1, 1), value: first }], { sync: true });
    await expect(text(images)).rejects.toMatchObject({ name: 'StorageError', code: 'io' });
    expect((await ImageStore.open(store)).images.newest(SHARD)).toBeUndefined();
    await store.close();
  });

  test('a generation that is being read stays until the reader ends', async () => {
    const store = await newStore();
    const { images } = await ImageStore.open(store);
    await put(images, 5, ['a', 'b', 'c']);
    const read = images.read(SHARD);
    let all = '';
    for await (const chunk of read?.chunks ?? []) {
      all += Buffer.from(chunk).toString();
      if (all === 'a') await put(images, 6, ['new']);
    }
    expect(all).toBe('abc');
    expect(await keyCount(store)).toBe(2);
    await store.close();
  });
});
