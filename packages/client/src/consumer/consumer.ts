import { EventEmitter } from 'node:events';
import { type ConsumeEvent, SETTLEMENT_KIND_ACK, SETTLEMENT_KIND_EXTEND } from '@seriatim/protocol';
import type { Cluster } from '../cluster.ts';
import { SeriatimError } from '../error.ts';
import { randomWord } from '../random-word.ts';
import type { ConsumedMessage } from './consumed-message.ts';
import { type ConsumerConfig, consumerConfigOf } from './consumer-config.ts';
import { type ConsumerEvents, lostChannel, refusedChannel, streamErrorChannel } from './consumer-events.ts';
import { ConsumerStreams } from './consumer-streams.ts';
import type { Delivery } from './delivery.ts';
import { HandlerPool, type MessageHandler } from './handler-pool.ts';
import type { Hold } from './hold.ts';
import { HoldBook } from './hold-book.ts';
import { HoldKeeper } from './hold-keeper.ts';
import { Intake } from './intake.ts';
import { BatchIterator, type ConsumedBatch, MessageIterator } from './message-iterator.ts';
import { kindName, type SentRow } from './settlement-ledger.ts';
import type { ConsumerStreamsListener } from './stream-contracts.ts';

/** What to consume, and limits that differ from `DEFAULT_CONSUMER_CONFIG`. */
export interface ConsumerOptions extends Partial<ConsumerConfig> {
  readonly topic: string;
  /** An existing one. */
  readonly subscription: string;
  /** For people: 1 to 128 of [A-Za-z0-9._-]. Default: a random one. */
  readonly name?: string | undefined;
}

/** How {@link Consumer.run} works. */
export interface RunOptions {
  /** Handlers at a time, each of another group; from 1. Default 16. */
  readonly concurrency?: number | undefined;
  /** Closes the consumer. */
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_CONCURRENCY = 16;
/** From `close` to the end of the last stream. */
const DEFAULT_CLOSE_MILLISECONDS = 10_000;
const NAME = /^[A-Za-z0-9._-]{1,128}$/;

/**
 * A member of a subscription. It is given messages group by group: those of a group in order, and as long as it holds a group nobody else is given it.
 * Any number of consumers share a subscription; they come and go without a rebalance. Delivery is at least once.
 *
 * Take messages in one of three ways: `for await (const message of consumer)`, {@link batches}, or {@link run}. The first of them opens the
 * streams.
 */
export class Consumer implements AsyncIterable<ConsumedMessage> {
  readonly topic: string;
  readonly subscription: string;
  readonly name: string;
  /** What happens to it, see {@link ConsumerEvents}. */
  readonly events: EventEmitter<ConsumerEvents> = new EventEmitter();
  readonly #cluster: Cluster;
  readonly #book = new HoldBook();
  readonly #intake: Intake;
  readonly #streams: ConsumerStreams;
  readonly #keeper: HoldKeeper;
  #taking = false;
  #pool: HandlerPool | null = null;
  #closing: Promise<void> | null = null;
  #failure: SeriatimError | null = null;

  constructor(cluster: Cluster, options: ConsumerOptions) {
    const { topic, subscription } = options;
    const { clock } = cluster;
    const session = randomWord(clock);
    const name = options.name ?? `consumer-${session.slice(0, 8)}`;
    for (const [what, text] of Object.entries({ topic, subscription, name })) {
      if (typeof text === 'string' && NAME.test(text)) continue;
      throw new SeriatimError('INVALID_ARGUMENT', `${what}: "${text}" is not 1 to 128 of [A-Za-z0-9._-]`);
    }
    const config = consumerConfigOf(options);
    this.topic = topic;
    this.subscription = subscription;
    this.name = name;
    this.#cluster = cluster;
    this.#intake = new Intake(clock);
    const identity = { topic, subscription, consumer: name, session };
    this.#streams = new ConsumerStreams(cluster, config, identity, this.#book, this.#listener());
    this.#keeper = new HoldKeeper(clock, config, this.#book, this.#intake);
  }

