/** Defining subscriptions: what the commands that create, reset, delete and pause them do to the tables, and how their operations end. */

import { startFault, subscriptionFault } from '../subscription-check.ts';
import {
  SUBSCRIPTIONS_MAX,
  type SubscriptionId,
  type SubscriptionOperation,
  type SubscriptionSettings,
} from '../subscription-contracts.ts';
import { DONE, type MetaTables } from './meta-tables.ts';
import type { MetaCommand, MetaResult, SubscriptionOperationRecord, SubscriptionRecord } from './model.ts';

type Of<T extends MetaCommand['type']> = Extract<MetaCommand, { readonly type: T }>;
type Refused = Extract<MetaResult, { readonly type: 'refused' }>;

/** Settings that are compared as they are: all but the start. */
const PLAIN_SETTINGS = [
  'maxDeliveries',
  'poisonPolicy',
  'deadLetterTopic',
  'holdMilliseconds',
  'retainUnread',
  'backoffMilliseconds',
  'backoffMaxMilliseconds',
] as const satisfies readonly (keyof SubscriptionSettings)[];

/**
 * First step of creating a subscription: id and dead-letter producer are fixed, the operation begins to pin its start. The same settings again
 * find the one that exists, also when it was reset since.
 */
export function createSubscription(tables: MetaTables, command: Of<'createSubscription'>): MetaResult {
  const { topic, name, settings, token, time } = command;
  const again = operationOf(tables, 'createSubscription', token);
  if (again !== undefined) return started(again);
  const fault = subscriptionFault(name, settings);
  if (fault !== null) return invalid(`subscription can't be created: ${fault}`);
  if (!tables.topics.has(topic)) return refused('UNKNOWN_TOPIC', `topic ${topic} does not exist`);
  const existing = tables.subscriptions.find(topic, name);
  if (existing !== undefined) return existingAnswer(tables, existing, settings);
  const { deadLetterTopic } = settings;
  if (deadLetterTopic === topic || (deadLetterTopic !== null && !tables.topics.has(deadLetterTopic))) {
    return invalid(
      `subscription "${name}" can't be created: its dead-letter topic must be another one that exists`,
    );
  }
  if (tables.subscriptions.count(topic) >= SUBSCRIPTIONS_MAX) {
    return refused(
      'OVERLOADED',
      `the topic has ${SUBSCRIPTIONS_MAX} subscriptions, that is the limit; delete one`,
    );
  }
  const id = tables.next.subscription as SubscriptionId;
  tables.next.subscription += 1;
  const deadLetterProducer = tables.next.producer;
  tables.next.producer += 1;
  tables.subscriptions.put({
    ...settings,
    id,
    topic,
    name,
    generation: 1,
    paused: false,
    ready: false,
    deadLetterProducer,
    firstStart: settings.start,
  });
  tables.subscriptions.addAction(id, { time, action: 'create', group: '', sequence: 0, who: '', why: '' });
  return start(tables, command, { kind: 'createSubscription', topic, name, subscription: id, generation: 1 });
}

/** Next generation of a subscription, from another start: consumers wait until every partition has it. */
export function resetSubscription(tables: MetaTables, command: Of<'resetSubscription'>): MetaResult {
  const { subscription: id, token, time, who, why } = command;
  const again = operationOf(tables, 'resetSubscription', token);
  if (again !== undefined) return started(again);
  const known = tables.subscriptions.get(id);
  if (known === undefined) return unknown(id);
  const fault = startFault(command.start);
  if (fault !== null) return invalid(`subscription "${known.name}" can't be reset: ${fault}`);
  if (!known.ready) return notReady(known);
  if (known.generation !== command.generation) {
    return refused(
      'SUBSCRIPTION_NOT_READY',
      `subscription "${known.name}" is at generation ${known.generation}, not ${command.generation}: it was reset meanwhile; look again`,
    );
  }
  const generation = known.generation + 1;
  tables.subscriptions.put({ ...known, start: command.start, generation, ready: false });
  tables.subscriptions.addAction(id, { time, action: 'reset', group: '', sequence: 0, who, why });
  const { topic, name } = known;
  return start(tables, command, { kind: 'resetSubscription', topic, name, subscription: id, generation });
}

