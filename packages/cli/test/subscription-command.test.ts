import { Buffer } from 'node:buffer';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { RefusalError } from '@seriatim/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../src/program.ts';
import {
  DONE_BY,
  EXPLAINED,
  LAG,
  PARKED,
  RESET,
  type SubscriptionServer,
  serveSubscriptions,
  UNASKED,
} from './subscription-server.ts';

let broker: SubscriptionServer;
let directory: string;

class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

async function seriatimAs(env: Readonly<Record<string, string>>, argv: readonly string[]) {
  const stdout = new Sink();
  const stderr = new Sink();
  const code = await run(argv, { stdout, stderr, env: { SERIATIM_ENDPOINTS: broker.endpoint, ...env } });
  const json = stdout.text.startsWith('{')
    ? stdout.text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown)
    : [];
  return { code, out: stdout.text, err: stderr.text, json };
}
const seriatim = (...argv: string[]) => seriatimAs({ USER: 'me' }, argv);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'seriatim-subscription-'));
  broker = await serveSubscriptions();
});
afterEach(() => {
  broker.server.forceShutdown();
  rmSync(directory, { recursive: true });
});

/** Requests in the order of their arrival. */
const requests = (): unknown[] => broker.asked.map(({ request }) => request);

/** Empty where the system has no name for its user. */
function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}

const PLACE = { topic: 't', name: 's' };
const WHOLE = { ...PLACE, group: '', who: 'me', why: '' };

