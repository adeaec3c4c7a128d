/** The house keeps its shape: arrows between packages, sizes, and what no source file may hold (docs/architecture.md). */
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, repository, type SourceFile, sourceFiles } from './support/source-files.ts';

/** What each package may import of the others. `testkit` is for tests and stands outside the product. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  raft: [],
  multiraft: ['raft'],
  storage: ['multiraft', 'raft'],
  protocol: [],
  broker: ['protocol', 'storage', 'multiraft', 'raft'],
  client: ['protocol'],
  cli: ['client', 'protocol'],
  testkit: ['raft', 'multiraft', 'storage', 'protocol', 'broker', 'client'],
};

const lineLimit = 400;
const scope = '@seriatim/';
const packageNames = Object.keys(arrows);

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}
const readJson = (path: string): unknown => JSON.parse(readFileSync(join(repository, path), 'utf8'));
const manifestOf = (name: string): Manifest => readJson(`packages/${name}/package.json`) as Manifest;

/** Package that a bare specifier names: `@a/b/c` → `@a/b`, `x/y` → `x`. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

const isRelative = (specifier: string): boolean => specifier.startsWith('.');
const isBuiltin = (specifier: string): boolean =>
  specifier.startsWith('node:') || builtinModules.includes(specifier);

/** What is wrong with the imports of one source file of a package. */
function wrongImports(name: string, file: SourceFile, dependencies: ReadonlySet<string>): string[] {
  const wrong: string[] = [];
  for (const specifier of importsOf(file)) {
    if (isRelative(specifier)) {
      const target = posix.join(posix.dirname(file.path), specifier);
      if (!target.startsWith(`packages/${name}/src/`)) wrong.push(`${file.path}: ${specifier} leaves src`);
    } else if (isBuiltin(specifier)) {
      if (name === 'raft') wrong.push(`${file.path}: the core may not import ${specifier}`);
    } else if (!dependencies.has(packageOf(specifier))) {
      wrong.push(`${file.path}: ${specifier} is not a dependency of ${scope}${name}`);
    }
  }
  return wrong;
}

describe('packages', () => {
  it('are the rooms of the architecture, no more and no fewer', () => {
    expect(readdirSync(join(repository, 'packages')).sort()).toEqual([...packageNames].sort());
  });

  it.each(packageNames)('%s depends on the packages its arrows name and on no other', (name) => {
    const dependencies = Object.keys(manifestOf(name).dependencies ?? {});
    const ours = dependencies.filter((dependency) => dependency.startsWith(scope));
    const allowed = new Set((arrows[name] ?? []).map((target) => scope + target));
    expect(ours.filter((dependency) => !allowed.has(dependency))).toEqual([]);
  });

  it.each(packageNames)('%s imports only itself, its dependencies and Node', (name) => {
    const dependencies = new Set(Object.keys(manifestOf(name).dependencies ?? {}));
    const files = sourceFiles(`packages/${name}/src`, ['.ts']);
    expect(files.flatMap((file) => wrongImports(name, file, dependencies))).toEqual([]);
  });

  it.each(packageNames.filter((name) => name !== 'testkit'))('%s does not reach the testkit', (name) => {
    const all = { ...manifestOf(name).dependencies };
    expect(Object.keys(all)).not.toContain(`${scope}testkit`);
  });

  it('references of the TypeScript projects follow the same arrows', () => {
    for (const name of packageNames) {
      const config = readJson(`packages/${name}/tsconfig.json`) as {
        references?: readonly { path: string }[];
      };
      const targets = (config.references ?? []).map((reference) => posix.basename(reference.path));
      expect(targets.filter((target) => !(arrows[name] ?? []).includes(target))).toEqual([]);
    }
  });

  it('the core is compiled without types of a platform, so a timer or Buffer in it is a compile error', () => {
    const own = readJson('packages/raft/tsconfig.json') as {
      compilerOptions?: { types?: readonly string[] };
    };
    const base = readJson('tsconfig.base.json') as { compilerOptions: { types: readonly string[] } };
    expect(own.compilerOptions?.types ?? base.compilerOptions.types).toEqual([]);
  });
});

describe('source files', () => {
  const everything = [
    ...packageNames.flatMap((name) => sourceFiles(`packages/${name}`, ['.ts', '.js'])),
    ...sourceFiles('test', ['.ts']),
    ...sourceFiles('scripts', ['.mjs', '.ts']),
  ];
  const production = everything.filter((file) => /^packages\/[^/]+\/src\//.test(file.path));

  it(`have at most ${lineLimit} lines`, () => {
    const long = everything
      .map((file) => ({ path: file.path, lines: file.text.split('\n').length - 1 }))
      .filter((file) => file.lines > lineLimit);
    expect(long).toEqual([]);
  });

  it('keep functions at 70 lines: the linter says so, and nothing switches it off', () => {
    const config = readJson('biome.json') as {
      linter: {
        rules: {
          complexity: { noExcessiveLinesPerFunction: { level: string; options: { maxLines: number } } };
        };
      };
    };
    const rule = config.linter.rules.complexity.noExcessiveLinesPerFunction;
    expect(rule.level).toBe('error');
    expect(rule.options.maxLines).toBe(70);
    const switchedOff = production.filter((file) => /biome-ignore[^\n]*LinesPerFunction/.test(file.text));
    expect(switchedOff.map((file) => file.path)).toEqual([]);
  });

  it('hold nothing that silences the compiler or is left to do', () => {
    const words = ['@ts-' + 'ignore', '@ts-' + 'expect-error', '@ts-' + 'nocheck', 'TO' + 'DO', 'FIX' + 'ME'];
    const found = everything.flatMap((file) =>
      words.filter((word) => file.text.includes(word)).map((word) => `${file.path}: ${word}`),
    );
    expect(found).toEqual([]);
  });

  it('tests are never skipped or run alone', () => {
    const pattern = /\b(?:it|test|describe)\.(?:skip|only|todo)\b/;
    const found = everything.filter((file) => file.path.endsWith('.test.ts') && pattern.test(file.text));
    expect(found.map((file) => file.path)).toEqual([]);
  });
});