/** First step of deleting a subscription: nobody consumes from here on; its name is free when every partition has forgotten it. */
export function deleteSubscription(tables: MetaTables, command: Of<'deleteSubscription'>): MetaResult {
  const again = operationOf(tables, 'deleteSubscription', command.token);
  if (again !== undefined) return started(again);
  const known = tables.subscriptions.get(command.subscription);
  if (known === undefined) return unknown(command.subscription);
  if (!known.ready) return notReady(known);
  tables.subscriptions.put({ ...known, ready: false });
  const { topic, name, id: subscription, generation } = known;
  return start(tables, command, { kind: 'deleteSubscription', topic, name, subscription, generation });
}

/** Stops or resumes deliveries of the whole subscription; what is so already stays without a further action. */
export function pauseSubscription(tables: MetaTables, command: Of<'pauseSubscription'>): MetaResult {
  const { subscription: id, paused, time, who, why } = command;
  const known = tables.subscriptions.get(id);
  if (known === undefined) return unknown(id);
  if (known.paused === paused) return DONE;
  tables.subscriptions.put({ ...known, paused });
  const action = paused ? 'pause' : 'resume';
  tables.subscriptions.addAction(id, { time, action, group: '', sequence: 0, who, why });
  return DONE;
}

/** Last step of an operation: every partition has answered, so the subscription is ready, or gone. */
export function endSubscriptionOperation(tables: MetaTables, operation: SubscriptionOperation): void {
  const known = tables.subscriptions.get(operation.subscription);
  if (known === undefined) return;
  if (operation.kind === 'deleteSubscription') tables.subscriptions.drop(known);
  else tables.subscriptions.put({ ...known, ready: true });
}

/** The same settings find it; while it is deleted neither its name is free nor may it be used. */
function existingAnswer(
  tables: MetaTables,
  existing: SubscriptionRecord,
  settings: SubscriptionSettings,
): MetaResult {
  const running = runningOperation(tables, existing.id);
  if (running?.kind === 'deleteSubscription') return notReady(existing);
  const differing = difference(existing, settings);
  if (differing !== null) {
    return refused(
      'SUBSCRIPTION_EXISTS',
      `subscription "${existing.name}" exists and was created with another ${differing}; choose another name or delete it first`,
    );
  }
  return { type: 'subscription', subscription: existing.id, operation: running?.id ?? 0 };
}

/** The first setting in which they differ; null: none. */
function difference(existing: SubscriptionRecord, settings: SubscriptionSettings): string | null {
  for (const key of PLAIN_SETTINGS) if (existing[key] !== settings[key]) return key;
  const { kind, offset, time } = settings.start;
  const { firstStart } = existing;
  return kind === firstStart.kind && offset === firstStart.offset && time === firstStart.time
    ? null
    : 'start';
}

function operationOf(
  tables: MetaTables,
  kind: SubscriptionOperation['kind'],
  token: string,
): SubscriptionOperationRecord | undefined {
  for (const operation of tables.operations.values()) {
    if (operation.kind === kind && operation.token === token && 'subscription' in operation) return operation;
  }
  return undefined;
}

function runningOperation(
  tables: MetaTables,
  subscription: SubscriptionId,
): SubscriptionOperationRecord | undefined {
  for (const operation of tables.operations.values()) {
    if (operation.state !== 'running' || !('subscription' in operation)) continue;
    if (operation.subscription === subscription) return operation;
  }
  return undefined;
}

function start(
  tables: MetaTables,
  { token, time }: { readonly token: string; readonly time: number },
  operation: SubscriptionOperation,
): MetaResult {
  const id = tables.takeOperation();
  const begun = { ...operation, id, token, state: 'running', startedAt: time, endedAt: 0 } as const;
  tables.putOperation(begun);
  return started(begun);
}

const started = ({ id, subscription }: SubscriptionOperationRecord): MetaResult => ({
  type: 'subscription',
  subscription,
  operation: id,
});

const refused = (code: Refused['code'], message: string): Refused => ({ type: 'refused', code, message });
const invalid = (message: string): Refused => refused('INVALID_SUBSCRIPTION', message);
const unknown = (id: SubscriptionId): Refused =>
  refused('UNKNOWN_SUBSCRIPTION', `subscription ${id} does not exist`);
const notReady = ({ name }: SubscriptionRecord): Refused =>
  refused(
    'SUBSCRIPTION_NOT_READY',
    `subscription "${name}" is being created, reset or deleted; try again when that has ended`,
  );
