/** The client's way to the brokers: each call may lose its request, its answer, or arrive long after its caller gave up. */
import type {
  BrokerConnection,
  BrokerTransport,
  ClientClock,
  ConsumeCall,
  ConsumeListener,
  SmallCalls,
} from '@seriatim/client';
import { UnreachableError } from '@seriatim/client';
import type { NodeId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { ConsumeChannel } from '../consumers/consume-channel.ts';
import type { Random } from '../simulation/random.ts';
import type { Scheduler } from '../simulation/scheduler.ts';
import type { SimulatedProcess } from '../simulation/simulated-process.ts';
import type { BrokerNode } from './broker-node.ts';
import { addressOf, type SimulatedBrokers } from './simulated-brokers.ts';

const WAY = [0.2, 3] as const;
const STEP = 0.001;

/** How often something happens to a call, each from 0 to 1. */
export interface Cuts {
  /** The answer of a call that was carried out does not arrive. */
  readonly answer: number;
  /** The request does not arrive, and the caller can't know. */
  readonly request: number;
  /** Of the requests that do not arrive in time, those that arrive later all the same. */
  readonly late: number;
  /** At most so much later, milliseconds. */
  readonly lateMillisecondsMax: number;
}

/** A client process's clock. */
export function clientClock(process: SimulatedProcess, random: Random): ClientClock {
  return {
    now: () => process.clock.now(),
    random: () => random.next(),
    // A process's time is finer than the world's: a step that the world does not notice would be one in circles.
    schedule: (milliseconds, task) => process.clock.after(milliseconds + STEP, task),
    soon: (task) => process.clock.soon(task),
  };
}

/** See the head of this file. */
export class CutTransport implements BrokerTransport {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #brokers: SimulatedBrokers;
  readonly #process: SimulatedProcess;
  readonly #cuts: () => Cuts;
  readonly #streams = new Set<ConsumeChannel>();
  /** Answers that were cut off. */
  cut = 0;
  /** Requests that arrived after their caller had given them up. */
  late = 0;

  constructor(
    scheduler: Scheduler,
    random: Random,
    brokers: SimulatedBrokers,
    process: SimulatedProcess,
    cuts: () => Cuts,
  ) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#brokers = brokers;
    this.#process = process;
    this.#cuts = cuts;
  }

  connect(address: string): BrokerConnection {
    const node = ([1, 2, 3] as NodeId[]).find((id) => addressOf(id) === address);
    const broker = (): BrokerNode | undefined =>
      node === undefined ? undefined : this.#brokers.nodes.get(node);
    const produce = (bytes: Buffer, timeout: number): Promise<Buffer> => {
      // The producer uses its memory again once it is answered.
      const request = Buffer.from(bytes);
      return this.#call(broker, timeout, ({ door }, deadline) => door.orderedProduce(request, deadline));
    };
    return {
      ready: () => broker() !== undefined,
      call: (name, request, timeout) =>
        this.#call(broker, timeout, (to, deadline) => small(to, name, request, deadline)),
      orderedProduce: produce,
      produce,
      fetch: () => {
        throw new RefusalError('UNSUPPORTED', 'fetch');
      },
      listRoutes: () => {
        throw new RefusalError('UNSUPPORTED', 'listRoutes');
      },
      listParkedGroups: () => {
        throw new RefusalError('UNSUPPORTED', 'listParkedGroups');
      },
      consume: (listener) => this.#consume(broker(), listener),
      close: () => {},
    };
  }

  /** A stream of this client breaks, if there is one. */
  breakStream(random: Random): void {
    if (this.#streams.size > 0) random.pick([...this.#streams]).break();
  }

  #consume(target: BrokerNode | undefined, listener: ConsumeListener): ConsumeCall {
    if (target === undefined) {
      this.#back(() => listener.ended(new UnreachableError('PEER_UNREACHABLE', 'nobody listens')));
      return { send: () => {}, cancel: () => {} };
    }
    const channel: ConsumeChannel = new ConsumeChannel({
      scheduler: this.#scheduler,
      random: this.#random,
      client: this.#process,
      broker: target,
      listener,
      onOver: () => this.#streams.delete(channel),
    });
    this.#streams.add(channel);
    return channel;
  }

  #call<T>(
    broker: () => BrokerNode | undefined,
    timeout: number,
    work: (to: BrokerNode, deadline: number) => Promise<T>,
  ): Promise<T> {
    const random = this.#random;
    const cuts = this.#cuts();
    const target = broker();
    return new Promise((resolve, reject) => {
      if (target === undefined) {
        this.#back(() => reject(new UnreachableError('PEER_UNREACHABLE', 'nobody listens')));
        return;
      }
      const lost = (): void =>
        reject(new UnreachableError('PEER_UNREACHABLE', 'cut', { outcome: 'unknown' }));
      const cancel = this.#process.clock.after(timeout, lost);
      const answer = (act: () => void): void => {
        if (this.#random.chance(cuts.answer)) {
          this.cut += 1;
          // Sometimes the connection breaks, sometimes there is only silence.
          if (this.#random.chance(0.7)) this.#back(lost);
          return;
        }
        this.#back(() => {
          cancel();
          act();
        });
      };
      const arrive = (to: BrokerNode, milliseconds: number): void => {
        const deadline = to.process.clock.now() + milliseconds;
        work(to, deadline).then(
          (value) => answer(() => resolve(value)),
          (error: unknown) => answer(() => reject(error)),
        );
      };
      if (random.chance(cuts.request)) {
        if (random.chance(0.7)) this.#back(lost);
        if (random.chance(cuts.late)) this.#arriveLate(broker, arrive, cuts, timeout);
        return;
      }
      this.#scheduler.after(random.between(...WAY), 'frame', target.process, () => arrive(target, timeout));
      // The connection may break while the broker is at work, and a node that dies takes its connections with it.
      if (random.chance(cuts.answer / 2)) {
        this.#scheduler.after(random.between(2, 80), 'frame', this.#process, lost);
      }
      this.#watch(target, lost);
    });
  }

  #arriveLate(
    broker: () => BrokerNode | undefined,
    arrive: (to: BrokerNode, milliseconds: number) => void,
    cuts: Cuts,
    timeout: number,
  ): void {
    // Most come while it still matters who was first; some when everybody has forgotten them.
    const max = this.#random.pick([40, 40, 2000, 60_000, cuts.lateMillisecondsMax]);
    const delay = this.#random.next() * Math.min(max, cuts.lateMillisecondsMax);
    this.#scheduler.after(delay, 'world', null, () => {
      const to = broker();
      if (to === undefined) return;
      this.late += 1;
      this.#scheduler.soon('frame', to.process, () => arrive(to, timeout));
    });
  }

  #watch(target: BrokerNode, lost: () => void): void {
    this.#scheduler.after(500, 'frame', this.#process, () => {
      if (target.process.dead) lost();
    });
  }

  #back(act: () => void): void {
    this.#scheduler.after(this.#random.between(...WAY), 'frame', this.#process, act);
  }
}

async function small<Name extends keyof SmallCalls>(
  { door }: BrokerNode,
  name: Name,
  request: SmallCalls[Name][0],
  deadline: number,
): Promise<SmallCalls[Name][1]> {
  const answers: {
    readonly [N in keyof SmallCalls]?: (request: SmallCalls[N][0]) => Promise<SmallCalls[N][1]>;
  } = {
    GetCapabilities: () => door.capabilities(),
    DescribeCluster: () => door.describeCluster(),
    DescribeTopic: (topic) => door.describeTopic(topic),
    InitProducer: () => door.initProducer(deadline),
    OpenWriter: (opening) => door.openWriter(opening, deadline),
  };
  const answer = answers[name];
  if (answer === undefined) throw new RefusalError('UNSUPPORTED', name);
  return answer(request);
}
