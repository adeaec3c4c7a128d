/** Producers that go on whatever happens, and what became of their messages. */
import { type OrderedProducer, Reader, type Receipt } from '@seriatim/client';
import type { ProcessCluster } from '../support/process-cluster.ts';

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Sends to each of its groups, one message after the other, until it is stopped. */
export class Load {
  /** Times of acknowledgements, `performance.now()`, by partition. */
  readonly acknowledgedAt = new Map<number, number[]>();
  readonly receipts = new Map<string, Receipt[]>();
  readonly failures: string[] = [];
  readonly #producer: OrderedProducer;
  readonly #topic: string;
  readonly #lanes: Promise<void>[];
  #stopped = false;

  /** `messages`: in one send. */
  constructor(producer: OrderedProducer, topic: string, groups: readonly string[], messages = 1) {
    this.#producer = producer;
    this.#topic = topic;
    this.#lanes = groups.map((group) => this.#send(group, messages));
  }

  /** Stops and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
  }

  get acknowledged(): number {
    return [...this.receipts.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Acknowledgements of these partitions between two times. */
  count(partitions: readonly number[], from: number, to: number): number {
    return partitions.reduce(
      (sum, one) => sum + (this.acknowledgedAt.get(one) ?? []).filter((at) => at >= from && at < to).length,
      0,
    );
  }

  /** Milliseconds from `since` to the first acknowledgement of the partition of a message sent after it. */
  gap(partition: number, since: number): number {
    const next = (this.acknowledgedAt.get(partition) ?? []).find((at) => at > since);
    return next === undefined ? Number.POSITIVE_INFINITY : next - since;
  }

  async #send(group: string, messages: number): Promise<void> {
    const receipts: Receipt[] = [];
    this.receipts.set(group, receipts);
    for (let round = 0; !this.#stopped; ) {
      const batch = Array.from({ length: messages }, () => ({ value: String(round++) }));
      try {
        const stored = await this.#producer.sendMessageGroupBatch(this.#topic, group, batch);
        const now = performance.now();
        for (const receipt of stored) {
          receipts.push(receipt);
          const times = this.acknowledgedAt.get(receipt.partition) ?? [];
          this.acknowledgedAt.set(receipt.partition, times);
          times.push(now);
        }
      } catch (error) {
        // The lane ends: what follows a failed message would not be in its order.
        this.failures.push(`${group}: ${error instanceof Error ? error.message : error}`);
        return;
      }
    }
  }
}

/**
 * Reads the topic and compares it with the receipts: each acknowledged message is there once, at the offset and with the sequence that
 * its receipt says, and each group's values are 0, 1, 2, … in this order. Gives what is wrong.
 */
export async function check(
  cluster: ProcessCluster,
  topic: string,
  loads: readonly Load[],
): Promise<string[]> {
  const wrong: string[] = [];
  const next = new Map<string, number>();
  const places = new Map<string, string>();
  for await (const message of new Reader({ cluster: cluster.cluster }).read({ topic, untilEnd: true })) {
    const { group, partition, offset, sequence, value } = message;
    const expected = next.get(group) ?? 0;
    if (sequence !== expected + 1 || value.toString() !== String(expected)) {
      wrong.push(`${group}: sequence ${sequence} holds ${value}, expected was ${expected}`);
    }
    next.set(group, expected + 1);
    places.set(`${group}/${sequence}`, `${partition}/${offset}`);
  }
  for (const load of loads) {
    for (const [group, receipts] of load.receipts) {
      for (const [at, { partition, offset, sequence }] of receipts.entries()) {
        const found = places.get(`${group}/${sequence}`);
        if (sequence !== at + 1) wrong.push(`${group}: receipt ${at} says sequence ${sequence}`);
        if (found !== `${partition}/${offset}`) {
          wrong.push(
            `${group}/${sequence}: the receipt says ${partition}/${offset}, it is at ${found ?? 'no place'}`,
          );
        }
      }
    }
  }
  return wrong;
}

/** Names of groups. */
export const groupNames = (count: number, prefix = 'group'): string[] =>
  Array.from({ length: count }, (_, number) => `${prefix}-${number}`);