describe('seriatim subscription', () => {
  it('creates with the defaults of the broker, and with everything that can be said', async () => {
    const { code, json } = await seriatim('subscription', 'create', 't', 's', '--json');
    expect(code).toBe(0);
    expect(json).toMatchObject([
      { name: 's', start: 'earliest', poisonPolicy: 'park', holdMilliseconds: 30_000 },
    ]);
    await seriatim(
      ...[
        'subscription',
        'create',
        't',
        's',
        '--from',
        'latest',
        '--max-deliveries',
        '2',
        '--poison',
        'skip',
      ],
      ...['--dead-letter-topic', 'dead', '--hold', '1m', '--retain-unread', '--backoff', '5ms'],
      ...['--backoff-max', '2s'],
    );
    const unsaid = { startOffset: 0, startTimeMs: 0 };
    expect(requests()).toEqual([
      {
        ...PLACE,
        ...unsaid,
        start: 0,
        maxDeliveries: 0,
        poisonPolicy: 0,
        deadLetterTopic: '',
        holdMs: 0,
        retainUnread: false,
        backoffMs: 0,
        backoffMaxMs: 0,
      },
      {
        ...PLACE,
        ...unsaid,
        start: 1,
        maxDeliveries: 2,
        poisonPolicy: 1,
        deadLetterTopic: 'dead',
        holdMs: 60_000,
        retainUnread: true,
        backoffMs: 5,
        backoffMaxMs: 2_000,
      },
    ]);
  });

  it.each([
    ['earliest', { start: 0 }],
    ['latest', { start: 1 }],
    ['17', { start: 2, startOffset: 17 }],
    ['2026-01-31T12:00:00Z', { start: 3, startTimeMs: Date.UTC(2026, 0, 31, 12) }],
    ['2026-01-31T12:00:00+02:00', { start: 3, startTimeMs: Date.UTC(2026, 0, 31, 10) }],
    ['2026-01-31', { start: 3, startTimeMs: Date.UTC(2026, 0, 31) }],
  ])('resets to %s, and says what that means', async (from, start) => {
    const { code, json } = await seriatim('subscription', 'reset', 't', 's', '--from', from, '--json');
    expect(code).toBe(0);
    expect(json).toEqual([{ generation: 2, partitions: [RESET], dryRun: false }]);
    const request = { ...PLACE, startOffset: 0, startTimeMs: 0, ...start, dryRun: false, who: 'me', why: '' };
    expect(broker.asked).toEqual([{ name: 'ResetSubscription', request }]);
  });

  it('tells a dry run from a reset', async () => {
    const reset = ['subscription', 'reset', 't', 's', '--from', 'earliest', '--why', 'again'];
    const dry = await seriatim(...reset, '--dry-run');
    expect(dry.out).toMatch(/│ 0 +│ 8 +│ 3 +│ 5 +│ 0 /);
    expect(dry.err).toBe('nothing was changed\n');
    expect((await seriatim(...reset)).err).toBe('generation 2\n');
    expect(requests()).toMatchObject([
      { dryRun: true, why: 'again' },
      { dryRun: false, why: 'again' },
    ]);
  });

  it('lists those of a topic or all', async () => {
    const { out } = await seriatim('subscription', 'list');
    expect(out).toMatch(/│ t +│ s +│ 1 +│ earliest +│ 30000 ms +│ 5: park +│ 100…30000 ms +│ no +│ ready /);
    expect(out).toMatch(/│ second +│ 1 +│ offset 9 .*│ paused /);
    const { json } = await seriatim('subscription', 'list', 't', '--json');
    expect(json).toMatchObject([
      { subscriptions: [{ name: 's' }, { name: 'second', start: { offset: 9 } }] },
    ]);
    expect(requests()).toEqual([{ topic: '' }, { topic: 't' }]);
  });

  it('shows lag, with the code of a partition that could not be asked', async () => {
    const { out } = await seriatim('subscription', 'lag', 't', 's', '--top', '3');
    expect(out).toMatch(/│ 0 +│ 7 +│ 900 ms +│ 3…10 +│ 1 +│ 2 +│ 4 +│ 5 +│ 6 /);
    expect(out).toMatch(/│ 1 +│ NO_LEADER /);
    expect(out).toMatch(/│ slow +│ 0 +│ 6 +│ parked /);
    const { json } = await seriatim('subscription', 'lag', 't', 's', '--json');
    expect(json).toEqual([
      {
        unsettled: 7,
        partitions: [LAG, UNASKED],
        groups: [{ group: 'slow', partition: 0, unsettled: 6, state: 'parked' }],
      },
    ]);
    expect(requests()).toMatchObject([{ topGroups: 3 }, { topGroups: 10 }]);
  });

  it('describes settings and lag', async () => {
    const { out } = await seriatim('subscription', 'describe', 't', 's', '--top', '1');
    expect(out).toContain('5: skip to dead');
    expect(out).toContain('NO_LEADER');
    const { json } = await seriatim('subscription', 'describe', 't', 's', '--json');
    expect(json).toMatchObject([{ subscription: { deadLetterTopic: 'dead' }, partitions: [LAG, UNASKED] }]);
  });

  it('pauses and resumes the whole or a group, and says which', async () => {
    expect((await seriatim('subscription', 'pause', 't', 's')).err).toBe('subscription s of t is paused\n');
    const paused = await seriatim(
      'subscription',
      'pause',
      't',
      's',
      '--group',
      'g',
      '--why',
      'look',
      '--json',
    );
    expect(paused.json).toEqual([{ paused: true, subscription: 's', group: 'g' }]);
    expect((await seriatim('subscription', 'resume', 't', 's', '--group', 'g')).err).toBe(
      'group "g" goes on\n',
    );
    expect(broker.asked).toEqual([
      { name: 'PauseSubscription', request: WHOLE },
      { name: 'PauseSubscription', request: { ...WHOLE, group: 'g', why: 'look' } },
      { name: 'ResumeSubscription', request: { ...WHOLE, group: 'g' } },
    ]);
  });

  it('deletes, and lists who did what', async () => {
    expect((await seriatim('subscription', 'delete', 't', 's', '--json')).json).toEqual([{ deleted: 's' }]);
    const { out } = await seriatim('subscription', 'actions', 't', 's', '--group', 'g');
    expect(out).toMatch(/│ 2023-11-14T22:13:20\.000Z +│ pause +│ g +│ 2 +│ me +│ look /);
    const { json } = await seriatim('subscription', 'actions', 't', 's', '--limit', '3', '--json');
    expect(json).toEqual([{ actions: [DONE_BY] }]);
    expect(requests()).toEqual([
      PLACE,
      { ...PLACE, group: 'g', limit: 100 },
      { ...PLACE, group: '', limit: 3 },
    ]);
  });

  it.each([
    [{ USER: '', LOGNAME: 'log' }, 'log'],
    [{}, systemUser()],
  ])('names the user where the environment is %j', async (env, who) => {
    await seriatimAs(env, ['subscription', 'pause', 't', 's']);
    expect(broker.asked).toMatchObject([{ request: { who } }]);
  });
});

