import type { Cluster, ConsumedMessage, Consumer } from '@seriatim/client';
import { Admin, SeriatimError, SubscriptionAdmin } from '@seriatim/client';
import { DeliveredOrder } from './bench-check.ts';
import type { Load } from './bench-load.ts';
import type { Progress } from './terminal.ts';

/** How the messages are taken: in batches, or each by a handler of `Consumer.run`. */
export type ConsumeHow = 'batches' | 'run';

/** What to consume, and how. */
export interface ConsumeCheckOptions {
  readonly cluster: Cluster;
  readonly load: Load;
  readonly how: ConsumeHow;
  /** At the beginning to what is there, or at the end to what comes. */
  readonly start: 'earliest' | 'latest';
  /** Without a new message for so long it gives up. */
  readonly stallMilliseconds: number;
  /** For each call. Default: the client's. */
  readonly timeoutMilliseconds?: number | undefined;
  readonly progress: Progress;
}

/** What consuming showed. */
export interface ConsumeResult {
  /** Different ones. */
  readonly messages: number;
  readonly seconds: number;
  /** Messages that came again because they were not acknowledged for good: no violation. */
  readonly repeats: number;
  /** Messages out of their group's order. */
  readonly orderViolations: number;
  /** Messages that never came. */
  readonly missing: number;
  /** Says what is missing; empty: nothing is. */
  readonly stall: string;
  /** Milliseconds from the time a message was meant to be sent until it was handed out, ascending; only of a load at a fixed rate. */
  readonly latencies: Float64Array;
}

/** Handlers at a time. */
const CONCURRENCY = 256;
/** Groups that are named when messages are missing. */
const MISSING_GROUPS_SHOWN = 5;

/** A subscription of its own to the topic of a load, consumed by one consumer that acknowledges everything. */
export class ConsumeCheck {
  /** Of this run alone. */
  readonly subscription: string;
  readonly #options: ConsumeCheckOptions;
  readonly #admin: SubscriptionAdmin;
  readonly #consumer: Consumer;
  readonly #order: DeliveredOrder;
  readonly #latencies: number[] = [];
  #expected = Number.POSITIVE_INFINITY;
  #started = 0;
  #progressAt = 0;
  /** Where the partitions ended when everything had been stored. */
  #ends: readonly number[] = [];
  #taken: Promise<unknown> = Promise.resolve();
  #ended: Promise<void> | null = null;

  constructor(options: ConsumeCheckOptions) {
    const { cluster, load, start } = options;
    const { topic, groups } = load.shape;
    this.subscription = `bench-${load.runId.toString(36)}`;
    this.#options = options;
    this.#admin = new SubscriptionAdmin({ cluster });
    this.#consumer = cluster.consumer({ topic, subscription: this.subscription });
    this.#order =
      start === 'latest'
        ? new DeliveredOrder(load.counts, load.firstSequences)
        : new DeliveredOrder(new Uint32Array(groups));
    this.#consumer.events.on('holdLost', ({ group }) => {
      const number = load.groupNumber(group);
      if (number !== undefined) this.#order.lost(number);
    });
  }

  /** Creates the subscription and begins to take messages. */
  async begin(): Promise<void> {
    const { load, start, timeoutMilliseconds } = this.#options;
    const { topic } = load.shape;
    await this.#admin.create({ topic, name: this.subscription, start }, { timeoutMilliseconds });
    this.#started = performance.now();
    this.#taken = this.#options.how === 'run' ? this.#run() : this.#batches();
    // Awaited below, but perhaps not before it has failed.
    this.#taken.catch(() => {});
  }

  /** Everything is stored. Resolves when so many messages were taken and all are settled for good, or none came for too long. */
  async finish(messages: number): Promise<ConsumeResult> {
    const { stallMilliseconds, load, cluster, timeoutMilliseconds } = this.#options;
    const { partitions } = await new Admin({ cluster }).describeTopic(load.shape.topic, {
      timeoutMilliseconds,
    });
    this.#ends = partitions.map(({ highWatermark }) => highWatermark);
    this.#expected = messages;
    if (this.#order.messages >= messages) this.#consumer.stop();
    this.#progressAt = performance.now();
    let stalled = false;
    const look = setInterval(
      () => {
        stalled ||= performance.now() - this.#progressAt >= stallMilliseconds;
        if (stalled) this.#consumer.stop();
      },
      Math.min(1000, Math.ceil(stallMilliseconds / 4)),
    );
    try {
      await this.#taken;
    } finally {
      clearInterval(look);
    }
    await this.#consumer.close();
    const ended = stalled ? this.#progressAt : performance.now();
    const missing = Math.max(0, messages - this.#order.messages);
    return {
      messages: this.#order.messages,
      seconds: (ended - this.#started) / 1000,
      repeats: this.#order.repeats,
      orderViolations: this.#order.violations,
      missing,
      stall: missing === 0 ? '' : stallText(stallMilliseconds, missing, messages, this.#missingGroups(load)),
      latencies: Float64Array.from(this.#latencies).sort(),
    };
  }

  /** Leaves and deletes the subscription, whatever happened. May be called again. */
  end(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    await this.#consumer.close();
    const { topic } = this.#options.load.shape;
    try {
      await this.#admin.delete(topic, this.subscription, { timeoutMilliseconds: 5000 });
    } catch (error) {
      // It was never made.
      if (!(error instanceof SeriatimError && error.code === 'UNKNOWN_SUBSCRIPTION')) throw error;
    }
  }

  #missingGroups(load: Load): readonly string[] {
    return this.#order
      .missing(load.counts)
      .map(
        ({ group, from, messages }) =>
          `${load.groupName(group)} (${messages}, from its message ${from + 1} on)`,
      );
  }

  async #batches(): Promise<void> {
    for await (const batch of this.#consumer.batches()) {
      for (const message of batch) this.#take(message);
      batch.ack();
    }
  }

  #run(): Promise<void> {
    return this.#consumer.run(async (message) => this.#take(message), { concurrency: CONCURRENCY });
  }

  #take(message: ConsumedMessage): void {
    // A repetition is no progress: it might be the same for ever. What others stored in the topic is, as far as own messages may lie behind it.
    const isOwn = this.#options.load.owns(message.value);
    if (isOwn ? this.#takeOwn(message) : message.offset < (this.#ends[message.partition] ?? 0))
      this.#progressAt = performance.now();
    if (this.#order.messages >= this.#expected) this.#consumer.stop();
  }

  /** Gives whether it had not come before. */
  #takeOwn({ value, sequence, attempt }: ConsumedMessage): boolean {
    const { load, progress } = this.#options;
    const delivered = { group: value.readUInt32LE(4), place: value.readUInt32LE(8), sequence, attempt };
    if (!this.#order.take(delivered)) return false;
    const at = load.takeIntended(value);
    if (at !== undefined) this.#latencies.push(performance.now() - at);
    progress.show(() => `${this.#order.messages} messages consumed`);
    return true;
  }
}

function stallText(
  milliseconds: number,
  missing: number,
  messages: number,
  groups: readonly string[],
): string {
  const shown = groups.slice(0, MISSING_GROUPS_SHOWN).join(', ');
  const more =
    groups.length > MISSING_GROUPS_SHOWN ? `, and ${groups.length - MISSING_GROUPS_SHOWN} more` : '';
  const where = groups.length === 0 ? '' : `: of ${shown}${more}`;
  return `no message came for ${milliseconds} ms, ${missing} of ${messages} are missing${where}`;
}
