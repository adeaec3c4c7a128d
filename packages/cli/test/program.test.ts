import { Buffer } from 'node:buffer';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import type { Server } from '@grpc/grpc-js';
import { OrderedProducer } from '@seriatim/client';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeBroker } from '../../client/test/fake-broker.ts';
import { serveFake } from '../../client/test/fake-server.ts';
import { run } from '../src/program.ts';

let broker: FakeBroker;
let server: Server;
let endpoint: string;
let directory: string;

class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Runs a command against the fake broker. */
async function seriatim(...argv: string[]) {
  const stdout = new Sink();
  const stderr = new Sink();
  const code = await run(argv, { stdout, stderr, env: { SERIATIM_ENDPOINTS: endpoint } });
  const lines = (): Record<string, unknown>[] =>
    stdout.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { code, out: stdout.text, err: stderr.text, lines };
}

function fileOf(name: string, lines: readonly string[]): string {
  const path = join(directory, name);
  const text = `${lines.join('\n')}\n`;
  writeFileSync(path, name.endsWith('.gz') ? gzipSync(text) : text);
  return path;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'seriatim-cli-'));
});
beforeEach(async () => {
  server?.forceShutdown();
  broker = new FakeBroker(['unbound']);
  const fake = await serveFake(broker, 0);
  server = fake.server;
  endpoint = `127.0.0.1:${fake.port}`;
  broker.addresses[0] = endpoint;
});
afterAll(() => {
  server.forceShutdown();
  rmSync(directory, { recursive: true });
});

describe('seriatim topic', () => {
  it('makes, lists, describes and deletes', async () => {
    const made = await seriatim('topic', 'create', 't', '--partitions', '2', '--replicas', '1', '--json');
    expect(made.code).toBe(0);
    expect(made.lines()).toEqual([
      { name: 't', id: 1, partitions: 2, replicas: 1, retentionMs: 0, retentionBytes: 0 },
    ]);
    expect((await seriatim('topic', 'list')).out).toContain('│ t ');
    const described = await seriatim('topic', 'describe', 't', '--json');
    expect(described.lines()[0]).toMatchObject({
      topic: { name: 't' },
      partitions: [{ partition: 0 }, { partition: 1 }],
    });
    expect((await seriatim('topic', 'describe', 't')).out).toContain('node 1');
    expect((await seriatim('topic', 'delete', 't')).code).toBe(0);
    const gone = await seriatim('topic', 'describe', 't', '--json');
    expect(gone).toMatchObject({ code: 1, out: '' });
    expect(gone.err).toMatch(/UNKNOWN_TOPIC \(not-applied\)/);
  });

  it('fails where the broker refuses', async () => {
    expect(await seriatim('topic', 'create', 't', '--partitions', '0')).toMatchObject({ code: 1 });
    await seriatim('topic', 'create', 't', '--partitions', '1');
    const again = await seriatim('topic', 'create', 't', '--partitions', '1');
    expect(again.code).toBe(1);
    expect(again.err).toContain('TOPIC_EXISTS');
  });
});

