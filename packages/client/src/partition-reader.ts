import type { Buffer } from 'node:buffer';
import {
  decodeFetchResponse,
  FETCH_FROM_EARLIEST,
  FETCH_FROM_LATEST,
  FETCH_FROM_OFFSET,
  type FetchRequest,
  RefusalError,
} from '@seriatim/protocol';
import { Backoff } from './backoff.ts';
import { type Cluster, mayGetBetter } from './cluster.ts';
import { SeriatimError, toSeriatimError, UnreachableError } from './error.ts';
import type { IncomingStream } from './ports.ts';
import { messagesOf, type StoredMessage } from './record.ts';

/** Where to begin: the first stored message, behind the last one, or an offset. */
export type ReadFrom = 'earliest' | 'latest' | number;

/** What to read of one partition. */
export interface PartitionRead {
  readonly topic: string;
  readonly partition: number;
  /** Empty: all groups. */
  readonly group: string;
  readonly from: ReadFrom;
  readonly untilEnd: boolean;
  readonly responseBytes: number;
  /** Without a message or an end for this long while trying, it gives up. */
  readonly timeoutMilliseconds: number;
}

/** A new leader knows the end of its log only after its first commit: an offset beyond it may be right a moment later. */
const BEHIND_MILLISECONDS = 5000;

/** Reads one partition through whatever leader it has, going on behind the last message after each break. */
export class PartitionReader {
  readonly #cluster: Cluster;
  readonly #read: PartitionRead;
  #stream: IncomingStream<unknown> | null = null;
  #closed = false;
  /** Where to go on; undefined until it is known. */
  #next: number | undefined;

  constructor(cluster: Cluster, read: PartitionRead) {
    this.#cluster = cluster;
    this.#read = read;
    this.#next = typeof read.from === 'number' ? read.from : undefined;
  }

  /** Gives batches to `sink`, one after the other, until the end or `close`. Rejects with a SeriatimError. */
  async run(sink: (batch: readonly StoredMessage[]) => Promise<void>): Promise<void> {
    const { clock, view, backoff: config } = this.#cluster;
    const { topic, partition, timeoutMilliseconds } = this.#read;
    const backoff = new Backoff(config, clock);
    let progressAt = clock.now();
    while (!this.#closed) {
      const link = this.#cluster.pick(view.leader(topic, partition));
      const before = this.#next;
      try {
        await this.#drain(link.connection.fetch(this.#request()), sink, () => {
          link.succeeded();
          backoff.succeeded();
          progressAt = clock.now();
        });
        return;
      } catch (error) {
        if (this.#closed) return;
        if (!(error instanceof RefusalError)) throw toSeriatimError(error, { topic, partition });
        if (error instanceof UnreachableError) link.failed();
        // A stream that waited at the end for long has not been failing for that long.
        if (backoff.failures === 0) progressAt = clock.now();
        const pause = backoff.failed();
        const patience =
          error.code === 'OFFSET_OUT_OF_RANGE' && before !== undefined && before !== this.#read.from;
        const limit = patience ? BEHIND_MILLISECONDS : timeoutMilliseconds;
        const over = clock.now() + pause - progressAt > limit;
        if (over || !(patience || mayGetBetter(error.code, backoff.failures))) throw this.#failed(error);
        if (error.leaderAddress === undefined) void this.#cluster.refresh();
        else view.learnLeader(topic, partition, error.leaderAddress);
        if (error instanceof UnreachableError) view.forgetLeader(topic, partition, link.address);
        await this.#cluster.sleep(pause);
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#stream?.cancel();
  }

  async #drain(
    stream: IncomingStream<Buffer>,
    sink: (batch: readonly StoredMessage[]) => Promise<void>,
    onResponse: () => void,
  ): Promise<void> {
    this.#stream = stream;
    try {
      for (;;) {
        const bytes = await this.#inTime(stream);
        if (bytes === null || this.#closed) return;
        onResponse();
        const response = decodeFetchResponse(bytes);
        const batch = messagesOf(this.#read.topic, response);
        const last = batch.at(-1);
        if (last === undefined) {
          // Says where a stream from the end begins.
          this.#next ??= response.baseOffset;
          continue;
        }
        this.#next = last.offset + 1;
        await sink(batch);
      }
    } finally {
      stream.cancel();
      this.#stream = null;
    }
  }

  /** A stream that is to end gives something all the time; one that waits at the end may be silent for ever. */
  async #inTime(stream: IncomingStream<Buffer>): Promise<Buffer | null> {
    if (!this.#read.untilEnd) return stream.next();
    const { timeoutMilliseconds } = this.#read;
    let cancelTimer = (): void => {};
    const silence = new Promise<never>((_, reject) => {
      cancelTimer = this.#cluster.clock.schedule(timeoutMilliseconds, () => {
        reject(new UnreachableError('DEADLINE', `nothing came within ${timeoutMilliseconds} ms`));
        stream.cancel();
      });
    });
    try {
      return await Promise.race([stream.next(), silence]);
    } finally {
      cancelTimer();
    }
  }

  #request(): FetchRequest {
    const { topic, partition, group, from, untilEnd, responseBytes } = this.#read;
    const place =
      this.#next !== undefined
        ? { from: FETCH_FROM_OFFSET, offset: this.#next }
        : { from: from === 'latest' ? FETCH_FROM_LATEST : FETCH_FROM_EARLIEST, offset: 0 };
    return { topic, partition, group, untilEnd, responseBytes, ...place };
  }

  #failed(error: RefusalError): SeriatimError {
    const { topic, partition } = this.#read;
    return new SeriatimError(error.code, `read of ${topic}/${partition}: ${error.message}`, {
      outcome: error.outcome,
      details: { topic, partition, offset: this.#next },
      cause: error,
    });
  }
}
