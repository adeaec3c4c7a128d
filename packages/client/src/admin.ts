import {
  type DescribeClusterResponse,
  type DescribeTopicResponse,
  type GetCapabilitiesResponse,
  REQUEST_TYPES,
  type RequestType,
  type Route,
  type TopicInfo,
} from '@seriatim/protocol';
import { type CallOptions, Cluster, type ClusterOptions } from './cluster.ts';
import { SeriatimError, toSeriatimError } from './error.ts';
import type { SmallCalls } from './ports.ts';

/** A topic to be made. */
export interface NewTopic {
  /** 1 to 128 of letters, digits, dot, underscore, hyphen. */
  readonly name: string;
  /** 1 to 1,024. */
  readonly partitions: number;
  /** 1 to the number of nodes. */
  readonly replicas: number;
  /** 0 or absent: for ever. */
  readonly retentionMilliseconds?: number | undefined;
  /** Per partition; 0 or absent: no limit. */
  readonly retentionBytes?: number | undefined;
}

/** Which routes to list. */
export interface RouteFilter {
  readonly topic: string;
  readonly partition?: number | undefined;
  /** Groups that begin so. */
  readonly prefix?: string | undefined;
}

/** Looks at a cluster and changes it. All calls retry until their deadline and throw a {@link SeriatimError}. */
export class Admin {
  readonly #cluster: Cluster;
  readonly #ownsCluster: boolean;

  constructor(options: ClusterOptions | { readonly cluster: Cluster }) {
    this.#ownsCluster = !('cluster' in options);
    this.#cluster = 'cluster' in options ? options.cluster : new Cluster(options);
  }

  /** Makes a topic; resolves when each partition has a leader. TOPIC_EXISTS, INVALID_TOPIC_NAME, INVALID_PARTITION_COUNT, INVALID_REPLICA_COUNT. */
  async createTopic(topic: NewTopic, options: CallOptions = {}): Promise<TopicInfo> {
    const { name, partitions, replicas, retentionMilliseconds = 0, retentionBytes = 0 } = topic;
    const request = { name, partitions, replicas, retentionMs: retentionMilliseconds, retentionBytes };
    let earlier = false;
    try {
      const { topic: made } = await this.#cluster.retrying('CreateTopic', options, (attempt) => {
        earlier = attempt.earlierUnknown;
        const { connection, timeoutMilliseconds } = attempt;
        return connection.call('CreateTopic', request, timeoutMilliseconds, options.signal);
      });
      return present(made, name);
    } catch (error) {
      // An attempt whose answer was lost may have made it.
      if (!(earlier && error instanceof SeriatimError && error.code === 'TOPIC_EXISTS')) throw error;
      const { topic: found } = await this.describeTopic(name, options);
      if (found?.partitions === partitions && found.replicas === replicas) return found;
      throw error;
    }
  }

  async listTopics(options: CallOptions = {}): Promise<readonly TopicInfo[]> {
    return (await this.#call('ListTopics', {}, options)).topics;
  }

  /** UNKNOWN_TOPIC. */
  describeTopic(name: string, options: CallOptions = {}): Promise<DescribeTopicResponse> {
    return this.#call('DescribeTopic', { name }, options);
  }

  /** UNKNOWN_TOPIC. */
  async deleteTopic(name: string, options: CallOptions = {}): Promise<void> {
    let earlier = false;
    try {
      await this.#cluster.retrying('DeleteTopic', options, (attempt) => {
        earlier = attempt.earlierUnknown;
        return attempt.connection.call('DeleteTopic', { name }, attempt.timeoutMilliseconds, options.signal);
      });
    } catch (error) {
      if (earlier && error instanceof SeriatimError && error.code === 'UNKNOWN_TOPIC') return;
      throw error;
    }
  }

  /** The route of a group. UNKNOWN_GROUP when it has none. */
  async getRoute(topic: string, group: string, options: CallOptions = {}): Promise<Route> {
    const { route } = await this.#call('GetRoute', { topic, group }, options);
    return present(route, group);
  }

  /** Routes one after the other, as the broker pages them. A break is not repaired: the list is a picture, not a log. */
  async *listRoutes(filter: RouteFilter): AsyncGenerator<Route, void, void> {
    const { topic, partition, prefix = '' } = filter;
    const stream = await this.#cluster.retrying('ListRoutes', {}, async ({ connection }) => {
      const request = { topic, partition: partition ?? 0, anyPartition: partition === undefined, prefix };
      const routes = connection.listRoutes(request);
      return { routes, first: await routes.next() };
    });
    try {
      for (let page = stream.first; page !== null; page = await stream.routes.next()) yield* page.routes;
    } catch (error) {
      throw toSeriatimError(error, { topic });
    } finally {
      stream.routes.cancel();
    }
  }

  async describeCluster(options: CallOptions = {}): Promise<DescribeClusterResponse> {
    const description = await this.#call('DescribeCluster', {}, options);
    this.#cluster.view.learn(description);
    return description;
  }

  capabilities(options: CallOptions = {}): Promise<GetCapabilitiesResponse> {
    return this.#call('GetCapabilities', {}, options);
  }

  /** Whether the server knows a request; ORDERED_PRODUCE tells brokers with ordered messages from older ones. */
  async supports(request: RequestType, options: CallOptions = {}): Promise<boolean> {
    try {
      return (await this.capabilities(options)).requestTypes.includes(REQUEST_TYPES[request]);
    } catch (error) {
      if (error instanceof SeriatimError && error.code === 'UNSUPPORTED') return false;
      throw error;
    }
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
}

function present<T>(value: T | null, name: string): T {
  if (value !== null) return value;
  throw new SeriatimError('INTERNAL', `the broker's answer says nothing of ${name}`, { outcome: 'unknown' });
}
