import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildProgram } from '../mutants/build.ts';
import { modelMutants } from './model-mutants.ts';

/** Runs of the model within which a mutant must be caught. */
const RUNS = 20_000;
/** Generous: other tests share the machine's cores. */
const MUTANT_MILLISECONDS_MAX = 120_000;
const PROGRAM = 'broker/test/partition/subscription/model-main.ts';

describe('the model of a subscription notices', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'seriatim-model-mutants-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  modelMutants.forEach((mutant, number) => {
    it(
      `that ${mutant.name}`,
      async () => {
        const file = join(directory, `mutant-${number}.mjs`);
        await buildProgram(file, mutant, PROGRAM);
        const args = [file, String(RUNS)];
        const said = await new Promise<string>((resolve) => {
          execFile(process.execPath, args, { timeout: MUTANT_MILLISECONDS_MAX }, (_error, stdout) =>
            resolve(stdout),
          );
        });
        expect(said).toMatch(/^noticed/m);
      },
      MUTANT_MILLISECONDS_MAX,
    );
  });
});
