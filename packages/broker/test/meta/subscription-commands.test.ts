import type { Index } from '@seriatim/raft';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { TopicId } from '../../src/contracts.ts';
import { decodeCommand, encodeCommand } from '../../src/meta/command-codec.ts';
import { executeCommand } from '../../src/meta/execute.ts';
import { readImage, writeImage } from '../../src/meta/image.ts';
import { MetaTables } from '../../src/meta/meta-tables.ts';
import type { MetaCommand, MetaResult, SubscriptionRecord } from '../../src/meta/model.ts';
import { decodeApplied, encodeApplied } from '../../src/meta/result-codec.ts';
import { ACTIONS_MAX } from '../../src/meta/subscription-table.ts';
import { SUBSCRIPTIONS_MAX, type SubscriptionId } from '../../src/subscription-contracts.ts';
import { ids, topicCommand } from './fakes.ts';
import { createCommand, settings } from './subscription-command.ts';

const ORDERS = 1 as TopicId;
const LETTERS = 2 as TopicId;
const FIRST = 1 as SubscriptionId;
let tables: MetaTables;

const apply = (command: MetaCommand, to: MetaTables = tables): MetaResult =>
  executeCommand(to, decodeCommand(encodeCommand(command)), 1 as Index);
const bytesOf = (of: MetaTables): Buffer => Buffer.concat([...writeImage(of, 1 as Index)]);

/** Ends the newest operation. */
function end(time = 50): MetaResult {
  return apply({ type: 'endOperation', operation: tables.next.operation - 1, time });
}

function get(id = FIRST): SubscriptionRecord {
  const record = tables.subscriptions.get(id);
  if (record === undefined) throw new Error(`no subscription ${id}`);
  return record;
}

const reset = (token: string, generation = 1, kind = 0): MetaCommand => ({
  type: 'resetSubscription',
  subscription: FIRST,
  generation,
  start: { kind, offset: 0, time: 0 },
  token,
  time: 60,
  who: 'ada',
  why: 'a wrong deploy',
});
const remove = (token: string, subscription = FIRST): MetaCommand => ({
  type: 'deleteSubscription',
  subscription,
  token,
  time: 70,
  who: 'ada',
  why: '',
});
const pause = (paused: boolean, time = 80): MetaCommand => ({
  type: 'pauseSubscription',
  subscription: FIRST,
  paused,
  time,
  who: 'bob',
  why: 'lunch',
});

function newTables(): MetaTables {
  const fresh = new MetaTables();
  for (const id of ids(3)) {
    const address = `h:${id}`;
    apply(
      {
        type: 'registerNode',
        id,
        clientAddress: address,
        peerAddress: address,
        pid: id,
        bootNumber: 1,
        featureLevel: 1,
      },
      fresh,
    );
  }
  apply(topicCommand('orders', 4, 3), fresh);
  apply(topicCommand('letters', 1, 1), fresh);
  return fresh;
}

beforeEach(() => {
  tables = newTables();
});

