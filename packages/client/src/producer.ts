import { Buffer } from 'node:buffer';
import { EventEmitter } from 'node:events';
import { encodeGroupField, type MessageContent, messageSize } from '@seriatim/protocol';
import { Cluster, type ClusterOptions } from './cluster.ts';
import { Dispatcher } from './dispatcher.ts';
import { SeriatimError } from './error.ts';
import { type Gathered, Gatherer, settling } from './gatherer.ts';
import type { GroupPosition } from './lane-opener.ts';
import type { OrderedMessage, Receipt } from './message.ts';
import { type ProducerConfig, producerConfigOf } from './producer-config.ts';
import type { ProducerEvents } from './producer-events.ts';
import { SendCall, type SendOrder, type SendResult } from './send-call.ts';

/** A cluster to connect to, or one that is shared, and limits that differ from `DEFAULT_PRODUCER_CONFIG`. */
export type ProducerOptions = (ClusterOptions | { readonly cluster: Cluster }) & Partial<ProducerConfig>;

/** Limits of one send. */
export interface SendOptions {
  /** Default: the producer's. */
  readonly timeoutMilliseconds?: number | undefined;
  /** Gives the call up. What was sent already may be stored: the error's outcome says so. */
  readonly signal?: AbortSignal | undefined;
}

/** Of a send to one group. */
export interface GroupSendOptions extends SendOptions {
  /**
   * The group's last sequence, as the caller knows it; 0: nothing is stored in it. The messages are stored only if it is true, all of them or
   * none; else the call fails with SEQUENCE_CONFLICT, whose `details.currentSequence` is the group's last sequence.
   */
  readonly expectedSequence?: number | undefined;
}

const NO_OPTIONS: GroupSendOptions = {};

/**
 * Sends messages in order per message group. Calls may overlap: the messages of a group keep the order of the calls, and a retry
 * never stores a message twice. Any number of groups is sent in parallel.
 */
export class OrderedProducer {
  readonly #cluster: Cluster;
  readonly #ownsCluster: boolean;
  readonly #config: ProducerConfig;
  readonly #dispatcher: Dispatcher;
  readonly #gatherer: Gatherer;
  /** What happens to it, beside the calls' results; see {@link ProducerEvents}. */
  readonly events: EventEmitter<ProducerEvents> = new EventEmitter();
  #closed = false;

  constructor(options: ProducerOptions) {
    this.#ownsCluster = !('cluster' in options);
    this.#cluster = 'cluster' in options ? options.cluster : new Cluster(options);
    this.#config = producerConfigOf(options);
    this.#dispatcher = new Dispatcher(this.#cluster, this.#config, this.events);
    this.#gatherer = new Gatherer(this.#config, this.#cluster.clock, (gathered) => this.#enter(gathered));
  }

  /**
   * Sends one message; many calls at a time are the way to use it: they are gathered into few requests (see
   * {@link ProducerConfig.lingerMilliseconds}), without an order between groups and in the order of the calls in a group. Throws a
   * {@link SeriatimError}.
   */
  send(topic: string, message: OrderedMessage, options: GroupSendOptions = NO_OPTIONS): Promise<Receipt> {
    const { messageGroup: group } = message;
    if (options !== NO_OPTIONS || this.#config.withoutOrdered === 'plain') {
      return this.#send(topic, group, [message], options).then((result) => result.receipt(0));
    }
    try {
      this.#requireOpen(topic);
      return this.#gatherer.add(topic, message, this.#check(topic, group, [message]));
    } catch (error) {
      return Promise.reject(error);
    }
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
    options: GroupSendOptions = {},
  ): Promise<Receipt> {
    const result = await this.#send(topic, messageGroup, [{ key, value }], options);
    return result.receipt(0);
  }

