import { type ErrorCode, RefusalError } from '@seriatim/protocol';
import { Backoff, type BackoffConfig, DEFAULT_BACKOFF, UNKNOWN_TOPIC_ATTEMPTS } from './backoff.ts';
import { ClusterView } from './cluster-view.ts';
import { Consumer, type ConsumerOptions } from './consumer/consumer.ts';
import { isRetryable, SeriatimError, toSeriatimError, UnreachableError } from './error.ts';
import { grpcTransport } from './grpc-transport.ts';
import { NodeLink } from './node-link.ts';
import type { BrokerConnection, BrokerTransport, ClientClock } from './ports.ts';
import { systemClock } from './system-clock.ts';

/** How to reach a cluster. */
export interface ClusterOptions {
  /** Addresses (host:port) of some nodes; the others are learned. At least one. */
  readonly endpoints: readonly string[];
  readonly backoff?: BackoffConfig | undefined;
  readonly transport?: BrokerTransport | undefined;
  readonly clock?: ClientClock | undefined;
}

/** Limits of one call. */
export interface CallOptions {
  /** From the call to its answer, retries included. Default 30,000. */
  readonly timeoutMilliseconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Default of {@link CallOptions.timeoutMilliseconds}. */
export const DEFAULT_TIMEOUT_MILLISECONDS = 30_000;
/** One attempt waits no longer than this before another node is asked. */
const ATTEMPT_TIMEOUT_MILLISECONDS = 10_000;
/** Hints to a leader that are followed without a pause: after so many in a row the nodes do not agree, and it is waited instead. */
const HINTS_IN_A_ROW_MAX = 2;
/** Between two questions for the cluster's shape. */
const REFRESH_PAUSE_MILLISECONDS = 100;

/** What an attempt gets: a node, the time it has, and whether an earlier attempt may have been done. */
export interface Attempt {
  readonly connection: BrokerConnection;
  readonly timeoutMilliseconds: number;
  readonly earlierUnknown: boolean;
}

/** Connections to the nodes and what is known of them; shared by producers, readers and admin. */
export class Cluster {
  readonly clock: ClientClock;
  readonly view: ClusterView;
  readonly backoff: BackoffConfig;
  readonly #transport: BrokerTransport;
  readonly #links = new Map<string, NodeLink>();
  #turn = 0;
  #refreshing: Promise<void> | null = null;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: ClusterOptions) {
    if (options.endpoints.length === 0) {
      throw new SeriatimError('INVALID_ARGUMENT', 'endpoints: none given; at least one host:port is needed');
    }
    for (const endpoint of options.endpoints) {
      if (!/^.+:\d{1,5}$/.test(endpoint)) {
        throw new SeriatimError('INVALID_ARGUMENT', `endpoints: "${endpoint}" is not host:port`);
      }
    }
    this.clock = options.clock ?? systemClock;
    this.backoff = options.backoff ?? DEFAULT_BACKOFF;
    this.#transport = options.transport ?? grpcTransport;
    this.view = new ClusterView(options.endpoints);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The link to an address, opened on first use. */
  link(address: string): NodeLink {
    let link = this.#links.get(address);
    if (link === undefined) {
      link = new NodeLink(address, this.#transport.connect(address), this.clock);
      this.#links.set(address, link);
    }
    return link;
  }

  /**
   * The node to ask: `preferred` unless it is in its pause after failures, else the next in turn that is not. When all are
   * pausing, the one whose pause ends first.
   */
  pick(preferred?: string): NodeLink {
    if (preferred !== undefined) {
      const link = this.link(preferred);
      if (link.usable) return link;
    }
    const { candidates } = this.view;
    let soonest: NodeLink | undefined;
    for (let step = 0; step < candidates.length; step++) {
      const link = this.link(candidates[this.#turn++ % candidates.length] as string);
      if (link.usable) return link;
      if (soonest === undefined || link.pausedUntil < soonest.pausedUntil) soonest = link;
    }
    return soonest as NodeLink;
  }

  /** Asks for the cluster's shape, at most once in 100 ms and never twice at a time. Never rejects. */
  refresh(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#refreshing ??= this.#describe().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #describe(): Promise<void> {
    const pause = this.#refreshedAt + REFRESH_PAUSE_MILLISECONDS - this.clock.now();
    if (pause > 0) await this.sleep(pause);
    this.#refreshedAt = this.clock.now();
    const link = this.pick();
    try {
      this.view.learn(await link.connection.call('DescribeCluster', {}, 1000));
      link.succeeded();
    } catch (error) {
      if (error instanceof UnreachableError) link.failed();
    }
  }

  /**
   * The one retry loop for everything that is not a producer's lane: tries, with doubling pauses, until an answer, a refusal
   * that no retry can change, or the deadline. A refusal that names the leader is followed at once. `preferred` names the node to
   * begin with.
   */
  async retrying<T>(
    what: string,
    options: CallOptions,
    attempt: (attempt: Attempt) => Promise<T>,
    preferred?: string,
  ): Promise<T> {
    const { signal, timeoutMilliseconds = DEFAULT_TIMEOUT_MILLISECONDS } = options;
    const deadline = this.clock.now() + timeoutMilliseconds;
    const backoff = new Backoff(this.backoff, this.clock);
    let target = preferred;
    let earlierUnknown = false;
    let hints = 0;
    for (let attempts = 1; ; attempts++) {
      this.#requireOpen(signal);
      const remaining = Math.max(1, deadline - this.clock.now());
      const link = this.pick(target);
      target = undefined;
      try {
        const result = await attempt({
          connection: link.connection,
          timeoutMilliseconds: Math.min(remaining, ATTEMPT_TIMEOUT_MILLISECONDS),
          earlierUnknown,
        });
        link.succeeded();
        return result;
      } catch (error) {
        this.#requireOpen(signal);
        if (!(error instanceof RefusalError)) throw toSeriatimError(error);
        if (error instanceof UnreachableError) link.failed();
        earlierUnknown ||= error.outcome === 'unknown';
        if (!mayGetBetter(error.code, attempts)) throw gaveUp(what, error, earlierUnknown, 0);
        target = hintOf(error);
        const follows = target !== undefined && target !== link.address && hints < HINTS_IN_A_ROW_MAX;
        const pause = follows ? 0 : backoff.failed();
        if (this.clock.now() + pause >= deadline)
          throw gaveUp(what, error, earlierUnknown, timeoutMilliseconds);
        hints = follows ? hints + 1 : 0;
        if (!follows) await this.sleep(pause, signal);
      }
    }
  }

  /** Resolves after that time, or at once when `signal` aborts. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.clock.schedule(milliseconds, done);
      if (signal?.aborted === true) done();
      else signal?.addEventListener('abort', done, { once: true });
    });
  }

  /** A member of a subscription; see {@link Consumer}. Close it before the cluster. Throws INVALID_ARGUMENT. */
  consumer(options: ConsumerOptions): Consumer {
    return new Consumer(this, options);
  }

  /** Closes all connections; calls under way fail. */
  close(): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.connection.close();
    this.#links.clear();
  }

  #requireOpen(signal: AbortSignal | undefined): void {
    if (this.#closed) throw new SeriatimError('CLOSED', 'the client is closed');
    if (signal?.aborted === true) {
      throw new SeriatimError('CANCELLED', 'cancelled by its signal', {
        outcome: 'unknown',
        cause: signal.reason,
      });
    }
  }
}

/** Whether the same call may be answered otherwise a moment later, after `attempts` of them. */
export function mayGetBetter(code: string, attempts: number): boolean {
  return code === 'UNKNOWN_TOPIC' ? attempts < UNKNOWN_TOPIC_ATTEMPTS : isRetryable(code);
}

function hintOf(error: RefusalError): string | undefined {
  return error.leaderAddress === '' ? undefined : error.leaderAddress;
}

function gaveUp(
  what: string,
  error: RefusalError,
  earlierUnknown: boolean,
  milliseconds: number,
): SeriatimError {
  const code: ErrorCode = error.code;
  const text = milliseconds > 0 ? ` (gave up after ${milliseconds} ms)` : '';
  const outcome = earlierUnknown ? 'unknown' : error.outcome;
  return new SeriatimError(code, `${what}: ${error.message}${text}`, { outcome, cause: error });
}
