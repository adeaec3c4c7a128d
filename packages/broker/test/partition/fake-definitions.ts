import type { TopicId } from '../../src/contracts.ts';
import type {
  SubscriptionDefinitions,
  SubscriptionId,
  SubscriptionView,
} from '../../src/subscription-contracts.ts';

/** A definition as most tests want it. */
export function definition(id: number, settings: Partial<SubscriptionView> = {}): SubscriptionView {
  return {
    id: id as SubscriptionId,
    topic: 1 as TopicId,
    name: `s${id}`,
    generation: 1,
    paused: false,
    ready: true,
    deadLetterProducer: 900 + id,
    start: { kind: 0, offset: 0, time: 0 },
    maxDeliveries: 5,
    poisonPolicy: 0,
    deadLetterTopic: null,
    holdMilliseconds: 30_000,
    retainUnread: false,
    backoffMilliseconds: 100,
    backoffMaxMilliseconds: 30_000,
    ...settings,
  };
}

/** Definitions that a test changes by hand. */
export class FakeDefinitions implements SubscriptionDefinitions {
  readonly #views = new Map<SubscriptionId, SubscriptionView>();
  readonly #deleted = new Set<number>();
  readonly #listeners: ((topic: TopicId) => void)[] = [];

  set(view: SubscriptionView): void {
    this.#views.set(view.id, view);
    for (const listener of this.#listeners) listener(view.topic);
  }
  change(id: number, settings: Partial<SubscriptionView>): void {
    this.set({ ...(this.#views.get(id as SubscriptionId) ?? definition(id)), ...settings });
  }
  remove(id: number): void {
    this.#deleted.add(id);
    this.lag(id);
  }
  /** This replica of the definitions has not heard of the subscription yet. */
  lag(id: number): void {
    this.#views.delete(id as SubscriptionId);
    for (const listener of this.#listeners) listener(1 as TopicId);
  }
  subscriptions(): readonly SubscriptionView[] {
    return [...this.#views.values()];
  }
  subscription(_topic: TopicId, name: string): SubscriptionView | undefined {
    return this.subscriptions().find((view) => view.name === name);
  }
  subscriptionById(id: SubscriptionId): SubscriptionView | undefined {
    return this.#views.get(id);
  }
  wasDeleted(id: SubscriptionId): boolean {
    return this.#deleted.has(id) && !this.#views.has(id);
  }
  onSubscriptionChange(listener: (topic: TopicId) => void): void {
    this.#listeners.push(listener);
  }
}
