/** What every `LogStore` of multiraft must do, as far as one process and an orderly restart show it. */
import assert from 'node:assert/strict';
import type { LogStore, RecoveredShard, ShardId } from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, SnapshotMeta, Term } from '@seriatim/raft';
import type { Suite } from './suite.ts';

/** Opens a store on the same disk again and again; `close` ends one in an orderly way. */
export interface LogStoreFixture {
  readonly open: () => Promise<{
    readonly store: LogStore;
    readonly recovered: readonly RecoveredShard[];
    readonly close: () => Promise<void>;
  }>;
}

const shard = 5 as ShardId;
const replica = 11 as ReplicaId;
const configuration = { voters: [replica], outgoing: [], learners: [], learnersNext: [] };
const meta = (index: number, term: number): SnapshotMeta => ({
  index: index as Index,
  term: term as Term,
  configuration,
});

function entries(from: number, to: number, term = 1): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const index = (from + i) as Index;
    return { index, term: term as Term, type: 'command', data: Buffer.from(`${index}@${term}`.padEnd(50)) };
  });
}

const pictureOf = (found: readonly Entry[]): string[] =>
  found.map(({ data }) => Buffer.from(data).toString().trim());

function write(
  store: LogStore,
  written: readonly Entry[],
  term = 1,
  reset: { index: Index; term: Term } | null = null,
): Promise<void> {
  const hardState = { term: term as Term, vote: replica };
  return new Promise((resolve) =>
    store.write({ shard, replica, hardState, entries: written, reset }, resolve),
  );
}

async function readFrom(
  store: LogStore,
  from: number,
): Promise<{ previousTerm: number; found: string[] } | string> {
  const read = await store.read(shard, from as Index, 1_000_000);
  if (read.type === 'compacted') return `compacted, first ${read.first}`;
  return { previousTerm: read.previousTerm, found: pictureOf(read.entries) };
}

async function imageText(store: LogStore): Promise<string | null> {
  const image = await store.image(shard);
  if (image === null) return null;
  let text = `${image.meta.index}@${image.meta.term}:`;
  for await (const chunk of image.chunks) text += Buffer.from(chunk).toString();
  return text;
}

/** Registers the suite; `create` makes a new fixture, with an empty disk, for each test. */
export function logStoreConformance(suite: Suite, create: () => Promise<LogStoreFixture>): void {
  logConformance(suite, create);
  imageConformance(suite, create);
}

function logConformance(suite: Suite, create: () => Promise<LogStoreFixture>): void {
  suite.test('confirms writes in order and never inside the call', async () => {
    const { store, close } = await (await create()).open();
    const order: number[] = [];
    const done = [1, 2, 3].map((i) => write(store, entries(i, i)).then(() => order.push(i)));
    assert.deepEqual(order, []);
    await Promise.all(done);
    assert.deepEqual(order, [1, 2, 3]);
    await close();
  });
  suite.test('recovers vote and entries', async () => {
    const { open } = await create();
    const first = await open();
    assert.deepEqual(first.recovered, []);
    await write(first.store, entries(1, 5), 3);
    await first.close();
    const { recovered, close } = await open();
    const [found] = recovered;
    assert.equal(recovered.length, 1);
    assert.deepEqual(found?.hardState, { term: 3, vote: replica });
    assert.equal(found?.replica, replica);
    assert.equal(found?.image, null);
    assert.equal(found?.first, 1);
    assert.deepEqual(pictureOf(found?.entries ?? []), pictureOf(entries(1, 5)));
    await close();
  });
  suite.test('reads from any index, with the term before it, committed or not', async () => {
    const { store, close } = await (await create()).open();
    await write(store, [...entries(1, 4, 1), ...entries(5, 8, 2)], 2);
    store.committed(shard, [...entries(1, 4, 1), ...entries(5, 6, 2)], () => null);
    const all = [...pictureOf(entries(1, 4, 1)), ...pictureOf(entries(5, 8, 2))];
    for (let from = 1; from <= 8; from++) {
      const previousTerm = from === 1 ? 0 : from <= 5 ? 1 : 2;
      const read = await store.read(shard, from as Index, 1_000_000);
      assert.equal(read.type, 'entries');
      if (read.type !== 'entries') continue;
      assert.equal(read.previousTerm, previousTerm);
      assert.ok(read.entries.length > 0);
      assert.deepEqual(pictureOf(read.entries), all.slice(from - 1, from - 1 + read.entries.length));
    }
    assert.deepEqual(await readFrom(store, 9), { previousTerm: 2, found: [] });
    await close();
  });
  suite.test('gives at least one entry, however small the limit', async () => {
    const { store, close } = await (await create()).open();
    await write(store, entries(1, 5));
    const read = await store.read(shard, 2 as Index, 1);
    assert.deepEqual(read.type === 'entries' && pictureOf(read.entries), pictureOf(entries(2, 2)));
    await close();
  });
  suite.test('an entry at or below the last overwrites it and everything behind it', async () => {
    const { open } = await create();
    const first = await open();
    await write(first.store, entries(1, 6, 1));
    await write(first.store, entries(3, 4, 2), 2);
    const expected = [...pictureOf(entries(1, 2, 1)), ...pictureOf(entries(3, 4, 2))];
    assert.deepEqual(await readFrom(first.store, 1), { previousTerm: 0, found: expected });
    await first.close();
    const { recovered, close } = await open();
    assert.deepEqual(pictureOf(recovered[0]?.entries ?? []), expected);
    await close();
  });
  suite.test('forgets a removed shard, which may come back as another replica', async () => {
    const { open } = await create();
    const first = await open();
    await write(first.store, entries(1, 6, 1));
    await first.store.remove(shard);
    await first.close();
    const second = await open();
    assert.deepEqual(second.recovered, []);
    const other = { shard, replica: 12 as ReplicaId, hardState: null, entries: entries(1, 1), reset: null };
    await new Promise<void>((resolve) => second.store.write(other, resolve));
    await second.close();
    const { recovered, close } = await open();
    assert.equal(recovered[0]?.replica, 12);
    await close();
  });
}

