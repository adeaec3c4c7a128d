import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildSimulation } from '../mutants/build.ts';
import { producerMutants } from './mutants.ts';

/** Seeds of sixty rounds within which a mutant must be caught. */
const SEEDS = 40;
/** Generous: other tests share the machine's cores. */
const MUTANT_MILLISECONDS_MAX = 120_000;

describe('the simulation of producers notices', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'seriatim-producer-mutants-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  producerMutants.forEach((mutant, number) => {
    it(
      `that ${mutant.name}`,
      async () => {
        const file = join(directory, `mutant-${number}.mjs`);
        await buildSimulation(file, mutant, 'simulate-producers.ts');
        const args = [file, '--count', String(SEEDS), '--rounds', '60', '--first'];
        const said = await new Promise<string>((resolve) => {
          execFile(process.execPath, args, { timeout: MUTANT_MILLISECONDS_MAX }, (_error, stdout) =>
            resolve(stdout),
          );
        });
        expect(said).toMatch(/^seed \d+ at/m);
      },
      MUTANT_MILLISECONDS_MAX,
    );
  });
});
