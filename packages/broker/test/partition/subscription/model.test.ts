import { describe, expect, it } from 'vitest';
import { runModel } from './model-world.ts';

/** MODEL_RUNS: more of them, for a change in dispatch. */
const RUNS = Number(process.env['MODEL_RUNS'] ?? 1_500);

describe('a subscription under random consumers and leaders', () => {
  it('delivers each group in order to one holder at a time, loses nothing and counts right', async () => {
    const counts = await runModel({ runs: RUNS });
    // The runs differ each time: they are so many that each bound is at least five standard deviations below its mean.
    expect(counts.acked).toBeGreaterThan(1_000);
    expect(counts.failed).toBeGreaterThan(20);
    expect(counts.resumed).toBeGreaterThan(50);
    expect(counts.rewound).toBeGreaterThan(50);
    expect(counts.operated).toBeGreaterThan(200);
    expect(counts.repeated).toBeGreaterThan(50);
  });
});
