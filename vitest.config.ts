import { defineConfig } from 'vitest/config';

/** Tests import the packages' sources; only node processes that tests start run the compiled code. */
const conditions = ['seriatim-source'];

const shared = {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
} as const;

export default defineConfig({
  test: {
    projects: [
      {
        ...shared,
        test: {
          name: 'rooms',
          include: ['packages/*/test/**/*.test.ts', 'test/*.test.ts'],
          environment: 'node',
          pool: 'forks',
          // The simulation's seeds are most of the work: two halves on two cores.
          maxWorkers: 2,
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        ...shared,
        test: {
          // Each file starts clusters of real processes: one file at a time, after everything else.
          name: 'processes',
          include: ['test/*/**/*.test.ts'],
          environment: 'node',
          pool: 'forks',
          maxWorkers: 1,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
