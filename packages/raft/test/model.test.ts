import { describe, expect, test } from 'vitest';
import * as library from '../src/index.ts';
import { Model } from './model.ts';

/** `RAFT_SEED=n` replays one seed alone; `RAFT_SEEDS=n` runs more of them. */
const only = process.env['RAFT_SEED'];
const count = Number(process.env['RAFT_SEEDS'] ?? '60');
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];

describe.each([
  { name: 'fixed members', membership: false },
  { name: 'changing members', membership: true },
])('random schedules with $name', ({ membership }) => {
  test('keep the promises of paper figure 3 and end in progress', () => {
    const total = { committed: 0, leaders: 0, images: 0, reads: 0 };
    for (const seed of seeds) {
      try {
        const report = new Model(library, { seed, events: 4_000, membership }).run();
        total.committed += report.committed;
        total.leaders += report.leaders;
        total.images += report.images;
        total.reads += report.reads;
      } catch (error) {
        throw new Error(`RAFT_SEED=${seed} npx vitest run packages/raft/test/model.test.ts: ${error}`, {
          cause: error,
        });
      }
    }
    // The schedules must reach what they are meant to test.
    expect(Math.min(total.committed, total.leaders, total.images, total.reads)).toBeGreaterThan(
      seeds.length / 2,
    );
  });
});