  /** One message after the other, each to be settled. Ends after {@link stop} or {@link close}. Throws a {@link SeriatimError}. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ConsumedMessage, undefined> {
    this.#begin();
    const failure = (): SeriatimError | null => this.#failure;
    return new MessageIterator(this.#intake, failure, () => {
      this.#taking = false;
    });
  }

  /** The same in batches of one partition each, as they come from the broker: for programs that consume much. */
  batches(): AsyncIterableIterator<ConsumedBatch, undefined> {
    this.#begin();
    const failure = (): SeriatimError | null => this.#failure;
    return new BatchIterator(this.#intake, failure, () => {
      this.#taking = false;
    });
  }

  /**
   * Calls `handler` for each message, groups in parallel and the messages of a group one after the other. When it returns, the message is
   * acknowledged; when it throws, it failed, and comes again after the subscription's back-off; a {@link RejectMessage} is not tried again. While it
   * runs its hold is extended; when the hold is lost all the same, the message's signal aborts. Resolves after {@link close}; throws a
   * {@link SeriatimError} when the consumer can not go on.
   */
  async run(handler: MessageHandler, options: RunOptions = {}): Promise<void> {
    const { concurrency = DEFAULT_CONCURRENCY, signal } = options;
    if (!(Number.isSafeInteger(concurrency) && concurrency >= 1)) {
      throw new SeriatimError(
        'INVALID_ARGUMENT',
        `concurrency: ${concurrency} is not a whole number from 1 on`,
      );
    }
    this.#begin();
    const abort = (): void => void this.close();
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    this.#pool = new HandlerPool(this.#intake, handler, concurrency);
    await this.#pool.finished;
    signal?.removeEventListener('abort', abort);
    if (this.#failure !== null) throw this.#failure;
    await this.close();
  }

  /** Sends what is settled at once; resolves when all that was settled so far is answered: durable, or told as refused or lost. */
  async flush(): Promise<void> {
    const answers: Promise<void>[] = [];
    const watch = (hold: Hold, sequence: number): void => {
      answers.push(new Promise((resolve) => hold.watch(sequence, resolve)));
    };
    for (const hold of this.#book.failing) watch(hold, Number.POSITIVE_INFINITY);
    for (const hold of this.#book.all()) {
      if (hold.failure !== null) watch(hold, Number.POSITIVE_INFINITY);
      else if (hold.ackTo > hold.ackedTo && !hold.ended) watch(hold, hold.ackTo);
    }
    this.#streams.flush();
    await Promise.all(answers);
  }

  /** Takes no more: a loop ends behind the message that it is at, which may still be settled. {@link close} does the rest. */
  stop(): void {
    this.#intake.close();
  }

  /**
   * Takes no more, waits for handlers under way and for the answers to what was settled, as {@link flush} does, and leaves: then every group it held
   * is free at once. With what is not done after the time limit (10 s; Infinity: none) its groups are free after 2 s. A loop's last message is not
   * waited for: leave the loop first, by {@link stop}. May be called again. Rejects with INVALID_ARGUMENT for a limit that is no time.
   */
  close(options: { readonly timeoutMilliseconds?: number | undefined } = {}): Promise<void> {
    const { timeoutMilliseconds: limit = DEFAULT_CLOSE_MILLISECONDS } = options;
    if (!(typeof limit === 'number' && limit >= 0)) {
      const message = `timeoutMilliseconds: ${String(limit)} is not a number from 0 on`;
      return Promise.reject(new SeriatimError('INVALID_ARGUMENT', message));
    }
    this.#closing ??= this.#close(limit);
    return this.#closing;
  }

  /** `await using`: as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(timeoutMilliseconds: number): Promise<void> {
    this.stop();
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      if (timeoutMilliseconds === Number.POSITIVE_INFINITY) return;
      cancel = this.#cluster.clock.schedule(timeoutMilliseconds, resolve);
    });
    const handled = this.#pool?.finished ?? Promise.resolve();
    // A stream that is left sends nothing again, and no other is opened: what was settled is answered before.
    const left = handled.then(() => this.flush()).then(() => this.#streams.leave());
    await Promise.race([left, late]);
    cancel();
    this.#shut('the consumer was closed');
  }

  #begin(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#intake.over) throw new SeriatimError('CLOSED', 'the consumer is closed');
    if (this.#taking) {
      throw new SeriatimError(
        'INVALID_ARGUMENT',
        'messages are taken by another loop already: one at a time',
      );
    }
    this.#taking = true;
    this.#intake.touch();
    this.#keeper.start();
    this.#streams.start();
  }

  /** Nothing is held any more. What was acknowledged and has no answer is told as lost, since {@link flush} may wait for it. */
  #shut(reason: string): void {
    this.#intake.close();
    this.#keeper.stop();
    this.#streams.cancel();
    for (const hold of [...this.#book.all(), ...this.#book.failing]) {
      if (hold.ackTo > hold.ackedTo) this.#lost(hold, 'HOLD_LOST');
      hold.end(reason);
      this.#book.release(hold);
    }
  }

  #listener(): ConsumerStreamsListener {
    const { topic } = this;
    return {
      delivered: (delivery: Delivery) => this.#intake.put(delivery),
      attached: (partition, address) => this.#tell('attached', { topic, partition, address }),
      detached: (partition, address) => this.#tell('detached', { topic, partition, address }),
      fellBehind: ({ partition, group, life, firstSequence, lastSequence }: ConsumeEvent) =>
        this.#tell('fellBehind', { topic, partition, group, life, firstSequence, lastSequence }),
      lost: (hold, code) => this.#lost(hold, code),
      expired: (hold) => this.#expired(hold),
      refused: (sent, code) => this.#refused(sent, code),
      streamError: (address, error) => {
        this.#tell('streamError', { topic, address, error });
        streamErrorChannel.publish({ topic, address, error });
      },
      failed: (error) => {
        this.#failure = error;
        this.#shut(error.message);
      },
    };
  }

  #lost(hold: Hold, code: string): void {
    this.#endHold(hold, code);
    this.#book.release(hold);
  }

