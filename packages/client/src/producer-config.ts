import { DEFAULT_LIMITS, type ProduceLimits } from '@seriatim/protocol';
import type { PendingLimits } from './call-book.ts';

/** Limits of a producer. What happens at each: calls wait, in their order; nothing is dropped. */
export interface ProducerConfig extends PendingLimits {
  /** From a call to its settlement, retries included. */
  readonly timeoutMilliseconds: number;
  /** Keep producer id and sequences, so that no retry stores a message twice. */
  readonly idempotent: boolean;
  /** A request is sent when it has about this many bytes of messages, or when nothing more is ready. */
  readonly requestBytesTarget: number;
  readonly requestMessagesMax: number;
  /** Requests under way to one node. */
  readonly requestsPerNodeMax: number;
  /** Bytes of requests under way, to all nodes. */
  readonly inFlightBytesMax: number;
  /** One attempt waits no longer for its answer; the run is then sent again, perhaps to another node. */
  readonly attemptTimeoutMilliseconds: number;
  /** Groups that the producer remembers. Above, it takes a new identity and forgets those that have nothing under way. */
  readonly lanesMax: number;
  /** What brokers take; checked here already, so that a mistake costs no round trip. */
  readonly messageBytesMax: number;
  readonly groupBytesMax: number;
}

/** The defaults. */
export const DEFAULT_PRODUCER_CONFIG: ProducerConfig = Object.freeze({
  timeoutMilliseconds: 30_000,
  idempotent: true,
  requestBytesTarget: 256 * 1024,
  requestMessagesMax: 16_384,
  requestsPerNodeMax: 4,
  inFlightBytesMax: 4 * 1024 * 1024,
  attemptTimeoutMilliseconds: 10_000,
  lanesMax: 1_000_000,
  pendingMessagesMax: 1_000_000,
  pendingBytesMax: 64 * 1024 * 1024,
  messageBytesMax: DEFAULT_LIMITS.messageBytesMax,
  groupBytesMax: DEFAULT_LIMITS.groupBytesMax,
} satisfies ProducerConfig & Partial<ProduceLimits>);
