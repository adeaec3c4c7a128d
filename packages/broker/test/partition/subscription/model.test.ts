import { describe, expect, it } from 'vitest';
import { runModel } from './model-world.ts';

/** MODEL_RUNS: more of them, for a change in dispatch. */
const RUNS = Number(process.env['MODEL_RUNS'] ?? 600);

describe('a subscription under random consumers and leaders', () => {
  it('delivers each group in order to one holder at a time, loses nothing and counts right', async () => {
    const counts = await runModel({ runs: RUNS });
    // The runs differ each time: each bound is at least five standard deviations below the mean of 30 tests.
    expect(counts.acked).toBeGreaterThan(1_000);
    expect(counts.failed).toBeGreaterThan(20);
    expect(counts.resumed).toBeGreaterThan(50);
    expect(counts.rewound).toBeGreaterThan(15);
    expect(counts.operated).toBeGreaterThan(200);
    expect(counts.repeated).toBeGreaterThan(50);
  });
});
