/** The front door's wire: gRPC with health and reflection. Limits are explicit, errors go through the one table, bytes pass through. */
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import type { Clock } from '@seriatim/multiraft';
import {
  BROKER_SERVICE_NAME,
  brokerPackage,
  brokerService,
  duplexHandler,
  type FailureListener,
  GRPC_MESSAGE_BYTES_MAX,
  RefusalError,
  SUBSCRIPTIONS_SERVICE_NAME,
  streamHandler,
  subscriptionsService,
  unaryHandler,
} from '@seriatim/protocol';
import { HealthImplementation } from 'grpc-health-check';
import { serveConsumeStream } from './consume-stream.ts';
import type { FrontDoor } from './front-door.ts';
import { serveProduceStream } from './produce-stream.ts';
import { type HandlerMakers, subscriptionHandlers } from './subscription-handlers.ts';
import { typedStatusInterceptor } from './typed-status.ts';

/** Limits and times of the gRPC server. */
export interface GrpcLimits {
  /** Bytes of produce requests being handled; above it OVERLOADED (256 MiB). */
  readonly requestBytesInFlightMax: number;
  /** Calls on one connection at a time; more wait at the client (1,024). */
  readonly streamsPerConnectionMax: number;
  /** Longest time a call is worked on, and what one without deadline gets, milliseconds (60,000 and 30,000). */
  readonly deadlineMilliseconds: { readonly max: number; readonly default: number };
  /** A silent client is pinged, and dropped when it does not answer, milliseconds (10,000 and 5,000). */
  readonly keepaliveMilliseconds: { readonly time: number; readonly timeout: number };
}

/** What a server with default settings is held to. */
export const defaultGrpcLimits: GrpcLimits = {
  requestBytesInFlightMax: 256 * 1024 * 1024,
  streamsPerConnectionMax: 1_024,
  deadlineMilliseconds: { max: 60_000, default: 30_000 },
  keepaliveMilliseconds: { time: 10_000, timeout: 5_000 },
};

/** What the server needs. */
export interface GrpcServerOptions {
  readonly door: FrontDoor;
  readonly clock: Clock;
  /** host:port. */
  readonly listen: string;
  readonly limits: GrpcLimits;
  /** Told of every refused call. */
  readonly onFailure: FailureListener;
}

/** Streams that are told of the end get this long to take it, milliseconds. */
const STREAM_END_MILLISECONDS = 250;

