// What a user meets.

export { Admin, type NewTopic, type RouteFilter } from './admin.ts';
export { type BackoffConfig, DEFAULT_BACKOFF } from './backoff.ts';
export { type CallOptions, Cluster, type ClusterOptions, DEFAULT_TIMEOUT_MILLISECONDS } from './cluster.ts';
export type { ConsumedMessage, NackOptions } from './consumer/consumed-message.ts';
export { Consumer, type ConsumerOptions, type RunOptions } from './consumer/consumer.ts';
export { type ConsumerConfig, DEFAULT_CONSUMER_CONFIG } from './consumer/consumer-config.ts';
export type {
  ConsumerEvents,
  FellBehindEvent,
  HoldLostEvent,
  RefusedEvent,
} from './consumer/consumer-events.ts';
export { type MessageHandler, RejectMessage } from './consumer/handler-pool.ts';
export type { HoldToken } from './consumer/hold.ts';
export type { ConsumedBatch } from './consumer/message-iterator.ts';
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
export {
  type ActorOptions,
  type GroupResolution,
  type ResolveOptions,
  SubscriptionAdmin,
  type SubscriptionDescription,
  type SubscriptionReset,
} from './subscription-admin.ts';
export type {
  GroupExplanation,
  GroupState,
  LaggingGroup,
  NewSubscription,
  PoisonPolicy,
  Subscription,
  SubscriptionStart,
} from './subscription-info.ts';

// For sister packages: the ports, so that a simulation can stand in for the world.

export { UnreachableError } from './error.ts';
export type {
  BrokerConnection,
  BrokerTransport,
  ClientClock,
  ConsumeCall,
  ConsumeListener,
  IncomingStream,
  SmallCalls,
} from './ports.ts';
