/** A program that consumes with the client library: it is slow at times, fails at times, stands still, dies, or leaves in order. */
import { Cluster, type ConsumedMessage, type Consumer } from '@seriatim/client';
import type { HandledEntry } from '../handled-history.ts';
import { type Cuts, CutTransport, clientClock } from '../producers/cut-transport.ts';
import { addressOf, type SimulatedBrokers, SUBSCRIPTION, TOPIC } from '../producers/simulated-brokers.ts';
import type { Random } from '../simulation/random.ts';
import type { Scheduler } from '../simulation/scheduler.ts';
import { SimulatedProcess } from '../simulation/simulated-process.ts';

const NO_CUTS: Cuts = { answer: 0, request: 0, late: 0, lateMillisecondsMax: 0 };
/** Failures that a message gets at most, so that none is parked. */
const NACKS_MAX = 3;
/** Part of the acknowledgements whose answer is waited for. */
const FLUSH_PART = 0.1;

/** What consumers live in. */
export interface ConsumerWorld {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly brokers: SimulatedBrokers;
  readonly entries: HandledEntry[];
  /** Part of the messages that fail. */
  readonly nackPart: () => number;
}

/** See the head of this file. */
export class SimulatedConsumer {
  readonly name: string;
  readonly process: SimulatedProcess;
  readonly transport: CutTransport;
  readonly #world: ConsumerWorld;
  readonly #consumer: Consumer;
  /** Losses and refusals that it was told of. */
  #heard = 0;
  /** Why it can not go on; null: it can. */
  failure: unknown = null;

  constructor(world: ConsumerWorld, number: number) {
    const { scheduler, random, brokers } = world;
    this.#world = world;
    this.name = `consumer-${number}`;
    this.process = new SimulatedProcess(scheduler, 1_000 + number, 1);
    this.transport = new CutTransport(scheduler, random, brokers, this.process, () => NO_CUTS);
    const cluster = new Cluster({
      endpoints: [1, 2, 3].map((node) => addressOf(node as Parameters<typeof addressOf>[0])),
      clock: clientClock(this.process, random),
      transport: this.transport,
    });
    this.#consumer = cluster.consumer({
      topic: TOPIC,
      subscription: SUBSCRIPTION,
      name: this.name,
      creditMessages: random.pick([2, 16, 256]),
    });
    this.#consumer.events.on('refused', ({ group, sequence }) => this.#note('refused', group, sequence));
    this.#consumer.events.on('holdLost', ({ group }) => this.#note('lost', group, 0));
  }

  /** Begins to take messages. */
  start(): void {
    this.#run().catch((error: unknown) => {
      this.failure = error;
    });
  }

  /** kill -9. */
  kill(): void {
    this.#note('gone', '', 0);
    this.process.kill();
  }

  /** Leaves in order. */
  async close(): Promise<void> {
    this.#consumer.stop();
    await this.#consumer.close();
    this.#note('gone', '', 0);
  }

  async #run(): Promise<void> {
    for await (const message of this.#consumer) await this.#handle(message);
  }

  async #handle(message: ConsumedMessage): Promise<void> {
    const { random } = this.#world;
    if (random.chance(0.3)) await this.#sleep(random.exponential(random.chance(0.1) ? 400 : 5));
    if (message.signal.aborted) return;
    const { group, sequence, attempt, token } = message;
    const fails = attempt <= NACKS_MAX && random.chance(this.#world.nackPart());
    const settled = fails
      ? message.nack(random.chance(0.5) ? { delay: random.below(50) } : {})
      : message.ack();
    // Otherwise the library knows that the hold is over, and sends nothing.
    if (!settled) return;
    this.#note(fails ? 'nack' : 'ack', group, sequence, token, message.value.toString());
    if (!fails && random.chance(FLUSH_PART)) void this.#flush(message);
  }

  /** Notes what is durable for certain: answered, without a word that the hold was lost or a settlement refused. */
  async #flush({ group, sequence, token }: ConsumedMessage): Promise<void> {
    const heard = this.#heard;
    await this.#consumer.flush();
    if (this.#heard === heard) this.#note('durable', group, sequence, token);
  }

  #note(
    what: HandledEntry['what'],
    group: string,
    sequence: number,
    token: { readonly epoch: number; readonly counter: number } = { epoch: 0, counter: 0 },
    value = '',
  ): void {
    const { scheduler, entries } = this.#world;
    if (what === 'lost' || what === 'refused' || what === 'gone') this.#heard++;
    entries.push({ at: scheduler.now, what, consumer: this.name, group, sequence, ...token, value });
  }

  #sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => void this.process.clock.after(milliseconds, resolve));
  }
}
