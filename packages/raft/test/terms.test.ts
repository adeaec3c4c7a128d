import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Index, Term } from '../src/index.ts';
import { TermRuns } from '../src/terms.ts';

/** Operations on the runs and on a plain array of terms that says the same. */
const operations = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('append' as const), rise: fc.nat({ max: 2 }) }),
    fc.record({ type: fc.constant('truncate' as const), back: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ type: fc.constant('drop' as const), by: fc.integer({ min: 1, max: 5 }) }),
  ),
  { maxLength: 60 },
);

test('runs of terms say the same as a term per index', () => {
  fc.assert(
    fc.property(operations, fc.nat({ max: 40 }), fc.nat({ max: 20 }), (list, from, term) => {
      const runs = new TermRuns(0 as Index, 0 as Term);
      const plain = [0];
      let floor = 0;
      for (const operation of list) {
        const last = plain.length - 1;
        if (operation.type === 'append') {
          plain.push((plain[last] ?? 0) + operation.rise);
          runs.append((last + 1) as Index, plain[last + 1] as Term);
        } else if (operation.type === 'truncate' && last - operation.back + 1 > floor) {
          plain.length = last - operation.back + 1;
          runs.truncateFrom(plain.length as Index);
        } else if (operation.type === 'drop') {
          floor = Math.min(floor + operation.by, last);
          runs.dropBelow(floor as Index);
        }
      }
      expect(runs.floor).toBe(floor);
      for (let index = 0; index < plain.length; index++) {
        expect(runs.at(index as Index)).toBe(index < floor ? undefined : plain[index]);
      }
      const start = Math.min(from, plain.length - 1);
      let expected = start;
      while (expected >= floor && (plain[expected] ?? 0) > term) {
        expected--;
      }
      expect(runs.lastAtMost(start as Index, term as Term)).toBe(Math.max(expected, 0));
    }),
  );
});
