import { type ParkedGroup, RefusalError } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { UnreachableError } from '../src/error.ts';
import type { SubscriptionAdmin } from '../src/subscription-admin.ts';
import type { NewSubscription, SubscriptionStart } from '../src/subscription-info.ts';
import { answerLost, failure, INFO, type Name, setUp } from './subscription-setup.ts';

const ACTOR = { who: 'me', why: 'because' };

const parkedGroup = (group: string): ParkedGroup => ({
  group,
  partition: 0,
  life: 1,
  headSequence: 2,
  headOffset: 7,
  waiting: 3,
  failures: 5,
  reason: 'bad',
  sinceMs: 9,
});

describe('calls of SubscriptionAdmin', () => {
  it('says all that is chosen, and shows it in words', async () => {
    const { clock, admin, requests } = setUp({
      CreateSubscription: (request) => ({ subscription: { ...INFO, ...request } }),
    });
    const chosen: NewSubscription = {
      topic: 't',
      name: 's',
      start: { time: 1_700_000_000_000 },
      maxDeliveries: 2,
      poisonPolicy: 'skip',
      deadLetterTopic: 'dead',
      holdMilliseconds: 1_000,
      retainUnread: true,
      backoffMilliseconds: 5,
      backoffMaxMilliseconds: 50,
    };
    expect(await clock.until(admin.create(chosen))).toMatchObject(chosen);
    expect(requests('CreateSubscription')).toMatchObject([
      { start: 3, startTimeMs: 1_700_000_000_000, poisonPolicy: 1, deadLetterTopic: 'dead', holdMs: 1_000 },
    ]);
  });

  it.each<SubscriptionStart>([{ offset: -1 }, { offset: 1.5 }, { time: new Date('nonsense') }, { time: -5 }])(
    'asks nobody to begin at %j',
    async (start) => {
      const { clock, admin, asked } = setUp();
      const error = await clock.until(failure(admin.create({ topic: 't', name: 's', start })));
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
      expect(asked).toEqual([]);
    },
  );

  it('lists those of a topic or of all', async () => {
    const { clock, admin, requests } = setUp({ ListSubscriptions: () => ({ subscriptions: [INFO] }) });
    expect((await clock.until(admin.list())).map(({ name }) => name)).toEqual(['s']);
    await clock.until(admin.list('t'));
    expect(requests('ListSubscriptions')).toEqual([{ topic: '' }, { topic: 't' }]);
  });

  it('describes lag, with the states of groups in words', async () => {
    const partition = {
      partition: 0,
      unsettled: 7,
      floor: 3,
      highWatermark: 10,
      groupsBehind: 1,
      groupsParked: 1,
      groupsHeld: 0,
      consumers: 2,
      oldestUnsettledMs: 900,
      lost: 0,
      code: '',
    };
    const { clock, admin, requests } = setUp({
      DescribeSubscription: () => ({
        subscription: INFO,
        partitions: [partition],
        groups: [
          { group: 'a', partition: 0, unsettled: 4, state: 4 },
          { group: 'b', partition: 0, unsettled: 3, state: 7 },
        ],
      }),
    });
    const described = await clock.until(admin.describe('t', 's'));
    expect(described.partitions).toEqual([partition]);
    expect(described.groups.map(({ state }) => state)).toEqual(['parked', 'waiting-for-holder']);
    await clock.until(admin.describe('t', 's', { topGroups: 0 }));
    expect(requests('DescribeSubscription')).toMatchObject([{ topGroups: 10 }, { topGroups: 0 }]);
  });

  it('pauses, resumes, explains and lists actions', async () => {
    const explained = {
      group: 'g',
      partition: 1,
      life: 1,
      state: 2,
      sinceMs: 5,
      settledSequence: 3,
      lastSequence: 9,
      failures: 0,
      consumer: 'c',
      tokenEpoch: 4,
      tokenCounter: 6,
      deliveredSequence: 7,
      untilMs: 99,
      why: '',
      next: 'Its holder settles what it has.',
    };
    const action = { timeMs: 5, action: 'pause', group: 'g', sequence: 4, ...ACTOR };
    const { clock, admin, asked } = setUp({
      PauseSubscription: () => ({}),
      ResumeSubscription: () => ({}),
      ExplainGroup: () => explained,
      ListSubscriptionActions: () => ({ actions: [action] }),
    });
    await clock.until(admin.pause('t', 's', { group: 'g', ...ACTOR }));
    await clock.until(admin.resume('t', 's'));
    expect(await clock.until(admin.explainGroup('t', 's', 'g'))).toEqual({ ...explained, state: 'held' });
    expect(await clock.until(admin.actions('t', 's'))).toEqual([action]);
    await clock.until(admin.actions('t', 's', { group: 'g', limit: 3 }));
    const place = { topic: 't', name: 's' };
    expect(asked.map(({ name, request }) => [name, request])).toEqual([
      ['PauseSubscription', { ...place, group: 'g', ...ACTOR }],
      ['ResumeSubscription', { ...place, group: '', who: '', why: '' }],
      ['ExplainGroup', { ...place, group: 'g' }],
      ['ListSubscriptionActions', { ...place, group: '', limit: 100 }],
      ['ListSubscriptionActions', { ...place, group: 'g', limit: 3 }],
    ]);
  });

  it('resolves in each way, with bytes for texts', async () => {
    const { clock, admin, requests } = setUp({
      ResolveGroup: () => ({ settledMessages: 1, waitingMessages: 4 }),
    });
    for (const type of ['retry', 'skip', 'discard'] as const) {
      expect(await clock.until(admin.resolveGroup('t', 's', 'g', { type }))).toEqual({
        settled: 1,
        waiting: 4,
      });
    }
    const headers = [{ name: 'h', value: 'v' }];
    const replacement = { type: 'replace', value: 'ü', headers } as const;
    await clock.until(admin.resolveGroup('t', 's', 'g', replacement, { ...ACTOR, headSequence: 8 }));
    const common = {
      topic: 't',
      name: 's',
      group: 'g',
      headSequence: 0,
      who: '',
      why: '',
      replacement: null,
    };
    expect(requests('ResolveGroup')).toEqual([
      { ...common, resolution: 1 },
      { ...common, resolution: 2 },
      { ...common, resolution: 4 },
      {
        ...common,
        ...ACTOR,
        headSequence: 8,
        resolution: 3,
        replacement: {
          key: Buffer.alloc(0),
          value: Buffer.from('ü'),
          messageGroup: 'g',
          producerTimestampMs: 0,
          headers: [{ name: 'h', value: Buffer.from('v') }],
        },
      },
    ]);
  });
});

