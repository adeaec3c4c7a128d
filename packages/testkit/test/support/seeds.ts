import { expect, it } from 'vitest';
import { simulate } from '../../src/simulation/simulation.ts';

const BATCH = 25;
const BATCH_MILLISECONDS_MAX = 600_000;

/** Runs seeds `first` to `last`, 60 simulated seconds with faults each; a violation names its seed and how to replay it. */
export function runSeeds(first: number, last: number): void {
  for (let from = first; from <= last; from += BATCH) {
    const to = Math.min(from + BATCH - 1, last);
    it(
      `holds for seeds ${from} to ${to}`,
      async () => {
        const violations: string[] = [];
        let acknowledged = 0;
        for (let seed = from; seed <= to; seed += 1) {
          const result = await simulate({ seed });
          acknowledged += result.acknowledged;
          if (result.violation === null) continue;
          violations.push(
            `seed ${seed} at ${result.simulatedMilliseconds} ms: ${result.violation.message}; replay: npm run simulate -- --seed ${seed}`,
          );
        }
        expect(violations).toEqual([]);
        expect(acknowledged).toBeGreaterThan(0);
      },
      BATCH_MILLISECONDS_MAX,
    );
  }
}
