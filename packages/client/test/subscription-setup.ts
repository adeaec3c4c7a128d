/** SubscriptionAdmin on two nodes in virtual time that answer what a test says. */
import { type ListParkedGroupsResponse, RefusalError, type SubscriptionInfo } from '@seriatim/protocol';
import { Cluster } from '../src/cluster.ts';
import { UnreachableError } from '../src/error.ts';
import type { BrokerTransport, SmallCalls } from '../src/ports.ts';
import { SubscriptionAdmin } from '../src/subscription-admin.ts';
import { FakeBroker } from './fake-broker.ts';
import { FakeTransport } from './fake-transport.ts';
import { TestClock } from './test-clock.ts';

export type Name = keyof SmallCalls;
/** What the nodes answer; a call that is not there is refused. */
type Answers = { readonly [N in Name]?: (request: SmallCalls[N][0]) => SmallCalls[N][1] };

export const INFO: SubscriptionInfo = {
  topic: 't',
  name: 's',
  id: 7,
  generation: 1,
  start: 0,
  startOffset: 0,
  startTimeMs: 0,
  maxDeliveries: 5,
  poisonPolicy: 0,
  deadLetterTopic: '',
  holdMs: 30_000,
  retainUnread: false,
  backoffMs: 100,
  backoffMaxMs: 30_000,
  paused: false,
  ready: true,
};

/** The nodes, what they were asked, and an admin. */
export function setUp(answers: Answers = {}) {
  const clock = new TestClock(3);
  const inner = new FakeTransport(new FakeBroker(['n:1', 'n:2']), clock);
  const asked: { readonly address: string; readonly name: Name; readonly request: unknown }[] = [];
  const world = {
    /** After a call was done and before its answer arrives; may throw. */
    after: (_name: Name): void => {},
    pages: [] as (ListParkedGroupsResponse | RefusalError)[],
    streams: 0,
    cancelled: 0,
  };
  const transport: BrokerTransport = {
    connect: (address) => ({
      ...inner.connect(address),
      call: async (name, request) => {
        await clock.sleep(1);
        if (name === 'DescribeCluster') throw new RefusalError('NOT_READY', 'not asked for here');
        asked.push({ address, name, request });
        const answer = answers[name] as ((request: unknown) => never) | undefined;
        if (answer === undefined) throw new RefusalError('UNSUPPORTED', name);
        const result = answer(request);
        world.after(name);
        return result;
      },
      listParkedGroups: () => {
        world.streams++;
        return {
          next: async () => {
            const page = world.pages.shift() ?? null;
            if (page instanceof Error) throw page;
            return page;
          },
          cancel: () => {
            world.cancelled++;
          },
        };
      },
    }),
  };
  const cluster = new Cluster({ endpoints: ['n:1', 'n:2'], transport, clock });
  const admin = new SubscriptionAdmin({ cluster });
  /** The requests of that name, in order. */
  const requests = (name: Name): unknown[] =>
    asked.filter((one) => one.name === name).map(({ request }) => request);
  return { clock, asked, world, cluster, admin, requests };
}

export const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => error,
  );

/** It was done, and the answer did not come back. */
export const answerLost = (): never => {
  throw new UnreachableError('PEER_UNREACHABLE', 'broken', { outcome: 'unknown' });
};