describe('calls on their way to a node', () => {
  it('follows the hint to another node, and tries again what was certainly not done', async () => {
    const { clock, admin, asked, world } = setUp({
      ResetSubscription: () => ({ generation: 2, partitions: [] }),
    });
    const refusals = [
      new RefusalError('NO_META_LEADER', 'elsewhere', { leaderAddress: 'n:2' }),
      new UnreachableError('PEER_UNREACHABLE', 'refused'),
    ];
    world.after = () => {
      const refusal = refusals.shift();
      if (refusal !== undefined) throw refusal;
    };
    expect(await clock.until(admin.reset('t', 's', 'earliest'))).toMatchObject({ generation: 2 });
    expect(asked).toHaveLength(3);
    expect(asked[1]?.address).toBe('n:2');
  });

  it.each<[Name, (admin: SubscriptionAdmin) => Promise<unknown>]>([
    ['ResetSubscription', (admin) => admin.reset('t', 's', 'earliest')],
    ['RewindGroup', (admin) => admin.rewindGroup('t', 's', 'g', 3)],
    ['ResolveGroup', (admin) => admin.resolveGroup('t', 's', 'g', { type: 'skip' })],
  ])(
    'does not repeat %s when its answer was lost: it would undo or settle more than was meant',
    async (name, call) => {
      const { clock, admin, requests, world } = setUp({
        ResetSubscription: () => ({ generation: 2, partitions: [] }),
        RewindGroup: () => ({ repeatedMessages: 2 }),
        ResolveGroup: () => ({ settledMessages: 1, waitingMessages: 0 }),
      });
      world.after = answerLost;
      expect(await clock.until(failure(call(admin)))).toMatchObject({
        code: 'PEER_UNREACHABLE',
        outcome: 'unknown',
      });
      expect(requests(name)).toHaveLength(1);
    },
  );

  it('repeats what may be repeated: a dry run, a pause, a creation', async () => {
    const { clock, admin, asked, world } = setUp({
      ResetSubscription: () => ({ generation: 1, partitions: [] }),
      PauseSubscription: () => ({}),
      CreateSubscription: () => ({ subscription: INFO }),
    });
    const lost = new Set<Name>();
    world.after = (name) => {
      if (lost.has(name)) return;
      lost.add(name);
      answerLost();
    };
    await clock.until(admin.reset('t', 's', 'earliest', { dryRun: true }));
    await clock.until(admin.pause('t', 's'));
    await clock.until(admin.create({ topic: 't', name: 's' }));
    expect(asked).toHaveLength(6);
  });

  it('gives a refusal for good at once, with its code', async () => {
    const { clock, admin, asked } = setUp({
      ResolveGroup: () => {
        throw new RefusalError('HEAD_CHANGED', 'the head is 9 now');
      },
    });
    expect(
      await clock.until(failure(admin.resolveGroup('t', 's', 'g', { type: 'retry' }, { headSequence: 7 }))),
    ).toMatchObject({ name: 'SeriatimError', code: 'HEAD_CHANGED', outcome: 'not-applied' });
    expect(asked).toHaveLength(1);
  });
});

