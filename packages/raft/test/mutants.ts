import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Library } from './replica.ts';

const sources = fileURLToPath(new URL('../src', import.meta.url));

/** One deliberate mistake: in `file`, `find` (which must stand there once) becomes `replace`. */
export interface Mutant {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** The package with the mistake in it, loaded from a copy of its sources. */
export async function loadMutant(mutant: Mutant): Promise<Library> {
  const directory = mkdtempSync(join(tmpdir(), 'raft-mutant-'));
  try {
    cpSync(sources, directory, { recursive: true });
    const path = join(directory, mutant.file);
    const parts = readFileSync(path, 'utf8').split(mutant.find);
    if (parts.length !== 2) {
      throw new Error(`${mutant.file} has ${parts.length - 1} places like: ${mutant.find}`);
    }
    writeFileSync(path, parts.join(mutant.replace));
    return (await import(/* @vite-ignore */ pathToFileURL(join(directory, 'index.ts')).href)) as Library;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
