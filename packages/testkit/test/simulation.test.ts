import { describe, expect, it } from 'vitest';
import { simulate } from '../src/simulation/simulation.ts';
import { runSeeds } from './support/seeds.ts';

describe('a simulation', () => {
  it('repeats itself event by event for the same seed, and differs for another', async () => {
    const [one, again, other] = [
      await simulate({ seed: 7, seconds: 20 }),
      await simulate({ seed: 7, seconds: 20 }),
      await simulate({ seed: 8, seconds: 20 }),
    ];
    expect(again).toEqual(one);
    expect(other.trace).not.toBe(one.trace);
  }, 60_000);
});

// The other half is in simulation-seeds.test.ts, so that two cores share the work.
describe('every guarantee under faults', () => {
  runSeeds(1, 250);
});
