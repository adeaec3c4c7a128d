import { UNKNOWN_TOPIC_ATTEMPTS } from '../backoff.ts';
import type { Cluster } from '../cluster.ts';
import { isRetryable, SeriatimError } from '../error.ts';

/** Whether it is worth going on: after each stream that failed, and when none has been there for long. */
export class StreamHealth {
  readonly #timeoutMilliseconds: number;
  /** A node may learn of a topic or subscription late: so many in a row said that there is none. */
  #unknown = 0;
  /** Monotonic milliseconds. */
  #upAt: number;
  #lastError: SeriatimError | null = null;

  /** `timeoutMilliseconds`: 0: without end. */
  constructor(timeoutMilliseconds: number, now: number) {
    this.#timeoutMilliseconds = timeoutMilliseconds;
    this.#upAt = now;
  }

  succeeded(): void {
    this.#unknown = 0;
    this.#lastError = null;
  }

  /** `unreachable`: no broker answered, whatever the code. */
  mayGetBetter(error: SeriatimError, unreachable: boolean): boolean {
    this.#lastError = error;
    const { code } = error;
    if (code === 'UNKNOWN_TOPIC' || code === 'UNKNOWN_SUBSCRIPTION')
      return ++this.#unknown < UNKNOWN_TOPIC_ATTEMPTS;
    if (code === 'UNSUPPORTED') return false;
    // The session is this consumer's alone: it was its own older stream's end that came late.
    return unreachable || code === 'SESSION_REPLACED' || isRetryable(code);
  }

  /** The consumer's own error when it has been without a stream for too long, or its cluster was closed. */
  late(cluster: Pick<Cluster, 'clock' | 'closed'>, up: boolean): SeriatimError | null {
    if (cluster.closed) return new SeriatimError('CLOSED', 'the client is closed');
    const now = cluster.clock.now();
    if (up) this.#upAt = now;
    const limit = this.#timeoutMilliseconds;
    if (limit === 0 || now - this.#upAt < limit) return null;
    const { code = 'DEADLINE', message = 'no node could be asked' } = this.#lastError ?? {};
    return new SeriatimError(code, `no stream for ${limit} ms: ${message}`, { cause: this.#lastError });
  }
}
