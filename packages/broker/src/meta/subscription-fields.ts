/** Subscriptions out of JSON: commands, and what the image keeps of them. */
import type { TopicId } from '../contracts.ts';
import type {
  ActionRecord,
  Actor,
  StartPosition,
  SubscriptionCommand,
  SubscriptionId,
  SubscriptionOperation,
  SubscriptionSettings,
} from '../subscription-contracts.ts';
import { type Fields, fields, flag, list, text, whole } from './fields.ts';
import type { SubscriptionRecord } from './model.ts';

/** A command of this type; null: the type is none of a subscription's. */
export function readSubscriptionCommand(type: string, from: Fields): SubscriptionCommand | null {
  switch (type) {
    case 'createSubscription':
      return {
        type,
        topic: whole(from, 'topic') as TopicId,
        name: text(from, 'name'),
        settings: readSettings(fields(from['settings'], 'settings')),
        token: text(from, 'token'),
        time: whole(from, 'time'),
      };
    case 'resetSubscription':
      return {
        type,
        subscription: whole(from, 'subscription') as SubscriptionId,
        generation: whole(from, 'generation'),
        start: readStart(from['start']),
        token: text(from, 'token'),
        time: whole(from, 'time'),
        ...readActor(from),
      };
    case 'deleteSubscription':
      return {
        type,
        subscription: whole(from, 'subscription') as SubscriptionId,
        token: text(from, 'token'),
        time: whole(from, 'time'),
        ...readActor(from),
      };
    case 'pauseSubscription':
      return {
        type,
        subscription: whole(from, 'subscription') as SubscriptionId,
        paused: flag(from, 'paused'),
        time: whole(from, 'time'),
        ...readActor(from),
      };
    default:
      return null;
  }
}

/** What an operation of this kind keeps of its subscription; null: it has none. */
export function readSubscriptionOperation(kind: string, from: Fields): SubscriptionOperation | null {
  if (kind !== 'createSubscription' && kind !== 'resetSubscription' && kind !== 'deleteSubscription')
    return null;
  return {
    kind,
    topic: whole(from, 'topic') as TopicId,
    name: text(from, 'name'),
    subscription: whole(from, 'subscription') as SubscriptionId,
    generation: whole(from, 'generation'),
  };
}

/** A subscription of an image, with its actions. */
export function readSubscription(value: unknown): {
  readonly record: SubscriptionRecord;
  readonly actions: readonly ActionRecord[];
} {
  const from = fields(value, 'subscription');
  const record = {
    ...readSettings(from),
    id: whole(from, 'id') as SubscriptionId,
    topic: whole(from, 'topic') as TopicId,
    name: text(from, 'name'),
    generation: whole(from, 'generation'),
    paused: flag(from, 'paused'),
    ready: flag(from, 'ready'),
    deadLetterProducer: whole(from, 'deadLetterProducer'),
    firstStart: readStart(from['firstStart']),
  };
  return { record, actions: list(from, 'actions', readAction) };
}

function readAction(value: unknown): ActionRecord {
  const from = fields(value, 'action');
  return {
    time: whole(from, 'time'),
    action: text(from, 'action'),
    group: text(from, 'group'),
    sequence: whole(from, 'sequence'),
    ...readActor(from),
  };
}

function readSettings(from: Fields): SubscriptionSettings {
  return {
    start: readStart(from['start']),
    maxDeliveries: whole(from, 'maxDeliveries'),
    poisonPolicy: whole(from, 'poisonPolicy'),
    deadLetterTopic: from['deadLetterTopic'] === null ? null : (whole(from, 'deadLetterTopic') as TopicId),
    holdMilliseconds: whole(from, 'holdMilliseconds'),
    retainUnread: flag(from, 'retainUnread'),
    backoffMilliseconds: whole(from, 'backoffMilliseconds'),
    backoffMaxMilliseconds: whole(from, 'backoffMaxMilliseconds'),
  };
}

function readStart(value: unknown): StartPosition {
  const from = fields(value, 'start');
  return { kind: whole(from, 'kind'), offset: whole(from, 'offset'), time: whole(from, 'time') };
}

function readActor(from: Fields): Actor {
  return { who: text(from, 'who'), why: text(from, 'why') };
}