describe('seriatim produce and read', () => {
  const lines = Array.from({ length: 1500 }, (_, index) =>
    JSON.stringify({ group: `g${index % 7}`, seq: Math.floor(index / 7) + 1, note: 'ü' }),
  );

  it.each(['plain.ndjson', 'packed.ndjson.gz'])(
    'sends each line of %s and gives it back byte for byte in order',
    async (name) => {
      broker.createTopic('t', 3);
      const produced = await seriatim(
        'produce',
        't',
        '--file',
        fileOf(name, lines),
        '--group-field',
        'group',
        '--json',
      );
      expect(produced.err).toBe('');
      expect(produced.code).toBe(0);
      const [tally] = produced.lines();
      expect(tally).toMatchObject({ sent: 1500, acknowledged: 1500, failed: 0, duplicates: 0, groups: 7 });
      expect(Object.keys(tally ?? {})).toEqual([
        'sent',
        'acknowledged',
        'failed',
        'duplicates',
        'groups',
        'seconds',
      ]);
      const back = (await seriatim('read', 't', '--until-end')).lines();
      expect(back).toHaveLength(1500);
      expect(back.map(({ value }) => value).sort()).toEqual([...lines].sort());
      for (const { value, sequence, group } of back) {
        expect(JSON.parse(value as string)).toMatchObject({ seq: sequence, group });
      }
      expect(Object.keys(back[0] ?? {})).toEqual([
        'partition',
        'offset',
        'group',
        'sequence',
        'timestamp',
        'key',
        'value',
      ]);
    },
  );

  it('reads one partition, one group, from an offset', async () => {
    broker.createTopic('t', 3);
    await seriatim(
      'produce',
      't',
      '--file',
      fileOf('p.ndjson', lines.slice(0, 70)),
      '--group-field',
      'group',
    );
    const group = (await seriatim('read', 't', '--group', 'g3', '--until-end')).lines();
    expect(group.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const tail = (await seriatim('read', 't', '--partition', '1', '--from', '15', '--until-end')).lines();
    expect(tail.map(({ offset }) => offset)).toEqual([15, 16, 17, 18, 19]);
  });

  it('gives bytes that are no text as base64', async () => {
    broker.createTopic('t', 1);
    const line = Buffer.concat([
      Buffer.from('{"group":"a","x":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}\n'),
    ]);
    const path = join(directory, 'binary.ndjson');
    writeFileSync(path, line);
    expect((await seriatim('produce', 't', '--file', path, '--group-field', 'group')).code).toBe(0);
    const [back] = (await seriatim('read', 't', '--until-end')).lines();
    expect(back?.['valueBase64']).toBe(line.subarray(0, -1).toString('base64'));
    expect(back).not.toHaveProperty('value');
  });

  it('shows headers, as of dead letters', async () => {
    broker.createTopic('t', 1);
    const producer = new OrderedProducer({ endpoints: [endpoint] });
    const headers = [{ name: 'seriatim-dead-letter-reason', value: 'no number' }];
    await producer.sendOrderedMessages('t', [{ messageGroup: 'g', value: 'v', headers }]);
    await producer.close();
    const [back] = (await seriatim('read', 't', '--until-end')).lines();
    expect(back).toMatchObject({ headers, value: 'v' });
  });

  it('stops at a line that it does not understand and says which', async () => {
    broker.createTopic('t', 1);
    const path = fileOf('bad.ndjson', [...lines.slice(0, 600), '{"group":', ...lines.slice(600)]);
    const produced = await seriatim('produce', 't', '--file', path, '--group-field', 'group', '--json');
    expect(produced.code).toBe(1);
    expect(produced.err).toMatch(/line 601 is not JSON/);
    expect(produced.lines()[0]).toMatchObject({ sent: 512, acknowledged: 512 });
    const missing = await seriatim('produce', 't', '--file', path, '--group-field', 'nothing', '--json');
    expect(missing.err).toMatch(/line 1: field "nothing" is not a text/);
    const nowhere = await seriatim(
      'produce',
      't',
      '--file',
      join(directory, 'none'),
      '--group-field',
      'group',
    );
    expect(nowhere.code).toBe(1);
    expect(nowhere.err).toMatch(/ENOENT/);
  });

  it('counts what failed and says why', async () => {
    const path = fileOf('few.ndjson', lines.slice(0, 3));
    const produced = await seriatim('produce', 'nowhere', '--file', path, '--group-field', 'group', '--json');
    expect(produced.code).toBe(1);
    expect(produced.lines()[0]).toMatchObject({ sent: 3, acknowledged: 0, failed: 3 });
    expect(produced.err).toMatch(/UNKNOWN_TOPIC \(not-applied\)/);
  });
});

describe('seriatim route and cluster', () => {
  it('shows routes', async () => {
    broker.createTopic('t', 2);
    const path = fileOf('routes.ndjson', ['{"g":"a"}', '{"g":"b"}', '{"g":"ab"}', '{"g":"a"}']);
    await seriatim('produce', 't', '--file', path, '--group-field', 'g');
    const [route] = (await seriatim('route', 'get', 't', 'a', '--json')).lines();
    expect(route).toEqual({
      topic: 't',
      group: 'a',
      partition: 0,
      epoch: 1,
      leader: 1,
      lastSequence: 2,
      lastAccess: 1_700_000_000_000,
    });
    const listed = (await seriatim('route', 'list', 't', '--prefix', 'a', '--json')).lines();
    expect(listed.map(({ group }) => group)).toEqual(['a', 'ab']);
    expect((await seriatim('route', 'list', 't', '--partition', '1')).out).toContain('"b"');
    const none = await seriatim('route', 'get', 't', 'zzz');
    expect(none.code).toBe(1);
    expect(none.err).toContain('UNKNOWN_GROUP');
  });

  it('shows the cluster', async () => {
    broker.createTopic('t', 1);
    const [status] = (await seriatim('cluster', 'status', '--json')).lines();
    expect(status).toEqual({
      nodes: [{ id: 1, address: endpoint, alive: true, pid: process.pid }],
      meta: { leader: 1, term: 1 },
      partitions: [{ topic: 't', partition: 0, leader: 1, term: 1, replicas: [1], highWatermark: 0 }],
    });
    expect((await seriatim('cluster', 'status')).out).toContain('meta: leader 1, term 1');
  });
});

describe('seriatim bench', () => {
  it('measures, reads back and checks', async () => {
    const small = ['--messages', '3000', '--groups', '50', '--partitions', '2', '--json'];
    const closed = await seriatim('bench', ...small);
    expect(closed.code).toBe(0);
    const [report] = closed.lines();
    expect(report).toMatchObject({
      produce: { latencyMs: { p50: expect.any(Number), p99: expect.any(Number), p999: expect.any(Number) } },
      read: { messagesPerSecond: expect.any(Number) },
      orderViolations: 0,
      cpuSeconds: { client: expect.any(Number), nodes: [expect.any(Number)] },
      rssBytes: { client: expect.any(Number), nodes: [expect.any(Number)] },
    });
    expect(broker.topics.size).toBe(0);
    const open = await seriatim('bench', '--messages', '200', '--rate', '2000', '--topic', 'kept', '--json');
    expect(open.code).toBe(0);
    expect(open.lines()[0]).toMatchObject({ orderViolations: 0 });
    expect(broker.topics.has('kept')).toBe(true);
  });

  it('counts what is missing, doubled or out of order', async () => {
    broker.createTopic('t', 1);
    const records = broker.partition('t', 0).records;
    const push = records.push.bind(records);
    let seen = 0;
    // A broker that forgets one record in the middle.
    records.push = (...given) => (++seen === 500 ? records.length : push(...given));
    const spoiled = await seriatim('bench', '--messages', '1000', '--groups', '10', '--topic', 't', '--json');
    expect(spoiled.code).toBe(1);
    expect(spoiled.lines()[0]?.['orderViolations']).toBeGreaterThan(0);
  });
});

describe('wrong usage', () => {
  it.each([
    [[]],
    [['nonsense']],
    [['topic', 'create', 't']],
    [['topic', 'create', 't', '--partitions', 'many']],
    [['read', 't', '--from', 'yesterday']],
    [['read', 't', '--from', '5']],
    [['produce', 't']],
    [['bench', '--size', '4']],
    [['cluster', 'status', '--endpoints', 'nonsense']],
  ])('%j ends with 2 and an explanation', async (argv) => {
    const { code, err, out } = await seriatim(...argv);
    expect(code).toBe(2);
    expect(err).not.toBe('');
    expect(out).toBe('');
  });

  it('shows help with 0', async () => {
    const help = await seriatim('produce', '--help');
    expect(help.code).toBe(0);
    expect(help.out).toContain('--group-field');
  });
});
