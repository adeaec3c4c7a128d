import { Buffer } from 'node:buffer';
import type { OrderedMessage, OrderedProducer, SendResult } from '@seriatim/client';
import type { Progress } from './terminal.ts';

/** What to produce. */
export interface LoadShape {
  readonly topic: string;
  readonly messages: number;
  readonly size: number;
  readonly groups: number;
  /** Messages a second at fixed times; undefined: as fast as the window lets. */
  readonly rate: number | undefined;
  /** Someone takes the messages while they are made, and asks when they were meant to be sent. */
  readonly followed: boolean;
}

/** What came of it. */
export interface LoadResult {
  readonly acknowledged: number;
  readonly seconds: number;
  /** Milliseconds from the time a message was meant to be sent, ascending. */
  readonly latencies: Float64Array;
  readonly firstFailure: Error | null;
}

/**
 * At a fixed rate the messages of so many seconds, at most a quarter of all, are sent and not measured: programs that have just started
 * run slower, on both sides.
 */
const WARM_UP_SECONDS = 5;
/** Messages of one call, and bytes under way. */
const MESSAGES_PER_CALL = 1024;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** About what a message needs beside its value: tags, lengths, a 16-byte group. */
const OVERHEAD_BYTES = 22;
const NAME_PREFIX = 'group-';

/** Makes the messages: group names of 16 bytes, values that say their run, group and place in the group. */
export class Load {
  readonly runId: number = (Math.random() * 0xffff_ffff) >>> 0;
  readonly shape: LoadShape;
  /** How many messages each group has been given. */
  readonly counts: Uint32Array;
  /** Of each group's first message, after {@link warmUp}. */
  readonly firstSequences: Float64Array;
  /** When measured messages were meant to be sent, by their group and place as the eight bytes of one number, until they are taken. */
  readonly #intended = new Map<number, number>();
  readonly #names: string[];
  readonly #latencies: Float64Array;
  #latencyCount = 0;
  #seed = 0x9e3779b9;
  #acknowledged = 0;
  #firstFailure: Error | null = null;

