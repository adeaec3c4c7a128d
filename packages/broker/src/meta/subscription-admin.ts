/** What clients may ask about the definitions of subscriptions: forwarded to the meta leader, waited for until every partition has it. */
import type { Clock } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { TopicId } from '../contracts.ts';
import { actorFault, startFault, subscriptionFault } from '../subscription-check.ts';
import type {
  ActionRecord,
  Actor,
  StartPosition,
  SubscriptionAdmin,
  SubscriptionDefinitions,
  SubscriptionId,
  SubscriptionSettings,
  SubscriptionView,
} from '../subscription-contracts.ts';
import { Waiters } from './deadline.ts';
import { type MetaCommand, type MetaResult, type Operation, SUBSCRIPTIONS_LEVEL } from './model.ts';

/** The local replica of the meta state, as far as it is looked at here; {@link MetaState} is one. */
export interface SubscriptionSource extends SubscriptionDefinitions {
  readonly featureLevel: number;
  onChange(listener: () => void): void;
  operation(id: number): Operation | undefined;
  subscriptionActions(id: SubscriptionId): readonly ActionRecord[];
}

/** What {@link MetaSubscriptionAdmin} needs; `submit` is {@link MetaClient.submitChecked}. */
export interface SubscriptionAdminOptions {
  readonly clock: Clock;
  readonly state: SubscriptionSource;
  readonly submit: (command: MetaCommand, deadline: number) => Promise<MetaResult>;
  /** A word that no other request has. */
  readonly token: () => string;
}

/**
 * The {@link SubscriptionAdmin} of a node. Every method that changes something rejects with those of {@link MetaClient.submit}, and create, reset
 * and delete with DEADLINE, outcome unknown, while the operation goes on. Deadlines are monotonic milliseconds.
 */
export class MetaSubscriptionAdmin implements SubscriptionAdmin {
  readonly #options: SubscriptionAdminOptions;
  readonly #changes = new Waiters();

  constructor(options: SubscriptionAdminOptions) {
    this.#options = options;
    options.state.onChange(() => this.#changes.wake());
  }

  /**
   * The same settings again answer the existing one. Rejects with INVALID_SUBSCRIPTION, SUBSCRIPTION_EXISTS, SUBSCRIPTION_NOT_READY (one of
   * that name is being deleted), UNKNOWN_TOPIC, OVERLOADED, NOT_READY (a node of the cluster does not know subscriptions).
   */
  async create(
    topic: TopicId,
    name: string,
    settings: SubscriptionSettings,
    deadline: number,
  ): Promise<SubscriptionView> {
    refuseFault(subscriptionFault(name, settings));
    await this.#untilEveryNodeKnows(deadline);
    return this.#untilThere(
      { type: 'createSubscription', topic, name, settings, ...this.#stamp() },
      name,
      deadline,
    );
  }

  /** Rejects with INVALID_SUBSCRIPTION, UNKNOWN_SUBSCRIPTION, SUBSCRIPTION_NOT_READY. */
  async reset(
    subscription: SubscriptionId,
    start: StartPosition,
    actor: Actor,
    deadline: number,
  ): Promise<SubscriptionView> {
    refuseFault(startFault(start));
    refuseActor(actor);
    const { name, generation } = this.#known(subscription);
    const { who, why } = actor;
    return this.#untilThere(
      { type: 'resetSubscription', subscription, generation, start, who, why, ...this.#stamp() },
      name,
      deadline,
    );
  }

  /** Rejects with UNKNOWN_SUBSCRIPTION, SUBSCRIPTION_NOT_READY. */
  async delete(subscription: SubscriptionId, actor: Actor, deadline: number): Promise<void> {
    refuseActor(actor);
    const { name } = this.#known(subscription);
    const { who, why } = actor;
    await this.#untilEnded(
      { type: 'deleteSubscription', subscription, who, why, ...this.#stamp() },
      name,
      deadline,
    );
  }

  /** Resolves when this node knows it. Rejects with UNKNOWN_SUBSCRIPTION. */
  async pause(subscription: SubscriptionId, paused: boolean, actor: Actor, deadline: number): Promise<void> {
    refuseActor(actor);
    const { who, why } = actor;
    const time = this.#options.clock.wallTime();
    await this.#options.submit({ type: 'pauseSubscription', subscription, paused, who, why, time }, deadline);
  }

  /** As this node knows them; none of a subscription that is not there. */
  actions(subscription: SubscriptionId, limit: number): readonly ActionRecord[] {
    const kept = this.#options.state.subscriptionActions(subscription);
    return kept.slice(Math.max(0, kept.length - limit)).reverse();
  }

  /** A node of an earlier version would stop at the first command that it does not know. */
  async #untilEveryNodeKnows(deadline: number): Promise<void> {
    const { clock, state } = this.#options;
    while (state.featureLevel < SUBSCRIPTIONS_LEVEL) {
      const left = deadline - clock.now();
      if (left <= 0) {
        throw new RefusalError(
          'NOT_READY',
          `the cluster is at feature level ${state.featureLevel}, subscriptions need ${SUBSCRIPTIONS_LEVEL}: start and upgrade every node`,
        );
      }
      await this.#changes.wait(clock, left);
    }
  }

  #stamp(): { readonly token: string; readonly time: number } {
    return { token: this.#options.token(), time: this.#options.clock.wallTime() };
  }

  #known(subscription: SubscriptionId): SubscriptionView {
    const view = this.#options.state.subscriptionById(subscription);
    if (view !== undefined) return view;
    throw new RefusalError('UNKNOWN_SUBSCRIPTION', `subscription ${subscription} does not exist`);
  }

  async #untilThere(command: MetaCommand, name: string, deadline: number): Promise<SubscriptionView> {
    const id = await this.#untilEnded(command, name, deadline);
    const view = this.#options.state.subscriptionById(id);
    if (view !== undefined) return view;
    throw new RefusalError('UNKNOWN_SUBSCRIPTION', `subscription "${name}" was deleted meanwhile`);
  }

  /** Submits, and resolves when the local state shows that the operation ended, or has even forgotten it. */
  async #untilEnded(command: MetaCommand, name: string, deadline: number): Promise<SubscriptionId> {
    const { clock, state, submit } = this.#options;
    const answer = await submit(command, deadline);
    if (answer.type !== 'subscription') {
      throw new RefusalError('INTERNAL', `${command.type} was answered ${answer.type}`);
    }
    while (state.operation(answer.operation)?.state === 'running') {
      const left = deadline - clock.now();
      if (left <= 0) {
        throw new RefusalError(
          'DEADLINE',
          `${command.type} of "${name}" goes on: not every partition has answered yet; look again`,
          { outcome: 'unknown' },
        );
      }
      await this.#changes.wait(clock, left);
    }
    return answer.subscription;
  }
}

function refuseFault(fault: string | null): void {
  if (fault !== null) throw new RefusalError('INVALID_SUBSCRIPTION', fault);
}

function refuseActor(actor: Actor): void {
  const fault = actorFault(actor);
  if (fault !== null) throw new RefusalError('INVALID_REQUEST', fault);
}
