import { Backoff } from './backoff.ts';
import type { BrokerConnection, ClientClock } from './ports.ts';

/** After a failure of the connection itself a node is left alone for 100 ms, doubling up to a second. */
const PAUSE = { firstMilliseconds: 100, maxMilliseconds: 1000 };

/** A node's connection, how it fares, and what a producer has under way to it. */
export class NodeLink {
  readonly address: string;
  readonly connection: BrokerConnection;
  readonly #clock: ClientClock;
  readonly #backoff: Backoff;
  #pausedUntil = 0;

  constructor(address: string, connection: BrokerConnection, clock: ClientClock) {
    this.address = address;
    this.connection = connection;
    this.#clock = clock;
    this.#backoff = new Backoff(PAUSE, clock);
  }

  /** Monotonic milliseconds; in the past when it is not pausing. */
  get pausedUntil(): number {
    return this.#pausedUntil;
  }

  /**
   * After a failure a node counts again only when it is connected: a frozen one takes connections and says nothing, and what is sent
   * to it would wait in vain.
   */
  get usable(): boolean {
    if (this.#pausedUntil > this.#clock.now()) return false;
    return this.#backoff.failures === 0 || this.connection.ready();
  }

  succeeded(): void {
    this.#backoff.succeeded();
    this.#pausedUntil = 0;
  }

  /** No broker answered there. */
  failed(): void {
    this.#pausedUntil = this.#clock.now() + this.#backoff.failed();
  }
}
