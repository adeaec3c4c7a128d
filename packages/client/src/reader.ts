import { Cluster, type ClusterOptions, DEFAULT_TIMEOUT_MILLISECONDS } from './cluster.ts';
import { SeriatimError } from './error.ts';
import { MergeQueue } from './merge-queue.ts';
import { PartitionReader, type ReadFrom } from './partition-reader.ts';
import type { StoredMessage } from './record.ts';

/** What to read. */
export interface ReadOptions {
  readonly topic: string;
  /** Default: all of the topic, merged as they come; the order is kept within each. */
  readonly partition?: number | undefined;
  /** Only messages of this group. */
  readonly group?: string | undefined;
  /** Default `earliest`. An offset needs a partition. */
  readonly from?: ReadFrom | undefined;
  /** End where each partition ended when its reading began, instead of waiting for more. */
  readonly untilEnd?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long a partition may be out of reach before the read fails. Default 30,000. */
  readonly timeoutMilliseconds?: number | undefined;
}

/**
 * Messages in one response. gRPC reads up to 16 responses ahead per partition: with 8 partitions about 16 MiB are held for a
 * reader that is slow; further ones stay at the broker.
 */
const RESPONSE_BYTES = 128 * 1024;

type Item =
  | { readonly type: 'batch'; readonly batch: readonly StoredMessage[] }
  | { readonly type: 'end' }
  | { readonly type: 'error'; readonly error: unknown };

/** Reads stored messages, going on after fail-over behind the last one it gave. */
export class Reader {
  readonly #cluster: Cluster;
  readonly #ownsCluster: boolean;

  constructor(options: ClusterOptions | { readonly cluster: Cluster }) {
    this.#ownsCluster = !('cluster' in options);
    this.#cluster = 'cluster' in options ? options.cluster : new Cluster(options);
  }

  /** One message after the other: `for await (const message of reader.read({ topic }))`. Throws a {@link SeriatimError}. */
  async *read(options: ReadOptions): AsyncGenerator<StoredMessage, void, void> {
    for await (const batch of this.readBatches(options)) yield* batch;
  }

  /** The same in batches of one partition each, as they come from the broker: for programs that read much. */
  async *readBatches(options: ReadOptions): AsyncGenerator<readonly StoredMessage[], void, void> {
    const { signal } = options;
    const places = await this.#places(options);
    const queue = new MergeQueue<Item>();
    const readers = places.map((partition) => this.#open(options, partition, queue));
    const abort = (): void => {
      const error = new SeriatimError('CANCELLED', 'cancelled by its signal', { cause: signal?.reason });
      void queue.put({ type: 'error', error });
    };
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    try {
      for (let open = readers.length; open > 0; ) {
        const item = await queue.take();
        if (item.type === 'error') throw item.error;
        if (item.type === 'end') open--;
        else yield item.batch;
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      queue.close();
      for (const reader of readers) reader.close();
    }
  }

  /** Ends all reads and, if it is the reader's own, the connection to the cluster. */
  close(): void {
    if (this.#ownsCluster) this.#cluster.close();
  }

  #open(options: ReadOptions, partition: number, queue: MergeQueue<Item>): PartitionReader {
    const reader = new PartitionReader(this.#cluster, {
      topic: options.topic,
      partition,
      group: options.group ?? '',
      from: options.from ?? 'earliest',
      untilEnd: options.untilEnd ?? false,
      responseBytes: RESPONSE_BYTES,
      timeoutMilliseconds: options.timeoutMilliseconds ?? DEFAULT_TIMEOUT_MILLISECONDS,
    });
    reader
      .run((batch) => queue.put({ type: 'batch', batch }))
      .then(
        () => queue.put({ type: 'end' }),
        (error: unknown) => queue.put({ type: 'error', error }),
      );
    return reader;
  }

  /**
   * Which partitions to read. A group lives in one: where its route says so, only that one is read. Where `latest` is, each
   * partition's leader says with the first response of its stream.
   */
  async #places(options: ReadOptions): Promise<readonly number[]> {
    const { topic, group, from = 'earliest' } = options;
    if (typeof from === 'number' && !(Number.isSafeInteger(from) && from >= 0)) {
      throw new SeriatimError('INVALID_ARGUMENT', `from: ${from} is no offset (a whole number from 0)`);
    }
    if (typeof from === 'number' && options.partition === undefined) {
      throw new SeriatimError('INVALID_ARGUMENT', 'from: an offset needs a partition');
    }
    const call = { timeoutMilliseconds: options.timeoutMilliseconds, signal: options.signal };
    await this.#cluster.refresh();
    let only = options.partition;
    if (only === undefined && group !== undefined && group !== '')
      only = await this.#route(topic, group, call);
    if (only !== undefined) return [only];
    const { partitions } = await this.#cluster.retrying('DescribeTopic', call, (attempt) =>
      attempt.connection.call('DescribeTopic', { name: topic }, attempt.timeoutMilliseconds, options.signal),
    );
    return partitions.map(({ partition }) => partition);
  }

  async #route(
    topic: string,
    group: string,
    call: { readonly timeoutMilliseconds: number | undefined; readonly signal: AbortSignal | undefined },
  ): Promise<number | undefined> {
    try {
      const { route } = await this.#cluster.retrying('GetRoute', call, (attempt) =>
        attempt.connection.call('GetRoute', { topic, group }, attempt.timeoutMilliseconds, call.signal),
      );
      return route?.partition;
    } catch (error) {
      if (error instanceof SeriatimError && error.code === 'UNKNOWN_GROUP') return undefined;
      throw error;
    }
  }
}