describe('creating a subscription', () => {
  test('fixes its id and its dead-letter producer; it is ready when its operation has ended', () => {
    apply({ type: 'reserveProducerIds', count: 10 });
    const answer = apply(createCommand(ORDERS, 'billing', 'a'));
    expect(answer).toEqual({ type: 'subscription', subscription: 1, operation: 3 });
    expect(get()).toMatchObject({
      ...settings(),
      topic: ORDERS,
      name: 'billing',
      generation: 1,
      paused: false,
      ready: false,
      deadLetterProducer: 11,
    });
    expect(tables.running(3)).toMatchObject({
      kind: 'createSubscription',
      topic: ORDERS,
      name: 'billing',
      subscription: 1,
      generation: 1,
      startedAt: 40,
    });
    end();
    expect(get().ready).toBe(true);
    expect(tables.operations.get(3)).toMatchObject({ state: 'done', endedAt: 50 });
    expect(tables.subscriptions.actions(FIRST)).toEqual([
      { time: 40, action: 'create', group: '', sequence: 0, who: '', why: '' },
    ]);
    apply(createCommand(ORDERS, 'audit', 'b'));
    expect(get(2 as SubscriptionId).deadLetterProducer).toBe(12);
    expect(apply({ type: 'reserveProducerIds', count: 1 })).toMatchObject({ first: 13 });
  });

  test('with the same settings again finds it, also one that was reset since, and waits with it', () => {
    apply(createCommand(ORDERS, 'billing', 'a'));
    const again = createCommand(ORDERS, 'billing', 'b');
    expect(apply(again)).toEqual({ type: 'subscription', subscription: 1, operation: 3 });
    end();
    expect(apply(again)).toEqual({ type: 'subscription', subscription: 1, operation: 0 });
    apply(reset('r', 1, 1));
    expect(apply(again)).toEqual({ type: 'subscription', subscription: 1, operation: 4 });
    expect(tables.next.subscription).toBe(2);
  });

  test.each([
    ['maxDeliveries', { maxDeliveries: 6 }],
    ['holdMilliseconds', { holdMilliseconds: 1_000 }],
    ['retainUnread', { retainUnread: true }],
    ['backoffMilliseconds', { backoffMilliseconds: 1 }],
    ['backoffMaxMilliseconds', { backoffMaxMilliseconds: 40_000 }],
    ['poisonPolicy', { poisonPolicy: 1, deadLetterTopic: LETTERS }],
    ['start', { start: { kind: 3, offset: 0, time: 9 } }],
  ])('with another %s is refused, since the name is taken', (key, changed) => {
    apply(createCommand(ORDERS, 'billing', 'a'));
    expect(apply(createCommand(ORDERS, 'billing', 'b', changed))).toMatchObject({
      code: 'SUBSCRIPTION_EXISTS',
      message: expect.stringContaining(key),
    });
  });

  test.each([
    ['a name', '', {}],
    ['a name', 'a b', {}],
    ['a name', 'x'.repeat(129), {}],
    ['deliveries', 's', { maxDeliveries: 0 }],
    ['deliveries', 's', { maxDeliveries: 1_001 }],
    ['a hold', 's', { holdMilliseconds: 999 }],
    ['a hold', 's', { holdMilliseconds: 3_600_001 }],
    ['a back-off', 's', { backoffMilliseconds: 0 }],
    ['a longest back-off', 's', { backoffMaxMilliseconds: 99 }],
    ['a longest back-off', 's', { backoffMaxMilliseconds: 86_400_001 }],
    ['a policy', 's', { poisonPolicy: 2 }],
    ['a start', 's', { start: { kind: 4, offset: 0, time: 0 } }],
    ['a start', 's', { start: { kind: 0, offset: 1, time: 0 } }],
    ['a start', 's', { start: { kind: 2, offset: 1, time: 1 } }],
    ['to skip without topic', 's', { poisonPolicy: 1 }],
    ['to park with a topic', 's', { deadLetterTopic: LETTERS }],
    ['its own topic for dead letters', 's', { poisonPolicy: 1, deadLetterTopic: ORDERS }],
    ['a topic for dead letters that is not there', 's', { poisonPolicy: 1, deadLetterTopic: 9 as TopicId }],
  ])('with %s that can not be is refused', (_what, name, changed) => {
    const before = bytesOf(tables);
    expect(apply(createCommand(ORDERS, name, 'a', changed))).toMatchObject({ code: 'INVALID_SUBSCRIPTION' });
    expect(bytesOf(tables).equals(before)).toBe(true);
  });

  test('with every limit just kept is taken', () => {
    const changed = {
      start: { kind: 2, offset: Number.MAX_SAFE_INTEGER, time: 0 },
      maxDeliveries: 1_000,
      holdMilliseconds: 3_600_000,
      backoffMilliseconds: 86_400_000,
      backoffMaxMilliseconds: 86_400_000,
      poisonPolicy: 1,
      deadLetterTopic: LETTERS,
    };
    apply(createCommand(ORDERS, 'x'.repeat(128), 'a', changed));
    expect(get()).toMatchObject(changed);
  });

  test('is refused for a topic that does not exist, and beyond the limit of one topic', () => {
    expect(apply(createCommand(9 as TopicId, 's', 'a'))).toMatchObject({ code: 'UNKNOWN_TOPIC' });
    for (let n = 0; n < SUBSCRIPTIONS_MAX; n++) apply(createCommand(ORDERS, `s${n}`, `t${n}`));
    expect(apply(createCommand(ORDERS, 'one-more', 'a'))).toMatchObject({ code: 'OVERLOADED' });
    expect(apply(createCommand(ORDERS, 's7', 'a'))).toMatchObject({ type: 'subscription' });
    expect(apply(createCommand(LETTERS, 'one-more', 'a'))).toMatchObject({ type: 'subscription' });
  });
});

