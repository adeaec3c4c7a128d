/** The RPCs on whole subscriptions: their definitions where meta leads, their progress where each partition's leader is. */
import {
  type CreateSubscriptionRequest,
  type CreateSubscriptionResponse,
  type DeleteSubscriptionRequest,
  type DescribeSubscriptionRequest,
  type DescribeSubscriptionResponse,
  type GroupLag,
  type ListSubscriptionActionsRequest,
  type ListSubscriptionActionsResponse,
  type ListSubscriptionsRequest,
  type ListSubscriptionsResponse,
  type PartitionLag,
  type PartitionReset,
  type PauseSubscriptionRequest,
  RefusalError,
  type ResetSubscriptionRequest,
  type ResetSubscriptionResponse,
  toRefusal,
} from '@seriatim/protocol';
import type { MetaView, PartitionView } from '../contracts.ts';
import type {
  AdministrationCaller,
  PartitionAdministration,
  SubscriptionAdmin,
  SubscriptionDefinitions,
} from '../subscription-contracts.ts';
import { readyTopic, requireTopic } from './look-up.ts';
import {
  actorOf,
  requireSubscription,
  settingsOf,
  startOf,
  subscriptionInfo,
} from './subscription-requests.ts';

/** Groups in one description. */
const TOP_GROUPS_MAX = 1_000;
const ACTIONS_MAX = 1_000;
const ACTIONS_DEFAULT = 100;

/** What administration is built on. */
export interface SubscriptionFrontPorts {
  readonly view: MetaView;
  readonly definitions: SubscriptionDefinitions;
  readonly subscriptions: SubscriptionAdmin;
  readonly administration: AdministrationCaller;
}

/** See the head of this file. Deadlines are monotonic milliseconds of the node's clock. */
export class SubscriptionFront {
  readonly #ports: SubscriptionFrontPorts;

  constructor(ports: SubscriptionFrontPorts) {
    this.#ports = ports;
  }

  async create(request: CreateSubscriptionRequest, deadline: number): Promise<CreateSubscriptionResponse> {
    const { view, subscriptions } = this.#ports;
    const topic = readyTopic(view, request.topic);
    const settings = settingsOf(view, topic, request);
    const created = await subscriptions.create(topic.id, request.name, settings, deadline);
    return { subscription: subscriptionInfo(view, created) };
  }

  async list({ topic: name }: ListSubscriptionsRequest): Promise<ListSubscriptionsResponse> {
    const { view, definitions } = this.#ports;
    const topics = name === '' ? view.topics() : [requireTopic(view, name)];
    const found = topics.flatMap((topic) => [...definitions.subscriptions(topic.id)]);
    const infos = found.map((subscription) => subscriptionInfo(view, subscription));
    infos.sort((a, b) => compare(a.topic, b.topic) || compare(a.name, b.name));
    return { subscriptions: infos };
  }

  async describe(
    request: DescribeSubscriptionRequest,
    deadline: number,
  ): Promise<DescribeSubscriptionResponse> {
    const { view, definitions } = this.#ports;
    const { topGroups } = request;
    if (topGroups > TOP_GROUPS_MAX) {
      throw new RefusalError('INVALID_REQUEST', `top_groups is ${topGroups}, the limit is ${TOP_GROUPS_MAX}`);
    }
    const { topic, subscription } = requireSubscription(view, definitions, request.topic, request.name);
    const groups: GroupLag[] = [];
    const partitions = await Promise.all(
      topic.partitions.map(async ({ partition, shard }): Promise<PartitionLag> => {
        try {
          const lag = await this.#at(shard).lag(subscription.id, topGroups, deadline);
          for (const top of lag.top) groups.push({ ...top, partition });
          const { top: _, oldestUnsettledMilliseconds: oldestUnsettledMs, ...numbers } = lag;
          return { ...numbers, partition, oldestUnsettledMs, code: '' };
        } catch (error) {
          return { ...NO_LAG, partition, code: toRefusal(error).code };
        }
      }),
    );
    groups.sort((a, b) => b.unsettled - a.unsettled || compare(a.group, b.group));
    return {
      subscription: subscriptionInfo(view, subscription),
      partitions,
      groups: groups.slice(0, topGroups),
    };
  }

  async delete(request: DeleteSubscriptionRequest, deadline: number): Promise<Record<never, never>> {
    const { view, definitions, subscriptions } = this.#ports;
    const { subscription } = requireSubscription(view, definitions, request.topic, request.name);
    await subscriptions.delete(subscription.id, { who: '', why: '' }, deadline);
    return {};
  }

  async reset(request: ResetSubscriptionRequest, deadline: number): Promise<ResetSubscriptionResponse> {
    const { view, definitions, subscriptions } = this.#ports;
    const { topic, subscription } = requireSubscription(view, definitions, request.topic, request.name);
    const start = startOf(request);
    // Before anything is asked: a dry run refuses what the reset would refuse.
    const actor = actorOf(request);
    const partitions = await Promise.all(
      topic.partitions.map(async ({ partition, shard }): Promise<PartitionReset> => {
        const preview = await this.#at(shard).preview(subscription.id, start, deadline);
        return {
          partition,
          fromOffset: preview.from,
          toOffset: preview.to,
          repeatedMessages: preview.repeated,
          skippedMessages: preview.skipped,
        };
      }),
    );
    if (request.dryRun) return { generation: subscription.generation, partitions };
    const { generation } = await subscriptions.reset(subscription.id, start, actor, deadline);
    return { generation, partitions };
  }

  /** The whole subscription; one group: {@link GroupFront.pause}. */
  async pause(
    request: PauseSubscriptionRequest,
    paused: boolean,
    deadline: number,
  ): Promise<Record<never, never>> {
    const { view, definitions, subscriptions } = this.#ports;
    const { subscription } = requireSubscription(view, definitions, request.topic, request.name);
    const { who, why } = request;
    await subscriptions.pause(subscription.id, paused, { who, why }, deadline);
    return {};
  }

  async actions(
    request: ListSubscriptionActionsRequest,
    deadline: number,
  ): Promise<ListSubscriptionActionsResponse> {
    const { view, definitions, subscriptions } = this.#ports;
    const { topic, subscription } = requireSubscription(view, definitions, request.topic, request.name);
    if (request.limit > ACTIONS_MAX) {
      throw new RefusalError('INVALID_REQUEST', `limit is ${request.limit}, the most is ${ACTIONS_MAX}`);
    }
    const limit = request.limit || ACTIONS_DEFAULT;
    const group = request.group === '' ? null : request.group;
    const lists = await Promise.all(
      topic.partitions.map(({ shard }: PartitionView) =>
        this.#at(shard).actions(subscription.id, group, limit, deadline),
      ),
    );
    const whole = group === null ? subscriptions.actions(subscription.id, limit) : [];
    const actions = [...whole, ...lists.flat()].sort((a, b) => b.time - a.time).slice(0, limit);
    return { actions: actions.map(({ time, ...action }) => ({ ...action, timeMs: time })) };
  }

  #at(shard: PartitionView['shard']): PartitionAdministration {
    return this.#ports.administration.at(shard);
  }
}

const NO_LAG: Omit<PartitionLag, 'partition' | 'code'> = {
  unsettled: 0,
  floor: 0,
  highWatermark: 0,
  groupsBehind: 0,
  groupsParked: 0,
  groupsHeld: 0,
  consumers: 0,
  oldestUnsettledMs: 0,
  lost: 0,
};

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
