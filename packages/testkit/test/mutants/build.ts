import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import type { Mutant } from './mutants.ts';

const PACKAGES = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Bundles a simulation with a mutant's edits to `file`, see {@link buildProgram}. */
export function buildSimulation(
  file: string,
  mutant: Pick<Mutant, 'name' | 'edits'> | null,
  entry = 'simulate.ts',
): Promise<void> {
  return buildProgram(file, mutant, join('testkit/src/bin', entry));
}

/** Bundles a program, named by its path in `packages`, with a mutant's edits. Fails when a text to be replaced is not there exactly once. */
export async function buildProgram(
  file: string,
  mutant: Pick<Mutant, 'name' | 'edits'> | null,
  entry: string,
): Promise<void> {
  const done = new Set<number>();
  const edits: Plugin = {
    name: 'mutant',
    setup({ onLoad, onResolve }) {
      // The simulation brings its own key-value store.
      onResolve({ filter: /^level$/ }, () => ({ path: 'level', namespace: 'empty' }));
      onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export const Level = null;' }));
      onLoad({ filter: /packages\/[^/]+\/src\/.*\.ts$/ }, async ({ path }) => {
        let contents = await readFile(path, 'utf8');
        for (const [n, edit] of (mutant?.edits ?? []).entries()) {
          if (relative(PACKAGES, path) !== edit.file) continue;
          if (contents.split(edit.find).length !== 2) {
            throw new Error(`mutant "${mutant?.name}": ${edit.file} does not hold its text exactly once`);
          }
          contents = contents.replace(edit.find, () => edit.replace);
          done.add(n);
        }
        return { contents, loader: 'ts' };
      });
    },
  };
  await build({
    entryPoints: [join(PACKAGES, entry)],
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'esm',
    // Dependencies that are CommonJS ask for Node's own modules so.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    conditions: ['seriatim-source'],
    plugins: [edits],
    logLevel: 'silent',
  });
  if (done.size !== (mutant?.edits.length ?? 0)) {
    throw new Error(`mutant "${mutant?.name}": one of its files is not part of the simulation`);
  }
}
