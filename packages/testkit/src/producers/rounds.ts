/** The rounds: send, cut the answer, retry, with leader changes and restarts in between. */
import { OrderedProducer, type Receipt, SeriatimError } from '@seriatim/client';
import { History } from '../history.ts';
import type { Random } from '../simulation/random.ts';
import type { Scheduler } from '../simulation/scheduler.ts';
import { SimulatedProcess } from '../simulation/simulated-process.ts';
import { type Cuts, CutTransport, clientClock } from './cut-transport.ts';
import { addressOf, type SimulatedBrokers, TOPIC } from './simulated-brokers.ts';

/** How long brokers remember a group here; a retry may come up to half of it late. */
export const GROUP_TTL_MILLISECONDS: number = 24 * 60 * 60 * 1000;
const GROUPS = 6;
const NAME = 'named';
const NO_CUTS: Cuts = { answer: 0, request: 0, late: 0, lateMillisecondsMax: 0 };
/** Longer than any trouble lasts: a message that is given up would prove nothing. */
const PATIENCE_MILLISECONDS: number = 20 * 60 * 60 * 1000;

interface Client {
  readonly name: string;
  readonly process: SimulatedProcess;
  readonly transport: CutTransport;
  readonly producer: OrderedProducer;
}

/** What a newer instance of the named producer was told when it took over. */
interface Takeover {
  readonly instance: number;
  readonly group: string;
  readonly told: number;
}

/** See the head of this file. */
export class Rounds {
  readonly history: History = new History();
  readonly takeovers: Takeover[] = [];
  readonly faults: string[] = [];
  duplicates = 0;
  conflicts = 0;
  cuts: Cuts = NO_CUTS;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #brokers: SimulatedBrokers;
  readonly #clients: Client[] = [];
  readonly #plain: readonly Client[];
  readonly #contenders: readonly Client[];
  /** Calls of instances that were overtaken; they end when they learn of it. */
  readonly #overtaken: Promise<unknown>[] = [];
  #named: Client;
  #instance = 0;
  #casSequence = 0;
  #ids = 0;

