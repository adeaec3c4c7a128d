import { Cluster, OrderedProducer, Reader, SeriatimError } from '@seriatim/client';
import type { History } from '@seriatim/testkit';
import { pause } from '../../scripts/lib/node-process.mjs';

/** Groups that all producers share. */
const groupCount = 120;
/** Calls of one producer under way. */
const callsInFlight = 6;

/** Sends to random groups, with a pause after each call, until told to stop; tells the history about every message and what became of it. */
export class ChaosProducer {
  readonly errors: string[] = [];
  /** Longest time without any acknowledgement, milliseconds. */
  longestGap = 0;
  readonly #name: string;
  readonly #topic: string;
  readonly #history: History;
  readonly #random: () => number;
  readonly #pauseMilliseconds: number;
  readonly #cluster: Cluster;
  readonly #producer: OrderedProducer;
  #lastAcknowledged = performance.now();
  #stopped = false;
  #next = 1;

  constructor(
    name: string,
    topic: string,
    endpoints: readonly string[],
    history: History,
    random: () => number,
    pauseMilliseconds: number,
  ) {
    this.#name = name;
    this.#pauseMilliseconds = pauseMilliseconds;
    this.#topic = topic;
    this.#history = history;
    this.#random = random;
    this.#cluster = new Cluster({ endpoints });
    this.#producer = new OrderedProducer({ cluster: this.#cluster });
  }

  /** Resolves after {@link stop}, when everything under way is settled. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: callsInFlight }, () => this.#lane()));
    await this.#producer.close();
    this.#cluster.close();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #lane(): Promise<void> {
    while (!this.#stopped) {
      const group = `group-${Math.floor(groupCount * this.#random() ** 2)}`;
      const count = 1 + Math.floor(this.#random() * 8);
      const ids = Array.from({ length: count }, () => `${this.#name}-${this.#next++}`);
      for (const id of ids) this.#history.sent(group, id, this.#name);
      const messages = ids.map((id) => ({ messageGroup: group, value: id }));
      const result = await this.#producer.sendSettled(this.#topic, messages);
      for (const [index, id] of ids.entries()) this.#settle(group, id, result.at(index));
      await pause(this.#pauseMilliseconds);
    }
  }

  #settle(
    group: string,
    id: string,
    outcome: ReturnType<Awaited<ReturnType<OrderedProducer['sendSettled']>>['at']>,
  ): void {
    if (outcome instanceof SeriatimError) {
      this.errors.push(`${group}/${id}: ${outcome.code} (${outcome.outcome}): ${outcome.message}`);
      if (outcome.outcome === 'not-applied') this.#history.failed(group, id);
      return;
    }
    const now = performance.now();
    this.longestGap = Math.max(this.longestGap, now - this.#lastAcknowledged);
    this.#lastAcknowledged = now;
    this.#history.acknowledged(group, id, outcome);
  }
}

/** Reads all partitions and tells the history; checks that each partition's offsets rise without skips (C4). */
export class ChaosReader {
  readonly skips: string[] = [];
  readonly #cluster: Cluster;
  readonly #topic: string;
  readonly #history: History;
  readonly #next = new Map<number, number>();
  readonly #controller = new AbortController();
  #count = 0;

  constructor(topic: string, endpoints: readonly string[], history: History) {
    this.#cluster = new Cluster({ endpoints });
    this.#topic = topic;
    this.#history = history;
  }

  /** Messages read. */
  get count(): number {
    return this.#count;
  }

  /** Follows the topic until {@link stop}. Rejects when reading failed. */
  async follow(): Promise<void> {
    try {
      await this.#read(false);
    } catch (error) {
      if (!this.#controller.signal.aborted) throw error;
    } finally {
      this.#cluster.close();
    }
  }

  /** Reads everything that is there now, once. */
  async readAll(): Promise<void> {
    try {
      await this.#read(true);
    } finally {
      this.#cluster.close();
    }
  }

  stop(): void {
    this.#controller.abort();
  }

  async #read(untilEnd: boolean): Promise<void> {
    const reader = new Reader({ cluster: this.#cluster });
    const options = { topic: this.#topic, untilEnd, signal: this.#controller.signal };
    for await (const batch of reader.readBatches(options)) {
      for (const message of batch) {
        const { partition, offset, sequence, group } = message;
        const expected = this.#next.get(partition) ?? 0;
        if (offset !== expected)
          this.skips.push(`partition ${partition}: offset ${offset} after ${expected - 1}`);
        this.#next.set(partition, offset + 1);
        this.#count++;
        this.#history.read({ partition, offset, sequence, group, id: message.value.toString() });
      }
    }
  }
}
