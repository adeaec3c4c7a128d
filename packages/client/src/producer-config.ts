import { DEFAULT_LIMITS, type ProduceLimits } from '@seriatim/protocol';
import type { PendingLimits } from './call-book.ts';
import { SeriatimError } from './error.ts';
import type { LingerLimits } from './gatherer.ts';

/** Limits of a producer. */
export interface ProducerConfig extends PendingLimits, LingerLimits {
  /** From a call to its settlement, retries included. */
  readonly timeoutMilliseconds: number;
  /** Keep producer id and sequences, so that no retry stores a message twice. */
  readonly idempotent: boolean;
  /**
   * 1 to 256 bytes of UTF-8, or null. A producer with a name goes on where the one before it with that name stopped, which is fenced:
   * see {@link OrderedProducer.positions}.
   */
  readonly producerName: string | null;
  /** What to do at a server without ordered produce: fail with UNSUPPORTED, or send by plain Produce with a hash of the group. */
  readonly withoutOrdered: 'refuse' | 'plain';
  /** How long brokers remember an unused group at least. A run is not repeated longer than half of it: its writer could be forgotten. */
  readonly groupTtlMilliseconds: number;
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
  producerName: null,
  withoutOrdered: 'refuse',
  groupTtlMilliseconds: 24 * 60 * 60 * 1000,
  lingerMilliseconds: 0,
  lingerMessagesMax: 8_192,
  lingerBytesMax: 256 * 1024,
  requestBytesTarget: 256 * 1024,
  requestMessagesMax: 16_384,
  requestsPerNodeMax: 4,
  inFlightBytesMax: 4 * 1024 * 1024,
  attemptTimeoutMilliseconds: 10_000,
  lanesMax: 1_000_000,
  pendingMessagesMax: 1_000_000,
  pendingBytesMax: 64 * 1024 * 1024,
  whenFull: 'wait',
  waitingMessagesMax: 1_000_000,
  waitingBytesMax: 64 * 1024 * 1024,
  messageBytesMax: DEFAULT_LIMITS.messageBytesMax,
  groupBytesMax: DEFAULT_LIMITS.groupBytesMax,
} satisfies ProducerConfig & Partial<ProduceLimits>);

const CHOICES: Readonly<Record<string, readonly unknown[]>> = {
  whenFull: ['wait', 'refuse'],
  withoutOrdered: ['refuse', 'plain'],
};

/** The defaults with what is given laid over. Throws INVALID_ARGUMENT with the name of a wrong one. */
export function producerConfigOf(options: Partial<ProducerConfig>): ProducerConfig {
  const config: Record<string, unknown> = { ...DEFAULT_PRODUCER_CONFIG };
  for (const name of Object.keys(DEFAULT_PRODUCER_CONFIG)) {
    const given = options[name as keyof ProducerConfig];
    if (given === undefined) continue;
    const least = name === 'lingerMilliseconds' ? 0 : 1;
    if (typeof given === 'number' && !(Number.isSafeInteger(given) && given >= least)) {
      throw new SeriatimError('INVALID_ARGUMENT', `${name}: ${given} is not a whole number from ${least} on`);
    }
    const choices = CHOICES[name];
    if (choices !== undefined && !choices.includes(given)) {
      throw new SeriatimError('INVALID_ARGUMENT', `${name}: ${given} is none of ${choices.join(', ')}`);
    }
    config[name] = given;
  }
  if (config['producerName'] === '' || (config['producerName'] !== null && config['idempotent'] === false)) {
    throw new SeriatimError(
      'INVALID_ARGUMENT',
      'producerName: it is empty, or the producer is not idempotent',
    );
  }
  return Object.freeze(config) as unknown as ProducerConfig;
}
