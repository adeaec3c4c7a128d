/**
 * The RPCs on one group of a subscription: answered by the leader of the partition that its route names. Messages without group are, in each
 * partition, one group without name, so that only {@link GroupFront.parked} and {@link GroupFront.resolve} know it, in all partitions.
 */
import {
  type ExplainGroupRequest,
  type ExplainGroupResponse,
  GROUP_RESOLUTION_DISCARD,
  GROUP_RESOLUTION_REPLACE,
  GROUP_RESOLUTION_RETRY,
  GROUP_RESOLUTION_SKIP,
  type ListParkedGroupsRequest,
  type ListParkedGroupsResponse,
  type PauseSubscriptionRequest,
  type ProduceLimits,
  RefusalError,
  type ResolveGroupRequest,
  type ResolveGroupResponse,
  type RewindGroupRequest,
  type RewindGroupResponse,
} from '@seriatim/protocol';
import type { PartitionView, TopicView } from '../contracts.ts';
import type { GroupAction, GroupActionResult, SubscriptionView } from '../subscription-contracts.ts';
import type { SubscriptionFrontPorts } from './subscription-front.ts';
import { actorOf, replacementBytes, requireSubscription } from './subscription-requests.ts';

/** A refusal that concerns the answer of all partitions, whatever others said. */
const OF_ALL = 2;

/** What the RPCs on groups are built on. */
export interface GroupFrontPorts extends SubscriptionFrontPorts {
  readonly limits: ProduceLimits;
}

interface Named {
  readonly topic: string;
  readonly name: string;
  readonly group: string;
}

/** See the head of this file. Deadlines are monotonic milliseconds of the node's clock. */
export class GroupFront {
  readonly #ports: GroupFrontPorts;

  constructor(ports: GroupFrontPorts) {
    this.#ports = ports;
  }

  async pause(
    request: PauseSubscriptionRequest,
    paused: boolean,
    deadline: number,
  ): Promise<Record<never, never>> {
    await this.#act(request, { type: paused ? 'pause' : 'resume', ...actorOf(request) }, deadline);
    return {};
  }

  async rewind(request: RewindGroupRequest, deadline: number): Promise<RewindGroupResponse> {
    const { sequence } = request;
    if (sequence === 0) throw new RefusalError('SEQUENCE_OUT_OF_RANGE', 'sequence is 0; the first one is 1');
    const { waiting } = await this.#act(request, { type: 'rewind', sequence, ...actorOf(request) }, deadline);
    return { repeatedMessages: waiting };
  }

  async explain(request: ExplainGroupRequest, deadline: number): Promise<ExplainGroupResponse> {
    const { subscription, partition } = this.#place(request);
    const { shard, partition: number } = partition;
    const { since, until, ...rest } = await this.#ports.administration
      .at(shard)
      .explain(subscription.id, request.group, deadline);
    return { ...rest, group: request.group, partition: number, sinceMs: since, untilMs: until };
  }

  /**
   * Pages of parked groups, partition after partition. A page may be short with others behind it, since groups that are resolved meanwhile are
   * left out: only an empty one is the last.
   */
  async *parked(
    request: ListParkedGroupsRequest,
    signal: AbortSignal,
    deadline: () => number,
  ): AsyncGenerator<ListParkedGroupsResponse> {
    const { view, definitions, administration } = this.#ports;
    const { topic, subscription } = requireSubscription(view, definitions, request.topic, request.name);
    for (const { partition, shard } of topic.partitions) {
      for (let after: string | null = null, more = true; more && !signal.aborted; ) {
        const page = await administration.at(shard).parked(subscription.id, after, deadline());
        const groups = page.map(({ since, ...group }) => ({ ...group, partition, sinceMs: since }));
        if (groups.length > 0) yield { groups };
        more = page.length > 0;
        after = page.at(-1)?.group ?? null;
      }
    }
  }

  async resolve(request: ResolveGroupRequest, deadline: number): Promise<ResolveGroupResponse> {
    const action = this.#resolution(request);
    const result =
      request.group === ''
        ? await this.#actWithoutGroup(request, action, deadline)
        : await this.#act(request, action, deadline);
    return { settledMessages: result.settled, waitingMessages: result.waiting };
  }

