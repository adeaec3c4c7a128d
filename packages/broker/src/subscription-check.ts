/** What a subscription may be: one check for whoever asks and for the state machine, so that both say the same. */
import {
  POISON_POLICY_PARK,
  POISON_POLICY_SKIP,
  SUBSCRIPTION_START_OFFSET,
  SUBSCRIPTION_START_TIME,
} from '@seriatim/protocol';
import type { Actor, StartPosition, SubscriptionSettings } from './subscription-contracts.ts';

/** Characters of a subscription's name. */
export const SUBSCRIPTION_NAME: RegExp = /^[A-Za-z0-9._-]{1,128}$/;
/** Bytes of each of {@link Actor}. */
export const ACTOR_BYTES_MAX = 256;
const DELIVERIES_MAX = 1_000;
const HOLD_MILLISECONDS_MIN = 1_000;
const HOLD_MILLISECONDS_MAX = 3_600_000;
const BACKOFF_MILLISECONDS_MAX = 86_400_000;

/** What is wrong with a name and settings, for people; null: nothing. Whether topics exist is not looked at. */
export function subscriptionFault(name: string, settings: SubscriptionSettings): string | null {
  const { maxDeliveries, holdMilliseconds, backoffMilliseconds, backoffMaxMilliseconds } = settings;
  if (!SUBSCRIPTION_NAME.test(name)) {
    return `name ${JSON.stringify(name.slice(0, 300))}; allowed are 1 to 128 of the characters A-Z a-z 0-9 . _ -`;
  }
  return (
    startFault(settings.start) ??
    rangeFault('maximum of deliveries', maxDeliveries, 1, DELIVERIES_MAX) ??
    rangeFault('hold in milliseconds', holdMilliseconds, HOLD_MILLISECONDS_MIN, HOLD_MILLISECONDS_MAX) ??
    rangeFault('back-off in milliseconds', backoffMilliseconds, 1, BACKOFF_MILLISECONDS_MAX) ??
    rangeFault(
      'longest back-off in milliseconds',
      backoffMaxMilliseconds,
      backoffMilliseconds,
      BACKOFF_MILLISECONDS_MAX,
    ) ??
    policyFault(settings)
  );
}

/** What is wrong with a start, for people; null: nothing. */
export function startFault({ kind, offset, time }: StartPosition): string | null {
  return (
    rangeFault('kind of start', kind, 0, SUBSCRIPTION_START_TIME) ??
    rangeFault('start offset', offset, 0, kind === SUBSCRIPTION_START_OFFSET ? Number.MAX_SAFE_INTEGER : 0) ??
    rangeFault('start time', time, 0, kind === SUBSCRIPTION_START_TIME ? Number.MAX_SAFE_INTEGER : 0)
  );
}

/** What is wrong with who asks and why, for people; null: nothing. */
export function actorFault({ who, why }: Actor): string | null {
  const bytes = Math.max(Buffer.byteLength(who), Buffer.byteLength(why));
  return bytes <= ACTOR_BYTES_MAX ? null : `who or why has ${bytes} bytes; allowed are ${ACTOR_BYTES_MAX}`;
}

function policyFault({ poisonPolicy, deadLetterTopic }: SubscriptionSettings): string | null {
  const fault = rangeFault('poison policy', poisonPolicy, POISON_POLICY_PARK, POISON_POLICY_SKIP);
  if (fault !== null) return fault;
  if (deadLetterTopic !== null && !Number.isSafeInteger(deadLetterTopic)) return 'dead-letter topic is no id';
  if (poisonPolicy === POISON_POLICY_SKIP && deadLetterTopic === null) {
    return 'the policy to skip needs a dead-letter topic';
  }
  if (poisonPolicy === POISON_POLICY_PARK && deadLetterTopic !== null) {
    return 'a dead-letter topic goes with the policy to skip only';
  }
  return null;
}

function rangeFault(what: string, value: number, min: number, max: number): string | null {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return null;
  return `${what} is ${value}; allowed are whole numbers from ${min} to ${max}`;
}
