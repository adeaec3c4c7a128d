import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildSimulation } from '../mutants/build.ts';
import { consumerMutants } from './mutants.ts';

/** Seeds of three hundred messages within which a mutant must be caught. */
const SEEDS = 150;
/** Generous: other tests share the machine's cores. */
const MUTANT_MILLISECONDS_MAX = 120_000;

describe('the simulation of consumers notices', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'seriatim-consumer-mutants-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  consumerMutants.forEach((mutant, number) => {
    it(
      `that ${mutant.name}`,
      async () => {
        const file = join(directory, `mutant-${number}.mjs`);
        await buildSimulation(file, mutant, 'simulate-consumers.ts');
        const args = [file, '--count', String(SEEDS), '--messages', '300', '--first'];
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
