import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jumpHash, PartitionChooser } from '../../src/meta/partition-chooser.ts';
import { utf8 } from './fakes.ts';

describe('jump hash', () => {
  test('gives a bucket in range, and moves a key only to the new bucket when one is added', () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffffffff }), fc.integer({ min: 1, max: 200 }), (key, buckets) => {
        const before = jumpHash(key, buckets);
        const after = jumpHash(key, buckets + 1);
        expect(before).toBeGreaterThanOrEqual(0);
        expect(before).toBeLessThan(buckets);
        expect(after === before || after === buckets).toBe(true);
      }),
    );
  });

  test('spreads keys over the buckets', () => {
    const counts = new Array<number>(10).fill(0);
    for (let key = 0; key < 100_000; key++) {
      const bucket = jumpHash(Math.imul(key, 0x9e3779b1), 10);
      counts[bucket] = (counts[bucket] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(600);
  });
});

describe('partition chooser', () => {
  test('keeps the loads of 8 partitions within one group of each other for 10,000 groups', () => {
    const chooser = new PartitionChooser(8);
    for (let n = 0; n < 10_000; n++) chooser.choose(utf8(`customer-${n}`));
    const mean = 10_000 / 8;
    for (const load of chooser.loads) expect(Math.abs(load - mean)).toBeLessThanOrEqual(1);
  });

  test('chooses by the loads and the name alone, not by the way that led there', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1 }), { maxLength: 60 }),
        fc.array(fc.nat({ max: 4 }), { maxLength: 10 }),
        fc.array(fc.string({ minLength: 1 }), { maxLength: 20 }),
        (names, removed, later) => {
          const lived = new PartitionChooser(5);
          for (const name of names) lived.choose(utf8(name));
          for (const partition of removed) lived.remove(partition);
          const restored = new PartitionChooser(5);
          lived.loads.forEach((load, partition) => {
            for (let n = 0; n < load; n++) restored.add(partition);
          });
          for (const name of later) expect(restored.choose(utf8(name))).toBe(lived.choose(utf8(name)));
        },
      ),
    );
  });
});
