/** Subscriptions as most tests want them. */
import type { TopicId } from '../../src/contracts.ts';
import type { SubscriptionCommand, SubscriptionSettings } from '../../src/subscription-contracts.ts';

/** Settings from the start of what is stored, parking. */
export function settings(changed: Partial<SubscriptionSettings> = {}): SubscriptionSettings {
  return {
    start: { kind: 0, offset: 0, time: 0 },
    maxDeliveries: 5,
    poisonPolicy: 0,
    deadLetterTopic: null,
    holdMilliseconds: 30_000,
    retainUnread: false,
    backoffMilliseconds: 100,
    backoffMaxMilliseconds: 30_000,
    ...changed,
  };
}

/** A createSubscription command. */
export function createCommand(
  topic: TopicId,
  name: string,
  token: string,
  changed: Partial<SubscriptionSettings> = {},
): SubscriptionCommand {
  return { type: 'createSubscription', topic, name, settings: settings(changed), token, time: 40 };
}
