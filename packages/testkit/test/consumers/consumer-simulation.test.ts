import { describe, expect, it } from 'vitest';
import { simulateConsumers } from '../../src/consumers/consumer-simulation.ts';

const SEEDS = 60;
const MESSAGES = 300;

describe('consumers in the simulation', () => {
  it('handle every group in order and to the end, whatever breaks', async () => {
    const totals = {
      acked: 0,
      nacked: 0,
      repeated: 0,
      streamsBroken: 0,
      consumersKilled: 0,
      leaderChanges: 0,
      restarts: 0,
    };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violations, ...counts } = await simulateConsumers({ seed, messages: MESSAGES });
      expect(violations, `seed ${seed}`).toEqual([]);
      for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += counts[name];
    }
    expect(totals.acked).toBeGreaterThanOrEqual(SEEDS * MESSAGES);
    for (const [name, count] of Object.entries(totals)) expect(count, name).toBeGreaterThan(SEEDS / 2);
  }, 120_000);

  // Each went wrong before what it found was mended, in what is simulated (598, 12,799) or in the simulation itself.
  it.each([598, 12_799, 20_086, 20_094])('hold with seed %i, which once went wrong', async (seed) => {
    expect((await simulateConsumers({ seed, messages: MESSAGES })).violations).toEqual([]);
  });

  it('are the same in every run of a seed', async () => {
    const [first, second] = [
      await simulateConsumers({ seed: 7, messages: 100 }),
      await simulateConsumers({ seed: 7, messages: 100 }),
    ];
    expect(second).toEqual(first);
  });
});