  constructor(scheduler: Scheduler, random: Random, brokers: SimulatedBrokers) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#brokers = brokers;
    this.#plain = ['p1', 'p2'].map((name) => this.#newClient(name, null));
    this.#contenders = ['c1', 'c2'].map((name) => this.#newClient(name, null));
    this.#named = this.#newClient(`${NAME}-0`, NAME);
  }

  /** Answers that were cut off, and requests that arrived late. */
  get cutOff(): { readonly answers: number; readonly late: number } {
    const sum = (of: (client: Client) => number): number =>
      this.#clients.reduce((total, client) => total + of(client), 0);
    return { answers: sum(({ transport }) => transport.cut), late: sum(({ transport }) => transport.late) };
  }

  /** One round. Resolves when what it sent is settled. */
  async round(): Promise<void> {
    const random = this.#random;
    this.cuts = {
      answer: random.between(0.2, 0.7),
      request: random.between(0, 0.3),
      late: 0.5,
      lateMillisecondsMax: GROUP_TTL_MILLISECONDS / 2,
    };
    const work = random.chance(0.12)
      ? this.#takeOvers()
      : random.chance(0.15)
        ? this.#contend()
        : this.#send(random.chance(0.25) ? this.#named : random.pick(this.#plain));
    void this.#disturb();
    // At last everything arrives, so that no round is endless.
    const calm = this.#scheduler.after(60_000, 'world', null, () => {
      this.cuts = NO_CUTS;
    });
    await work;
    calm();
  }

  /** Waits until those that were overtaken know it. */
  async end(): Promise<void> {
    this.cuts = NO_CUTS;
    await Promise.all(this.#overtaken);
    for (const { producer } of this.#clients) producer.abort();
  }

  async #disturb(): Promise<void> {
    const random = this.#random;
    for (let left = random.below(4); left > 0; left -= 1) {
      await this.#sleep(random.exponential(random.chance(0.5) ? 6 : 40));
      const dice = random.next();
      if (dice < 0.5) this.#brokers.changeLeader();
      else if (dice < 0.75) this.#brokers.restart();
      else if (dice < 0.85) this.#brokers.pause();
      else if (dice < 0.88) this.#brokers.restartAll();
      else if (dice < 0.91) random.pick(this.#clients).process.pause(random.next() ** 4 * 6 * 60 * 60 * 1000);
    }
  }

  /** A few calls of one producer, partly to the same groups. */
  async #send(client: Client): Promise<void> {
    const calls: Promise<void>[] = [];
    for (let call = 0; call <= this.#random.below(3); call += 1) {
      const group = `g${this.#random.below(GROUPS)}`;
      for (let left = this.#random.below(4); left >= 0; left -= 1)
        calls.push(this.#sendOne(client, group, false));
      if (this.#random.chance(0.5)) await this.#sleep(this.#random.below(5));
    }
    await Promise.all(calls);
  }

  async #sendOne(client: Client, group: string, mayBeFenced: boolean): Promise<void> {
    const id = `${client.name}:${this.#ids++}`;
    this.history.sent(group, id, client.name);
    try {
      const receipt = await client.producer.send(TOPIC, { messageGroup: group, value: id });
      this.#acknowledge(group, id, receipt);
    } catch (error) {
      this.#failed(group, id, error, mayBeFenced || client !== this.#named ? ['PRODUCER_FENCED'] : []);
    }
  }

  #acknowledge(group: string, id: string, receipt: Receipt): void {
    if (receipt.duplicate) this.duplicates += 1;
    this.history.acknowledged(group, id, receipt);
  }

  #failed(group: string, id: string, error: unknown, expected: readonly string[]): void {
    if (!(error instanceof SeriatimError)) throw error;
    if (error.outcome === 'not-applied') this.history.failed(group, id);
    const fenced = error.code === 'EARLIER_FAILED' ? String((error.cause as SeriatimError).code) : error.code;
    const allowed = expected.includes(fenced) && id.startsWith(NAME);
    if (!allowed) this.faults.push(`${group}/${id}: ${error.code} (${error.outcome}): ${error.message}`);
  }

  /** Often one after the other: then what was on its way to open the one before arrives behind the next. */
  async #takeOvers(): Promise<void> {
    const { cuts } = this;
    do {
      this.cuts = { ...cuts, request: 0.5, late: 1 };
      await this.#takeOver();
    } while (this.#random.chance(0.5));
  }

  /** The named producer's process stands still in the middle of its work, and another one goes on in its place. */
  async #takeOver(): Promise<void> {
    const random = this.#random;
    const old = this.#named;
    // It is opened, else it would be the newer one.
    await old.producer.positions(TOPIC, [], { timeoutMilliseconds: PATIENCE_MILLISECONDS });
    const groups = Array.from(
      { length: 1 + random.below(3) },
      (_, at) => `g${(random.below(GROUPS) + at) % GROUPS}`,
    );
    if (random.chance(0.5)) groups.push(`new${this.#instance}`);
    for (const group of groups) this.#overtaken.push(this.#sendOne(old, group, true));
    await this.#sleep(random.exponential(4));
    // It stands still, or it knows nothing and goes on while the other one takes its place.
    if (random.chance(0.5)) old.process.pause(random.exponential(random.chance(0.5) ? 20 : 5000));
    else void this.#goOn(old, groups);
    this.#instance += 1;
    const instance = this.#instance;
    const next = this.#newClient(`${NAME}-${instance}`, NAME);
    this.#named = next;
    const asked = [...new Set(groups)];
    const positions = await next.producer.positions(TOPIC, asked, {
      timeoutMilliseconds: PATIENCE_MILLISECONDS,
    });
    for (const { group, lastProducerSequence: told } of positions)
      this.takeovers.push({ instance, group, told });
    // It may find out only when it comes back and tries once more.
    if (random.chance(0.5)) {
      for (const group of asked) this.#overtaken.push(this.#sendOne(old, group, true));
    }
    const written = asked.filter(() => random.chance(0.6));
    await Promise.all(written.map((group) => this.#sendOne(next, group, false)));
  }

  /** Sends what it has, one message every few milliseconds. */
  async #goOn(client: Client, groups: readonly string[]): Promise<void> {
    for (let left = 12; left > 0; left -= 1) {
      this.#overtaken.push(this.#sendOne(client, this.#random.pick(groups), true));
      await this.#sleep(this.#random.exponential(3));
    }
  }

  /** Two writers expect the same sequence: one wins, the other is told. */
  async #contend(): Promise<void> {
    const expectedSequence = this.#casSequence;
    let winners = 0;
    await Promise.all(
      this.#contenders.map(async (client) => {
        const id = `${client.name}:${this.#ids++}`;
        this.history.sent('cas', id, client.name);
        try {
          const message = { messageGroup: 'cas', value: id };
          const receipt = await client.producer.send(TOPIC, message, { expectedSequence });
          this.#acknowledge('cas', id, receipt);
          winners += 1;
          if (receipt.sequence !== expectedSequence + 1) {
            this.faults.push(`${id} expected ${expectedSequence} and got sequence ${receipt.sequence}`);
          }
        } catch (error) {
          if (!(error instanceof SeriatimError && error.code === 'SEQUENCE_CONFLICT')) {
            this.#failed('cas', id, error, []);
            return;
          }
          this.conflicts += 1;
          this.history.failed('cas', id);
          if (error.details['currentSequence'] !== expectedSequence + 1) {
            this.faults.push(`${id} lost and was told ${String(error.details['currentSequence'])}`);
          }
        }
      }),
    );
    if (winners !== 1)
      this.faults.push(`${winners} of two writers that expected ${expectedSequence} were stored`);
    this.#casSequence = expectedSequence + 1;
  }

  #newClient(name: string, producerName: string | null): Client {
    const process = new SimulatedProcess(this.#scheduler, 1000 + this.#clients.length, 1);
    const transport = new CutTransport(
      this.#scheduler,
      this.#random,
      this.#brokers,
      process,
      () => this.cuts,
    );
    const producer = new OrderedProducer({
      endpoints: [1, 2, 3].map((node) => addressOf(node as Parameters<typeof addressOf>[0])),
      clock: clientClock(process, this.#random),
      transport,
      producerName,
      timeoutMilliseconds: PATIENCE_MILLISECONDS,
      attemptTimeoutMilliseconds: 2000,
      groupTtlMilliseconds: GROUP_TTL_MILLISECONDS * 4,
    });
    const client = { name, process, transport, producer };
    this.#clients.push(client);
    return client;
  }

  #sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => void this.#scheduler.after(milliseconds, 'world', null, resolve));
  }
}
