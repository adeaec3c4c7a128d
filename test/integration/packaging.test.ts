/** The client as its users get it: packed, looked at by the usual critics, installed into an empty project, imported and type-checked. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pnpmCommand } from '../../scripts/lib/prepare.mjs';
import { repository } from '../support/source-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'seriatim-packed-'));
const project = mkdtempSync(join(tmpdir(), 'seriatim-user-'));
const MILLISECONDS_MAX = 180_000;

function run(program: string, args: readonly string[], cwd: string): string {
  return execFileSync(program, args, { cwd, encoding: 'utf8', stdio: 'pipe', timeout: MILLISECONDS_MAX });
}
const tool = (name: string): string => join(repository, 'node_modules', '.bin', name);
const tarballs = (): string[] => readdirSync(directory).map((name) => join(directory, name));

beforeAll(() => {
  for (const name of ['protocol', 'client']) {
    const [program, args] = pnpmCommand(['pack', '--pack-destination', directory]);
    run(program, args, join(repository, 'packages', name));
  }
}, MILLISECONDS_MAX);
afterAll(() => {
  for (const made of [directory, project]) rmSync(made, { recursive: true, force: true });
});

describe('the packed client', () => {
  it(
    'and its protocol have nothing that publint or attw would change',
    () => {
      expect(tarballs()).toHaveLength(2);
      for (const tarball of tarballs()) {
        expect(run(tool('publint'), ['--strict', tarball], directory)).toContain('All good!');
        // Exits with 1, which throws, when types do not resolve.
        run(tool('attw'), [tarball, '--profile', 'esm-only'], directory);
      }
    },
    MILLISECONDS_MAX,
  );

  it(
    'can be installed into an empty project, imported and type-checked',
    () => {
      writeFileSync(
        join(project, 'package.json'),
        JSON.stringify({ name: 'user', type: 'module', private: true }),
      );
      run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...tarballs()], project);
      const source = `
        import { Admin, Cluster, OrderedProducer, Reader, SeriatimError, type Receipt } from '@seriatim/client';
        const cluster = new Cluster({ endpoints: ['127.0.0.1:1'] });
        const producer = new OrderedProducer({ cluster, timeoutMilliseconds: 200 });
        const sent: Promise<Receipt> = producer.send('topic', { messageGroup: 'group', value: 'value' });
        try {
          await sent;
        } catch (error) {
          if (error instanceof SeriatimError) console.log(error.code, error.outcome, error.retryable);
        }
        await producer.close();
        cluster.close();
        console.log([Admin, Reader].map(({ name }) => name).join(' '));
      `;
      writeFileSync(join(project, 'use.ts'), source);
      const options = [
        '--strict',
        '--module',
        'nodenext',
        '--target',
        'es2023',
        '--lib',
        'es2023,esnext.disposable',
      ];
      const types = ['--types', 'node', '--typeRoots', join(repository, 'node_modules', '@types')];
      run(tool('tsc'), [...options, ...types, 'use.ts'], project);
      expect(run(process.execPath, ['use.js'], project)).toMatch(
        /^PEER_UNREACHABLE not-applied true\nAdmin Reader\n$/,
      );
    },
    MILLISECONDS_MAX,
  );
});
