import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The clone's top directory. */
export const repository: string = fileURLToPath(new URL('../../', import.meta.url));

/** A file of the repository, with its path from the top, always with `/`. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

const skipped = new Set(['node_modules', 'dist', 'generated', '.seriatim']);

/** All files below `directory` (from the top) whose name ends with one of `endings`; generated ones left out. */
export function sourceFiles(directory: string, endings: readonly string[]): SourceFile[] {
  const found: SourceFile[] = [];
  const walk = (absolute: string): void => {
    for (const item of readdirSync(absolute, { withFileTypes: true })) {
      const path = join(absolute, item.name);
      if (item.isDirectory()) {
        if (!skipped.has(item.name)) walk(path);
      } else if (endings.some((ending) => item.name.endsWith(ending))) {
        found.push({
          path: relative(repository, path).split(sep).join('/'),
          text: readFileSync(path, 'utf8'),
        });
      }
    }
  };
  walk(join(repository, directory));
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

const statements = /^\s*(?:import|export)\b(?:[^'";]*?\bfrom)?\s*'([^']+)'/gm;
const calls = /\bimport\(\s*'([^']+)'\s*\)/g;

/** What a file imports or re-exports, as written. */
export function importsOf(file: SourceFile): string[] {
  const specifiers: string[] = [];
  for (const pattern of [statements, calls]) {
    for (const match of file.text.matchAll(pattern)) {
      if (match[1] !== undefined) specifiers.push(match[1]);
    }
  }
  return specifiers;
}
