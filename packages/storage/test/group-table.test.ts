import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GroupTable } from '../src/group-table.ts';

const columns = { partition: 'u16', epoch: 'f64', load: 'i32' } as const;
const encoder = new TextEncoder();
const newTable = (seed = 0) => new GroupTable({ columns, seed });
const insert = (table: GroupTable<typeof columns>, key: string): number => {
  const bytes = encoder.encode(`<${key}>`);
  return table.insert(bytes, 1, bytes.length - 1);
};
const find = (table: GroupTable<typeof columns>, key: string): number => {
  const bytes = encoder.encode(`xx${key}`);
  return table.find(bytes, 2, bytes.length);
};
const imageOf = (table: GroupTable<typeof columns>): Buffer => Buffer.concat([...table.image()]);

describe('GroupTable', () => {
  test('gives dense numbers and finds keys inside larger bytes', () => {
    const table = newTable();
    for (let i = 0; i < 5000; i++) expect(insert(table, `group-${i}`)).toBe(i);
    expect(insert(table, 'group-17')).toBe(17);
    for (let i = 0; i < 5000; i++) expect(find(table, `group-${i}`)).toBe(i);
    expect(find(table, 'group-5000')).toBe(-1);
    expect(table.key(42)).toBe('group-42');
    expect(table.size).toBe(5000);
  });

  test('gives the number freed last again, with columns of zero', () => {
    const table = newTable();
    for (const key of ['a', 'b', 'c']) table.column('epoch')[insert(table, key)] = 7;
    table.remove(0);
    table.remove(2);
    expect(insert(table, 'd')).toBe(2);
    expect(table.column('epoch')[2]).toBe(0);
    expect(insert(table, 'e')).toBe(0);
    expect(insert(table, 'f')).toBe(3);
    expect([...table.numbers()]).toEqual([0, 1, 2, 3]);
  });

  test('behaves like a map under any inserts and removals, and its image restores all of it', () => {
    const step = fc.record({ add: fc.boolean(), key: fc.integer({ min: 0, max: 400 }) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 200, maxLength: 3000 }), (steps) => {
        const table = newTable();
        const model = new Map<string, number>();
        for (const { add, key } of steps) {
          const name = `key-${key}`.padEnd(10 + (key % 300), 'x');
          if (add) {
            const number = insert(table, name);
            model.set(name, number);
            table.column('epoch')[number] = key;
          } else if (model.has(name)) {
            table.remove(model.get(name) ?? -1);
            model.delete(name);
          }
        }
        const restored = GroupTable.restore({ columns, seed: 99 }, table.image()[Symbol.iterator]());
        for (const tested of [table, restored]) {
          expect(tested.size).toBe(model.size);
          for (const [name, number] of model) {
            expect(find(tested, name)).toBe(number);
            expect(tested.column('epoch')[number]).toBe(Number(/key-(\d+)/.exec(name)?.[1]));
          }
          expect([...tested.numbers()].sort()).toEqual([...model.values()].sort());
        }
        // The same steps later give the same numbers on a node that restored an image.
        for (let i = 0; i < 50; i++) expect(insert(restored, `new-${i}`)).toBe(insert(table, `new-${i}`));
        expect(imageOf(restored).equals(imageOf(table))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('keeps its memory while groups come and go', () => {
    const table = newTable();
    for (let i = 0; i < 20_000; i++) insert(table, `group-${i}`.padEnd(39, '.'));
    const before = table.memoryBytes;
    for (let i = 20_000; i < 200_000; i++) {
      table.remove(find(table, `group-${i - 20_000}`.padEnd(39, '.')));
      insert(table, `group-${i}`.padEnd(39, '.'));
    }
    expect(table.memoryBytes).toBeLessThan(before * 1.5);
    expect(find(table, 'group-199999'.padEnd(39, '.'))).toBeGreaterThanOrEqual(0);
  });

  test('stays within 10 MB for 100,000 groups with 39-byte names', () => {
    const table = newTable();
    for (let i = 0; i < 100_000; i++) insert(table, `${i}`.padStart(39, 'g'));
    expect(table.memoryBytes).toBeLessThan(10_000_000);
  });

  test('takes only its own chunks from an image that holds more', () => {
    const table = newTable();
    for (let i = 0; i < 10_000; i++) insert(table, `g${i}`);
    const chunks = [...table.image(), Uint8Array.of(1, 2, 3)];
    expect(chunks.every((chunk) => chunk.length <= 65_536)).toBe(true);
    const iterator = chunks[Symbol.iterator]();
    GroupTable.restore({ columns }, iterator);
    expect(iterator.next().value).toEqual(Uint8Array.of(1, 2, 3));
  });
});