describe('parked groups', () => {
  async function collect(groups: AsyncGenerator<ParkedGroup>, most = 100): Promise<string[]> {
    const names: string[] = [];
    for await (const { group } of groups) {
      names.push(group);
      if (names.length === most) break;
    }
    return names;
  }

  it('come page after page, from the next node where the first does not answer', async () => {
    const { clock, admin, world } = setUp();
    world.pages = [
      new UnreachableError('PEER_UNREACHABLE', 'refused'),
      { groups: [parkedGroup('a'), parkedGroup('b')] },
      { groups: [parkedGroup('c')] },
    ];
    expect(await clock.until(collect(admin.parkedGroups('t', 's')))).toEqual(['a', 'b', 'c']);
    expect(world).toMatchObject({ streams: 2, cancelled: 1 });
  });

  it('fail where the stream breaks, and are let go where nobody wants more', async () => {
    const { clock, admin, world } = setUp();
    world.pages = [{ groups: [parkedGroup('a')] }, new RefusalError('NO_LEADER', 'shard 11 has no leader')];
    expect(await clock.until(failure(collect(admin.parkedGroups('t', 's'))))).toMatchObject({
      name: 'SeriatimError',
      code: 'NO_LEADER',
    });
    world.pages = [{ groups: [parkedGroup('a'), parkedGroup('b')] }];
    expect(await clock.until(collect(admin.parkedGroups('t', 's'), 1))).toEqual(['a']);
    expect(world.cancelled).toBe(2);
  });

  it('are given up when no node begins within the time given', async () => {
    const { clock, admin, world } = setUp();
    world.pages = Array.from({ length: 10_000 }, () => new RefusalError('NO_META_LEADER', 'none'));
    const started = clock.now();
    const error = await clock.until(
      failure(collect(admin.parkedGroups('t', 's', { timeoutMilliseconds: 1_000 }))),
    );
    expect(error).toMatchObject({ code: 'NO_META_LEADER' });
    expect(clock.now() - started).toBeLessThanOrEqual(1_000);
  });
});

describe('closing', () => {
  it('leaves a cluster that was given to it open', () => {
    const { admin, cluster } = setUp();
    admin.close();
    expect(cluster.closed).toBe(false);
  });
});
