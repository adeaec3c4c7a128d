import { RefusalError } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { Cluster } from '../src/cluster.ts';
import { UnreachableError } from '../src/error.ts';
import type { BrokerConnection, SmallCalls } from '../src/ports.ts';
import { SubscriptionAdmin } from '../src/subscription-admin.ts';
import { TestClock } from './test-clock.ts';

const INFO = {
  topic: 't',
  name: 's',
  id: 7,
  generation: 2,
  start: 3,
  startOffset: 0,
  startTimeMs: 1_000,
  maxDeliveries: 5,
  poisonPolicy: 1,
  deadLetterTopic: 'dead',
  holdMs: 30_000,
  retainUnread: true,
  backoffMs: 100,
  backoffMaxMs: 30_000,
  paused: true,
  ready: false,
};

type Answers = {
  readonly [Name in keyof SmallCalls]?: (request: SmallCalls[Name][0]) => SmallCalls[Name][1];
};

/** An admin at a broker that answers what a test says, and what it was asked. */
function setUp(answers: Answers, pages: readonly (readonly string[])[] = []) {
  const clock = new TestClock(5);
  const asked: { readonly name: string; readonly request: unknown }[] = [];
  const connection = {
    ready: () => true,
    close: () => {},
    call: async (name: keyof SmallCalls, request: unknown) => {
      asked.push({ name, request });
      const answer = answers[name] as ((request: unknown) => unknown) | undefined;
      if (answer === undefined) throw new RefusalError('UNSUPPORTED', name);
      return answer(request);
    },
    listParkedGroups: (request: unknown) => {
      asked.push({ name: 'ListParkedGroups', request });
      const left = pages.map((groups) => ({ groups: groups.map((group) => ({ group })) }));
      return { next: async () => left.shift() ?? null, cancel: () => {} };
    },
  } as unknown as BrokerConnection;
  const cluster = new Cluster({ endpoints: ['n:1'], transport: { connect: () => connection }, clock });
  return { clock, asked, admin: new SubscriptionAdmin({ cluster }) };
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => error,
  );

/** Fails so many times, then answers. */
function failing<T>(times: number, error: RefusalError, answer: T): () => T {
  const left = { times };
  return () => {
    if (left.times-- > 0) throw error;
    return answer;
  };
}

const LOST = new UnreachableError('PEER_UNREACHABLE', 'the answer was lost', { outcome: 'unknown' });
const BUSY = new RefusalError('NO_LEADER', 'no leader', { outcome: 'not-applied' });

