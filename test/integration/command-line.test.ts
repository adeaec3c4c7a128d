/** The commands' names, JSON fields and exit codes are fixed: scripts rely on them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../scripts/lib/node-process.mjs';
import { syntheticChanges } from '../support/change-history.ts';
import { type CommandResult, seriatim } from '../support/command.ts';
import { ProcessCluster } from '../support/process-cluster.ts';
import { repository } from '../support/source-files.ts';

const changes = syntheticChanges(2_000, 300);
let cluster: ProcessCluster;
const run = (...args: readonly string[]): Promise<CommandResult> => seriatim(cluster.endpoints, ...args);

/** Runs with `--json` and gives the object that is all of stdout. */
async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run(...args, '--json');
  expect(stderr === '' || code === 0, stderr).toBe(true);
  return JSON.parse(stdout) as Record<string, unknown>;
}

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  expect((await run('topic', 'create', 'changes', '--partitions', '8', '--replicas', '3')).code).toBe(0);
});

afterAll(async () => {
  await cluster?.destroy();
});

describe('seriatim', () => {
  it('produces each line of a gzipped file under the group in its field, and counts', async () => {
    const file = join(cluster.directory, 'changes.ndjson.gz');
    writeFileSync(file, gzipSync(changes.map(({ line }) => `${line}\n`).join('')));
    const result = await json('produce', 'changes', '--file', file, '--group-field', 'group');
    const groups = new Set(changes.map(({ group }) => group)).size;
    expect(result).toEqual({
      sent: 2_000,
      acknowledged: 2_000,
      failed: 0,
      duplicates: 0,
      groups,
      seconds: expect.any(Number),
    });
  });

  it('reads everything back as NDJSON, in order per group, with the sequence of the input', async () => {
    const { code, stdout } = await run('read', 'changes', '--until-end');
    expect(code).toBe(0);
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { group: string; sequence: number; value: string });
    expect(Object.keys(records[0] ?? {})).toEqual([
      'partition',
      'offset',
      'group',
      'sequence',
      'timestamp',
      'key',
      'value',
    ]);
    const text = (group: string, sequence: number): string => `${group} ${sequence}`;
    const read = new Map(records.map((record) => [text(record.group, record.sequence), record.value]));
    expect(records).toHaveLength(changes.length);
    for (const { group, seq, line } of changes) expect(read.get(text(group, seq))).toBe(line);
  });

  it('reads one group, one partition, or from an offset', async () => {
    const group = changes[0]?.group ?? '';
    const own = await run('read', 'changes', '--group', group, '--until-end');
    const expected = changes.filter((change) => change.group === group).map(({ line }) => line);
    expect(
      own.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).value),
    ).toEqual(expected);
    const { partition } = await json('route', 'get', 'changes', group);
    const all = await run('read', 'changes', '--partition', String(partition), '--until-end');
    const from = await run('read', 'changes', '--partition', String(partition), '--from', '7', '--until-end');
    expect(from.stdout.split('\n')).toEqual(all.stdout.split('\n').slice(7));
  });

  it('shows a route with the fields that are promised', async () => {
    const { group } = changes[0] ?? { group: '' };
    const count = changes.filter((change) => change.group === group).length;
    expect(await json('route', 'get', 'changes', group)).toEqual({
      topic: 'changes',
      group,
      partition: expect.any(Number),
      epoch: expect.any(Number),
      leader: expect.any(Number),
      lastSequence: count,
      lastAccess: expect.anything(),
    });
    const listed = await run('route', 'list', 'changes', '--prefix', 'packages/room-3/', '--json');
    expect(listed.code).toBe(0);
    expect(listed.stdout).toContain('packages/room-3/');
    expect(listed.stdout).not.toContain('packages/room-4/');
  });

  it('shows the cluster with the fields that are promised', async () => {
    const status = await json('cluster', 'status');
    expect(status).toEqual({
      nodes: cluster.nodes.map((node) => ({
        id: node.id,
        address: cluster.endpoints[node.id - 1],
        alive: true,
        pid: node.pid,
      })),
      meta: { leader: expect.any(Number), term: expect.any(Number) },
      partitions: expect.any(Array),
    });
    expect((status['partitions'] as unknown[])[0]).toEqual({
      topic: 'changes',
      partition: 0,
      leader: expect.any(Number),
      term: expect.any(Number),
      replicas: expect.any(Array),
      highWatermark: expect.any(Number),
    });
  });

  it('benches, checks the order while it does, and prints its figures', async () => {
    const figures = await json('bench', '--messages', '5000', '--groups', '100', '--size', '100');
    expect(figures).toMatchObject({
      produce: {
        messagesPerSecond: expect.any(Number),
        megabytesPerSecond: expect.any(Number),
        latencyMs: { p50: expect.any(Number), p99: expect.any(Number), p999: expect.any(Number) },
        cpuMicrosPerMessage: expect.any(Number),
      },
      read: { messagesPerSecond: expect.any(Number) },
      orderViolations: 0,
      cpuSeconds: { client: expect.any(Number), nodes: expect.any(Array) },
      rssBytes: { client: expect.any(Number), nodes: expect.any(Array) },
    });
  });

  it('ends with 1 when it failed and with 2 when it was called wrongly, and says so on stderr only', async () => {
    const failed = await run('topic', 'create', 'changes', '--partitions', '8', '--json');
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toContain('TOPIC_EXISTS');
    for (const args of [['topic', 'create', 'x'], ['read'], ['nonsense'], ['topic', 'list', '--nonsense']]) {
      expect(await run(...args)).toMatchObject({ code: 2, stdout: '' });
    }
  });
});

