import { Buffer } from 'node:buffer';
import { encodeGroupField, type MessageContent, messageSize } from '@seriatim/protocol';
import { Cluster, type ClusterOptions } from './cluster.ts';
import { Dispatcher } from './dispatcher.ts';
import { SeriatimError } from './error.ts';
import type { OrderedMessage, Receipt } from './message.ts';
import { DEFAULT_PRODUCER_CONFIG, type ProducerConfig } from './producer-config.ts';
import { SendCall, type SendOrder, type SendResult } from './send-call.ts';

/** A cluster to connect to, or one that is shared, and limits that differ from {@link DEFAULT_PRODUCER_CONFIG}. */
export type ProducerOptions = (ClusterOptions | { readonly cluster: Cluster }) & Partial<ProducerConfig>;

/** Limits of one send. */
export interface SendOptions {
  /** Default: the producer's. */
  readonly timeoutMilliseconds?: number | undefined;
  /** Gives the call up. What was sent already may be stored: the error's outcome says so. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends messages in order per message group. Calls may overlap: the messages of a group keep the order of the calls, and a retry
 * never stores a message twice. Any number of groups is sent in parallel.
 */
export class OrderedProducer {
  readonly #cluster: Cluster;
  readonly #ownsCluster: boolean;
  readonly #config: ProducerConfig;
  readonly #dispatcher: Dispatcher;
  #closed = false;

  constructor(options: ProducerOptions) {
    this.#ownsCluster = !('cluster' in options);
    this.#cluster = 'cluster' in options ? options.cluster : new Cluster(options);
    this.#config = configOf(options);
    this.#dispatcher = new Dispatcher(this.#cluster, this.#config);
  }

  /**
   * Sends messages of any groups; resolves with their receipts, in the order of `messages`, when all are stored. Throws the first
   * failed message's {@link SeriatimError}, whose `details.result` is the whole {@link SendResult}.
   */
  async sendOrderedMessages(
    topic: string,
    messages: readonly OrderedMessage[],
    options: SendOptions = {},
  ): Promise<readonly Receipt[]> {
    return receiptsOf(await this.sendSettled(topic, messages, options));
  }

  /** Sends one message. Throws a {@link SeriatimError}. */
  async sendSingleOrderedMessage(
    topic: string,
    messageGroup: string,
    key: string | Uint8Array | undefined,
    value: string | Uint8Array,
    options: SendOptions = {},
  ): Promise<Receipt> {
    const result = await this.#send(topic, messageGroup, [{ key, value }], options);
    return result.receipt(0);
  }

