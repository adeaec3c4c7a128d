import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildSimulation } from './build.ts';
import { type Mutant, mutants } from './mutants.ts';

/** Seeds within which a mutant must be caught. */
const SEEDS = 60;
const PARALLEL = 1;
/** Generous: other tests share the machine's cores. */
const MUTANT_MILLISECONDS_MAX = 300_000;
const ALL_MILLISECONDS_MAX = 1_200_000;

let directory = '';
const outcomes = new Map<string, string>();

/** What the simulation said of a mutant: its first violation, or that there was none. */
async function tryMutant(mutant: Mutant, number: number): Promise<string> {
  const file = join(directory, `mutant-${number}.mjs`);
  await buildSimulation(file, mutant);
  const args = [file, '--seed', '1', '--count', String(SEEDS), '--first'];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: MUTANT_MILLISECONDS_MAX }, (_error, stdout) =>
      resolve(stdout),
    );
  });
}

describe('the simulation notices', () => {
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'seriatim-mutants-'));
    const waiting = [...mutants.entries()];
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [number, mutant] = next;
        outcomes.set(mutant.name, await tryMutant(mutant, number));
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
  }, ALL_MILLISECONDS_MAX);
  afterAll(() => rm(directory, { recursive: true, force: true }));

  for (const { name, mistake } of mutants) {
    it(`that ${name} (mistake ${mistake})`, () => {
      expect(outcomes.get(name)).toMatch(/^seed \d+ at/m);
    });
  }
});
