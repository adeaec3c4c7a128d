/** Requests about subscriptions as the rooms behind the front door know them, and their definitions as clients see them. */
import {
  type CreateSubscriptionRequest,
  encodeGroupField,
  encodeMessage,
  encodeOrderedProduceHead,
  MessageWalker,
  messageSize,
  POISON_POLICY_SKIP,
  type ProduceLimits,
  RefusalError,
  type ReplacementMessage,
  SUBSCRIPTION_START_OFFSET,
  SUBSCRIPTION_START_TIME,
  type SubscriptionInfo,
  WireWriter,
} from '@seriatim/protocol';
import type { MetaView, TopicId, TopicView } from '../contracts.ts';
import { actorFault, startFault } from '../subscription-check.ts';
import type {
  Actor,
  StartPosition,
  SubscriptionDefinitions,
  SubscriptionSettings,
  SubscriptionView,
} from '../subscription-contracts.ts';
import { requireTopic } from './look-up.ts';

/** What 0 in a CreateSubscriptionRequest stands for. */
const DEFAULT_DELIVERIES_MAX = 5;
const DEFAULT_HOLD_MILLISECONDS = 30_000;
const DEFAULT_BACKOFF_MILLISECONDS = 100;
const DEFAULT_BACKOFF_MAX_MILLISECONDS = 30_000;

/** Finds a subscription, or refuses it with UNKNOWN_TOPIC or UNKNOWN_SUBSCRIPTION. */
export function requireSubscription(
  view: MetaView,
  definitions: SubscriptionDefinitions,
  topicName: string,
  name: string,
): { readonly topic: TopicView; readonly subscription: SubscriptionView } {
  const topic = requireTopic(view, topicName);
  const subscription = definitions.subscription(topic.id, name);
  if (subscription !== undefined) return { topic, subscription };
  const shown = JSON.stringify(name.slice(0, 300));
  throw new RefusalError('UNKNOWN_SUBSCRIPTION', `topic "${topic.name}" has no subscription ${shown}`);
}

/** Who asks and why, for an action that a partition keeps; INVALID_REQUEST above 256 bytes. */
export function actorOf({ who, why }: Actor): Actor {
  const fault = actorFault({ who, why });
  if (fault !== null) throw new RefusalError('INVALID_REQUEST', fault);
  return { who, why };
}

/** A start of a kind that is known, with only what its kind has; INVALID_SUBSCRIPTION when something else is given. */
export function startOf(request: {
  readonly start: number;
  readonly startOffset: number;
  readonly startTimeMs: number;
}): StartPosition {
  const { start, startOffset, startTimeMs } = request;
  if (startOffset !== 0 && start !== SUBSCRIPTION_START_OFFSET) {
    throw invalid(`start_offset is ${startOffset}, but the start is not an offset`);
  }
  if (startTimeMs !== 0 && start !== SUBSCRIPTION_START_TIME) {
    throw invalid(`start_time_ms is ${startTimeMs}, but the start is not a time`);
  }
  const position = { kind: start, offset: startOffset, time: startTimeMs };
  const fault = startFault(position);
  if (fault !== null) throw invalid(fault);
  return position;
}

/** Settings with defaults filled in; ranges are checked where the definition is made. */
export function settingsOf(
  view: MetaView,
  topic: TopicView,
  request: CreateSubscriptionRequest,
): SubscriptionSettings {
  const backoff = request.backoffMs || DEFAULT_BACKOFF_MILLISECONDS;
  return {
    start: startOf(request),
    maxDeliveries: request.maxDeliveries || DEFAULT_DELIVERIES_MAX,
    poisonPolicy: request.poisonPolicy,
    deadLetterTopic: deadLetterTopic(view, topic, request),
    holdMilliseconds: request.holdMs || DEFAULT_HOLD_MILLISECONDS,
    retainUnread: request.retainUnread,
    backoffMilliseconds: backoff,
    // A back-off above the default of the longest one is its own longest.
    backoffMaxMilliseconds: request.backoffMaxMs || Math.max(backoff, DEFAULT_BACKOFF_MAX_MILLISECONDS),
  };
}

function deadLetterTopic(
  view: MetaView,
  topic: TopicView,
  { poisonPolicy, deadLetterTopic: name }: CreateSubscriptionRequest,
): TopicId | null {
  if (name === '' && poisonPolicy === POISON_POLICY_SKIP) {
    throw invalid('the policy SKIP needs a dead_letter_topic');
  }
  if (name === '') return null;
  const found = view.topic(name);
  if (found === undefined)
    throw invalid(`dead_letter_topic ${JSON.stringify(name.slice(0, 300))} does not exist`);
  if (found.id === topic.id)
    throw invalid(`dead_letter_topic is "${name}", the topic itself; it must be another one`);
  return found.id;
}

/** As clients see it. */
export function subscriptionInfo(view: MetaView, subscription: SubscriptionView): SubscriptionInfo {
  const { start, deadLetterTopic: deadLetters } = subscription;
  return {
    topic: view.topicById(subscription.topic)?.name ?? '',
    name: subscription.name,
    id: subscription.id,
    generation: subscription.generation,
    start: start.kind,
    startOffset: start.offset,
    startTimeMs: start.time,
    maxDeliveries: subscription.maxDeliveries,
    poisonPolicy: subscription.poisonPolicy,
    deadLetterTopic: deadLetters === null ? '' : (view.topicById(deadLetters)?.name ?? ''),
    holdMs: subscription.holdMilliseconds,
    retainUnread: subscription.retainUnread,
    backoffMs: subscription.backoffMilliseconds,
    backoffMaxMs: subscription.backoffMaxMilliseconds,
    paused: subscription.paused,
    ready: subscription.ready,
  };
}

/** A replacement as it is delivered, checked as a produced message is. INVALID_MESSAGE, INVALID_GROUP, MESSAGE_TOO_LARGE. */
export function replacementBytes(
  limits: ProduceLimits,
  group: string,
  replacement: ReplacementMessage | null,
): Uint8Array {
  if (replacement === null) throw new RefusalError('INVALID_REQUEST', 'REPLACE needs a replacement');
  const given = replacement.messageGroup;
  if (given !== '' && given !== group) {
    const message = `the replacement has group ${JSON.stringify(given.slice(0, 300))}; it must be that of the group or none`;
    throw new RefusalError('INVALID_GROUP', message);
  }
  const content = {
    key: replacement.key.length === 0 ? undefined : replacement.key,
    value: replacement.value,
    timestamp: replacement.producerTimestampMs,
    headers: replacement.headers,
  };
  const groupField = group === '' ? Buffer.alloc(0) : encodeGroupField(group);
  const size = messageSize(content, groupField.length);
  const writer = new WireWriter(size + 64);
  encodeMessage(writer, content, groupField, size);
  const message = Buffer.from(writer.take().subarray(writer.length - size));
  // The walker knows requests: what it finds wrong with one of this message alone is wrong with the message.
  const head = { topic: 't', producerId: 0, producerEpoch: 0, runLengths: [], runSequences: [] };
  if (group !== '') {
    encodeOrderedProduceHead(writer, head);
    new MessageWalker(limits).orderedProduce(writer.take());
  } else {
    writer.stringField(1, head.topic);
    new MessageWalker(limits).produce(writer.take());
  }
  return message;
}

function invalid(message: string): RefusalError {
  return new RefusalError('INVALID_SUBSCRIPTION', message);
}