  constructor(shape: LoadShape) {
    this.shape = shape;
    this.counts = new Uint32Array(shape.groups);
    this.firstSequences = new Float64Array(shape.groups);
    this.#names = Array.from(
      { length: shape.groups },
      (_, group) => `${NAME_PREFIX}${String(group).padStart(10, '0')}`,
    );
    this.#latencies = new Float64Array(shape.messages);
  }

  /** Whether it is the value of one of its messages. */
  owns(value: Buffer): boolean {
    return value.length === this.shape.size && value.readUInt32LE(0) === this.runId;
  }

  /** Messages made until now. */
  get produced(): number {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }

  /** When a message of a followed load was meant to be sent; undefined: it is not measured, or was asked for before. */
  takeIntended(value: Buffer): number | undefined {
    const key = value.readDoubleLE(4);
    const at = this.#intended.get(key);
    if (at !== undefined) this.#intended.delete(key);
    return at;
  }

  groupName(group: number): string {
    return this.#names[group] as string;
  }

  /** undefined: no group of a load has this name. */
  groupNumber(name: string): number | undefined {
    const number = Number(name.slice(NAME_PREFIX.length));
    return this.#names[number] === name ? number : undefined;
  }

  /**
   * One message to each group, which is not counted: what follows measures messages, not the assignment of new groups. Gives groups
   * per second.
   */
  async warmUp(producer: OrderedProducer, progress: Progress): Promise<number> {
    const { groups, topic, size } = this.shape;
    const started = performance.now();
    const perCall = Math.max(1, Math.min(MESSAGES_PER_CALL, Math.floor(WINDOW_BYTES / 4 / size)));
    const underWay = new Set<Promise<unknown>>();
    for (let first = 0; first < groups; first += perCall) {
      const count = Math.min(perCall, groups - first);
      const bytes = Buffer.alloc(count * size, 0x78);
      const messages = Array.from({ length: count }, (_, index) =>
        this.#message(bytes, index, first + index),
      );
      const call = producer
        .sendOrderedMessages(topic, messages)
        .then((receipts) =>
          this.firstSequences.set(
            receipts.map(({ sequence }) => sequence),
            first,
          ),
        )
        .finally(() => underWay.delete(call));
      // Awaited below, but perhaps not before another one has failed.
      call.catch(() => {});
      underWay.add(call);
      if (underWay.size >= 4) await Promise.race(underWay);
      progress.show(() => `${first} of ${groups} groups are there`);
    }
    await Promise.all(underWay);
    return (groups * 1000) / (performance.now() - started);
  }

  /** Produces all messages and waits for their acknowledgements. */
  async run(producer: OrderedProducer, progress: Progress): Promise<LoadResult> {
    const started = performance.now();
    if (this.shape.rate === undefined) await this.#closedLoop(producer, progress);
    else await this.#openLoop(producer, progress, this.shape.rate);
    const seconds = (performance.now() - started) / 1000;
    const latencies = this.#latencies.subarray(0, this.#latencyCount).sort();
    return { acknowledged: this.#acknowledged, seconds, latencies, firstFailure: this.#firstFailure };
  }

  async #closedLoop(producer: OrderedProducer, progress: Progress): Promise<void> {
    const { messages, size, topic } = this.shape;
    const perCall = Math.min(
      MESSAGES_PER_CALL,
      Math.max(1, Math.floor(WINDOW_BYTES / 16 / (size + OVERHEAD_BYTES))),
    );
    const window = Math.max(perCall, Math.floor(WINDOW_BYTES / (size + OVERHEAD_BYTES)));
    let underWay = 0;
    let wake: () => void = () => {};
    for (let sent = 0; sent < messages; ) {
      const count = Math.min(perCall, messages - sent);
      while (underWay > 0 && underWay + count > window) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      underWay += count;
      sent += count;
      const at = performance.now();
      void this.#settle(producer.sendSettled(topic, this.#make(count)), at, 0, count, true).then(() => {
        underWay -= count;
        wake();
      });
      progress.show(() => `${this.#acknowledged} of ${messages} messages acknowledged`);
    }
    while (underWay > 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }

  /** Whatever is due is sent, whether or not earlier messages are settled: a stall costs every message that it delays. */
  async #openLoop(producer: OrderedProducer, progress: Progress, rate: number): Promise<void> {
    const { messages, topic, followed } = this.shape;
    const step = 1000 / rate;
    const started = performance.now();
    const calls: Promise<void>[] = [];
    const measuredFrom = Math.floor(Math.min(messages / 4, rate * WARM_UP_SECONDS));
    for (let sent = 0; sent < messages; ) {
      const due = Math.min(messages, Math.floor((performance.now() - started) / step) + 1);
      if (due > sent) {
        const intended = started + sent * step;
        const made = this.#make(due - sent);
        if (followed && sent >= measuredFrom) this.#noteIntended(made, intended, step);
        const call = producer.sendSettled(topic, made);
        calls.push(this.#settle(call, intended, step, due - sent, sent >= measuredFrom));
        sent = due;
      }
      progress.show(() => `${this.#acknowledged} of ${messages} messages acknowledged`);
      const wait = started + sent * step - performance.now();
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait)));
    }
    await Promise.all(calls);
  }

  #noteIntended(messages: readonly OrderedMessage[], first: number, step: number): void {
    messages.forEach(({ value }, index) => {
      if (Buffer.isBuffer(value)) this.#intended.set(value.readDoubleLE(4), first + index * step);
    });
  }

  async #settle(
    call: Promise<SendResult>,
    intended: number,
    step: number,
    count: number,
    measured: boolean,
  ): Promise<void> {
    try {
      const result = await call;
      this.#acknowledged += result.stored;
      this.#firstFailure ??= result.failures[0]?.error ?? null;
    } catch (error) {
      this.#firstFailure ??= error as Error;
    }
    if (!measured) return;
    const now = performance.now();
    for (let index = 0; index < count; index++) {
      this.#latencies[this.#latencyCount++] = now - (intended + index * step);
    }
  }

  #make(count: number): OrderedMessage[] {
    const { size, groups } = this.shape;
    const bytes = Buffer.alloc(count * size, 0x78);
    const messages: OrderedMessage[] = [];
    for (let index = 0; index < count; index++) {
      // xorshift: cheap, and the same groups in every run
      this.#seed ^= this.#seed << 13;
      this.#seed ^= this.#seed >>> 17;
      this.#seed ^= this.#seed << 5;
      const group = (this.#seed >>> 0) % groups;
      messages.push(this.#message(bytes, index, group));
    }
    return messages;
  }

  #message(bytes: Buffer, index: number, group: number): OrderedMessage {
    const { size } = this.shape;
    const value = bytes.subarray(index * size, (index + 1) * size);
    const place = this.counts[group] as number;
    value.writeUInt32LE(this.runId, 0);
    value.writeUInt32LE(group, 4);
    value.writeUInt32LE(place, 8);
    this.counts[group] = place + 1;
    return { messageGroup: this.#names[group] as string, value };
  }
}
