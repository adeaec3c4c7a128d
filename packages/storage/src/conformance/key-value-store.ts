/** What every {@link KeyValueStore} must do, as far as one process sees it. */
import assert from 'node:assert/strict';
import type { KeyRange, KeyValueChange, KeyValueStore } from '../ports.ts';
import type { Suite } from './suite.ts';

/** Opens the same store again and again. */
export interface KeyValueFixture {
  readonly open: () => Promise<KeyValueStore>;
}

const key = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
const put = (at: Uint8Array, value: string): KeyValueChange => ({
  type: 'put',
  key: at,
  value: Buffer.from(value),
});
const all: KeyRange = { from: key(0), to: key(255) };

async function contents(store: KeyValueStore, range: KeyRange = all): Promise<string[]> {
  const found: string[] = [];
  for await (const item of store.iterate(range)) {
    found.push(`${Buffer.from(item.key).toString('hex')}=${Buffer.from(item.value).toString()}`);
  }
  return found;
}

/** Registers the suite; `create` makes a new fixture, empty, for each test. */
export function keyValueStoreConformance(suite: Suite, create: () => Promise<KeyValueFixture>): void {
  suite.test('gives what was put, and undefined for what was not', async () => {
    const store = await (await create()).open();
    await store.batch([put(key(1), 'one'), put(key(2), '')], { sync: true });
    assert.equal(Buffer.from((await store.get(key(1))) ?? []).toString(), 'one');
    assert.equal((await store.get(key(2)))?.length, 0);
    assert.equal(await store.get(key(3)), undefined);
    await store.close();
  });
  suite.test('orders by bytes, unsigned, and ranges include their start and not their end', async () => {
    const store = await (await create()).open();
    await store.batch([put(key(200), 'd'), put(key(5, 0), 'b'), put(key(5), 'a'), put(key(127), 'c')], {
      sync: false,
    });
    assert.deepEqual(await contents(store), ['05=a', '0500=b', '7f=c', 'c8=d']);
    assert.deepEqual(await contents(store, { from: key(5, 0), to: key(200) }), ['0500=b', '7f=c']);
    await store.close();
  });
  suite.test('applies the changes of a batch in order', async () => {
    const store = await (await create()).open();
    await store.batch(
      [put(key(1), 'a'), { type: 'delete', key: key(1) }, put(key(2), 'a'), put(key(2), 'b')],
      { sync: true },
    );
    assert.deepEqual(await contents(store), ['02=b']);
    await store.close();
  });
  suite.test('an iteration sees the store as it was when it began', async () => {
    const store = await (await create()).open();
    await store.batch([put(key(1), 'a'), put(key(2), 'b'), put(key(3), 'c')], { sync: false });
    const found: string[] = [];
    for await (const { value } of store.iterate(all)) {
      if (found.length === 0)
        await store.batch([{ type: 'delete', key: key(3) }, put(key(4), 'd')], { sync: false });
      found.push(Buffer.from(value).toString());
    }
    assert.deepEqual(found, ['a', 'b', 'c']);
    await store.close();
  });
  suite.test('an iteration may be left early', async () => {
    const store = await (await create()).open();
    await store.batch([put(key(1), 'a'), put(key(2), 'b')], { sync: false });
    for await (const _ of store.iterate(all)) break;
    assert.equal((await contents(store)).length, 2);
    await store.close();
  });
  suite.test('deletes a range and nothing else', async () => {
    const store = await (await create()).open();
    await store.batch(
      [1, 2, 3, 4].map((byte) => put(key(byte), 'x')),
      { sync: false },
    );
    await store.deleteRange({ from: key(2), to: key(4) });
    assert.deepEqual(await contents(store), ['01=x', '04=x']);
    await store.close();
  });
  suite.test('keeps what was put over closing and opening', async () => {
    const { open } = await create();
    const store = await open();
    await store.batch([put(key(1), 'x'.repeat(64 * 1024))], { sync: true });
    await store.close();
    const again = await open();
    assert.equal((await again.get(key(1)))?.length, 64 * 1024);
    await again.close();
  });
  suite.test('does not keep the memory it was given', async () => {
    const store = await (await create()).open();
    const value = Buffer.from('abc');
    await store.batch([{ type: 'put', key: key(1), value }], { sync: true });
    value.fill(0);
    assert.deepEqual(await contents(store), ['01=abc']);
    await store.close();
  });
}
