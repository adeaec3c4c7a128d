import type { Cluster } from './cluster.ts';
import { type SeriatimError, toSeriatimError } from './error.ts';
import type { ProducerIdentity } from './lane.ts';

/** Not idempotent: the broker keeps no sequence of these messages. */
const ANONYMOUS: ProducerIdentity = { producerId: 0, epoch: 0 };
/** One question for an id, and how long it is repeated before the producer looks whether it is still wanted. */
const ATTEMPT_MILLISECONDS = 1000;
const ROUND_MILLISECONDS = 5000;

/** The producer's identity, got when first needed and replaced when a lane cannot go on with it. */
export class IdentitySource {
  readonly #cluster: Cluster;
  readonly #onArrival: () => void;
  #current: ProducerIdentity | null;
  #asking = false;
  /** Why there is none yet. */
  error: SeriatimError | null = null;

  /** `onArrival` is called after each new identity, and after each failure to get one. */
  constructor(cluster: Cluster, idempotent: boolean, onArrival: () => void) {
    this.#cluster = cluster;
    this.#onArrival = onArrival;
    this.#current = idempotent ? null : ANONYMOUS;
  }

  get current(): ProducerIdentity | null {
    return this.#current;
  }

  /** Sees to it that there will be one other than `spoiled`; one question at a time. */
  want(spoiled: ProducerIdentity | null): void {
    if (this.#asking || this.#cluster.closed) return;
    if (this.#current !== null && this.#current !== spoiled) return;
    this.#asking = true;
    this.#cluster
      .retrying('InitProducer', { timeoutMilliseconds: ROUND_MILLISECONDS }, async ({ connection }) => {
        try {
          return await connection.call('InitProducer', {}, ATTEMPT_MILLISECONDS);
        } catch (error) {
          // Known at once, so that a call which is given up meanwhile can say why.
          this.error = toSeriatimError(error);
          throw error;
        }
      })
      .then(
        (identity) => {
          this.error = null;
          this.#current = identity;
        },
        (error: unknown) => {
          this.error = toSeriatimError(error);
        },
      )
      .finally(() => {
        this.#asking = false;
        this.#onArrival();
      });
  }
}