describe('SubscriptionAdmin', () => {
  it('says words where the wire has numbers, and 0 where nothing is chosen', async () => {
    const { clock, asked, admin } = setUp({ CreateSubscription: () => ({ subscription: INFO }) });
    const made = await clock.until(admin.create({ topic: 't', name: 's', start: { offset: 9 } }));
    expect(asked[0]?.request).toEqual({
      topic: 't',
      name: 's',
      start: 2,
      startOffset: 9,
      startTimeMs: 0,
      maxDeliveries: 0,
      poisonPolicy: 0,
      deadLetterTopic: '',
      holdMs: 0,
      retainUnread: false,
      backoffMs: 0,
      backoffMaxMs: 0,
    });
    expect(made).toEqual({
      topic: 't',
      name: 's',
      id: 7,
      generation: 2,
      start: { time: 1_000 },
      maxDeliveries: 5,
      poisonPolicy: 'skip',
      deadLetterTopic: 'dead',
      holdMilliseconds: 30_000,
      retainUnread: true,
      backoffMilliseconds: 100,
      backoffMaxMilliseconds: 30_000,
      paused: true,
      ready: false,
    });
    expect(
      await failure(clock.until(admin.create({ topic: 't', name: 's', start: { offset: -1 } }))),
    ).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it.each([
    ['earliest', { start: 0, startOffset: 0, startTimeMs: 0 }],
    ['latest', { start: 1, startOffset: 0, startTimeMs: 0 }],
    [{ time: new Date(5_000) }, { start: 3, startOffset: 0, startTimeMs: 5_000 }],
  ] as const)('sends the start %j', async (start, fields) => {
    const { clock, asked, admin } = setUp({ ResetSubscription: () => ({ generation: 3, partitions: [] }) });
    await clock.until(admin.reset('t', 's', start, { dryRun: true, who: 'me' }));
    expect(asked[0]?.request).toEqual({ topic: 't', name: 's', ...fields, dryRun: true, who: 'me', why: '' });
  });

  it('repeats what may be repeated, and not what could be done twice', async () => {
    const resolved = { settledMessages: 1, waitingMessages: 2 };
    const retry = { type: 'retry' } as const;
    const busy = setUp({ ResolveGroup: failing(2, BUSY, resolved) });
    expect(await busy.clock.until(busy.admin.resolveGroup('t', 's', 'g', retry))).toEqual({
      settled: 1,
      waiting: 2,
    });
    expect(busy.asked).toHaveLength(3);

    const lost = setUp({ ResolveGroup: failing(1, LOST, resolved) });
    expect(await failure(lost.clock.until(lost.admin.resolveGroup('t', 's', 'g', retry)))).toMatchObject({
      outcome: 'unknown',
    });
    expect(lost.asked).toHaveLength(1);

    const paused = setUp({ PauseSubscription: failing(1, LOST, {}) });
    await paused.clock.until(paused.admin.pause('t', 's', { group: 'g', why: 'look' }));
    expect(paused.asked.at(-1)?.request).toEqual({ topic: 't', name: 's', group: 'g', who: '', why: 'look' });
  });

  it('does not pause everything when a group is named that is empty', async () => {
    const { clock, asked, admin } = setUp({ PauseSubscription: () => ({}), ResumeSubscription: () => ({}) });
    for (const work of [admin.pause('t', 's', { group: '' }), admin.resume('t', 's', { group: '' })]) {
      expect(await failure(clock.until(work))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    expect(asked).toEqual([]);
  });

  it('takes a subscription for deleted when the answer was lost and it is gone', async () => {
    const gone = new RefusalError('UNKNOWN_SUBSCRIPTION', 'gone');
    const answers = [LOST, gone];
    const { clock, admin } = setUp({
      DeleteSubscription: () => {
        throw answers.shift() ?? gone;
      },
    });
    await clock.until(admin.delete('t', 's'));
    expect(await failure(clock.until(admin.delete('t', 's')))).toMatchObject({
      code: 'UNKNOWN_SUBSCRIPTION',
    });
  });

  it('sends a replacement as bytes, and nothing with the other resolutions', async () => {
    const { clock, asked, admin } = setUp({
      ResolveGroup: () => ({ settledMessages: 0, waitingMessages: 3 }),
    });
    const replacement = { type: 'replace', value: 'new', headers: [{ name: 'h', value: 'v' }] } as const;
    await clock.until(admin.resolveGroup('t', 's', 'g', replacement, { headSequence: 4 }));
    await clock.until(admin.resolveGroup('t', 's', 'g', { type: 'discard' }));
    expect(asked.map(({ request }) => request)).toMatchObject([
      {
        resolution: 3,
        headSequence: 4,
        replacement: {
          value: Buffer.from('new'),
          messageGroup: 'g',
          headers: [{ name: 'h', value: Buffer.from('v') }],
        },
      },
      { resolution: 4, headSequence: 0, replacement: null },
    ]);
  });

  it('walks through the pages of parked groups, and names the states of groups', async () => {
    const { clock, admin } = setUp(
      {
        ExplainGroup: () => ({ group: 'g', state: 4 }) as unknown as SmallCalls['ExplainGroup'][1],
      },
      [['a', 'b'], ['c']],
    );
    const found: string[] = [];
    const walked = (async () => {
      for await (const { group } of admin.parkedGroups('t', 's')) found.push(group);
    })();
    await clock.until(walked);
    expect(found).toEqual(['a', 'b', 'c']);
    expect((await clock.until(admin.explainGroup('t', 's', 'g'))).state).toBe('parked');
  });
});
