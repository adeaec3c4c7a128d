/**
 * Consumers of the client library on the broker's own code above its ports, in virtual time: each group handled in order and to the end, by one
 * holder at a time, whatever streams broke, whoever led, died, stood still or came anew.
 */
import { OrderedProducer } from '@seriatim/client';
import { checkHandled, type HandledEntry } from '../handled-history.ts';
import { type Cuts, CutTransport, clientClock } from '../producers/cut-transport.ts';
import { addressOf, SimulatedBrokers, SUBSCRIPTION_ID, TOPIC } from '../producers/simulated-brokers.ts';
import { readLog } from '../producers/stored-messages.ts';
import { Random } from '../simulation/random.ts';
import { Scheduler } from '../simulation/scheduler.ts';
import { SimulatedProcess } from '../simulation/simulated-process.ts';
import { SimulatedConsumer } from './simulated-consumer.ts';

const NO_CUTS: Cuts = { answer: 0, request: 0, late: 0, lateMillisecondsMax: 0 };
const GROUPS = 12;
const CONSUMERS = 4;
/** Virtual time that the end may take, milliseconds: longer means that something is stuck. */
const END_MILLISECONDS_MAX = 10 * 60 * 1000;
const LOOK_MILLISECONDS = 500;

/** What to simulate. */
export interface ConsumerSimulationOptions {
  readonly seed: number;
  /** Messages that are produced meanwhile. */
  readonly messages: number;
}

/** What happened. */
export interface ConsumerSimulationResult {
  readonly acked: number;
  readonly nacked: number;
  readonly repeated: number;
  readonly refused: number;
  readonly holds: number;
  readonly streamsBroken: number;
  readonly consumersKilled: number;
  readonly consumersPaused: number;
  readonly leaderChanges: number;
  readonly restarts: number;
  readonly simulatedMilliseconds: number;
  /** The same for the same seed. */
  readonly trace: string;
  /** Everything that is wrong; empty: nothing. */
  readonly violations: readonly string[];
}

/** Runs one seed. */
export function simulateConsumers(options: ConsumerSimulationOptions): Promise<ConsumerSimulationResult> {
  return new ConsumerSimulation(options).run();
}

class ConsumerSimulation {
  readonly #options: ConsumerSimulationOptions;
  readonly #scheduler = new Scheduler();
  readonly #random: Random;
  readonly #brokers: SimulatedBrokers;
  readonly #entries: HandledEntry[] = [];
  #consumers: SimulatedConsumer[] = [];
  #started = 0;
  #calm = false;
  readonly #counts = { streamsBroken: 0, consumersKilled: 0, consumersPaused: 0 };
  readonly #violations: string[] = [];

  constructor(options: ConsumerSimulationOptions) {
    this.#options = options;
    this.#random = new Random(`consumers/${options.seed}`);
    this.#brokers = new SimulatedBrokers(this.#scheduler, this.#random);
  }