  /**
   * It ends by the clock here. The broker's may be behind, and the hold go on there for as long as it is not extended: where a stream has it it stays
   * known, so that nothing behind what was dropped is given out. One without a stream is not named any more.
   */
  #expired(hold: Hold): void {
    this.#endHold(hold, 'HOLD_EXPIRED');
    if (hold.desk === null) this.#book.release(hold);
    else hold.over();
  }

  #endHold(hold: Hold, code: string): void {
    // One that failed is over for the application, but what was acknowledged before that may have no answer.
    const open = hold.ended ? hold.ackTo : hold.last;
    const told = hold.toldLost || hold.ackedTo >= open;
    hold.end(code);
    if (told) return;
    hold.toldLost = true;
    const { topic, partition, group, life } = hold;
    const event = { topic, partition, group, life, code };
    this.#tell('holdLost', event);
    if (lostChannel.hasSubscribers) lostChannel.publish(event);
  }

  /** What a listener throws is an uncaught exception, and not ours: streams and holds are as they should be all the same. */
  #tell<Name extends keyof ConsumerEvents>(name: Name, event: ConsumerEvents[Name][0]): void {
    try {
      const emitter: EventEmitter = this.events;
      emitter.emit(name, event);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #refused({ hold, kind, sequence }: SentRow, code: string): void {
    const { topic, partition, group } = hold;
    if (kind !== SETTLEMENT_KIND_EXTEND || code !== 'HOLD_LOST') {
      const event = { topic, partition, group, sequence, kind: kindName(kind), code };
      this.#tell('refused', event);
      if (refusedChannel.hasSubscribers) refusedChannel.publish(event);
    }
    if (hold.desk === null) return;
    if (code === 'HOLD_LOST') this.#lost(hold, code);
    else if (kind === SETTLEMENT_KIND_ACK) hold.answered(sequence);
    else if (kind !== SETTLEMENT_KIND_EXTEND) {
      // The broker still has it held here, the application has let go: it stays known, so that nothing behind its head is given out.
      this.#book.failing.delete(hold);
      hold.over();
    }
  }
}
