import { describe, expect, it } from 'vitest';
import { simulateProducers } from '../../src/producers/producer-simulation.ts';

/** 10,000 rounds: `npm run simulate:producers`. */
const SEEDS = 24;
const ROUNDS = 60;
const MILLISECONDS_MAX = 120_000;

describe('producers whose answers are cut off, under leader changes and restarts', () => {
  it(
    `store each message once and get its first receipt, in ${SEEDS * ROUNDS} rounds`,
    async () => {
      const violations: string[] = [];
      let duplicates = 0;
      let takeovers = 0;
      for (let seed = 1; seed <= SEEDS; seed += 1) {
        const result = await simulateProducers({ seed, rounds: ROUNDS });
        duplicates += result.duplicates;
        takeovers += result.takeovers;
        violations.push(...result.violations.slice(0, 3).map((violation) => `seed ${seed}: ${violation}`));
      }
      expect(violations).toEqual([]);
      // Else nothing was put to the test.
      expect(duplicates).toBeGreaterThan(500);
      expect(takeovers).toBeGreaterThan(100);
    },
    MILLISECONDS_MAX,
  );

  it('are replayed exactly by their seed', async () => {
    const once = await simulateProducers({ seed: 77, rounds: 25 });
    expect(await simulateProducers({ seed: 77, rounds: 25 })).toEqual(once);
    expect((await simulateProducers({ seed: 78, rounds: 25 })).trace).not.toBe(once.trace);
  });
});