  /** Sends messages of one group. Throws as {@link sendOrderedMessages} does. */
  async sendMessageGroupBatch(
    topic: string,
    messageGroup: string,
    messages: readonly MessageContent[],
    options: GroupSendOptions = {},
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

  /**
   * For a named producer: where it stands in groups, in the order asked. A process that takes over asks here which of its messages are
   * stored and goes on behind them: what an older process of that name sends from then on is refused. Throws a {@link SeriatimError}.
   */
  async positions(
    topic: string,
    groups: readonly string[],
    options: { readonly timeoutMilliseconds?: number | undefined } = {},
  ): Promise<readonly GroupPosition[]> {
    this.#requireOpen(topic);
    const { timeoutMilliseconds = this.#config.timeoutMilliseconds } = options;
    return this.#dispatcher.positions(topic, groups, timeoutMilliseconds);
  }

  /**
   * Lets a group take messages again after one failed for good; what was refused meanwhile is for the caller to send again, or
   * not. False: the group was not halted.
   */
  resumeGroup(topic: string, group: string): boolean {
    return this.#dispatcher.resume(topic, group);
  }

  /** Messages that it holds, under way or waiting; what still lingers is not counted. */
  get pendingMessages(): number {
    return this.#dispatcher.calls.messages;
  }

  /** About their bytes. */
  get pendingBytes(): number {
    return this.#dispatcher.calls.bytes;
  }

  /** Resolves when a further call would be taken in at once: for callers that do not await each of their sends. */
  whenRoom(): Promise<void> {
    return this.#dispatcher.calls.whenRoom();
  }

  /** Sends what is gathered without lingering, and resolves when everything that was sent before is settled, failed or not. */
  async flush(): Promise<void> {
    this.#gatherer.flushAll();
    await this.#dispatcher.calls.whenSettled();
  }

  /**
   * Takes no more, waits until everything under way is settled, at the latest by its deadline, then closes. With a time limit what is left
   * by then fails with CLOSED.
   */
  async close(options: { readonly timeoutMilliseconds?: number | undefined } = {}): Promise<void> {
    this.#gatherer.flushAll();
    this.#closed = true;
    const { timeoutMilliseconds } = options;
    let cancel = (): void => {};
    if (timeoutMilliseconds !== undefined) {
      cancel = this.#cluster.clock.schedule(timeoutMilliseconds, () => this.abort());
    }
    await this.#dispatcher.calls.whenEmpty();
    cancel();
    this.#shut();
  }

  /** `await using`: as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Closes at once. What is under way fails with CLOSED; what was sent already may be stored. */
  abort(): void {
    this.#gatherer.flushAll();
    this.#closed = true;
    this.#dispatcher.calls.abandonAll(new SeriatimError('CLOSED', 'the producer was closed'));
    this.#shut();
  }

  #shut(): void {
    this.#dispatcher.close();
    if (this.#ownsCluster) this.#cluster.close();
  }

  #requireOpen(topic: string): void {
    if (this.#closed) throw new SeriatimError('CLOSED', 'the producer is closed');
    if (this.#dispatcher.fenced !== null) throw this.#dispatcher.fenced;
    if (topic === '') throw new SeriatimError('INVALID_ARGUMENT', 'topic: it is empty');
  }

  /** Makes a call of gathered messages. */
  #enter(gathered: Gathered): void {
    const { topic, messages, bytes } = gathered;
    const { timeoutMilliseconds } = this.#config;
    const deadline = this.#cluster.clock.now() + timeoutMilliseconds;
    const onSettled = settling(gathered);
    const order = { topic, messages, groups: messages, bytes, deadline, timeoutMilliseconds, onSettled };
    this.#dispatcher.calls.enter(new SendCall(order));
  }

  async #send(
    topic: string,
    groups: SendOrder['groups'],
    messages: readonly MessageContent[],
    options: GroupSendOptions,
  ): Promise<SendResult> {
    this.#requireOpen(topic);
    const { signal, expectedSequence, timeoutMilliseconds = this.#config.timeoutMilliseconds } = options;
    if (signal?.aborted === true) throw new SeriatimError('CANCELLED', 'cancelled before it was sent');
    const call = new SendCall({
      topic,
      groups,
      messages,
      deadline: this.#cluster.clock.now() + timeoutMilliseconds,
      timeoutMilliseconds,
      bytes: this.#check(topic, groups, messages),
      expectedSequence,
    });
    this.#checkExpectation(call);
    if (messages.length === 0) {
      call.finish();
      return call.result;
    }
    // Only the first call waits for this, and only where it may go another way.
    if (this.#config.withoutOrdered === 'plain') await this.#dispatcher.features.requestTypes();
    this.#gatherer.flush(topic);
    this.#dispatcher.calls.enter(call);
    if (signal === undefined) return call.result;
    const abort = (): void => {
      const error = new SeriatimError('CANCELLED', 'cancelled by its signal', { cause: signal.reason });
      this.#dispatcher.calls.abandon([call], () => error);
    };
    signal.addEventListener('abort', abort, { once: true });
    return call.result.finally(() => signal.removeEventListener('abort', abort));
  }

  /** Expecting a sequence is for one run, which has to fit into a request. */
  #checkExpectation({ order, messages }: SendCall): void {
    const { expectedSequence } = order;
    if (expectedSequence === undefined) return;
    const { idempotent, requestBytesTarget, requestMessagesMax } = this.#config;
    const refuse = (what: string): SeriatimError =>
      new SeriatimError('INVALID_ARGUMENT', `expectedSequence: ${what}; nothing was sent`);
    if (!(Number.isSafeInteger(expectedSequence) && expectedSequence >= 0)) {
      throw refuse(`${expectedSequence} is not a whole number from 0 on`);
    }
    if (!idempotent) throw refuse('the producer is not idempotent: a retry could not tell its own message');
    if (order.bytes > requestBytesTarget) {
      throw refuse(`${order.bytes} bytes do not fit into one request of ${requestBytesTarget}`);
    }
    if (messages.length > requestMessagesMax) {
      throw refuse(`${messages.length} messages do not fit into one request of ${requestMessagesMax}`);
    }
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
