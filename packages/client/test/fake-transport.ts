import type { Buffer } from 'node:buffer';
import {
  encodeFetchResponse,
  type FetchRequest,
  type ListRoutesRequest,
  RefusalError,
} from '@seriatim/protocol';
import { UnreachableError } from '../src/error.ts';
import type {
  BrokerConnection,
  BrokerTransport,
  ConsumeCall,
  ConsumeListener,
  IncomingStream,
  SmallCalls,
} from '../src/ports.ts';
import type { FakeBroker } from './fake-broker.ts';
import type { TestClock } from './test-clock.ts';

/** What happens to one call on its way. */
export type Fate =
  | 'ok'
  /** Refused connection: certainly not done. */
  | 'refused'
  /** The request is lost and the connection breaks. */
  | 'request lost'
  /** It is done, the answer is lost. */
  | 'answer lost'
  /** Nobody answers until the time is over; it is done much later. */
  | 'late';

const CAPABILITIES = {
  version: 'fake',
  featureLevel: 1,
  messageBytesMax: 1024 * 1024,
  requestBytesMax: 4 * 1024 * 1024,
  requestMessagesMax: 65_536,
  groupBytesMax: 256,
};

/** Calls a FakeBroker in virtual time, with faults. */
export class FakeTransport implements BrokerTransport {
  readonly #broker: FakeBroker;
  readonly #clock: TestClock;
  /** Nodes that do not take connections. */
  readonly down = new Set<string>();
  /** Nodes that take connections and say nothing: calls under way hang until their time is over. */
  readonly frozen = new Set<string>();
  fate: (address: string, bytes: Buffer) => Fate = () => 'ok';
  /** Milliseconds from request to answer. */
  latency: () => number = () => 2;
  /** Called before the broker handles a request: throw to refuse the whole of it. */
  beforeProduce: (address: string, bytes: Buffer) => void = () => {};
  /** Fetch streams say nothing. */
  silent = false;
  onCall: (address: string, name: keyof SmallCalls) => void = () => {};
  /** Responses that readers have taken. */
  fetched = 0;
  fetches: { readonly address: string; readonly request: FetchRequest }[] = [];
  /** Fetch streams break after that many responses. */
  breakFetchAfter: () => number = () => Number.POSITIVE_INFINITY;
  /** What serves consumers. */
  consume: (address: string, listener: ConsumeListener) => ConsumeCall = () => {
    throw new RefusalError('UNSUPPORTED', 'consume');
  };
  inFlight = 0;
  inFlightMax = 0;
  bytesInFlight = 0;
  bytesInFlightMax = 0;

  constructor(broker: FakeBroker, clock: TestClock) {
    this.#broker = broker;
    this.#clock = clock;
  }

  connect(address: string): BrokerConnection {
    const node = this.#broker.addresses.indexOf(address);
    return {
      ready: () => !(this.down.has(address) || this.frozen.has(address)),
      call: (name, request) => this.#small(name, request, address),
      orderedProduce: (bytes, timeout) => this.#produce(node, address, bytes, timeout),
      produce: async (bytes) => {
        await this.#clock.sleep(this.latency());
        this.#requireUp(address);
        return this.#broker.produce(bytes);
      },
      fetch: (request) => this.#fetch(address, request),
      listRoutes: (request) => this.#routes(request),
      listParkedGroups: () => {
        throw new RefusalError('UNSUPPORTED', 'listParkedGroups');
      },
      consume: (listener) => this.consume(address, listener),
      close: () => {},
    };
  }

