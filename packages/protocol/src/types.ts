/** Requests and responses of the small RPCs as plain objects. 64-bit fields are safe integers. The proto files say what each means. */

import type { PartitionError } from './produce-codec.ts';

/** A message header. */
export interface Header {
  readonly name: string;
  readonly value: Uint8Array;
}

export type GetCapabilitiesRequest = Record<never, never>;
export interface GetCapabilitiesResponse {
  readonly requestTypes: readonly number[];
  readonly version: string;
  readonly featureLevel: number;
  readonly messageBytesMax: number;
  readonly requestBytesMax: number;
  readonly requestMessagesMax: number;
  readonly groupBytesMax: number;
}

export type DescribeClusterRequest = Record<never, never>;
export interface DescribeClusterResponse {
  readonly clusterId: string;
  readonly nodes: readonly NodeInfo[];
  readonly meta: MetaInfo | null;
  readonly partitions: readonly PartitionInfo[];
}
export interface NodeInfo {
  readonly id: number;
  readonly address: string;
  readonly alive: boolean;
  readonly pid: number;
}
export interface MetaInfo {
  readonly leader: number;
  readonly term: number;
}
export interface PartitionInfo {
  readonly topic: string;
  readonly partition: number;
  readonly leader: number;
  readonly term: number;
  readonly replicas: readonly number[];
  readonly highWatermark: number;
  readonly lowWatermark: number;
  readonly replicaStates: readonly ReplicaInfo[];
  readonly groups: number;
}
export interface ReplicaInfo {
  readonly node: number;
  readonly behind: number;
  readonly reason: string;
}

export interface CreateTopicRequest {
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
}
export interface CreateTopicResponse {
  readonly topic: TopicInfo | null;
}
export interface TopicInfo {
  readonly name: string;
  readonly id: number;
  readonly partitions: number;
  readonly replicas: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
}
export type ListTopicsRequest = Record<never, never>;
export interface ListTopicsResponse {
  readonly topics: readonly TopicInfo[];
}
export interface DescribeTopicRequest {
  readonly name: string;
}
export interface DescribeTopicResponse {
  readonly topic: TopicInfo | null;
  readonly partitions: readonly PartitionInfo[];
}
export interface DeleteTopicRequest {
  readonly name: string;
}
export type DeleteTopicResponse = Record<never, never>;

export type InitProducerRequest = Record<never, never>;
export interface InitProducerResponse {
  readonly producerId: number;
  readonly epoch: number;
}

export interface OpenWriterRequest {
  readonly topic: string;
  readonly producerName: string;
  /** 0: take the next one. */
  readonly epoch: number;
  readonly producerId: number;
  readonly groups: readonly string[];
  readonly instance: string;
  readonly previousEpoch: number;
}
export interface OpenWriterResponse {
  readonly producerId: number;
  readonly epoch: number;
  readonly partitionErrors: readonly PartitionError[];
  readonly partitions: readonly number[];
  readonly lastProducerSequences: readonly number[];
  readonly lastGroupSequences: readonly number[];
  readonly opened: boolean;
}

export interface ProduceResponse {
  readonly partition: number;
  readonly baseOffset: number;
  readonly messages: number;
  readonly timestampMs: number;
}

/** Values of FetchRequest.from. */
export const FETCH_FROM_OFFSET = 0;
export const FETCH_FROM_EARLIEST = 1;
export const FETCH_FROM_LATEST = 2;

export interface FetchRequest {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly from: number;
  readonly untilEnd: boolean;
  readonly group: string;
  readonly responseBytes: number;
}

export interface GetRouteRequest {
  readonly topic: string;
  readonly group: string;
}
export interface GetRouteResponse {
  readonly route: Route | null;
}
export interface Route {
  readonly topic: string;
  readonly group: string;
  readonly partition: number;
  readonly epoch: number;
  readonly leader: number;
  readonly lastSequence: number;
  readonly lastAccessMs: number;
}
export interface ListRoutesRequest {
  readonly topic: string;
  readonly partition: number;
  readonly anyPartition: boolean;
  readonly prefix: string;
}
export interface ListRoutesResponse {
  readonly routes: readonly Route[];
}