describe('seriatim group', () => {
  it('explains', async () => {
    const { out } = await seriatim('group', 'explain', 't', 's', 'g');
    expect(out).toMatch(/│ state +│ held /);
    expect(out).toMatch(/│ settled +│ 3 of 9 /);
    expect(out).toMatch(/│ held by +│ c1, token 4\.6 /);
    expect(out).not.toContain('until');
    expect((await seriatim('group', 'explain', 't', 's', 'g', '--json')).json).toEqual([
      { ...EXPLAINED, state: 'held' },
    ]);
  });

  it('prints parked groups one a line, also those with a tab in their name', async () => {
    const { out } = await seriatim('group', 'parked', 't', 's');
    const [head, first, second] = out.split('\n');
    expect(head?.split('\t')).toHaveLength(7);
    expect(first).toBe('1\t2\t3\t5\t2023-11-14T22:13:20.000Z\t"tab\\tgroup"\t"bad"');
    expect(second).toContain('"second"');
    const { json } = await seriatim('group', 'parked', 't', 's', '--json');
    expect(json).toEqual([PARKED, { ...PARKED, group: 'second' }]);
  });

  it('rewinds', async () => {
    const { err } = await seriatim('group', 'rewind', 't', 's', 'g', '3', '--why', 'again');
    expect(err).toBe('4 messages are delivered again\n');
    const { json } = await seriatim('group', 'rewind', 't', 's', 'g', '3', '--json');
    expect(json).toEqual([{ group: 'g', sequence: 3, repeated: 4 }]);
    expect(requests()[0]).toEqual({ ...WHOLE, group: 'g', sequence: 3, why: 'again' });
  });

  it.each([
    ['retry', 1],
    ['skip', 2],
    ['discard', 4],
  ])('resolves by %s', async (way, resolution) => {
    const resolve = ['group', 'resolve', 't', 's', 'g', `--${way}`];
    const { json } = await seriatim(...resolve, '--head', '7', '--why', 'look', '--json');
    expect(json).toEqual([{ group: 'g', resolution: way, settled: 1, waiting: 4 }]);
    expect((await seriatim(...resolve)).err).toContain('1 messages settled without delivery');
    const request = { ...WHOLE, group: 'g', resolution, headSequence: 7, why: 'look', replacement: null };
    expect(requests()[0]).toEqual(request);
    expect(requests()[1]).toEqual({ ...request, headSequence: 0, why: '' });
  });

  it('replaces the head by the bytes of a file', async () => {
    const file = join(directory, 'new');
    writeFileSync(file, Uint8Array.of(0xff, 0, 0x0a));
    expect((await seriatim('group', 'resolve', 't', 's', 'g', '--replace', file)).code).toBe(0);
    const replacement = { messageGroup: 'g', value: Buffer.of(0xff, 0, 0x0a) };
    expect(requests()).toMatchObject([{ resolution: 3, replacement }]);
    const missing = await seriatim('group', 'resolve', 't', 's', 'g', '--replace', join(directory, 'none'));
    expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('ENOENT') });
    expect(broker.asked).toHaveLength(1);
  });
});

describe('seriatim subscription and group', () => {
  it('fail with the code of a refusal', async () => {
    broker.refusal = new RefusalError('HEAD_CHANGED', 'the head is 9 now, not 7');
    const { code, err, out } = await seriatim(
      'group',
      'resolve',
      't',
      's',
      'g',
      '--retry',
      '--head',
      '7',
      '--json',
    );
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain('HEAD_CHANGED (not-applied): ');
    expect((await seriatim('group', 'parked', 't', 's', '--json')).err).toContain('HEAD_CHANGED');
  });

  it.each([
    [['subscription', 'create', 't'], 'missing required argument'],
    [['subscription', 'create', 't', 's', '--from', 'yesterday'], 'yesterday is not earliest'],
    [['subscription', 'create', 't', 's', '--from', '2026-13-01'], '2026-13-01 is not earliest'],
    [['subscription', 'create', 't', 's', '--max-deliveries', '1001'], '1001 is not a whole number'],
    [['subscription', 'create', 't', 's', '--poison', 'drop'], 'Allowed choices are park, skip'],
    [['subscription', 'create', 't', 's', '--hold', 'long'], 'long is not a time'],
    [['subscription', 'reset', 't', 's'], '--from'],
    [['subscription', 'lag', 't', 's', '--top', '1001'], '1001 is not a whole number'],
    [['group', 'rewind', 't', 's', 'g', 'first'], 'first is not a whole number'],
    [['group', 'rewind', 't', 's', 'g', '0'], '0 is not a whole number'],
    [['group', 'resolve', 't', 's', 'g'], 'give one of --retry'],
    [['group', 'resolve', 't', 's', 'g', '--retry', '--skip'], 'give one of --retry'],
    [['group', 'resolve', 't', 's', 'g', '--retry', '--head', '0'], '0 is not a whole number'],
  ])('say what is wrong with %j, and ask nobody', async (argv, text) => {
    const { code, err, out } = await seriatim(...argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(text);
    expect(broker.asked).toEqual([]);
  });

  it('say what is wrong with the environment', async () => {
    const { code, err } = await seriatimAs({ SERIATIM_ENDPOINTS: 'nonsense' }, ['subscription', 'list']);
    expect(code).toBe(2);
    expect(err).toContain('"nonsense" is not host:port');
  });

  it('show help', async () => {
    const help = await seriatim('group', 'resolve', '--help');
    expect(help.code).toBe(0);
    for (const option of [
      '--retry',
      '--skip',
      '--replace <file>',
      '--discard',
      '--head <sequence>',
      '--why <text>',
    ]) {
      expect(help.out).toContain(option);
    }
  });
});
