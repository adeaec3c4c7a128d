/** The pages say what the code does: error table, calls, settings' and metrics' names, commands, links. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { settingNames } from '@seriatim/broker';
import { ERRORS } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { repository, sourceFiles } from './support/source-files.ts';

const page = (path: string): string => readFileSync(join(repository, path), 'utf8');
const pages = ['README.md', ...sourceFiles('docs', ['.md']).map((file) => file.path)];

/** Cells of each row of a page's tables, without the bars. */
function tableRows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[-| :]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf('|'))
        .split('|')
        .map((cell) => cell.trim()),
    );
}

const names = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].flatMap((match) => match[1] ?? []);

describe('docs/protocol.md', () => {
  it('has exactly the error codes of the code, with their status and whether to retry', () => {
    const documented = tableRows(page('docs/protocol.md'))
      .filter((cells) => /^`[A-Z_]+`$/.test(cells[0] ?? ''))
      .map(([code = '', grpc = '', retry = '']) => [names(code)[0], names(grpc)[0], retry] as const);
    const actual = Object.entries(ERRORS).map(
      ([code, row]) => [code, status[row.status], row.retryable ? 'yes' : 'no'] as const,
    );
    expect(documented).toEqual(actual);
  });

  it('has exactly the calls of the services', () => {
    const proto = page('proto/seriatim/v1/broker.proto') + page('proto/seriatim/v1/subscription.proto');
    const service = [...proto.matchAll(/^ {2}rpc (\w+)\(/gm)].map((match) => match[1]);
    const documented = tableRows(page('docs/protocol.md'))
      .filter((cells) => /^[\d, ]+$/.test(cells[1] ?? ''))
      .flatMap(([calls = '']) => names(calls));
    expect([...documented].sort()).toEqual([...service].sort());
  });
});

describe('docs/architecture.md', () => {
  it('names every room', () => {
    const text = page('docs/architecture.md');
    // A bin/package.json only says how its programs are loaded.
    const rooms = [
      ...new Set(sourceFiles('packages', ['package.json']).map((file) => dirname(file.path))),
    ].filter((room) => !room.endsWith('/bin'));
    expect(rooms.filter((room) => !text.includes(`\`${room}\``))).toEqual([]);
  });
});

describe('docs/operations.md', () => {
  const text = page('docs/operations.md');

  it('lists exactly the metrics that a node gives out', () => {
    const documented = text.match(/\bseriatim_[a-z_]+\b/g) ?? [];
    const code = page('packages/broker/src/node/metrics.ts').match(/(?<=')seriatim_[a-z_]+(?=')/g) ?? [];
    expect(code.length).toBeGreaterThan(10);
    expect([...new Set(documented)].sort()).toEqual([...new Set(code)].sort());
  });

  it('lists exactly the settings that a node reads', () => {
    const documented = tableRows(text)
      .filter((cells) => cells.length === 3)
      .flatMap((cells) => names(cells[0] ?? ''));
    expect(documented.sort()).toEqual(settingNames.map(({ setting }) => setting).sort());
  });
});

describe('every page', () => {
  it.each(pages)('%s links to files that exist', (path) => {
    const targets = [...page(path).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].flatMap((match) => match[1] ?? []);
    const local = targets.filter((target) => !/^[a-z]+:/.test(target));
    expect(local.filter((target) => !existsSync(join(repository, dirname(path), target)))).toEqual([]);
  });

  it.each(pages)('%s names only npm scripts that exist', (path) => {
    const scripts = JSON.parse(page('package.json')).scripts as Record<string, string>;
    const used = [...page(path).matchAll(/npm (?:run )?(start|test|[a-z]+(?:[:-][a-z-]+)+|chaos|image)\b/g)];
    expect(used.flatMap((match) => match[1] ?? []).filter((name) => !(name in scripts))).toEqual([]);
  });
});
