import { Buffer } from 'node:buffer';
import {
  decodeProduceResponse,
  encodeMessage,
  encodeProduceHead,
  type MessageContent,
  messageSize,
  RefusalError,
  WireWriter,
} from '@seriatim/protocol';
import { type CallOptions, Cluster, type ClusterOptions } from './cluster.ts';
import { toSeriatimError } from './error.ts';

/** Where messages of a plain produce are stored: densely from `baseOffset` on, in the order of the call. */
export interface PartitionReceipt {
  readonly partition: number;
  readonly baseOffset: number;
  readonly messages: number;
  /** The broker's time, milliseconds since 1970-01-01 UTC. */
  readonly timestamp: number;
}

const NO_GROUP: Buffer = Buffer.alloc(0);

/**
 * Sends messages without a group to a named partition, each call as one request: all of it is stored or none. There is no sequence
 * that would tell a repetition from a first attempt, so only what is certainly not stored is sent again.
 */
export class PartitionProducer {
  readonly #cluster: Cluster;
  readonly #ownsCluster: boolean;

  constructor(options: ClusterOptions | { readonly cluster: Cluster }) {
    this.#ownsCluster = !('cluster' in options);
    this.#cluster = 'cluster' in options ? options.cluster : new Cluster(options);
  }

  /** Throws a SeriatimError; with outcome `unknown` the messages may be stored. */
  async send(
    topic: string,
    partition: number,
    messages: readonly MessageContent[],
    options: CallOptions = {},
  ): Promise<PartitionReceipt> {
    const writer = new WireWriter(4096);
    for (const message of messages) encodeMessage(writer, message, NO_GROUP, messageSize(message, 0));
    encodeProduceHead(writer, topic, partition);
    const request = writer.take();
    const { view } = this.#cluster;
    const response = await this.#cluster.retrying(
      'Produce',
      options,
      async ({ connection, timeoutMilliseconds }) => {
        try {
          return decodeProduceResponse(await connection.produce(request, timeoutMilliseconds));
        } catch (error) {
          // Not as a refusal: that would be tried again.
          if (error instanceof RefusalError && error.outcome === 'unknown') {
            throw toSeriatimError(error, { topic, partition });
          }
          throw error;
        }
      },
      view.leader(topic, partition),
    );
    const { baseOffset, messages: count, timestampMs: timestamp } = response;
    return { partition: response.partition, baseOffset, messages: count, timestamp };
  }

  /** Closes the connection to the cluster, if it is the producer's own. */
  close(): void {
    if (this.#ownsCluster) this.#cluster.close();
  }
}