  #resolution(request: ResolveGroupRequest): GroupAction {
    const { headSequence, resolution } = request;
    const common = { ...actorOf(request), headSequence };
    if (resolution !== GROUP_RESOLUTION_REPLACE && request.replacement !== null) {
      throw new RefusalError('INVALID_REQUEST', 'a replacement goes with REPLACE only');
    }
    switch (resolution) {
      case GROUP_RESOLUTION_RETRY:
        return { ...common, type: 'retry' };
      case GROUP_RESOLUTION_SKIP:
        return { ...common, type: 'skip' };
      case GROUP_RESOLUTION_DISCARD:
        return { ...common, type: 'discard' };
      case GROUP_RESOLUTION_REPLACE: {
        const replacement = replacementBytes(this.#ports.limits, request.group, request.replacement);
        return { ...common, type: 'replace', replacement };
      }
      default:
        throw new RefusalError(
          'INVALID_REQUEST',
          `resolution is ${resolution}; known are 1 (retry), 2 (skip), 3 (replace), 4 (discard)`,
        );
    }
  }

  #act(request: Named, action: GroupAction, deadline: number): Promise<GroupActionResult> {
    const { subscription, partition } = this.#place(request);
    return this.#ports.administration
      .at(partition.shard)
      .act(subscription.id, request.group, action, deadline);
  }

  /**
   * The messages without group are a group in each partition: those that are parked are resolved, and where a head is named only those that
   * have it. Refused when there is none such, or a partition could not be asked.
   */
  async #actWithoutGroup(request: Named, action: GroupAction, deadline: number): Promise<GroupActionResult> {
    if ((action.type === 'replace' || action.type === 'discard') && action.headSequence === 0) {
      throw new RefusalError(
        'INVALID_REQUEST',
        `messages without group are a group in each partition: to ${action.type} one of them, say which head_sequence is meant`,
      );
    }
    const { topic, subscription } = this.#subscription(request);
    const sum = { settled: 0, waiting: 0, done: 0 };
    let refusal: unknown = null;
    for (const { shard } of topic.partitions) {
      try {
        const result = await this.#ports.administration.at(shard).act(subscription.id, '', action, deadline);
        sum.settled += result.settled;
        sum.waiting += result.waiting;
        sum.done++;
      } catch (error) {
        if (refusal === null || weight(error) > weight(refusal)) refusal = error;
      }
    }
    if (refusal !== null && (sum.done === 0 || weight(refusal) === OF_ALL)) throw refusal;
    return sum;
  }

  #subscription({ topic, name }: Named): {
    readonly topic: TopicView;
    readonly subscription: SubscriptionView;
  } {
    return requireSubscription(this.#ports.view, this.#ports.definitions, topic, name);
  }

  /** The partition of the group's route. */
  #place(request: Named): { readonly subscription: SubscriptionView; readonly partition: PartitionView } {
    const { view, limits } = this.#ports;
    const { topic, subscription } = this.#subscription(request);
    const bytes = Buffer.from(request.group, 'utf8');
    if (bytes.length === 0 || bytes.length > limits.groupBytesMax) {
      throw new RefusalError(
        'INVALID_GROUP',
        `the group has ${bytes.length} bytes, allowed are 1 to ${limits.groupBytesMax}`,
      );
    }
    const row = view.findRoute(topic.id, bytes, 0, bytes.length);
    const partition = row < 0 ? undefined : topic.partitions[view.routePartition(topic.id, row)];
    if (partition !== undefined) return { subscription, partition };
    throw new RefusalError(
      'UNKNOWN_GROUP',
      `group ${JSON.stringify(request.group)} has no route in topic "${topic.name}": nothing was ever sent to it`,
    );
  }
}

/** Which of two partitions' refusals is told: that a partition is not meant says less than that its head is another one. */
function weight(error: unknown): number {
  if (!(error instanceof RefusalError)) return OF_ALL;
  if (error.code === 'GROUP_NOT_PARKED') return 0;
  return error.code === 'HEAD_CHANGED' ? 1 : OF_ALL;
}
