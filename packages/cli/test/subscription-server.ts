/** A broker behind real gRPC that answers every call on subscriptions with the same, and notes what it was asked. */
import type { Server } from '@grpc/grpc-js';
import {
  type ListParkedGroupsRequest,
  type RefusalError,
  type SubscriptionInfo,
  streamHandler,
  subscriptionsService,
  unaryHandler,
} from '@seriatim/protocol';
import { FakeBroker } from '../../client/test/fake-broker.ts';
import { serveFake } from '../../client/test/fake-server.ts';

const INFO: SubscriptionInfo = {
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
export const LAG = {
  partition: 0,
  unsettled: 7,
  floor: 3,
  highWatermark: 10,
  groupsBehind: 1,
  groupsParked: 2,
  groupsHeld: 4,
  consumers: 5,
  oldestUnsettledMs: 900,
  lost: 6,
  code: '',
};
export const UNASKED = {
  partition: 1,
  unsettled: 0,
  floor: 0,
  highWatermark: 0,
  groupsBehind: 0,
  groupsParked: 0,
  groupsHeld: 0,
  consumers: 0,
  oldestUnsettledMs: 0,
  lost: 0,
  code: 'NO_LEADER',
};
export const EXPLAINED = {
  group: 'g',
  partition: 1,
  life: 1,
  state: 2,
  sinceMs: 1_700_000_000_000,
  settledSequence: 3,
  lastSequence: 9,
  failures: 1,
  consumer: 'c1',
  tokenEpoch: 4,
  tokenCounter: 6,
  deliveredSequence: 7,
  untilMs: 0,
  why: 'it is held',
  next: 'Its holder settles what it has.',
};
export const PARKED = {
  group: 'tab\tgroup',
  partition: 1,
  life: 1,
  headSequence: 2,
  headOffset: 7,
  waiting: 3,
  failures: 5,
  reason: 'bad',
  sinceMs: 1_700_000_000_000,
};
export const RESET = { partition: 0, fromOffset: 8, toOffset: 3, repeatedMessages: 5, skippedMessages: 0 };
export const DONE_BY = {
  timeMs: 1_700_000_000_000,
  action: 'pause',
  group: 'g',
  sequence: 2,
  who: 'me',
  why: 'look',
};
/** What it says of a subscription and its partitions. */
export const DESCRIBED = {
  subscription: { ...INFO, poisonPolicy: 1, deadLetterTopic: 'dead' },
  partitions: [LAG, UNASKED],
  groups: [{ group: 'slow', partition: 0, unsettled: 6, state: 4 }],
};
/** What the broker answers. */
const ANSWERS: Readonly<Record<string, unknown>> = {
  CreateSubscription: { subscription: INFO },
  ListSubscriptions: {
    subscriptions: [INFO, { ...INFO, name: 'second', paused: true, start: 2, startOffset: 9 }],
  },
  DescribeSubscription: DESCRIBED,
  DeleteSubscription: {},
  ResetSubscription: { generation: 2, partitions: [RESET] },
  PauseSubscription: {},
  ResumeSubscription: {},
  RewindGroup: { repeatedMessages: 4 },
  ExplainGroup: EXPLAINED,
  ResolveGroup: { settledMessages: 1, waitingMessages: 4 },
  ListSubscriptionActions: { actions: [DONE_BY] },
};

export interface SubscriptionServer {
  readonly server: Server;
  readonly endpoint: string;
  /** In the order of arrival. */
  readonly asked: { readonly name: string; readonly request: unknown }[];
  /** Refuses everything with this. */
  refusal: RefusalError | null;
}

/** To be shut down by whoever serves it. */
export async function serveSubscriptions(): Promise<SubscriptionServer> {
  const broker = new FakeBroker(['unbound']);
  const { server, port } = await serveFake(broker, 0);
  const endpoint = `127.0.0.1:${port}`;
  broker.addresses[0] = endpoint;
  const served: SubscriptionServer = { server, endpoint, asked: [], refusal: null };
  const note = (name: string, request: unknown): void => {
    served.asked.push({ name, request });
    if (served.refusal !== null) throw served.refusal;
  };
  const unary = Object.entries(ANSWERS).map(([name, answer]) => [
    name,
    unaryHandler(async (request: unknown) => {
      note(name, request);
      return answer;
    }),
  ]);
  server.addService(subscriptionsService, {
    ...Object.fromEntries(unary),
    ListParkedGroups: streamHandler(async (request: ListParkedGroupsRequest, stream) => {
      note('ListParkedGroups', request);
      stream.write({ groups: [PARKED] });
      stream.write({ groups: [{ ...PARKED, group: 'second' }] });
    }),
  });
  return served;
}