describe('seriatim-node', () => {
  it('brings a killed node back from the file that was left for it', async () => {
    const node = cluster.node(2);
    expect(Number(readFileSync(join(node.directory, 'node.pid'), 'utf8'))).toBe(node.pid);
    await cluster.kill(node);
    const program = join(repository, 'packages', 'broker', 'bin', 'seriatim-node.js');
    const again = spawn(process.execPath, [program, '--config', node.configFile], { stdio: 'ignore' });
    try {
      await cluster.ready();
      await until('the return of every replica', 20_000, async () => {
        const { partitions } = await cluster.admin.describeTopic('changes');
        return partitions.every((one) => one.replicaStates.every((replica) => replica.behind === 0));
      });
      expect(Number(readFileSync(join(node.directory, 'node.pid'), 'utf8'))).toBe(again.pid);
    } finally {
      const ended = once(again, 'exit');
      again.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
    }
    expect(existsSync(join(node.directory, 'node.pid'))).toBe(false);
  });

  it('refuses a wrong setting with its name and exit code 2', async () => {
    const file = join(cluster.directory, 'wrong.json');
    writeFileSync(file, JSON.stringify({ nodeId: 0, dataDirectory: 'x', peers: [] }));
    const program = join(repository, 'packages', 'broker', 'bin', 'seriatim-node.js');
    const child = spawn(process.execPath, [program, '--config', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (bytes: Buffer) => {
      stderr += bytes.toString();
    });
    const [code] = await once(child, 'exit');
    expect(code).toBe(2);
    expect(stderr).toContain('nodeId');
  });
});

describe('seriatim subscription', () => {
  it('creates, lists, describes, pauses, resets and deletes, and keeps who did what', async () => {
    const made = await json(
      'subscription',
      'create',
      'changes',
      'audit',
      '--hold',
      '5s',
      '--max-deliveries',
      '3',
    );
    expect(made).toMatchObject({ name: 'audit', start: 'earliest', holdMilliseconds: 5_000, ready: true });
    expect(
      await json('subscription', 'create', 'changes', 'audit', '--hold', '5s', '--max-deliveries', '3'),
    ).toEqual(made);
    expect((await run('subscription', 'create', 'changes', 'audit')).stderr).toContain('SUBSCRIPTION_EXISTS');
    expect(await json('subscription', 'list', 'changes')).toMatchObject({
      subscriptions: [{ name: 'audit' }],
    });
    expect(await json('subscription', 'lag', 'changes', 'audit', '--top', '2')).toMatchObject({
      unsettled: 2_000,
      groups: [{ state: 'ready' }, { state: 'ready' }],
    });

    const consumed = await run('consume', 'changes', '--subscription', 'audit', '--until-idle', '1s');
    expect(consumed.stdout.trimEnd().split('\n')).toHaveLength(2_000);
    expect(await json('subscription', 'describe', 'changes', 'audit')).toMatchObject({ groups: [] });

    const place = ['changes', 'audit', '--from', 'earliest', '--why', 'a test'];
    const dry = await json('subscription', 'reset', ...place, '--dry-run');
    expect(dry).toMatchObject({ generation: 1, dryRun: true });
    expect(await json('subscription', 'reset', ...place)).toMatchObject({ generation: 2, dryRun: false });
    expect(await json('subscription', 'lag', 'changes', 'audit')).toMatchObject({ unsettled: 2_000 });

    expect(await json('subscription', 'pause', 'changes', 'audit')).toMatchObject({ paused: true });
    const idle = await run('consume', 'changes', '--subscription', 'audit', '--until-idle', '500ms');
    expect(idle.stdout).toBe('');
    expect(await json('subscription', 'resume', 'changes', 'audit')).toMatchObject({ paused: false });
    const { actions } = (await json('subscription', 'actions', 'changes', 'audit')) as {
      actions: { action: string }[];
    };
    expect(actions.map(({ action }) => action)).toEqual(['resume', 'pause', 'reset', 'create']);
    for (const [command, text] of [
      [['list'], 'audit'],
      [['describe', 'changes', 'audit'], '5000 ms'],
      [['lag', 'changes', 'audit'], 'unsettled'],
      [['actions', 'changes', 'audit'], 'a test'],
    ] as const) {
      expect((await run('subscription', ...command)).stdout).toContain(text);
    }
    expect(await json('subscription', 'delete', 'changes', 'audit')).toEqual({ deleted: 'audit' });
    expect((await run('subscription', 'delete', 'changes', 'audit')).stderr).toContain(
      'UNKNOWN_SUBSCRIPTION',
    );
  });

  it('says what is wrong with a place, a resolution and a name', async () => {
    expect(await run('subscription', 'create', 'changes', 'x', '--from', 'yesterday')).toMatchObject({
      code: 2,
    });
    expect(await run('group', 'resolve', 'changes', 'x', 'g')).toMatchObject({ code: 2 });
    expect(await run('group', 'resolve', 'changes', 'x', 'g', '--retry', '--skip')).toMatchObject({
      code: 2,
    });
    const wrong = await run('subscription', 'create', 'changes', 'no spaces');
    expect(wrong).toMatchObject({ code: 1 });
    expect(wrong.stderr).toContain('INVALID_SUBSCRIPTION');
  });
});