  async run(): Promise<ConsumerSimulationResult> {
    let handled = { acked: 0, nacked: 0, repeated: 0, refused: 0, holds: 0 };
    try {
      await this.#brokers.start();
      for (let count = 0; count < CONSUMERS; count++) this.#startConsumer();
      await this.#until(this.#produce());
      this.#calm = true;
      await this.#until(this.#allSettled());
      await this.#until(Promise.all(this.#consumers.map((consumer) => consumer.close())));
      await this.#scheduler.run(this.#scheduler.now + 5_000);
      handled = await this.#judge();
    } catch (error) {
      this.#violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    const { leaderChanges, restarts } = this.#brokers;
    const { acked, nacked, repeated, refused, holds } = handled;
    return {
      acked,
      nacked,
      repeated,
      refused,
      holds,
      ...this.#counts,
      leaderChanges,
      restarts,
      simulatedMilliseconds: this.#scheduler.now,
      trace: this.#scheduler.trace,
      violations: this.#violations,
    };
  }

  /** Messages to random groups, in bursts, while the world is disturbed. */
  async #produce(): Promise<void> {
    const random = this.#random;
    const process = new SimulatedProcess(this.#scheduler, 900, 1);
    const producer = new OrderedProducer({
      endpoints: [1, 2, 3].map((node) => addressOf(node as Parameters<typeof addressOf>[0])),
      clock: clientClock(process, random),
      transport: new CutTransport(this.#scheduler, random, this.#brokers, process, () => NO_CUTS),
      timeoutMilliseconds: END_MILLISECONDS_MAX,
    });
    const sent: Promise<unknown>[] = [];
    for (let number = 0; number < this.#options.messages; ) {
      const group = `g${Math.floor(GROUPS * random.next() ** 2)}`;
      for (let left = random.below(8); left >= 0; left--) {
        sent.push(producer.send(TOPIC, { messageGroup: group, value: `m${number++}` }));
      }
      await this.#sleep(random.exponential(random.chance(0.2) ? 200 : 10));
      if (random.chance(0.3)) this.#disturb();
    }
    await Promise.all(sent);
    producer.abort();
  }

  #disturb(): void {
    const random = this.#random;
    const dice = random.next();
    const consumer = random.pick(this.#consumers);
    if (dice < 0.15) this.#brokers.changeLeader();
    else if (dice < 0.25) this.#brokers.restart();
    else if (dice < 0.32) this.#brokers.pause();
    else if (dice < 0.34) this.#brokers.restartAll();
    else if (dice < 0.6) {
      this.#counts.streamsBroken += 1;
      consumer.transport.breakStream(random);
    } else if (dice < 0.75) {
      this.#counts.consumersPaused += 1;
      consumer.process.pause(random.pick([100, 1_500, 6_000]));
    } else if (dice < 0.9) {
      this.#counts.consumersKilled += 1;
      consumer.kill();
      this.#replace(consumer);
    } else {
      void consumer.close();
      this.#replace(consumer);
    }
  }

  #replace(consumer: SimulatedConsumer): void {
    this.#consumers = this.#consumers.filter((other) => other !== consumer);
    this.#startConsumer();
  }

  #startConsumer(): void {
    const { nackPart } = this;
    const world = {
      scheduler: this.#scheduler,
      random: this.#random,
      brokers: this.#brokers,
      entries: this.#entries,
      nackPart,
    };
    const consumer = new SimulatedConsumer(world, ++this.#started);
    this.#consumers.push(consumer);
    consumer.start();
  }

  readonly nackPart = (): number => (this.#calm ? 0 : 0.1);

  async #allSettled(): Promise<void> {
    const end = this.#scheduler.now + END_MILLISECONDS_MAX;
    while (!this.#isSettled()) {
      const failed = this.#consumers.find(({ failure }) => failure !== null);
      if (failed !== undefined) throw failed.failure;
      if (this.#scheduler.now > end) throw new Error(`not everything is settled: ${this.#standing()}`);
      await this.#sleep(LOOK_MILLISECONDS);
    }
  }

  /** Some node has applied that everything is settled, in each partition. */
  #isSettled(): boolean {
    return this.#brokers.topic.partitions.every(({ shard }) =>
      [...this.#brokers.nodes.values()].some((node) => {
        const { state } = node.partitions.get(shard) ?? {};
        const progress = state?.subscriptions.get(SUBSCRIPTION_ID);
        const done = progress !== undefined && progress.done === state?.nextOffset;
        return (
          done &&
          progress.rows.behind === 0 &&
          state.appliedIndex === this.#brokers.logs.get(shard)?.committed
        );
      }),
    );
  }

  #standing(): string {
    return this.#brokers.topic.partitions
      .map(({ shard, partition }) => {
        const states = [...this.#brokers.nodes.values()].map((node) => node.partitions.get(shard)?.state);
        const done = states.map(
          (state) => `${state?.subscriptions.get(SUBSCRIPTION_ID)?.done}/${state?.nextOffset}`,
        );
        return `partition ${partition}: ${done.join(' ')}`;
      })
      .join(', ');
  }

  async #judge(): Promise<ReturnType<typeof checkHandled>> {
    const stored = new Map<string, string[]>();
    for (const { shard, partition } of this.#brokers.topic.partitions) {
      const log = this.#brokers.logs.get(shard);
      if (log === undefined) continue;
      const { messages, hash } = await readLog(log, this.#brokers.topic, partition);
      for (const { group, sequence, value } of messages) {
        const own = stored.get(group) ?? [];
        own[sequence - 1] = value;
        stored.set(group, own);
      }
      for (const node of this.#brokers.nodes.values()) {
        const { state } = node.partitions.get(shard) ?? {};
        if (state === undefined || state.appliedIndex !== log.committed || state.hash() === hash) continue;
        this.#violations.push(`node ${node.node} has another state of partition ${partition}`);
      }
    }
    const report = checkHandled(this.#entries, stored);
    this.#violations.push(...report.violations);
    return report;
  }

  /** Lets virtual time pass until the work is done. */
  async #until(work: Promise<unknown>): Promise<void> {
    const over = { done: false, failure: null as unknown };
    work
      .catch((error: unknown) => {
        over.failure = error;
      })
      .finally(() => {
        over.done = true;
        this.#scheduler.stop();
      });
    const end = this.#scheduler.now + 4 * END_MILLISECONDS_MAX;
    while (!over.done) {
      if (this.#scheduler.now > end) throw new Error('the simulation does not end');
      await this.#scheduler.run(this.#scheduler.now + 60_000);
    }
    if (over.failure !== null) throw over.failure;
  }

  #sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => void this.#scheduler.after(milliseconds, 'world', null, resolve));
  }
}
