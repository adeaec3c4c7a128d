import { RefusalError } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { Admin } from '../src/admin.ts';
import { Cluster } from '../src/cluster.ts';
import { UnreachableError } from '../src/error.ts';
import type { BrokerTransport, SmallCalls } from '../src/ports.ts';
import { FakeBroker } from './fake-broker.ts';
import { FakeTransport } from './fake-transport.ts';
import { TestClock } from './test-clock.ts';

function setUp() {
  const clock = new TestClock(5);
  const broker = new FakeBroker(['n:1', 'n:2']);
  const transport = new FakeTransport(broker, clock);
  /** Runs after a call was done and before its answer arrives; may throw. */
  const hooks: { after: (name: keyof SmallCalls) => void } = { after: () => {} };
  const hooked: BrokerTransport = {
    connect: (address) => {
      const connection = transport.connect(address);
      return {
        ...connection,
        call: async (name, request, timeout) => {
          const answer = await connection.call(name, request, timeout);
          hooks.after(name);
          return answer;
        },
      };
    },
  };
  const admin = new Admin({ cluster: new Cluster({ endpoints: ['n:1', 'n:2'], transport: hooked, clock }) });
  return { clock, broker, transport, hooks, admin };
}

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => error,
  );

describe('Admin', () => {
  it('makes, lists, describes and deletes topics', async () => {
    const { clock, admin } = setUp();
    const made = await clock.until(admin.createTopic({ name: 't', partitions: 2, replicas: 1 }));
    expect(made).toMatchObject({ name: 't', partitions: 2 });
    expect((await clock.until(admin.listTopics())).map(({ name }) => name)).toEqual(['t']);
    expect((await clock.until(admin.describeTopic('t'))).partitions).toHaveLength(2);
    expect(
      await clock.until(failure(admin.createTopic({ name: 't', partitions: 2, replicas: 1 }))),
    ).toMatchObject({
      code: 'TOPIC_EXISTS',
      outcome: 'not-applied',
      retryable: false,
    });
    await clock.until(admin.deleteTopic('t'));
    expect(await clock.until(failure(admin.deleteTopic('t')))).toMatchObject({ code: 'UNKNOWN_TOPIC' });
  });

  it('takes a topic for made when the answer was lost and the retry finds it', async () => {
    const { clock, admin, hooks } = setUp();
    let lost = 0;
    hooks.after = (name) => {
      if ((name === 'CreateTopic' || name === 'DeleteTopic') && lost++ === 0) {
        throw new UnreachableError('PEER_UNREACHABLE', 'broken', { outcome: 'unknown' });
      }
    };
    expect(await clock.until(admin.createTopic({ name: 't', partitions: 2, replicas: 1 }))).toMatchObject({
      name: 't',
    });
    lost = 0;
    await clock.until(admin.deleteTopic('t'));
    expect(lost).toBe(1);
  });

  it('retries what may get better until its deadline and follows the hint to the leader', async () => {
    const { clock, admin, hooks } = setUp();
    let refusals = 3;
    hooks.after = () => {
      if (refusals-- > 0) throw new RefusalError('NO_META_LEADER', 'no leader', { leaderAddress: 'n:2' });
    };
    expect(await clock.until(admin.listTopics())).toEqual([]);
    refusals = Number.POSITIVE_INFINITY;
    const started = clock.now();
    const error = await clock.until(failure(admin.listTopics({ timeoutMilliseconds: 1000 })));
    expect(error).toMatchObject({ code: 'NO_META_LEADER', retryable: true, outcome: 'not-applied' });
    expect(clock.now() - started).toBeLessThanOrEqual(1000);
  });

  it('asks the node that a refusal names next', async () => {
    const { clock, admin, hooks, transport } = setUp();
    const asked: string[] = [];
    hooks.after = () => {
      if (asked.length < 4) throw new RefusalError('NO_META_LEADER', 'elsewhere', { leaderAddress: 'n:2' });
    };
    transport.onCall = (address) => asked.push(address);
    await clock.until(admin.listTopics());
    expect(asked.slice(1)).toEqual(['n:2', 'n:2', 'n:2']);
  });

  it('follows a hint without a pause, but not round and round', async () => {
    const { clock, admin, hooks, transport } = setUp();
    const asked: { readonly address: string; readonly at: number }[] = [];
    transport.onCall = (address) => asked.push({ address, at: clock.now() });
    hooks.after = () => {
      if (asked.length >= 5) return;
      const elsewhere = asked.at(-1)?.address === 'n:1' ? 'n:2' : 'n:1';
      throw new RefusalError('NO_META_LEADER', 'elsewhere', { leaderAddress: elsewhere });
    };
    await clock.until(admin.listTopics());
    const waits = asked.slice(1).map(({ at }, index) => at - (asked[index]?.at ?? 0) - 1);
    expect(asked).toHaveLength(5);
    // A call takes 1 ms; only the third hint in a row is waited for.
    expect(waits[0]).toBe(0);
    expect(waits[1]).toBe(0);
    expect(waits[2]).toBeGreaterThanOrEqual(10);
    expect(waits[3]).toBe(0);
  });

  it('asks again for a topic that the node asked may not know yet', async () => {
    const { clock, admin, broker } = setUp();
    const found = admin.describeTopic('new');
    clock.schedule(15, () => broker.createTopic('new', 2));
    expect((await clock.until(found)).partitions).toHaveLength(2);
  });

  it('tells brokers with ordered messages from those without', async () => {
    const { broker, clock, admin } = setUp();
    expect(await clock.until(admin.supports('ORDERED_PRODUCE'))).toBe(true);
    broker.requestTypes = [1, 2, 3, 11];
    expect(await clock.until(admin.supports('ORDERED_PRODUCE'))).toBe(false);
  });

  it('refuses endpoints that are none', () => {
    expect(() => new Admin({ endpoints: [] })).toThrow(/endpoints: none/);
    expect(() => new Admin({ endpoints: ['nonsense'] })).toThrow(/"nonsense" is not host:port/);
  });
});
