import { describe, expect, test } from 'vitest';
import { RouteTable } from '../../src/meta/route-table.ts';
import { utf8 } from './fakes.ts';

describe('route table', () => {
  test('100,000 routes with 39-byte names take at most 10 MB', () => {
    const table = new RouteTable(8, 1_000_000);
    for (let n = 0; n < 100_000; n++) {
      const name = utf8(`order-service/customer/${String(n).padStart(16, '0')}`);
      if (name.length !== 39) throw new Error(`${name.length} bytes`);
      table.assign(name, 0, name.length, n);
    }
    expect(table.count).toBe(100_000);
    expect(table.memoryBytes).toBeLessThan(10_000_000);
  });

  test('refuses an image whose routes lead to partitions that do not exist', () => {
    const table = new RouteTable(4, 100);
    for (let n = 0; n < 8; n++) {
      const name = utf8(`g${n}`);
      table.assign(name, 0, name.length, 1);
    }
    const restore = (partitions: number): RouteTable =>
      RouteTable.restore(partitions, 100, table.image()[Symbol.iterator]());
    expect(restore(4).loads).toEqual([2, 2, 2, 2]);
    expect(() => restore(2)).toThrow('partition');
  });
});
