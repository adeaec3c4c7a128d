import { CONSUME_CREDIT_BYTES_MAX, CONSUME_CREDIT_MESSAGES_MAX } from '@seriatim/protocol';
import { SeriatimError } from '../error.ts';

/** Limits of a consumer, whole numbers; times up to 2^31 - 1, which timers take. */
export interface ConsumerConfig {
  /**
   * Messages that brokers may send ahead and that the application has not taken, over all streams, which share it evenly. At it they wait. A group
   * that is worked on slowly keeps up to 1,024 of them: {@link Consumer.run} with much concurrency wants more.
   */
  readonly creditMessages: number;
  /** Their bytes, likewise. One message may pass it, when it alone is larger than what is left. */
  readonly creditBytes: number;
  /** Settlements gather for this long before they are sent; 0: to the end of the turn. `flush` sends at once. */
  readonly lingerMilliseconds: number;
  /** Settlement rows sent and not answered, of one stream, up to 524,288, half of what a broker keeps; above it they gather, one a group. */
  readonly unansweredRowsMax: number;
  /**
   * Groups whose messages wait here to be taken are held by extension as long as the application takes something at least this often. One that does
   * not is stuck, and its groups go to others.
   */
  readonly takeWithinMilliseconds: number;
  /** How often it is looked for new partitions and nodes while all is well. */
  readonly pollMilliseconds: number;
  /** Without any stream for this long the consumer fails; 0: never, it tries on. */
  readonly timeoutMilliseconds: number;
}

/** The defaults. */
export const DEFAULT_CONSUMER_CONFIG: ConsumerConfig = Object.freeze({
  creditMessages: 8_192,
  creditBytes: 8 * 1024 * 1024,
  lingerMilliseconds: 2,
  unansweredRowsMax: 32_768,
  takeWithinMilliseconds: 300_000,
  pollMilliseconds: 5_000,
  timeoutMilliseconds: 0,
});

const FROM_ZERO: readonly string[] = ['lingerMilliseconds', 'timeoutMilliseconds'];
const TIME_MAX = 2_147_483_647;
const MOST: Readonly<Record<string, number>> = {
  creditMessages: CONSUME_CREDIT_MESSAGES_MAX,
  creditBytes: CONSUME_CREDIT_BYTES_MAX,
  unansweredRowsMax: 524_288,
};

/** The defaults with what is given laid over. Throws INVALID_ARGUMENT with the name of a wrong one. */
export function consumerConfigOf(options: Partial<ConsumerConfig>): ConsumerConfig {
  const config: Record<string, number> = { ...DEFAULT_CONSUMER_CONFIG };
  for (const name of Object.keys(DEFAULT_CONSUMER_CONFIG)) {
    const given = options[name as keyof ConsumerConfig];
    if (given === undefined) continue;
    const least = FROM_ZERO.includes(name) ? 0 : 1;
    const most = MOST[name] ?? (name.endsWith('Milliseconds') ? TIME_MAX : Number.MAX_SAFE_INTEGER);
    if (!(Number.isSafeInteger(given) && given >= least && given <= most)) {
      throw new SeriatimError(
        'INVALID_ARGUMENT',
        `${name}: ${given} is not a whole number from ${least} to ${most}`,
      );
    }
    config[name] = given;
  }
  return Object.freeze(config) as unknown as ConsumerConfig;
}
