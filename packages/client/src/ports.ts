/** What the client needs of the world, so that it runs alike in a process and in a simulation. */
import type { Buffer } from 'node:buffer';
import type * as protocol from '@seriatim/protocol';

/** Time and chance. */
export interface ClientClock {
  /** Monotonic milliseconds. */
  now(): number;
  /** At least 0, below 1. */
  random(): number;
  /** Runs `task` once after that many milliseconds; the returned function calls it off. */
  schedule(milliseconds: number, task: () => void): () => void;
  /** Runs `task` in a later turn of the event loop, after what is ready now. */
  soon(task: () => void): void;
}

/** Requests and answers of the RPCs that are neither hot nor streams. */
export interface SmallCalls {
  readonly GetCapabilities: [protocol.GetCapabilitiesRequest, protocol.GetCapabilitiesResponse];
  readonly DescribeCluster: [protocol.DescribeClusterRequest, protocol.DescribeClusterResponse];
  readonly CreateTopic: [protocol.CreateTopicRequest, protocol.CreateTopicResponse];
  readonly ListTopics: [protocol.ListTopicsRequest, protocol.ListTopicsResponse];
  readonly DescribeTopic: [protocol.DescribeTopicRequest, protocol.DescribeTopicResponse];
  readonly DeleteTopic: [protocol.DeleteTopicRequest, protocol.DeleteTopicResponse];
  readonly InitProducer: [protocol.InitProducerRequest, protocol.InitProducerResponse];
  readonly OpenWriter: [protocol.OpenWriterRequest, protocol.OpenWriterResponse];
  readonly GetRoute: [protocol.GetRouteRequest, protocol.GetRouteResponse];
  readonly CreateSubscription: [protocol.CreateSubscriptionRequest, protocol.CreateSubscriptionResponse];
  readonly ListSubscriptions: [protocol.ListSubscriptionsRequest, protocol.ListSubscriptionsResponse];
  readonly DescribeSubscription: [
    protocol.DescribeSubscriptionRequest,
    protocol.DescribeSubscriptionResponse,
  ];
  readonly DeleteSubscription: [protocol.DeleteSubscriptionRequest, protocol.DeleteSubscriptionResponse];
  readonly ResetSubscription: [protocol.ResetSubscriptionRequest, protocol.ResetSubscriptionResponse];
  readonly PauseSubscription: [protocol.PauseSubscriptionRequest, protocol.PauseSubscriptionResponse];
  readonly ResumeSubscription: [protocol.ResumeSubscriptionRequest, protocol.ResumeSubscriptionResponse];
  readonly RewindGroup: [protocol.RewindGroupRequest, protocol.RewindGroupResponse];
  readonly ExplainGroup: [protocol.ExplainGroupRequest, protocol.ExplainGroupResponse];
  readonly ResolveGroup: [protocol.ResolveGroupRequest, protocol.ResolveGroupResponse];
  readonly ListSubscriptionActions: [
    protocol.ListSubscriptionActionsRequest,
    protocol.ListSubscriptionActionsResponse,
  ];
}

/** A stream that a broker fills. */
export interface IncomingStream<T> {
  /** The next response, null at the end. Rejects with a RefusalError. One call at a time. */
  next(): Promise<T | null>;
  /** Ends it from this side; a pending `next` rejects or gives null. */
  cancel(): void;
}

/** What a consumer's stream tells. Calls come from the event loop, never inside a call of the stream's. */
export interface ConsumeListener {
  /** A ConsumeResponse. */
  response(bytes: Buffer): void;
  /** Nothing comes after it. null: the broker ended the stream in order. */
  ended(error: protocol.RefusalError | null): void;
}

/** A consumer's stream to one node. */
export interface ConsumeCall {
  /** Sends a ConsumeRequest; before the connection is there it is kept. After the end it does nothing. */
  send(request: Buffer): void;
  /** Ends the stream at once; its listener hears nothing more. */
  cancel(): void;
}

/** One node as seen from here. All calls reject with a RefusalError; with an UnreachableError when no broker answered. */
export interface BrokerConnection {
  /** Connected at this moment. Where not, it sees to it that it will be. */
  ready(): boolean;
  call<Name extends keyof SmallCalls>(
    name: Name,
    request: SmallCalls[Name][0],
    timeoutMilliseconds: number,
    signal?: AbortSignal,
  ): Promise<SmallCalls[Name][1]>;
  orderedProduce(request: Buffer, timeoutMilliseconds: number): Promise<Buffer>;
  produce(request: Buffer, timeoutMilliseconds: number): Promise<Buffer>;
  fetch(request: protocol.FetchRequest): IncomingStream<Buffer>;
  listRoutes(request: protocol.ListRoutesRequest): IncomingStream<protocol.ListRoutesResponse>;
  listParkedGroups(
    request: protocol.ListParkedGroupsRequest,
  ): IncomingStream<protocol.ListParkedGroupsResponse>;
  consume(listener: ConsumeListener): ConsumeCall;
  close(): void;
}

/** Opens connections. An address is host:port. Opening never fails: calls do. */
export interface BrokerTransport {
  connect(address: string): BrokerConnection;
}