/** See the head of this file. `listen`, `serve(true)`, and at the end `drain` and `close`. */
export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #server: Server;
  readonly #health = new HealthImplementation({
    '': 'NOT_SERVING',
    [BROKER_SERVICE_NAME]: 'NOT_SERVING',
    [SUBSCRIPTIONS_SERVICE_NAME]: 'NOT_SERVING',
  });
  readonly #streams = new Set<AbortController>();
  #bytesInFlight = 0;
  #callsInFlight = 0;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    const { limits } = options;
    this.#server = new Server({
      'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
      // Counters of grpc-js that nobody reads.
      'grpc.enable_channelz': 0,
      'grpc.max_concurrent_streams': limits.streamsPerConnectionMax,
      'grpc.keepalive_time_ms': limits.keepaliveMilliseconds.time,
      'grpc.keepalive_timeout_ms': limits.keepaliveMilliseconds.timeout,
      interceptors: [typedStatusInterceptor],
    });
    this.#server.addService(brokerService, this.#handlers());
    this.#server.addService(subscriptionsService, this.#subscriptionHandlers());
    this.#health.addToServer(this.#server);
    new ReflectionService(brokerPackage).addToServer(this.#server);
  }

  /** Rejects when the address is taken. Resolves with the port. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(this.#options.listen, ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
  }

  /** What health checks are told. */
  serve(serving: boolean): void {
    const status = serving ? 'SERVING' : 'NOT_SERVING';
    this.#health.setStatus('', status);
    this.#health.setStatus(BROKER_SERVICE_NAME, status);
    this.#health.setStatus(SUBSCRIPTIONS_SERVICE_NAME, status);
  }

  /** Calls being handled, streams included. */
  get callsInFlight(): number {
    return this.#callsInFlight;
  }

  /** Bytes of produce requests being handled. */
  get requestBytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /** Ends open streams with SHUTTING_DOWN and waits until the calls under way are answered, at most `milliseconds`. */
  async drain(milliseconds: number): Promise<void> {
    for (const stream of this.#streams)
      stream.abort(new RefusalError('SHUTTING_DOWN', 'this node is shutting down'));
    const { clock } = this.#options;
    const end = clock.now() + milliseconds;
    while (this.#callsInFlight > 0 && clock.now() < end) {
      await new Promise<void>((resolve) => clock.after(10, resolve));
    }
  }

  /** Closes all connections: in order within a moment, by force after it. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, STREAM_END_MILLISECONDS);
      this.#server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
  }

  readonly #makers: HandlerMakers = {
    unary: <Request, Response>(answer: (request: Request, deadline: number) => Promise<Response>) =>
      unaryHandler<Request, Response>(
        (request, call) => this.#counted(answer(request, this.#deadline(call))),
        this.#options.onFailure,
      ),
    stream: <Request, Response>(open: (request: Request, signal: AbortSignal) => AsyncGenerator<Response>) =>
      streamHandler<Request, Response>(
        (request, call) => this.#counted(this.#pour(call, request, open)),
        this.#options.onFailure,
      ),
    deadline: () => this.#deadlineIn(0),
  };

  #handlers(): UntypedServiceImplementation {
    const { door, onFailure } = this.#options;
    const { unary, stream } = this.#makers;
    const bytes = (answer: (request: Buffer, deadline: number) => Promise<Buffer>) =>
      unaryHandler<Buffer, Buffer>(
        (request, call) => this.#counted(this.#weighed(request, this.#deadline(call), answer)),
        onFailure,
      );
    return {
      GetCapabilities: unary(() => door.capabilities()),
      DescribeCluster: unary(() => door.describeCluster()),
      CreateTopic: unary((request: Parameters<FrontDoor['createTopic']>[0], deadline) =>
        door.createTopic(request, deadline),
      ),
      ListTopics: unary(() => door.listTopics()),
      DescribeTopic: unary((request: Parameters<FrontDoor['describeTopic']>[0]) =>
        door.describeTopic(request),
      ),
      DeleteTopic: unary((request: { readonly name: string }, deadline) =>
        door.deleteTopic(request.name, deadline),
      ),
      InitProducer: unary((_request, deadline) => door.initProducer(deadline)),
      OpenWriter: unary((request: Parameters<FrontDoor['openWriter']>[0], deadline) =>
        door.openWriter(request, deadline),
      ),
      OrderedProduce: bytes((request, deadline) => door.orderedProduce(request, deadline)),
      OrderedProduceStream: duplexHandler<Buffer, Buffer>(
        (call) => this.#counted(this.#produceStream(call)),
        onFailure,
      ),
      Produce: bytes((request, deadline) => door.produce(request, deadline)),
      Fetch: stream((request: Parameters<FrontDoor['fetch']>[0], signal) => door.fetch(request, signal)),
      GetRoute: unary((request: Parameters<FrontDoor['getRoute']>[0]) => door.getRoute(request)),
      ListRoutes: stream((request: Parameters<FrontDoor['listRoutes']>[0], signal) =>
        door.listRoutes(request, signal),
      ),
    };
  }

  #subscriptionHandlers(): UntypedServiceImplementation {
    const { door, onFailure } = this.#options;
    return {
      ...subscriptionHandlers(door, this.#makers),
      Consume: duplexHandler<Buffer, Buffer>((call) => this.#counted(this.#consumeStream(call)), onFailure),
    };
  }

  async #consumeStream(stream: ServerDuplexStream<Buffer, Buffer>): Promise<void> {
    const { door } = this.#options;
    const controller = new AbortController();
    this.#streams.add(controller);
    try {
      await serveConsumeStream({ stream, signal: controller.signal, open: (wire) => door.consume(wire) });
    } finally {
      this.#streams.delete(controller);
    }
  }

  async #produceStream(stream: ServerDuplexStream<Buffer, Buffer>): Promise<void> {
    const { door, onFailure } = this.#options;
    const controller = new AbortController();
    const path = stream.getPath();
    this.#streams.add(controller);
    try {
      await serveProduceStream({
        stream,
        signal: controller.signal,
        answer: (request, timeout) =>
          this.#weighed(request, this.#deadlineIn(timeout), (bytes, deadline) =>
            door.orderedProduce(bytes, deadline),
          ),
        onFailure: (error) => onFailure(path, error),
      });
    } finally {
      this.#streams.delete(controller);
    }
  }

  async #counted<Result>(work: Promise<Result>): Promise<Result> {
    this.#callsInFlight++;
    try {
      return await work;
    } finally {
      this.#callsInFlight--;
    }
  }

  /** Refuses a request when those being handled hold too much memory already. */
  async #weighed(
    request: Buffer,
    deadline: number,
    answer: (request: Buffer, deadline: number) => Promise<Buffer>,
  ): Promise<Buffer> {
    const limit = this.#options.limits.requestBytesInFlightMax;
    const total = this.#bytesInFlight + request.length;
    if (total > limit) {
      throw new RefusalError(
        'OVERLOADED',
        `${total} bytes of requests are being handled, the limit is ${limit}; nothing was applied, try again later`,
      );
    }
    this.#bytesInFlight = total;
    try {
      return await answer(request, deadline);
    } finally {
      this.#bytesInFlight -= request.length;
    }
  }

  /** The caller's deadline on this node's monotonic clock, a little earlier, so that a typed answer arrives before it. */
  #deadline(call: ServerUnaryCall<unknown, unknown>): number {
    const given = call.getDeadline();
    const left = given instanceof Date ? given.getTime() - Date.now() : given - Date.now();
    return this.#deadlineIn(Number.isFinite(left) ? left : 0);
  }

  /** 0: the caller gave none. */
  #deadlineIn(left: number): number {
    const { clock, limits } = this.#options;
    const { max, default: usual } = limits.deadlineMilliseconds;
    const milliseconds = left === 0 ? usual : Math.min(left, max);
    return clock.now() + milliseconds - Math.min(150, Math.max(0, milliseconds) * 0.1);
  }

  /** Writes what `open` yields, waiting while the client does not read. */
  async #pour<Request, Response>(
    call: ServerWritableStream<Request, Response>,
    request: Request,
    open: (request: Request, signal: AbortSignal) => AsyncGenerator<Response>,
  ): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    const cancel = (): void => controller.abort();
    call.on('cancelled', cancel);
    call.on('error', cancel);
    this.#streams.add(controller);
    try {
      for await (const response of open(request, signal)) {
        if (signal.aborted) break;
        if (!call.write(response)) await drained(call, signal);
      }
    } finally {
      this.#streams.delete(controller);
    }
    if (signal.reason instanceof RefusalError) throw signal.reason;
  }
}

function drained<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.once('drain', done);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
