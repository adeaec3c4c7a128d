import type { Cluster, Consumer } from '@seriatim/client';
import { SubscriptionAdmin } from '@seriatim/client';
import type { Load } from './bench-load.ts';
import type { Progress } from './terminal.ts';

/** How the messages are taken: in batches, or each by a handler of `Consumer.run`. */
export type ConsumeHow = 'batches' | 'run';

/** What consuming showed. */
export interface ConsumeResult {
  readonly messages: number;
  readonly seconds: number;
  /** Messages out of their group's order. */
  readonly orderViolations: number;
  /** Milliseconds from the time a message was meant to be sent until it was handed out, ascending; only of a load at a fixed rate. */
  readonly latencies: Float64Array;
}

/** Handlers at a time. */
const CONCURRENCY = 256;
/** Name of the subscription; it goes with the topic, or is deleted. */
const SUBSCRIPTION = 'bench';

/** One subscription to the topic of a load, consumed by one consumer that acknowledges everything. */
export class ConsumeCheck {
  readonly #load: Load;
  readonly #admin: SubscriptionAdmin;
  readonly #consumer: Consumer;
  readonly #how: ConsumeHow;
  readonly #next: Uint32Array;
  readonly #latencies: number[] = [];
  readonly #progress: Progress;
  #violations = 0;
  #messages = 0;
  #expected = Number.POSITIVE_INFINITY;
  #started = 0;
  #ended: Promise<unknown> = Promise.resolve();

  private constructor(cluster: Cluster, load: Load, how: ConsumeHow, progress: Progress) {
    this.#load = load;
    this.#how = how;
    this.#progress = progress;
    this.#next = new Uint32Array(load.shape.groups);
    this.#admin = new SubscriptionAdmin({ cluster });
    this.#consumer = cluster.consumer({ topic: load.shape.topic, subscription: SUBSCRIPTION });
  }

  /** Subscribes at a place: at the beginning to what is there, or at the end to what comes. */
  static async subscribe(
    cluster: Cluster,
    load: Load,
    how: ConsumeHow,
    start: 'earliest' | 'latest',
    progress: Progress,
  ): Promise<ConsumeCheck> {
    const check = new ConsumeCheck(cluster, load, how, progress);
    const { topic } = load.shape;
    // Left by a run before.
    await check.#admin.delete(topic, SUBSCRIPTION).catch(() => {});
    await check.#admin.create({ topic, name: SUBSCRIPTION, start });
    if (start === 'latest')
      for (let group = 0; group < check.#next.length; group++)
        check.#next[group] = load.counts[group] as number;
    return check;
  }

  /** Begins to take messages. */
  start(): void {
    this.#started = performance.now();
    this.#ended = this.#how === 'run' ? this.#run() : this.#batches();
    // Awaited below, but perhaps not before it has failed.
    this.#ended.catch(() => {});
  }

  /** Resolves when so many messages were taken and all are settled for good. */
  async finish(messages: number): Promise<ConsumeResult> {
    this.#expected = messages;
    if (this.#messages >= messages) this.#consumer.stop();
    await this.#ended;
    await this.#consumer.close();
    const seconds = (performance.now() - this.#started) / 1000;
    await this.#admin.delete(this.#load.shape.topic, SUBSCRIPTION);
    return {
      messages: this.#messages,
      seconds,
      orderViolations: this.#violations,
      latencies: Float64Array.from(this.#latencies).sort(),
    };
  }

  async #batches(): Promise<void> {
    for await (const batch of this.#consumer.batches()) {
      for (const { value } of batch) this.#take(value);
      batch.ack();
    }
  }

  #run(): Promise<void> {
    return this.#consumer.run(async ({ value }) => this.#take(value), { concurrency: CONCURRENCY });
  }

  #take(value: Buffer): void {
    const { runId, shape, intended } = this.#load;
    if (value.length !== shape.size || value.readUInt32LE(0) !== runId) return;
    const group = value.readUInt32LE(4);
    const place = value.readUInt32LE(8);
    if (place !== this.#next[group]) this.#violations++;
    this.#next[group] = place + 1;
    const at = intended.get(value.readDoubleLE(4));
    if (at !== undefined) this.#latencies.push(performance.now() - at);
    this.#progress.show(() => `${this.#messages} messages consumed`);
    if (++this.#messages >= this.#expected) this.#consumer.stop();
  }
}
