/** Definitions of subscriptions in the meta state, found by id and by topic and name, with what was done to each. */
import type { TopicId } from '../contracts.ts';
import type { ActionRecord, SubscriptionId } from '../subscription-contracts.ts';
import type { SubscriptionRecord } from './model.ts';

/** Actions kept of one subscription; the oldest goes first. */
export const ACTIONS_MAX = 1_000;

/** See the head of this file. Records and lists are replaced, never changed, so that readers may keep them. */
export class SubscriptionTable {
  readonly #byId = new Map<SubscriptionId, SubscriptionRecord>();
  readonly #byTopic = new Map<TopicId, Map<string, SubscriptionRecord>>();
  readonly #actions = new Map<SubscriptionId, readonly ActionRecord[]>();
  #changed = new Set<TopicId>();

  /** Adds a subscription or puts its new record in place of the old one. */
  put(record: SubscriptionRecord): void {
    this.#byId.set(record.id, record);
    const named = this.#byTopic.get(record.topic) ?? new Map<string, SubscriptionRecord>();
    this.#byTopic.set(record.topic, named.set(record.name, record));
    this.changed(record.topic);
  }

  /** Takes one of an image, with its actions. */
  restore(record: SubscriptionRecord, actions: readonly ActionRecord[]): void {
    this.put(record);
    if (actions.length > 0) this.#actions.set(record.id, actions);
  }

  /** Forgets a subscription with its actions; its name is free again. */
  drop({ id, topic, name }: SubscriptionRecord): void {
    this.#byId.delete(id);
    this.#actions.delete(id);
    const named = this.#byTopic.get(topic);
    named?.delete(name);
    if (named?.size === 0) this.#byTopic.delete(topic);
    this.changed(topic);
  }

  /** Notes what was done to a subscription that is there. */
  addAction(id: SubscriptionId, action: ActionRecord): void {
    const kept = this.#actions.get(id) ?? [];
    this.#actions.set(id, [...kept.slice(Math.max(0, kept.length + 1 - ACTIONS_MAX)), action]);
  }

  get(id: SubscriptionId): SubscriptionRecord | undefined {
    return this.#byId.get(id);
  }
  find(topic: TopicId, name: string): SubscriptionRecord | undefined {
    return this.#byTopic.get(topic)?.get(name);
  }
  /** In the order of their creation. */
  of(topic: TopicId): readonly SubscriptionRecord[] {
    return [...(this.#byTopic.get(topic)?.values() ?? [])];
  }
  /** In the order of their creation. */
  all(): Iterable<SubscriptionRecord> {
    return this.#byId.values();
  }
  /** Number of a topic's subscriptions. */
  count(topic: TopicId): number {
    return this.#byTopic.get(topic)?.size ?? 0;
  }
  /** Oldest first. */
  actions(id: SubscriptionId): readonly ActionRecord[] {
    return this.#actions.get(id) ?? [];
  }

  /** Says that a topic's subscriptions changed. */
  changed(topic: TopicId): void {
    this.#changed.add(topic);
  }
  /** Topics of the subscriptions that changed since the last call. */
  takeChanged(): ReadonlySet<TopicId> {
    const changed = this.#changed;
    if (changed.size > 0) this.#changed = new Set();
    return changed;
  }
}
