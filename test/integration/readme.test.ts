/** What the README tells a newcomer to type does what it says, in its order. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../scripts/lib/node-process.mjs';
import { seriatim } from '../support/command.ts';
import { ProcessCluster } from '../support/process-cluster.ts';
import { repository } from '../support/source-files.ts';

const readme = readFileSync(join(repository, 'README.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)]
    .filter((match) => match[1] === language)
    .map((match) => match[2] ?? '');
/** Words of each `npx seriatim …`, without the comment behind it. A bench has tests of its own, and takes long. */
const commands = blocks('')
  .flatMap((block) => block.split('\n'))
  .flatMap((line) => /^npx seriatim ([^#]+)/.exec(line)?.[1]?.trim() ?? [])
  .map((text) => text.split(/\s+/))
  .filter(([command]) => command !== 'bench');
const [produces = '', consumes = ''] = blocks('ts');

let cluster: ProcessCluster;
beforeAll(async () => {
  cluster = await ProcessCluster.start();
});
afterAll(() => cluster?.destroy());

/** Runs a snippet from the clone's top, at this cluster's addresses; ends it by SIGINT once it has said so much. */
async function program(snippet: string, endsAfter: RegExp | null) {
  const addresses = cluster.endpoints.map((endpoint) => `'${endpoint}'`).join(', ');
  const code = snippet.replace(/(?<=endpoints: )\[.*?\]/, `[${addresses}]`);
  expect(code).not.toContain(':7101');
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: repository });
  const ended = once(child, 'exit');
  let output = '';
  child.stdout.on('data', (bytes: Buffer) => {
    output += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    output += bytes.toString();
  });
  try {
    if (endsAfter !== null) {
      await until('what the program says', 30_000, () => endsAfter.test(output) || child.exitCode !== null);
      child.kill('SIGINT');
    }
    const [exitCode] = await ended;
    return { code: exitCode, output };
  } finally {
    child.kill('SIGKILL');
  }
}

describe('the commands of the README', () => {
  it('run one after the other, on a new cluster and the files of the clone', async () => {
    expect(commands.map(([command]) => command)).toEqual([
      'topic',
      'produce',
      'read',
      'subscription',
      'consume',
      'cluster',
    ]);
    for (const args of commands) {
      const { code, stdout, stderr } = await seriatim(cluster.endpoints, ...args);
      expect([args.join(' '), code, stderr]).toEqual([args.join(' '), 0, '']);
      expect(stdout).not.toBe('');
    }
  });
});

describe('the programs of the README', () => {
  it('store and read', async () => {
    expect(await program(produces, null)).toEqual({ code: 0, output: '1 created\n2 paid\n3 shipped\n' });
  });

  it('consume until they are stopped, also a second time', async () => {
    const first = await program(consumes, /shipped/);
    expect(first).toEqual({
      code: 0,
      output: 'order-17 1 created\norder-17 2 paid\norder-17 3 shipped\n',
    });
    const again = program(consumes, /order-17 6/);
    // The topic is there: only the rest of the first program.
    await program(produces.replace(/^await new Admin.*\n/m, ''), null);
    expect(await again).toEqual({
      code: 0,
      output: 'order-17 4 created\norder-17 5 paid\norder-17 6 shipped\n',
    });
  });
});