function imageConformance(suite: Suite, create: () => Promise<LogStoreFixture>): void {
  suite.test('starts from the newest checkpoint, with the entries above it', async () => {
    const { open } = await create();
    const first = await open();
    await write(first.store, entries(1, 9));
    first.store.committed(shard, entries(1, 8), () => null);
    await first.store.checkpoint(shard, replica, meta(4, 1), [Buffer.from('old')]);
    await first.store.checkpoint(shard, replica, meta(7, 1), [Buffer.from('ne'), Buffer.from('w')]);
    assert.equal(await imageText(first.store), '7@1:new');
    await first.close();
    const { store, recovered, close } = await open();
    const [found] = recovered;
    assert.deepEqual(found?.image, meta(7, 1));
    assert.deepEqual(pictureOf(found?.entries ?? []), pictureOf(entries(8, 9)));
    assert.ok((found?.first ?? 99) <= 8);
    assert.ok((found?.commit ?? 0) >= 7);
    assert.equal(await imageText(store), '7@1:new');
    await close();
  });
  suite.test('takes a state with no bytes, and one with many chunks', async () => {
    const { store, close } = await (await create()).open();
    await write(store, entries(1, 2));
    store.committed(shard, entries(1, 2), () => null);
    assert.equal(await store.image(shard), null);
    await store.checkpoint(shard, replica, meta(1, 1), []);
    assert.equal(await imageText(store), '1@1:');
    const chunks = Array.from({ length: 40 }, () => Buffer.alloc(64 * 1024, 'x'));
    await store.checkpoint(shard, replica, meta(2, 1), chunks);
    assert.equal((await imageText(store))?.length, 4 + 40 * 64 * 1024);
    await close();
  });
  suite.test('an image received and completed replaces the log up to it', async () => {
    const { open } = await create();
    const first = await open();
    await write(first.store, entries(1, 3));
    const writer = first.store.receiveImage(shard, replica, meta(20, 6));
    await writer.add(Buffer.from('re'));
    await writer.add(Buffer.from('ceived'));
    await writer.complete();
    await write(first.store, entries(21, 22, 6), 6, { index: 20 as Index, term: 6 as Term });
    assert.deepEqual(await readFrom(first.store, 21), {
      previousTerm: 6,
      found: pictureOf(entries(21, 22, 6)),
    });
    assert.equal(await readFrom(first.store, 3), 'compacted, first 21');
    await first.close();
    const { store, recovered, close } = await open();
    assert.deepEqual(recovered[0]?.image, meta(20, 6));
    assert.equal(recovered[0]?.first, 21);
    assert.deepEqual(pictureOf(recovered[0]?.entries ?? []), pictureOf(entries(21, 22, 6)));
    assert.equal(await imageText(store), '20@6:received');
    await close();
  });
  suite.test('an image that was given up, or never completed, is not there', async () => {
    const { open } = await create();
    const first = await open();
    await write(first.store, entries(1, 3));
    const given = first.store.receiveImage(shard, replica, meta(20, 6));
    await given.add(Buffer.from('x'));
    await given.abort();
    await first.store.receiveImage(shard, replica, meta(30, 6)).add(Buffer.from('x'));
    assert.equal(await first.store.image(shard), null);
    await first.close();
    const { store, recovered, close } = await open();
    assert.equal(recovered[0]?.image, null);
    assert.equal(await store.image(shard), null);
    await close();
  });
}
