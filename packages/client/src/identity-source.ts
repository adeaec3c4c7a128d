import { RefusalError } from '@seriatim/protocol';
import type { Cluster } from './cluster.ts';
import { type SeriatimError, toSeriatimError } from './error.ts';
import { Features } from './features.ts';
import type { ProducerIdentity } from './lane.ts';
import { randomWord } from './random-word.ts';

/** Not idempotent: the broker keeps no sequence of these messages. */
const ANONYMOUS: ProducerIdentity = { producerId: 0, epoch: 0 };
/** One question for an id, and how long it is repeated before the producer looks whether it is still wanted. */
const ATTEMPT_MILLISECONDS = 1000;
const ROUND_MILLISECONDS = 5000;

/** How an identity is got. */
export interface IdentityOptions {
  readonly idempotent: boolean;
  readonly producerName: string | null;
  /** A topic to open a named producer in; undefined: there is none to send to. */
  readonly topic: () => string | undefined;
  /** Called after each new identity, and after each failure to get one. */
  readonly onArrival: () => void;
}

/** The producer's identity, got when first needed and replaced when a lane cannot go on with it. A named one is never replaced. */
export class IdentitySource {
  readonly features: Features;
  readonly #cluster: Cluster;
  readonly #options: IdentityOptions;
  /** Tells this opening of the name from all others, so that a repetition takes no further epoch. */
  readonly #instance: string;
  #newestEpoch = 0;
  #current: ProducerIdentity | null = null;
  #asking = false;
  #waiting: (() => void)[] = [];
  /** Why there is none yet. */
  error: SeriatimError | null = null;

  constructor(cluster: Cluster, options: IdentityOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#instance = randomWord(cluster.clock);
    this.features = new Features(cluster);
  }

  get current(): ProducerIdentity | null {
    return this.#current;
  }

  /** The identity, when there is one; rejects with why there is none at `deadline` (monotonic milliseconds), or never will be. */
  async whenKnown(deadline: number): Promise<ProducerIdentity> {
    while (this.#current === null) {
      const settled = new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.want(null);
      await settled;
      if (this.#current !== null) break;
      const over = this.#cluster.closed || this.#cluster.clock.now() >= deadline;
      if (this.error !== null && (over || !this.error.retryable)) throw this.error;
    }
    return this.#current;
  }

  /** Sees to it that there will be one other than `spoiled`; one question at a time. */
  want(spoiled: ProducerIdentity | null): void {
    if (this.#asking || this.#cluster.closed) return;
    if (this.#current !== null && (this.#options.producerName !== null || this.#current !== spoiled)) return;
    this.#asking = true;
    this.#ask()
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
        for (const resolve of this.#waiting.splice(0)) resolve();
        this.#options.onArrival();
      });
  }

  async #ask(): Promise<ProducerIdentity> {
    const { idempotent, producerName } = this.#options;
    const supported =
      producerName === null
        ? this.features.require('ORDERED_PRODUCE')
        : this.features.require('ORDERED_PRODUCE', 'OPEN_WRITER');
    // Both at a time, so that the first message waits for one answer only.
    const identity = idempotent
      ? this.#identify(producerName).catch((error: unknown) => toSeriatimError(error))
      : ANONYMOUS;
    await supported;
    const known = await identity;
    if (known instanceof Error) throw known;
    return known;
  }

  #identify(producerName: string | null): Promise<ProducerIdentity> {
    return producerName === null ? this.#init() : this.#open(producerName);
  }

  #init(): Promise<ProducerIdentity> {
    const limits = { timeoutMilliseconds: ROUND_MILLISECONDS };
    return this.#cluster.retrying('InitProducer', limits, async ({ connection }) => {
      try {
        return await connection.call('InitProducer', {}, ATTEMPT_MILLISECONDS);
      } catch (error) {
        // Known at once, so that a call which is given up meanwhile can say why.
        this.error = toSeriatimError(error);
        throw error;
      }
    });
  }

  /** Takes over from whichever instance is the newest; partitions that could not be fenced now are when their first group is asked for. */
  async #open(producerName: string): Promise<ProducerIdentity> {
    const limits = { timeoutMilliseconds: ROUND_MILLISECONDS };
    const { topic } = this.#options;
    const question = { producerName, epoch: 0, producerId: 0, groups: [], instance: this.#instance };
    return this.#cluster.retrying('OpenWriter', limits, async ({ connection }) => {
      const request = { ...question, topic: topic() ?? '', previousEpoch: this.#newestEpoch };
      const { producerId, epoch, opened } = await connection.call('OpenWriter', request, ROUND_MILLISECONDS);
      if (opened) return { producerId, epoch };
      this.#newestEpoch = epoch;
      throw new RefusalError(
        'NOT_READY',
        `epoch ${epoch} of producer "${producerName}" was opened meanwhile`,
      );
    });
  }
}
