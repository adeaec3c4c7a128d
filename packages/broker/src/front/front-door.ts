/**
 * Everything a client can ask of a node, without the wire: requests in, responses out, refusals as {@link RefusalError}. gRPC
 * stands before it in a process, nothing does in a simulation.
 */
import {
  type CreateTopicRequest,
  type CreateTopicResponse,
  type DescribeClusterResponse,
  type DescribeTopicRequest,
  type DescribeTopicResponse,
  type FetchRequest,
  type GetCapabilitiesResponse,
  type GetRouteRequest,
  type GetRouteResponse,
  type InitProducerResponse,
  type ListRoutesRequest,
  type ListRoutesResponse,
  type ListTopicsResponse,
  type OpenWriterRequest,
  type OpenWriterResponse,
  RefusalError,
  SUPPORTED_REQUEST_TYPES,
} from '@seriatim/protocol';
import type { ConsumeWire } from './consume-responses.ts';
import { type ConsumeCounters, ConsumeSession } from './consume-session.ts';
import { describeCluster, describeTopic, getRoute, listRoutes, topicInfo } from './describe.ts';
import { fetchRecords } from './fetch.ts';
import { GroupFront } from './group-front.ts';
import { openWriter, serveWriters } from './open-writer.ts';
import { serveAppends } from './partition-appender.ts';
import { serveReads } from './partition-reader.ts';
import { serveStatus } from './peer-status.ts';
import type { FrontPorts } from './ports.ts';
import { type ProduceCounters, ProduceHandler } from './produce.ts';
import { SubscriptionFront } from './subscription-front.ts';

/** Level of what all nodes of a cluster understand; this is the first version. */
const FEATURE_LEVEL = 1;
/** First epoch of a producer id. */
const FIRST_EPOCH = 1;

/** See the head of this file. Deadlines are monotonic milliseconds of the node's clock. */
export class FrontDoor {
  readonly #ports: FrontPorts;
  readonly #produce: ProduceHandler;
  /** Administration of subscriptions, and of their groups. */
  readonly subscriptions: SubscriptionFront;
  readonly groups: GroupFront;
  /** What went through consumers' streams since the start. */
  readonly consumed: ConsumeCounters = { streams: 0, delivered: 0, settlements: 0, refusedSettlements: 0 };
  #closing = false;

  constructor(ports: FrontPorts) {
    this.#ports = ports;
    this.#produce = new ProduceHandler(ports);
    this.subscriptions = new SubscriptionFront(ports);
    this.groups = new GroupFront(ports);
    serveAppends(ports);
    serveReads(ports);
    serveStatus(ports);
    serveWriters(ports);
  }

  /** Refuses new requests as SHUTTING_DOWN from now on; those under way go on. */
  close(): void {
    this.#closing = true;
  }

  /** What came in since the start. */
  get counters(): Readonly<ProduceCounters> {
    return this.#produce.counters;
  }

  async orderedProduce(request: Buffer, deadline: number): Promise<Buffer> {
    this.#checkOpen();
    return this.#produce.orderedProduce(request, deadline);
  }

  async produce(request: Buffer, deadline: number): Promise<Buffer> {
    this.#checkOpen();
    return this.#produce.produce(request, deadline);
  }

  fetch(request: FetchRequest, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    this.#checkOpen();
    return fetchRecords(this.#ports, request, signal);
  }

  /** A consumer's stream; its requests are given to what is returned. */
  consume(wire: ConsumeWire): ConsumeSession {
    this.#checkOpen();
    return new ConsumeSession(this.#ports, wire, this.consumed);
  }

  async initProducer(deadline: number): Promise<InitProducerResponse> {
    this.#checkOpen();
    return { producerId: await this.#ports.admin.producerId(deadline), epoch: FIRST_EPOCH };
  }

  async openWriter(request: OpenWriterRequest, deadline: number): Promise<OpenWriterResponse> {
    this.#checkOpen();
    return openWriter(this.#ports, request, deadline);
  }

  async createTopic(request: CreateTopicRequest, deadline: number): Promise<CreateTopicResponse> {
    this.#checkOpen();
    const topic = await this.#ports.admin.createTopic(
      {
        name: request.name,
        partitions: request.partitions,
        replicas: request.replicas,
        retentionMilliseconds: request.retentionMs,
        retentionBytes: request.retentionBytes,
      },
      deadline,
    );
    return { topic: topicInfo(topic) };
  }

  async deleteTopic(name: string, deadline: number): Promise<Record<never, never>> {
    this.#checkOpen();
    await this.#ports.admin.deleteTopic(name, deadline);
    return {};
  }

  async listTopics(): Promise<ListTopicsResponse> {
    return { topics: this.#ports.view.topics().map(topicInfo) };
  }

  async describeTopic(request: DescribeTopicRequest): Promise<DescribeTopicResponse> {
    return describeTopic(this.#ports, request.name);
  }

  async describeCluster(): Promise<DescribeClusterResponse> {
    return describeCluster(this.#ports);
  }

  async getRoute(request: GetRouteRequest): Promise<GetRouteResponse> {
    return getRoute(this.#ports, request);
  }

  listRoutes(request: ListRoutesRequest, signal: AbortSignal): AsyncGenerator<ListRoutesResponse> {
    return listRoutes(this.#ports, request, signal);
  }

  async capabilities(): Promise<GetCapabilitiesResponse> {
    const { limits, version } = this.#ports;
    return {
      requestTypes: SUPPORTED_REQUEST_TYPES,
      version,
      featureLevel: FEATURE_LEVEL,
      messageBytesMax: limits.messageBytesMax,
      requestBytesMax: limits.requestBytesMax,
      requestMessagesMax: limits.requestMessagesMax,
      groupBytesMax: limits.groupBytesMax,
    };
  }

  #checkOpen(): void {
    if (!this.#closing) return;
    throw new RefusalError('SHUTTING_DOWN', `node ${this.#ports.node} is shutting down; ask another node`);
  }
}
