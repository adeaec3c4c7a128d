/**
 * Sends to a server without ordered produce: each group to the partition that a hash of its name gives, one request of a partition at a time.
 * What goes wrong is not repeated where it may be stored, because such a server knows no duplicates; receipts have no sequence.
 */
import { Buffer } from 'node:buffer';
import { crc32 } from 'node:zlib';
import type { MessageContent } from '@seriatim/protocol';
import type { Cluster } from './cluster.ts';
import { SeriatimError, toSeriatimError } from './error.ts';
import { PartitionProducer } from './partition-producer.ts';
import type { SendCall } from './send-call.ts';

/** Messages of one call for one partition, by their indexes in the call. */
interface Share {
  readonly indexes: number[];
  readonly messages: MessageContent[];
}

/** See the head of this file. */
export class PlainFallback {
  readonly #cluster: Cluster;
  readonly #producer: PartitionProducer;
  readonly #requestBytesTarget: number;
  /** Partitions of topics. */
  readonly #partitions = new Map<string, Promise<number>>();
  /** The end of the queue of each partition. */
  readonly #last = new Map<string, Promise<void>>();
  /** Called when all messages of a call are settled. */
  readonly #onSettled: (call: SendCall) => void;

  constructor(cluster: Cluster, requestBytesTarget: number, onSettled: (call: SendCall) => void) {
    this.#cluster = cluster;
    this.#producer = new PartitionProducer({ cluster });
    this.#requestBytesTarget = requestBytesTarget;
    this.#onSettled = onSettled;
  }

  /** Never throws: failures are the messages'. */
  async take(call: SendCall): Promise<void> {
    const { topic } = call.order;
    let partitions: number;
    try {
      partitions = await this.#partitionCount(topic, this.#remaining(call));
    } catch (error) {
      const failure = toSeriatimError(error);
      for (let index = 0; index < call.messages.length; index++) call.failed(index, failure);
      this.#onSettled(call);
      return;
    }
    for (const [partition, share] of sharesOf(call, partitions)) {
      const key = `${partition} ${topic}`;
      const before = this.#last.get(key) ?? Promise.resolve();
      const sent = before.then(() => this.#send(call, partition, share));
      this.#last.set(key, sent);
      void sent.then(() => {
        if (this.#last.get(key) === sent) this.#last.delete(key);
        if (call.settled) this.#onSettled(call);
      });
    }
  }

  async #send(call: SendCall, partition: number, { indexes, messages }: Share): Promise<void> {
    let at = 0;
    let failure: SeriatimError | null = call.abandoned;
    while (at < messages.length) {
      const end = failure === null ? this.#cut(messages, at) : messages.length;
      try {
        if (failure !== null) throw failure;
        const limits = { timeoutMilliseconds: this.#remaining(call) };
        const chunk = messages.slice(at, end);
        const { baseOffset } = await this.#producer.send(call.order.topic, partition, chunk, limits);
        for (let step = at; step < end; step++) {
          call.stored(indexes[step] as number, partition, baseOffset + step - at, 0, false);
        }
      } catch (error) {
        // What lies behind in the call must not be stored before it.
        failure = toSeriatimError(error);
        for (let step = at; step < messages.length; step++) call.failed(indexes[step] as number, failure);
        return;
      }
      at = end;
    }
  }

  #cut(messages: readonly MessageContent[], from: number): number {
    let bytes = 0;
    let at = from;
    while (at < messages.length && (at === from || bytes < this.#requestBytesTarget)) {
      bytes += (messages[at] as MessageContent).value.length;
      at++;
    }
    return at;
  }

  #remaining(call: SendCall): number {
    return Math.max(1, call.order.deadline - this.#cluster.clock.now());
  }

  #partitionCount(topic: string, timeoutMilliseconds: number): Promise<number> {
    let count = this.#partitions.get(topic);
    if (count === undefined) {
      count = this.#cluster
        .retrying('DescribeTopic', { timeoutMilliseconds }, ({ connection, timeoutMilliseconds: timeout }) =>
          connection.call('DescribeTopic', { name: topic }, timeout),
        )
        .then(({ partitions }) => {
          if (partitions.length > 0) return partitions.length;
          throw new SeriatimError('UNKNOWN_TOPIC', `topic "${topic}" has no partitions`);
        });
      this.#partitions.set(topic, count);
      count.catch(() => this.#partitions.delete(topic));
    }
    return count;
  }
}

function sharesOf(call: SendCall, partitions: number): ReadonlyMap<number, Share> {
  const { groups } = call.order;
  const shares = new Map<number, Share>();
  call.messages.forEach((message, index) => {
    const group = typeof groups === 'string' ? groups : (groups[index]?.messageGroup ?? '');
    const partition = crc32(Buffer.from(group, 'utf8')) % partitions;
    let share = shares.get(partition);
    if (share === undefined) {
      share = { indexes: [], messages: [] };
      shares.set(partition, share);
    }
    share.indexes.push(index);
    // The group would be lost: it travels as the key, where the message has none of its own.
    share.messages.push({ ...message, key: message.key ?? group });
  });
  return shares;
}
