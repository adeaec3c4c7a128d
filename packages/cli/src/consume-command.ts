import { Cluster, type Consumer, SubscriptionAdmin } from '@seriatim/client';
import { IdleWatch } from './idle-watch.ts';
import { lineOf } from './message-line.ts';
import { note, type Terminal, write } from './terminal.ts';
import type { CommonOptions } from './usage.ts';

/** Options of `consume`. */
export interface ConsumeCommandOptions extends CommonOptions {
  readonly subscription: string;
  readonly consumer?: string;
  /** Milliseconds without a message, everything attached, after which it ends. */
  readonly untilIdle?: number;
  readonly max?: number;
}

/** `consume`: messages of a subscription as NDJSON, each acknowledged when its line is written. */
export async function consume(
  terminal: Terminal,
  topic: string,
  options: ConsumeCommandOptions,
): Promise<void> {
  const cluster = new Cluster({ endpoints: options.endpoints });
  const { subscription, consumer: name, timeout } = options;
  try {
    const consumer = cluster.consumer({ topic, subscription, name, timeoutMilliseconds: timeout });
    noteTroubles(terminal, consumer);
    const callOff = terminal.onInterrupt?.(() => consumer.stop());
    try {
      await print(terminal, cluster, consumer, options);
    } finally {
      callOff?.();
      await consumer.close();
    }
  } finally {
    cluster.close();
  }
}

/** On stderr; a stream that fails again and again for the same reason is told once. */
function noteTroubles(terminal: Terminal, consumer: Consumer): void {
  const told = new Map<string, string>();
  consumer.events.on('holdLost', ({ group, code }) => note(terminal, `lost group "${group}": ${code}`));
  consumer.events.on('attached', ({ address }) => told.delete(address));
  consumer.events.on('streamError', ({ address, error }) => {
    if (told.get(address) === error.code) return;
    told.set(address, error.code);
    const where = address === '' ? 'the cluster' : address;
    note(terminal, `no stream to ${where}, trying again: ${error.code}: ${error.message}`);
  });
}

async function print(
  terminal: Terminal,
  cluster: Cluster,
  consumer: Consumer,
  options: ConsumeCommandOptions,
): Promise<void> {
  const { untilIdle, max = Number.POSITIVE_INFINITY, timeout } = options;
  const idleness = new Idleness(terminal, cluster, consumer);
  const watch = untilIdle === undefined ? null : idleness.watch(untilIdle, timeout);
  let count = 0;
  try {
    for await (const message of consumer) {
      watch?.busy();
      const { epoch, counter } = message.token;
      await write(
        terminal.stdout,
        lineOf(message, { attempt: message.attempt, token: `${epoch}.${counter}` }),
      );
      message.ack();
      if (++count >= max) break;
      watch?.waiting();
    }
  } finally {
    watch?.stop();
  }
  if (idleness.failure !== null) throw idleness.failure;
}

/** Ends a consumer that has nothing more to get. */
class Idleness {
  readonly #terminal: Terminal;
  readonly #cluster: Cluster;
  readonly #consumer: Consumer;
  #unsettled = 0;
  /** Why it was ended although it may not be idle. */
  failure: Error | null = null;

  constructor(terminal: Terminal, cluster: Cluster, consumer: Consumer) {
    this.#terminal = terminal;
    this.#cluster = cluster;
    this.#consumer = consumer;
  }

  watch(idleMilliseconds: number, patienceMilliseconds: number): IdleWatch {
    const { events, topic } = this.#consumer;
    const watch = new IdleWatch({
      idleMilliseconds,
      patienceMilliseconds,
      partitions: () => this.#cluster.view.partitions(topic),
      confirm: () => this.#ask(patienceMilliseconds),
      over: (failure) => this.#over(failure),
    });
    events.on('attached', ({ partition, address }) => watch.attached(partition, address));
    events.on('detached', ({ partition, address }) => watch.detached(partition, address));
    return watch;
  }

  /** A stream stays open for a moment when its node stands still or is cut off: each leader is asked. Gives what is wrong. */
  async #ask(timeoutMilliseconds: number): Promise<string | null> {
    const { topic, subscription } = this.#consumer;
    try {
      const admin = new SubscriptionAdmin({ cluster: this.#cluster });
      const { partitions } = await admin.describe(topic, subscription, { timeoutMilliseconds, topGroups: 0 });
      this.#unsettled = partitions.reduce((sum, partition) => sum + partition.unsettled, 0);
      const silent = partitions.find(({ code, consumers }) => code !== '' || consumers === 0);
      if (silent === undefined) return null;
      return `partition ${silent.partition}: ${silent.code || 'its leader does not serve this consumer yet'}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #over(failure: Error | null): void {
    this.failure = failure;
    this.#consumer.stop();
    if (failure !== null || this.#unsettled === 0) return;
    const text = `idle; ${this.#unsettled} messages are not settled: their groups are held by others, wait, are paused or parked`;
    note(this.#terminal, text);
  }
}