  /** Sends messages of one group. Throws as {@link sendOrderedMessages} does. */
  async sendMessageGroupBatch(
    topic: string,
    messageGroup: string,
    messages: readonly MessageContent[],
    options: SendOptions = {},
  ): Promise<readonly Receipt[]> {
    return receiptsOf(await this.#send(topic, messageGroup, messages, options));
  }

  /**
   * The bulk path: as {@link sendOrderedMessages}, but resolves when every message is settled, failed ones included, and gives the
   * results in columns. Throws only for messages that no broker would take; then none was sent.
   */
  sendSettled(
    topic: string,
    messages: readonly OrderedMessage[],
    options: SendOptions = {},
  ): Promise<SendResult> {
    return this.#send(topic, messages, messages, options);
  }

  /** Waits until everything under way is settled, at the latest by its deadline, then closes. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#dispatcher.calls.whenEmpty();
    this.#shut();
  }

  /** Closes at once. What is under way fails with CLOSED; what was sent already may be stored. */
  abort(): void {
    this.#closed = true;
    this.#dispatcher.calls.abandonAll(new SeriatimError('CLOSED', 'the producer was closed'));
    this.#shut();
  }

  #shut(): void {
    this.#dispatcher.close();
    if (this.#ownsCluster) this.#cluster.close();
  }

  async #send(
    topic: string,
    groups: SendOrder['groups'],
    messages: readonly MessageContent[],
    options: SendOptions,
  ): Promise<SendResult> {
    if (this.#closed) throw new SeriatimError('CLOSED', 'the producer is closed');
    if (topic === '') throw new SeriatimError('INVALID_ARGUMENT', 'topic: it is empty');
    const { signal, timeoutMilliseconds = this.#config.timeoutMilliseconds } = options;
    if (signal?.aborted === true) throw new SeriatimError('CANCELLED', 'cancelled before it was sent');
    const call = new SendCall({
      topic,
      groups,
      messages,
      deadline: this.#cluster.clock.now() + timeoutMilliseconds,
      timeoutMilliseconds,
      bytes: this.#check(topic, groups, messages),
    });
    if (messages.length === 0) {
      call.finish();
      return call.result;
    }
    this.#dispatcher.calls.enter(call);
    if (signal === undefined) return call.result;
    const abort = (): void => {
      const error = new SeriatimError('CANCELLED', 'cancelled by its signal', { cause: signal.reason });
      this.#dispatcher.calls.abandon([call], () => error);
    };
    signal.addEventListener('abort', abort, { once: true });
    return call.result.finally(() => signal.removeEventListener('abort', abort));
  }

  /** Refuses what no broker would take, before anything is sent. Gives about the bytes of the messages. */
  #check(topic: string, groups: SendOrder['groups'], messages: readonly MessageContent[]): number {
    const { messageBytesMax } = this.#config;
    if (typeof groups === 'string' && !this.#dispatcher.knows(topic, groups)) this.#checkGroup(groups, 0);
    let bytes = 0;
    for (let index = 0; index < messages.length; index++) {
      const message = messages[index] as MessageContent;
      const group = typeof groups === 'string' ? groups : groups[index]?.messageGroup;
      if (typeof groups !== 'string' && !(group !== undefined && this.#dispatcher.knows(topic, group))) {
        this.#checkGroup(group, index);
      }
      if (typeof message.value !== 'string' && !(message.value instanceof Uint8Array)) {
        throw new SeriatimError('INVALID_ARGUMENT', `message ${index}: value is neither a string nor bytes`);
      }
      const about = message.value.length + (message.key?.length ?? 0);
      bytes += about;
      // Exact sizes cost time: only what may come near the limit is measured.
      if (about * 4 < messageBytesMax && message.headers === undefined) continue;
      const size = messageSize(message, encodeGroupField(group ?? '').length);
      if (size > messageBytesMax) {
        throw new SeriatimError(
          'MESSAGE_TOO_LARGE',
          `message ${index}: ${size} bytes (limit ${messageBytesMax}); nothing was sent`,
          { details: { index, value: size, limit: messageBytesMax } },
        );
      }
    }
    return bytes;
  }

  #checkGroup(group: string | undefined, index: number): void {
    const limit = this.#config.groupBytesMax;
    const details = { index, group, limit };
    const refuse = (what: string): SeriatimError =>
      new SeriatimError('INVALID_GROUP', `message ${index}: the message group ${what}; nothing was sent`, {
        details,
      });
    if (typeof group !== 'string' || group === '') throw refuse('is empty or no string');
    const bytes = Buffer.from(group, 'utf8');
    if (bytes.length > limit) throw refuse(`has ${bytes.length} bytes (limit ${limit})`);
    // Half a surrogate pair would be replaced: then two names of the program were one group of the broker.
    if (bytes.toString('utf8') !== group) throw refuse('is not well-formed Unicode');
  }
}

function configOf(options: Partial<ProducerConfig>): ProducerConfig {
  const config: Record<string, unknown> = { ...DEFAULT_PRODUCER_CONFIG };
  for (const name of Object.keys(DEFAULT_PRODUCER_CONFIG)) {
    const given = options[name as keyof ProducerConfig];
    if (given === undefined) continue;
    if (typeof given === 'number' && !(Number.isSafeInteger(given) && given > 0)) {
      throw new SeriatimError('INVALID_ARGUMENT', `${name}: ${given} is not a whole number above 0`);
    }
    config[name] = given;
  }
  return Object.freeze(config) as unknown as ProducerConfig;
}

function receiptsOf(result: SendResult): readonly Receipt[] {
  const [failure] = result.failures;
  if (failure !== undefined) {
    const { error, index } = failure;
    throw new SeriatimError(error.code, `message ${index}: ${error.message}`, {
      outcome: result.failures.some((one) => one.error.outcome === 'unknown') ? 'unknown' : error.outcome,
      details: { ...error.details, index, failed: result.failures.length, result },
      cause: error,
    });
  }
  const receipts: Receipt[] = [];
  for (let index = 0; index < result.length; index++) receipts.push(result.receipt(index));
  return receipts;
}
