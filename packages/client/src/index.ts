// What a user meets.

export { Admin, type NewTopic, type RouteFilter } from './admin.ts';
export { type BackoffConfig, DEFAULT_BACKOFF } from './backoff.ts';
export { type CallOptions, Cluster, type ClusterOptions, DEFAULT_TIMEOUT_MILLISECONDS } from './cluster.ts';
export { type ErrorDetails, GroupHaltedError, SeriatimError, type SeriatimErrorCode } from './error.ts';
export type { GroupPosition } from './lane-opener.ts';
export type { OrderedMessage, Receipt } from './message.ts';
export { PartitionProducer, type PartitionReceipt } from './partition-producer.ts';
export type { ReadFrom } from './partition-reader.ts';
export {
  type GroupSendOptions,
  OrderedProducer,
  type ProducerOptions,
  type SendOptions,
} from './producer.ts';
export { DEFAULT_PRODUCER_CONFIG, type ProducerConfig } from './producer-config.ts';
export type { ProducerEvents, RetryEvent } from './producer-events.ts';
export { Reader, type ReadOptions } from './reader.ts';
export type { StoredMessage } from './record.ts';
export type { SendFailure, SendResult } from './send-call.ts';

// For sister packages: the ports, so that a simulation can stand in for the world.

export { UnreachableError } from './error.ts';
export type {
  BrokerConnection,
  BrokerTransport,
  ClientClock,
  IncomingStream,
  SmallCalls,
} from './ports.ts';
