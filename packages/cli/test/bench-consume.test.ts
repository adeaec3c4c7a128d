import type { Buffer } from 'node:buffer';
import { Writable } from 'node:stream';
import {
  type CreateSubscriptionRequest,
  type DeleteSubscriptionRequest,
  RefusalError,
  unaryHandler,
} from '@seriatim/protocol';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { run } from '../src/program.ts';
import { type ConsumeServer, serveConsume } from './consume-server.ts';
import { DESCRIBED } from './subscription-server.ts';

let served: ConsumeServer;
let asked: string[];
let failCreate: boolean;

class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

async function bench(...argv: readonly string[]) {
  const stdout = new Sink();
  const stderr = new Sink();
  const small = ['--topic', 't', '--messages', '400', '--groups', '20', '--json'];
  const env = { SERIATIM_ENDPOINTS: served.endpoint };
  const code = await run(['bench', ...small, ...argv], { stdout, stderr, env });
  const report = stdout.text === '' ? null : JSON.parse(stdout.text);
  return { code, report, err: stderr.text };
}

beforeEach(async () => {
  asked = [];
  failCreate = false;
  served = await serveConsume('t', 2, {
    CreateSubscription: unaryHandler(async ({ name }: CreateSubscriptionRequest) => {
      asked.push(`create ${name}`);
      if (failCreate) throw new RefusalError('NOT_COMMITTED', 'perhaps', { outcome: 'unknown' });
      return { subscription: DESCRIBED.subscription };
    }),
    DeleteSubscription: unaryHandler(async ({ name }: DeleteSubscriptionRequest) => {
      asked.push(`delete ${name}`);
      return {};
    }),
  });
});
afterEach(() => served.server.forceShutdown());

test.each([[[]], [['--run']]])(
  'bench --consume %j has a subscription of its own and deletes only that',
  async (how) => {
    for (let run = 0; run < 2; run++) {
      const { code, report } = await bench('--consume', ...how);
      expect(code).toBe(0);
      expect(report.consume).toMatchObject({ orderViolations: 0, repeats: 0, missing: 0 });
    }
    const names = asked.map((call) => call.split(' ')[1] ?? '');
    expect(asked).toEqual([
      `create ${names[0]}`,
      `delete ${names[0]}`,
      `create ${names[2]}`,
      `delete ${names[2]}`,
    ]);
    expect(names[0]).toMatch(/^bench-[a-z0-9]+$/);
    expect(names[2]).not.toBe(names[0]);
  },
);

test.each([[[]], [['--run']]])(
  'bench --consume %j counts what is delivered again, which is no violation',
  async (how) => {
    const { subscriptions } = served;
    subscriptions.holdMilliseconds = 300;
    let refusals = 0;
    subscriptions.refuse = ({ group }) => (group === 'group-0000000003' && refusals++ < 2 ? 'HOLD_LOST' : '');
    const { code, report } = await bench('--consume', ...how);
    expect(report.consume).toMatchObject({ orderViolations: 0, missing: 0 });
    expect(report.consume.repeats).toBeGreaterThan(0);
    expect(code).toBe(0);
  },
);

test('bench --consume gives up when no message comes, and says what is missing', async () => {
  served.subscriptions.group(1, 'group-0000000003').parked = true;
  const { code, report, err } = await bench('--consume', '--stall-timeout', '300ms');
  expect(code).toBe(1);
  expect(err).toMatch(
    /error: no message came for 300 ms, (\d+) of 420 are missing: of group-0000000003 \(\1, from its message 1 on\)/,
  );
  expect(report.consume.missing).toBeGreaterThan(0);
  expect(report.consume.orderViolations).toBe(0);
  expect(asked.at(-1)).toMatch(/^delete bench-/);
});

test('bench --consume gives up also where others go on storing messages', async () => {
  const { subscriptions } = served;
  subscriptions.group(1, 'group-0000000003').parked = true;
  const others = setInterval(() => subscriptions.publish(0, 'others', 'theirs'), 20);
  try {
    const { code, report } = await bench('--consume', '--stall-timeout', '300ms');
    expect(code).toBe(1);
    expect(report.consume.missing).toBeGreaterThan(0);
  } finally {
    clearInterval(others);
  }
});

test('bench --consume deletes its subscription also when it does not know whether it was made', async () => {
  failCreate = true;
  const { code, err } = await bench('--consume', '--timeout', '500');
  expect(code).toBe(1);
  expect(err).not.toContain('is left');
  const name = asked[0]?.split(' ')[1];
  expect(asked.at(-1)).toBe(`delete ${name}`);
});

test('bench --consume misses what was acknowledged also where other messages were stored without an answer', async () => {
  const { broker, subscriptions } = served;
  const produce = broker.orderedProduce.bind(broker);
  const stored = (): number =>
    broker.topic('t').partitions.reduce((sum, { records }) => sum + records.length, 0);
  broker.orderedProduce = (node, request) => {
    const answer = produce(node, request);
    if (stored() < 250) return answer;
    throw new RefusalError('NOT_COMMITTED', 'stored, and not told', { outcome: 'unknown' });
  };
  subscriptions.group(1, 'group-0000000003').parked = true;
  const { code, report } = await bench(
    '--consume',
    '--rate',
    '4000',
    '--timeout',
    '800',
    '--stall-timeout',
    '300ms',
  );
  expect(code).toBe(1);
  expect(report.consume.missing).toBeGreaterThan(0);
});

test.each([
  [['--run'], '--run needs --consume'],
  [['--stall-timeout', '5s'], '--stall-timeout needs --consume'],
])('bench %j without --consume is wrong usage', async (argv, text) => {
  const { code, err, report } = await bench(...argv);
  expect([code, report]).toEqual([2, null]);
  expect(err).toContain(text);
});