describe('resetting a subscription', () => {
  test('raises its generation and moves its start; the same request again finds its operation', () => {
    apply(createCommand(ORDERS, 'billing', 'a'));
    expect(apply(reset('r'))).toMatchObject({ code: 'SUBSCRIPTION_NOT_READY' });
    end();
    const answer = { type: 'subscription', subscription: 1, operation: 4 };
    expect(apply(reset('r', 1, 1))).toEqual(answer);
    expect(apply(reset('r', 1, 1))).toEqual(answer);
    expect(get()).toMatchObject({ generation: 2, ready: false, start: { kind: 1 } });
    expect(apply(reset('other', 2))).toMatchObject({ code: 'SUBSCRIPTION_NOT_READY' });
    end();
    expect(apply(reset('r', 1, 1))).toEqual(answer);
    expect(get()).toMatchObject({ generation: 2, ready: true });
    expect(tables.subscriptions.actions(FIRST).map(({ action, who, why }) => [action, who, why])).toEqual([
      ['create', '', ''],
      ['reset', 'ada', 'a wrong deploy'],
    ]);
  });

  test('is refused for a generation that its caller did not see, a start that can not be, and a stranger', () => {
    expect(apply(reset('r'))).toMatchObject({ code: 'UNKNOWN_SUBSCRIPTION' });
    apply(createCommand(ORDERS, 'billing', 'a'));
    end();
    expect(apply(reset('r', 2))).toMatchObject({
      code: 'SUBSCRIPTION_NOT_READY',
      message: expect.stringContaining('generation 1, not 2'),
    });
    expect(apply(reset('r', 1, 9))).toMatchObject({ code: 'INVALID_SUBSCRIPTION' });
    expect(get()).toMatchObject({ generation: 1, ready: true });
  });
});

describe('deleting a subscription', () => {
  test('frees its name when every partition has forgotten it, not before; its id is never given again', () => {
    apply(createCommand(ORDERS, 'billing', 'a'));
    expect(apply(remove('d'))).toMatchObject({ code: 'SUBSCRIPTION_NOT_READY' });
    end();
    const answer = { type: 'subscription', subscription: 1, operation: 4 };
    expect(apply(remove('d'))).toEqual(answer);
    expect(apply(remove('d'))).toEqual(answer);
    expect(get().ready).toBe(false);
    expect(apply(remove('other'))).toMatchObject({ code: 'SUBSCRIPTION_NOT_READY' });
    expect(apply(createCommand(ORDERS, 'billing', 'b'))).toMatchObject({ code: 'SUBSCRIPTION_NOT_READY' });
    end();
    expect(tables.subscriptions.get(FIRST)).toBeUndefined();
    expect(tables.subscriptions.actions(FIRST)).toEqual([]);
    expect(apply(remove('d'))).toEqual(answer);
    expect(apply(remove('other'))).toMatchObject({ code: 'UNKNOWN_SUBSCRIPTION' });
    expect(apply(createCommand(ORDERS, 'billing', 'c'))).toMatchObject({ subscription: 2 });
  });

  test('is not undone by the request that created it, when that comes once more', () => {
    const creation = createCommand(ORDERS, 'billing', 'a');
    const answer = apply(creation);
    end();
    apply(remove('d'));
    expect(apply(creation)).toEqual(answer);
    end();
    expect(apply(creation)).toEqual(answer);
    expect([...tables.subscriptions.all()]).toEqual([]);
  });

  test('comes with deleting its topic: operations on it end, those of other topics go on', () => {
    apply(createCommand(ORDERS, 'billing', 'a'));
    apply(createCommand(ORDERS, 'audit', 'b'));
    apply(createCommand(LETTERS, 'audit', 'c'));
    apply({ type: 'deleteTopic', name: 'orders', token: 'd', time: 90 });
    expect([...tables.subscriptions.all()].map(({ id }) => id)).toEqual([3]);
    const states = [...tables.operations.values()].map(({ kind, state }) => `${kind} ${state}`);
    expect(states.slice(2)).toEqual([
      'createSubscription done',
      'createSubscription done',
      'createSubscription running',
      'deleteTopic running',
    ]);
    expect(apply(createCommand(ORDERS, 'billing', 'e'))).toMatchObject({ code: 'UNKNOWN_TOPIC' });
  });
});