  async #small<Name extends keyof SmallCalls>(
    name: Name,
    request: SmallCalls[Name][0],
    address: string,
  ): Promise<SmallCalls[Name][1]> {
    this.onCall(address, name);
    await this.#clock.sleep(1);
    this.#requireUp(address);
    const broker = this.#broker;
    const answers: { readonly [N in keyof SmallCalls]?: (request: SmallCalls[N][0]) => SmallCalls[N][1] } = {
      DescribeCluster: () => broker.describe(),
      InitProducer: () => broker.initProducer(),
      OpenWriter: (opening) => broker.openWriter(opening),
      GetCapabilities: () => ({ ...CAPABILITIES, requestTypes: broker.requestTypes }),
      GetRoute: ({ topic, group }) => ({ route: broker.route(topic, group) }),
      ListTopics: () => ({ topics: [...broker.topics.values()].map(({ info }) => info) }),
      CreateTopic: ({ name: topic, partitions, replicas }) => ({
        topic: broker.createTopic(topic, partitions, replicas),
      }),
      DescribeTopic: ({ name: topic }) => ({
        topic: broker.topic(topic).info,
        partitions: broker.describe().partitions.filter((partition) => partition.topic === topic),
      }),
      DeleteTopic: ({ name: topic }) => {
        broker.topic(topic);
        broker.topics.delete(topic);
        return {};
      },
    };
    const answer = answers[name];
    if (answer === undefined) throw new RefusalError('UNSUPPORTED', name);
    return answer(request);
  }

  async #produce(node: number, address: string, bytes: Buffer, timeout: number): Promise<Buffer> {
    const fate = this.fate(address, bytes);
    this.inFlightMax = Math.max(this.inFlightMax, ++this.inFlight);
    this.bytesInFlight += bytes.length;
    this.bytesInFlightMax = Math.max(this.bytesInFlightMax, this.bytesInFlight);
    try {
      await this.#clock.sleep(this.latency() / 2);
      this.#requireUp(address);
      if (this.frozen.has(address)) {
        await this.#clock.sleep(Math.min(timeout, 1000));
        throw new UnreachableError('PEER_UNREACHABLE', 'frozen', { outcome: 'unknown' });
      }
      if (fate === 'refused') throw new UnreachableError('PEER_UNREACHABLE', 'refused');
      if (fate === 'request lost')
        throw new UnreachableError('PEER_UNREACHABLE', 'lost', { outcome: 'unknown' });
      if (fate === 'late') {
        // As if gRPC still held the bytes: memory of a call that failed must not be used again.
        this.#clock.schedule(timeout * 2, () => {
          try {
            this.#broker.orderedProduce(node, bytes);
          } catch {
            // Nobody waits for it.
          }
        });
        await this.#clock.sleep(timeout);
        throw new UnreachableError('DEADLINE', 'no answer', { outcome: 'unknown' });
      }
      this.beforeProduce(address, bytes);
      const answer = this.#broker.orderedProduce(node, bytes);
      await this.#clock.sleep(this.latency() / 2);
      if (fate === 'answer lost')
        throw new UnreachableError('PEER_UNREACHABLE', 'broken', { outcome: 'unknown' });
      return answer;
    } finally {
      this.inFlight--;
      this.bytesInFlight -= bytes.length;
    }
  }

  #fetch(address: string, request: FetchRequest): IncomingStream<Buffer> {
    this.fetches.push({ address, request });
    const start = request.from === 0 ? request.offset : request.from === 1 ? 0 : undefined;
    let offset = start;
    let left = this.breakFetchAfter();
    let pins = start === undefined && !request.untilEnd;
    let cancelled = false;
    let end: number | undefined;
    const next = async (): Promise<Buffer | null> => {
      await this.#clock.sleep(1);
      for (;;) {
        if (cancelled) return null;
        this.#requireUp(address);
        if (this.silent) await this.#clock.sleep(60_000);
        if (left-- <= 0) throw new UnreachableError('PEER_UNREACHABLE', 'broken', { outcome: 'unknown' });
        const { records } = this.#broker.partition(request.topic, request.partition);
        offset ??= records.length;
        if (pins) {
          pins = false;
          return emptyResponse(request.partition, offset);
        }
        end ??= records.length;
        const response = this.#broker.fetch(request, offset);
        if (request.untilEnd && (response === null || offset >= end)) return null;
        if (response !== null) {
          offset = response.next;
          this.fetched++;
          return response.bytes;
        }
        await this.#clock.sleep(5);
      }
    };
    return {
      next,
      cancel: () => {
        cancelled = true;
      },
    };
  }

  #routes(
    request: ListRoutesRequest,
  ): IncomingStream<{ readonly routes: ReturnType<FakeBroker['route']>[] }> {
    const groups = [...this.#broker.topic(request.topic).groups.keys()];
    const routes = groups
      .map((group) => this.#broker.route(request.topic, group))
      .filter((route) => route.group.startsWith(request.prefix))
      .filter((route) => request.anyPartition || route.partition === request.partition);
    const pages = [routes.slice(0, 2), routes.slice(2)].filter((page) => page.length > 0);
    return {
      next: async () => {
        const page = pages.shift();
        return page === undefined ? null : { routes: page };
      },
      cancel: () => {},
    };
  }

  #requireUp(address: string): void {
    if (this.down.has(address)) throw new UnreachableError('PEER_UNREACHABLE', `${address} is down`);
  }
}

/** Says where a stream stands, and gives nothing. */
const emptyResponse = (partition: number, baseOffset: number): Buffer =>
  encodeFetchResponse(
    {
      partition,
      baseOffset,
      highWatermark: baseOffset,
      runLengths: [],
      runSequences: [],
      runLives: [],
      runTimestampsMs: [],
      runOffsets: [],
    },
    [],
  );
