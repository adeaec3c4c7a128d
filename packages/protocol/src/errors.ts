/**
 * The one table: stable code → gRPC status → what a client does. docs/protocol.md shows it; a test keeps both equal.
 */
import { status } from '@grpc/grpc-js';

/** Whether a refused or failed request changed anything. */
export type Outcome = 'not-applied' | 'unknown';

export interface ErrorRow {
  readonly status: status;
  /** A client may send the same request again, after a pause, perhaps to another node. */
  readonly retryable: boolean;
}

const row = (grpcStatus: status, retryable: boolean): ErrorRow => ({ status: grpcStatus, retryable });

/** Every code that a server answers. Codes never change their meaning. */
export type ErrorCode =
  | 'INVALID_REQUEST'
  | 'INVALID_MESSAGE'
  | 'INVALID_GROUP'
  | 'GROUP_NOT_ALLOWED'
  | 'INVALID_PRODUCER_NAME'
  | 'INVALID_TOPIC_NAME'
  | 'INVALID_PARTITION_COUNT'
  | 'INVALID_REPLICA_COUNT'
  | 'MESSAGE_TOO_LARGE'
  | 'BATCH_TOO_LARGE'
  | 'UNKNOWN_TOPIC'
  | 'UNKNOWN_PARTITION'
  | 'UNKNOWN_GROUP'
  | 'TOPIC_EXISTS'
  | 'OFFSET_OUT_OF_RANGE'
  | 'TOPIC_NOT_READY'
  | 'NOT_LEADER'
  | 'NO_LEADER'
  | 'NO_META_LEADER'
  | 'NOT_COMMITTED'
  | 'PEER_UNREACHABLE'
  | 'NOT_READY'
  | 'SHUTTING_DOWN'
  | 'STALE_ROUTE'
  | 'OVERLOADED'
  | 'DISK_FULL'
  | 'DEADLINE'
  | 'SEQUENCE_GAP'
  | 'SEQUENCE_CONFLICT'
  | 'WRITER_UNKNOWN'
  | 'PRODUCER_FENCED'
  | 'INVALID_SUBSCRIPTION'
  | 'UNKNOWN_SUBSCRIPTION'
  | 'SUBSCRIPTION_EXISTS'
  | 'SUBSCRIPTION_NOT_READY'
  | 'TOO_MANY_CONSUMERS'
  | 'SESSION_REPLACED'
  | 'HOLD_LOST'
  | 'SETTLEMENT_OUT_OF_ORDER'
  | 'GROUP_PARKED'
  | 'GROUP_NOT_PARKED'
  | 'HEAD_CHANGED'
  | 'SEQUENCE_OUT_OF_RANGE'
  | 'UNSUPPORTED'
  | 'INTERNAL';

/** Each code's row. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = {
  INVALID_REQUEST: row(status.INVALID_ARGUMENT, false),
  INVALID_MESSAGE: row(status.INVALID_ARGUMENT, false),
  INVALID_GROUP: row(status.INVALID_ARGUMENT, false),
  GROUP_NOT_ALLOWED: row(status.INVALID_ARGUMENT, false),
  INVALID_PRODUCER_NAME: row(status.INVALID_ARGUMENT, false),
  INVALID_TOPIC_NAME: row(status.INVALID_ARGUMENT, false),
  INVALID_PARTITION_COUNT: row(status.INVALID_ARGUMENT, false),
  INVALID_REPLICA_COUNT: row(status.INVALID_ARGUMENT, false),
  MESSAGE_TOO_LARGE: row(status.INVALID_ARGUMENT, false),
  BATCH_TOO_LARGE: row(status.INVALID_ARGUMENT, false),
  UNKNOWN_TOPIC: row(status.NOT_FOUND, false),
  UNKNOWN_PARTITION: row(status.NOT_FOUND, false),
  UNKNOWN_GROUP: row(status.NOT_FOUND, false),
  TOPIC_EXISTS: row(status.ALREADY_EXISTS, false),
  OFFSET_OUT_OF_RANGE: row(status.OUT_OF_RANGE, false),
  TOPIC_NOT_READY: row(status.UNAVAILABLE, true),
  NOT_LEADER: row(status.UNAVAILABLE, true),
  NO_LEADER: row(status.UNAVAILABLE, true),
  NO_META_LEADER: row(status.UNAVAILABLE, true),
  NOT_COMMITTED: row(status.UNAVAILABLE, true),
  PEER_UNREACHABLE: row(status.UNAVAILABLE, true),
  NOT_READY: row(status.UNAVAILABLE, true),
  SHUTTING_DOWN: row(status.UNAVAILABLE, true),
  STALE_ROUTE: row(status.UNAVAILABLE, true),
  OVERLOADED: row(status.RESOURCE_EXHAUSTED, true),
  DISK_FULL: row(status.RESOURCE_EXHAUSTED, true),
  DEADLINE: row(status.DEADLINE_EXCEEDED, true),
  SEQUENCE_GAP: row(status.FAILED_PRECONDITION, false),
  SEQUENCE_CONFLICT: row(status.FAILED_PRECONDITION, false),
  WRITER_UNKNOWN: row(status.FAILED_PRECONDITION, false),
  PRODUCER_FENCED: row(status.FAILED_PRECONDITION, false),
  INVALID_SUBSCRIPTION: row(status.INVALID_ARGUMENT, false),
  UNKNOWN_SUBSCRIPTION: row(status.NOT_FOUND, false),
  SUBSCRIPTION_EXISTS: row(status.ALREADY_EXISTS, false),
  SUBSCRIPTION_NOT_READY: row(status.UNAVAILABLE, true),
  TOO_MANY_CONSUMERS: row(status.RESOURCE_EXHAUSTED, true),
  SESSION_REPLACED: row(status.ABORTED, false),
  HOLD_LOST: row(status.FAILED_PRECONDITION, false),
  SETTLEMENT_OUT_OF_ORDER: row(status.FAILED_PRECONDITION, false),
  GROUP_PARKED: row(status.FAILED_PRECONDITION, false),
  GROUP_NOT_PARKED: row(status.FAILED_PRECONDITION, false),
  HEAD_CHANGED: row(status.FAILED_PRECONDITION, false),
  SEQUENCE_OUT_OF_RANGE: row(status.OUT_OF_RANGE, false),
  UNSUPPORTED: row(status.UNIMPLEMENTED, false),
  INTERNAL: row(status.INTERNAL, false),
};

/** An expected refusal. `message` names what was wrong, the value, the limit, and what to do. */
export class RefusalError extends Error {
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  /** Address (host:port) of the node to ask instead, where known. */
  readonly leaderAddress: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      readonly outcome?: Outcome;
      readonly leaderAddress?: string | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'RefusalError';
    this.code = code;
    this.outcome = options.outcome ?? 'not-applied';
    this.leaderAddress = options.leaderAddress;
  }
}
