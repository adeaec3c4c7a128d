import type {
  ListParkedGroupsResponse,
  ParkedGroup,
  PartitionLag,
  PartitionReset,
  ResolveGroupRequest,
  SubscriptionAction,
} from '@seriatim/protocol';
import { type CallOptions, Cluster, type ClusterOptions } from './cluster.ts';
import { SeriatimError, toSeriatimError } from './error.ts';
import type { SmallCalls } from './ports.ts';
import {
  createRequest,
  type GroupExplanation,
  type LaggingGroup,
  type NewSubscription,
  type Subscription,
  type SubscriptionStart,
  startFields,
  stateName,
  subscriptionOf,
} from './subscription-info.ts';

/** Who asks and why, kept with the action; each up to 256 bytes. */
export interface ActorOptions extends CallOptions {
  readonly who?: string | undefined;
  readonly why?: string | undefined;
}

/** How far a subscription is. */
export interface SubscriptionDescription {
  readonly subscription: Subscription;
  /** By number; `code` says why a partition could not be asked. */
  readonly partitions: readonly PartitionLag[];
  /** Those that lag most, by falling lag. */
  readonly groups: readonly LaggingGroup[];
}

/** What a reset does, or would do. */
export interface SubscriptionReset {
  /** The new one; of a dry run the present one. */
  readonly generation: number;
  readonly partitions: readonly PartitionReset[];
}

/** How a parked group is taken up again. */
export type GroupResolution =
  /** Delivers the head again, its failures forgotten. */
  | { readonly type: 'retry' }
  /** Settles the head and goes on behind it. */
  | { readonly type: 'skip' }
  /** Delivers this in place of the head, in this subscription only. */
  | {
      readonly type: 'replace';
      readonly value: string | Uint8Array;
      readonly key?: string | Uint8Array | undefined;
      readonly headers?:
        | readonly { readonly name: string; readonly value: string | Uint8Array }[]
        | undefined;
    }
  /** Settles everything that is stored of the group. */
  | { readonly type: 'discard' };

/** Options of {@link SubscriptionAdmin.resolveGroup}. */
export interface ResolveOptions extends ActorOptions {
  /** The head that the caller saw: HEAD_CHANGED when it is another one by now. */
  readonly headSequence?: number | undefined;
}

/** Groups of one description when nothing else is said. */
const TOP_GROUPS = 10;
const ACTIONS_DEFAULT = 100;
const RESOLUTIONS = ['retry', 'skip', 'replace', 'discard'] as const;

/**
 * Makes subscriptions, looks at them and changes them. Calls retry until their deadline and throw a {@link SeriatimError}; {@link reset},
 * {@link rewindGroup} and {@link resolveGroup} are not repeated when the outcome of an attempt is not known. Each call may throw UNKNOWN_TOPIC and UNKNOWN_SUBSCRIPTION.
 */
export class SubscriptionAdmin {
  readonly #cluster: Cluster;
  readonly #ownsCluster: boolean;

  constructor(options: ClusterOptions | { readonly cluster: Cluster }) {
    this.#ownsCluster = !('cluster' in options);
    this.#cluster = 'cluster' in options ? options.cluster : new Cluster(options);
  }

  /**
   * Resolves when its start is pinned in every partition: what is stored afterwards is behind it. The same again gives the existing one.
   * INVALID_SUBSCRIPTION, SUBSCRIPTION_EXISTS (with other settings).
   */
  async create(subscription: NewSubscription, options: CallOptions = {}): Promise<Subscription> {
    const answer = await this.#call('CreateSubscription', createRequest(subscription), options);
    return subscriptionOf(present(answer.subscription, subscription.name));
  }

