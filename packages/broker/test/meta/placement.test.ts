import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { placeReplicas } from '../../src/meta/placement.ts';
import { ids } from './fakes.ts';

describe('placement', () => {
  test('spreads leaders and replicas over any cluster, over topics too', () => {
    const shape = fc.integer({ min: 1, max: 7 }).chain((nodes) =>
      fc.record({
        nodes: fc.constant(nodes),
        topics: fc.array(
          fc.record({
            partitions: fc.integer({ min: 1, max: 40 }),
            replicas: fc.integer({ min: 1, max: nodes }),
          }),
          { minLength: 1, maxLength: 6 },
        ),
      }),
    );
    fc.assert(
      fc.property(shape, ({ nodes, topics }) => {
        const all: { node: number }[][] = [];
        for (const { partitions, replicas } of topics) {
          const rows = placeReplicas(ids(nodes), all as never, partitions, replicas);
          expect(rows).toHaveLength(partitions);
          for (const row of rows) {
            expect(row).toHaveLength(replicas);
            expect(new Set(row).size).toBe(replicas);
            all.push(row.map((node) => ({ node })));
          }
        }
        const leaders = ids(nodes).map((node) => all.filter((row) => row[0]?.node === node).length);
        expect(Math.max(...leaders) - Math.min(...leaders)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 60 },
    );
  });

  test('three nodes, three replicas: each leads a third, and the followers of one leader differ', () => {
    const rows = placeReplicas(ids(3), [], 12, 3);
    for (const node of ids(3)) {
      const led = rows.filter((row) => row[0] === node);
      expect(led).toHaveLength(4);
      expect(new Set(led.map((row) => row[1])).size).toBe(2);
    }
  });
});
