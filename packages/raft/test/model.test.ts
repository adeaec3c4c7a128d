import { describe, expect, test } from 'vitest';
import * as library from '../src/index.ts';
import { Model } from './model.ts';
import { loadMutant, type Mutant } from './mutants.ts';

/** `RAFT_SEED=n` replays one seed alone; `RAFT_SEEDS=n` runs more of them. */
const only = process.env['RAFT_SEED'];
const count = Number(process.env['RAFT_SEEDS'] ?? '30');
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

/** Mistakes that a schedule finds without being told where to look. */
const mutants: readonly Mutant[] = [
  { file: 'follower.ts', find: 'core.sendAfterWrite({', replace: 'core.send({' },
  {
    file: 'ready.ts',
    find: 'outbox.holdFor(writes.busy ? writes.lastId : null)',
    replace: 'outbox.holdFor(null)',
  },
  {
    file: 'ready.ts',
    find: 'lower(this.#core.log.commit, this.#core.log.durable)',
    replace: 'this.#core.log.commit',
  },
  { file: 'writes.ts', find: 'write.durable = lower(write.durable, last);', replace: '' },
  { file: 'leading.ts', find: '? core.log.durable :', replace: '? core.log.last :' },
  { file: 'quorum.ts', find: 'values[voters.length >> 1]', replace: 'values[(voters.length >> 1) - 1]' },
  { file: 'roles.ts', find: '    core.vote = NO_REPLICA;\n', replace: '' },
  {
    file: 'membership.ts',
    find: 'isJoint(configurations.current) || configurations.index > log.commit',
    replace: 'false',
  },
  { file: 'membership.ts', find: 'if (isJoint(configurations.current)) {', replace: 'if (log.commit < 0) {' },
  {
    file: 'read-index.ts',
    find: 'index: higher(core.log.commit, leading.noop)',
    replace: 'index: core.log.commit',
  },
];

describe('random schedules', () => {
  test.each(mutants)('notice the mistake in $file: $replace', async (mutant) => {
    const broken = await loadMutant(mutant);
    expect(() => {
      for (let seed = 1; seed <= 20; seed++) {
        new Model(broken, { seed, events: 4_000, membership: seed % 2 === 0 }).run();
      }
    }).toThrow();
  });
});