  /** Of one topic, or of all. */
  async list(topic = '', options: CallOptions = {}): Promise<readonly Subscription[]> {
    return (await this.#call('ListSubscriptions', { topic }, options)).subscriptions.map(subscriptionOf);
  }

  /** Settings, lag of each partition, and the groups that lag most: `topGroups` of them, 0 to 1,000 (10). */
  async describe(
    topic: string,
    name: string,
    options: CallOptions & { readonly topGroups?: number | undefined } = {},
  ): Promise<SubscriptionDescription> {
    const { topGroups = TOP_GROUPS } = options;
    const answer = await this.#call('DescribeSubscription', { topic, name, topGroups }, options);
    return {
      subscription: subscriptionOf(present(answer.subscription, name)),
      partitions: answer.partitions,
      groups: answer.groups.map((group) => ({ ...group, state: stateName(group.state) })),
    };
  }

  /** With its progress in every partition; consumers end with UNKNOWN_SUBSCRIPTION. */
  async delete(topic: string, name: string, options: CallOptions = {}): Promise<void> {
    let earlier = false;
    try {
      await this.#cluster.retrying('DeleteSubscription', options, (attempt) => {
        earlier = attempt.earlierUnknown;
        const { connection, timeoutMilliseconds } = attempt;
        return connection.call('DeleteSubscription', { topic, name }, timeoutMilliseconds, options.signal);
      });
    } catch (error) {
      if (earlier && error instanceof SeriatimError && error.code === 'UNKNOWN_SUBSCRIPTION') return;
      throw error;
    }
  }

  /** Moves the whole subscription, forgetting cursors, failures, parked and paused groups. With `dryRun` it only says what would be. */
  async reset(
    topic: string,
    name: string,
    start: SubscriptionStart,
    options: ActorOptions & { readonly dryRun?: boolean | undefined } = {},
  ): Promise<SubscriptionReset> {
    const { dryRun = false, who = '', why = '' } = options;
    const request = { topic, name, ...startFields(start), dryRun, who, why };
    return dryRun
      ? this.#call('ResetSubscription', request, options)
      : this.#once('ResetSubscription', request, options);
  }

  /** Stops delivery of the whole subscription, or of one group. UNKNOWN_GROUP. */
  async pause(
    topic: string,
    name: string,
    options: ActorOptions & { readonly group?: string | undefined } = {},
  ): Promise<void> {
    const { who = '', why = '' } = options;
    const group = groupOrAll(options.group);
    await this.#call('PauseSubscription', { topic, name, group, who, why }, options);
  }

  /** Ends a pause; groups that were paused by name stay so when the whole subscription goes on. UNKNOWN_GROUP. */
  async resume(
    topic: string,
    name: string,
    options: ActorOptions & { readonly group?: string | undefined } = {},
  ): Promise<void> {
    const { who = '', why = '' } = options;
    const group = groupOrAll(options.group);
    await this.#call('ResumeSubscription', { topic, name, group, who, why }, options);
  }

  /**
   * Makes `sequence` the head of a group again; gives how many messages are delivered again. UNKNOWN_GROUP, SEQUENCE_OUT_OF_RANGE,
   * GROUP_PARKED.
   */
  async rewindGroup(
    topic: string,
    name: string,
    group: string,
    sequence: number,
    options: ActorOptions = {},
  ): Promise<number> {
    const { who = '', why = '' } = options;
    const request = { topic, name, group, sequence, who, why };
    return (await this.#once('RewindGroup', request, options)).repeatedMessages;
  }

  /** What one group does, why, and what happens next. UNKNOWN_GROUP. */
  async explainGroup(
    topic: string,
    name: string,
    group: string,
    options: CallOptions = {},
  ): Promise<GroupExplanation> {
    const answer = await this.#call('ExplainGroup', { topic, name, group }, options);
    return { ...answer, state: stateName(answer.state) };
  }

  /**
   * Parked groups one after the other, as the broker pages them. A break is not repaired: the list is a picture. `timeoutMilliseconds` is for
   * its beginning.
   */
  async *parkedGroups(
    topic: string,
    name: string,
    options: Pick<CallOptions, 'timeoutMilliseconds'> = {},
  ): AsyncGenerator<ParkedGroup, void, void> {
    const stream = await this.#cluster.retrying('ListParkedGroups', options, async ({ connection }) => {
      const groups = connection.listParkedGroups({ topic, name });
      return { groups, first: await groups.next() };
    });
    try {
      let page: ListParkedGroupsResponse | null = stream.first;
      for (; page !== null; page = await stream.groups.next()) yield* page.groups;
    } catch (error) {
      throw toSeriatimError(error, { topic });
    } finally {
      stream.groups.cancel();
    }
  }

  /**
   * Takes a parked group up again; gives how many messages were settled without delivery, and how many wait now. UNKNOWN_GROUP,
   * GROUP_NOT_PARKED, HEAD_CHANGED; of a replacement INVALID_MESSAGE, MESSAGE_TOO_LARGE, OVERLOADED.
   */
  async resolveGroup(
    topic: string,
    name: string,
    group: string,
    resolution: GroupResolution,
    options: ResolveOptions = {},
  ): Promise<{ readonly settled: number; readonly waiting: number }> {
    const { who = '', why = '', headSequence = 0 } = options;
    const request = {
      topic,
      name,
      group,
      resolution: RESOLUTIONS.indexOf(resolution.type) + 1,
      headSequence,
      who,
      why,
      replacement: replacementOf(group, resolution),
    };
    const { settledMessages, waitingMessages } = await this.#once('ResolveGroup', request, options);
    return { settled: settledMessages, waiting: waitingMessages };
  }

  /** Who did what and why, newest first: of the whole subscription, or of one group. `limit`: 1 to 1,000 (100). */
  async actions(
    topic: string,
    name: string,
    options: CallOptions & { readonly group?: string | undefined; readonly limit?: number | undefined } = {},
  ): Promise<readonly SubscriptionAction[]> {
    const { group = '', limit = ACTIONS_DEFAULT } = options;
    return (await this.#call('ListSubscriptionActions', { topic, name, group, limit }, options)).actions;
  }

  close(): void {
    if (this.#ownsCluster) this.#cluster.close();
  }

  #call<Name extends keyof SmallCalls>(
    name: Name,
    request: SmallCalls[Name][0],
    options: CallOptions,
  ): Promise<SmallCalls[Name][1]> {
    return this.#cluster.retrying(name, options, ({ connection, timeoutMilliseconds }) =>
      connection.call(name, request, timeoutMilliseconds, options.signal),
    );
  }

  /** Tries again only while no attempt can have done it. */
  #once<Name extends keyof SmallCalls>(
    name: Name,
    request: SmallCalls[Name][0],
    options: CallOptions,
  ): Promise<SmallCalls[Name][1]> {
    let unknown: unknown = null;
    return this.#cluster.retrying(
      name,
      options,
      async ({ connection, timeoutMilliseconds, earlierUnknown }) => {
        if (earlierUnknown) throw unknown;
        try {
          return await connection.call(name, request, timeoutMilliseconds, options.signal);
        } catch (error) {
          unknown = toSeriatimError(error);
          throw error;
        }
      },
    );
  }
}

/** On the wire the empty name stands for all groups: whoever names one must not mean them all by mistake. */
function groupOrAll(group: string | undefined): string {
  if (group !== '') return group ?? '';
  throw new SeriatimError(
    'INVALID_ARGUMENT',
    'group: it is empty; leave it out to mean the whole subscription',
  );
}

function replacementOf(group: string, resolution: GroupResolution): ResolveGroupRequest['replacement'] {
  if (resolution.type !== 'replace') return null;
  const { key = '', value, headers = [] } = resolution;
  return {
    key: bytesOf(key),
    value: bytesOf(value),
    messageGroup: group,
    producerTimestampMs: 0,
    headers: headers.map((header) => ({ name: header.name, value: bytesOf(header.value) })),
  };
}

function bytesOf(content: string | Uint8Array): Uint8Array {
  return typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
}

function present<T>(value: T | null, name: string): T {
  if (value !== null) return value;
  throw new SeriatimError('INTERNAL', `the broker's answer says nothing of ${name}`, { outcome: 'unknown' });
}
