/** Subscriptions as the SDK shows them: words where the wire has numbers. */
import type {
  CreateSubscriptionRequest,
  ExplainGroupResponse,
  GroupLag,
  SubscriptionInfo,
} from '@seriatim/protocol';
import { SeriatimError } from './error.ts';

/** Where a subscription begins in every partition: at the first stored message, behind the last one, at an offset, or at the first message of a time. */
export type SubscriptionStart =
  | 'earliest'
  | 'latest'
  | { readonly offset: number }
  | { readonly time: Date | number };

/** What happens to a message after its last failure: its group waits for an operator, or the message goes to the dead-letter topic. */
export type PoisonPolicy = 'park' | 'skip';

/** What a group does in a subscription; see GroupState in the protocol. */
export type GroupState =
  | 'drained'
  | 'ready'
  | 'held'
  | 'delayed'
  | 'parked'
  | 'paused'
  | 'dead-lettering'
  | 'waiting-for-holder';

const GROUP_STATES: readonly GroupState[] = [
  'drained',
  'ready',
  'held',
  'delayed',
  'parked',
  'paused',
  'dead-lettering',
  'waiting-for-holder',
];
const POLICIES: readonly PoisonPolicy[] = ['park', 'skip'];

/** A subscription to be made. Times in milliseconds. */
export interface NewSubscription {
  readonly topic: string;
  /** 1 to 128 of letters, digits, dot, underscore, hyphen. */
  readonly name: string;
  /** Default: earliest. */
  readonly start?: SubscriptionStart | undefined;
  /** Failures of a message after which the policy applies, 1 to 1,000. Default 5. */
  readonly maxDeliveries?: number | undefined;
  /** Default: park. */
  readonly poisonPolicy?: PoisonPolicy | undefined;
  /** An existing topic other than this one; with `skip` only, and then required. */
  readonly deadLetterTopic?: string | undefined;
  /** A hold that is neither extended nor settled ends after this, 1,000 to 3,600,000. Default 30,000. */
  readonly holdMilliseconds?: number | undefined;
  /** Retention keeps what this subscription has not settled. Default: false. */
  readonly retainUnread?: boolean | undefined;
  /** Back-off after a failure, doubling from the first to the second, 1 to 86,400,000. Default 100 and 30,000. */
  readonly backoffMilliseconds?: number | undefined;
  readonly backoffMaxMilliseconds?: number | undefined;
}

/** A subscription as it is. */
export interface Subscription {
  readonly topic: string;
  readonly name: string;
  readonly id: number;
  /** From 1; rises with each reset. */
  readonly generation: number;
  readonly start: SubscriptionStart;
  readonly maxDeliveries: number;
  readonly poisonPolicy: PoisonPolicy;
  /** Empty: none. */
  readonly deadLetterTopic: string;
  readonly holdMilliseconds: number;
  readonly retainUnread: boolean;
  readonly backoffMilliseconds: number;
  readonly backoffMaxMilliseconds: number;
  /** As a whole. */
  readonly paused: boolean;
  /** False while it is created, reset or deleted. */
  readonly ready: boolean;
}

/** A group that lags. */
export interface LaggingGroup extends Omit<GroupLag, 'state'> {
  readonly state: GroupState;
}

/** What a group does, why, and what happens next; times in milliseconds since 1970, 0 where there is none. */
export interface GroupExplanation extends Omit<ExplainGroupResponse, 'state'> {
  readonly state: GroupState;
}

/** The fields of a request that say where a subscription begins. */
export function startFields(
  start: SubscriptionStart,
): Pick<CreateSubscriptionRequest, 'start' | 'startOffset' | 'startTimeMs'> {
  if (start === 'earliest') return { start: 0, startOffset: 0, startTimeMs: 0 };
  if (start === 'latest') return { start: 1, startOffset: 0, startTimeMs: 0 };
  if ('offset' in start) return { start: 2, startOffset: natural('offset', start.offset), startTimeMs: 0 };
  return { start: 3, startOffset: 0, startTimeMs: natural('time', Number(start.time)) };
}

/** The request that makes it; 0 stands for the broker's default. */
export function createRequest(subscription: NewSubscription): CreateSubscriptionRequest {
  const { topic, name, start = 'earliest', poisonPolicy = 'park', deadLetterTopic = '' } = subscription;
  return {
    topic,
    name,
    ...startFields(start),
    maxDeliveries: subscription.maxDeliveries ?? 0,
    poisonPolicy: POLICIES.indexOf(poisonPolicy),
    deadLetterTopic,
    holdMs: subscription.holdMilliseconds ?? 0,
    retainUnread: subscription.retainUnread ?? false,
    backoffMs: subscription.backoffMilliseconds ?? 0,
    backoffMaxMs: subscription.backoffMaxMilliseconds ?? 0,
  };
}

/** As the SDK shows what the broker said. */
export function subscriptionOf(info: SubscriptionInfo): Subscription {
  const { topic, name, id, generation, maxDeliveries, deadLetterTopic, retainUnread, paused, ready } = info;
  return {
    topic,
    name,
    id,
    generation,
    start: startOf(info),
    maxDeliveries,
    poisonPolicy: POLICIES[info.poisonPolicy] ?? 'park',
    deadLetterTopic,
    holdMilliseconds: info.holdMs,
    retainUnread,
    backoffMilliseconds: info.backoffMs,
    backoffMaxMilliseconds: info.backoffMaxMs,
    paused,
    ready,
  };
}

/** The word of a state; one that this version does not know is said to be ready, for the broker decides. */
export function stateName(state: number): GroupState {
  return GROUP_STATES[state] ?? 'ready';
}

function startOf({ start, startOffset, startTimeMs }: SubscriptionInfo): SubscriptionStart {
  switch (start) {
    case 1:
      return 'latest';
    case 2:
      return { offset: startOffset };
    case 3:
      return { time: startTimeMs };
    default:
      return 'earliest';
  }
}

function natural(what: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new SeriatimError('INVALID_ARGUMENT', `${what}: ${value} is not a whole number from 0 on`);
}