describe('pausing a subscription', () => {
  test('is kept with who and why; repeating it changes nothing', () => {
    expect(apply(pause(true))).toMatchObject({ code: 'UNKNOWN_SUBSCRIPTION' });
    apply(createCommand(ORDERS, 'billing', 'a'));
    end();
    expect(apply(pause(true))).toEqual({ type: 'done' });
    expect(apply(pause(true, 99))).toEqual({ type: 'done' });
    expect(get()).toMatchObject({ paused: true, ready: true });
    apply(pause(false));
    expect(get().paused).toBe(false);
    expect(tables.subscriptions.actions(FIRST).slice(1)).toEqual([
      { time: 80, action: 'pause', group: '', sequence: 0, who: 'bob', why: 'lunch' },
      { time: 80, action: 'resume', group: '', sequence: 0, who: 'bob', why: 'lunch' },
    ]);
  });

  test('outlives a reset', () => {
    apply(createCommand(ORDERS, 'billing', 'a'));
    end();
    apply(pause(true));
    apply(reset('r'));
    end();
    expect(get()).toMatchObject({ paused: true, ready: true, generation: 2 });
  });

  test('keeps the newest actions only', () => {
    apply(createCommand(ORDERS, 'billing', 'a'));
    for (let n = 0; n < ACTIONS_MAX + 5; n++) apply(pause(n % 2 === 0, n));
    const kept = tables.subscriptions.actions(FIRST);
    expect(kept).toHaveLength(ACTIONS_MAX);
    expect([kept[0]?.time, kept.at(-1)?.time]).toEqual([5, ACTIONS_MAX + 4]);
  });
});

describe('any commands on subscriptions', () => {
  const token = fc.constantFrom('t1', 't2', 't3');
  const id = fc.integer({ min: 1, max: 3 }).map((value) => value as SubscriptionId);
  const start = fc.record({ kind: fc.nat({ max: 1 }), offset: fc.constant(0), time: fc.constant(0) });
  const actor = { who: fc.string(), why: fc.string() };
  const time = fc.nat();
  const command: fc.Arbitrary<MetaCommand> = fc.oneof(
    fc.record({
      type: fc.constant('createSubscription' as const),
      topic: fc.constantFrom(ORDERS, LETTERS),
      name: fc.constantFrom('a', 'b'),
      settings: fc.constantFrom(settings(), settings({ maxDeliveries: 9 })),
      token,
      time,
    }),
    fc.record({
      type: fc.constant('resetSubscription' as const),
      subscription: id,
      generation: fc.integer({ min: 1, max: 3 }),
      start,
      token,
      time,
      ...actor,
    }),
    fc.record({ type: fc.constant('deleteSubscription' as const), subscription: id, token, time, ...actor }),
    fc.record({
      type: fc.constant('pauseSubscription' as const),
      subscription: id,
      paused: fc.boolean(),
      time,
      ...actor,
    }),
    fc.record({ type: fc.constant('endOperation' as const), operation: fc.nat({ max: 12 }), time }),
    fc.record({
      type: fc.constant('deleteTopic' as const),
      name: fc.constantFrom('orders', 'letters'),
      token,
      time,
    }),
  );

  test('have the same effect and answer when each is applied twice, and an image in between changes nothing', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30 }), fc.nat({ max: 30 }), (commands, cut) => {
        const once = newTables();
        const twice = newTables();
        let restored = newTables();
        commands.forEach((one, at) => {
          if (at === cut) restored = readImage(writeImage(restored, 1 as Index)).tables;
          const answer = apply(one, once);
          expect(apply(one, restored)).toEqual(answer);
          expect(apply(one, twice)).toEqual(answer);
          const repeated = apply(one, twice);
          // An operation that was already over when its request came again has nobody who waits for it.
          if (answer.type !== 'refused') expect(repeated.type).not.toBe('refused');
          if (answer.type === 'subscription') expect(repeated).toEqual(answer);
          expect(decodeApplied(encodeApplied({ index: 1 as Index, result: answer })).result).toEqual(answer);
        });
        expect(bytesOf(twice).equals(bytesOf(once))).toBe(true);
        expect(bytesOf(restored).equals(bytesOf(once))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('are read as they were written', () => {
    fc.assert(
      fc.property(command, (one) => {
        expect(decodeCommand(encodeCommand(one))).toEqual(one);
      }),
    );
  });

  test('give an image that an earlier version of would have had none of', () => {
    apply(createCommand(ORDERS, 'billing', 'a'));
    const chunks = [...writeImage(tables, 1 as Index)];
    const { subscriptions: _, next, ...document } = JSON.parse(Buffer.from(chunks[1] ?? []).toString());
    const { subscription: __, ...nextBefore } = next;
    document.operations = document.operations.filter(({ kind }: { kind: string }) => kind === 'createTopic');
    const body = Buffer.from(JSON.stringify({ ...document, next: nextBefore }));
    const head = new Uint8Array(9);
    const view = new DataView(head.buffer);
    view.setUint8(0, 1);
    view.setUint32(1, body.length, true);
    view.setUint32(5, 1, true);
    const old = readImage([head, body, ...chunks.slice(2)]).tables;
    expect([...old.subscriptions.all()]).toEqual([]);
    expect(old.next).toMatchObject({ ...nextBefore, subscription: 1 });
    expect([...old.topics.values()]).toEqual([...tables.topics.values()]);
  });
});
