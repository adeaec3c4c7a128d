/** The gRPC adapter of the transport port: the only file of the client that knows grpc-js. */
import type { Buffer } from 'node:buffer';
import {
  type ChannelOptions,
  Client,
  type ClientReadableStream,
  connectivityState,
  credentials,
  Metadata,
  type MethodDefinition,
} from '@grpc/grpc-js';
import {
  brokerService,
  CODE_TRAILER,
  type FetchRequest,
  fromServiceError,
  GRPC_MESSAGE_BYTES_MAX,
  isServiceError,
  type ListParkedGroupsRequest,
  type ListParkedGroupsResponse,
  type ListRoutesRequest,
  type ListRoutesResponse,
  RefusalError,
  subscriptionsService,
} from '@seriatim/protocol';
import { GrpcConsumeCall } from './consume-call.ts';
import { UnreachableError } from './error.ts';
import type {
  BrokerConnection,
  BrokerTransport,
  ConsumeCall,
  ConsumeListener,
  IncomingStream,
  SmallCalls,
} from './ports.ts';
import { ProduceStream } from './produce-stream.ts';

const CHANNEL_OPTIONS: ChannelOptions = {
  // A frozen node is noticed within a second: without pings not at all while a call waits.
  'grpc.keepalive_time_ms': 500,
  'grpc.keepalive_timeout_ms': 400,
  // The retry loop is above: it keeps the sequence, which a transparent retry knows nothing of.
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
  // The default of 64 KiB would stop a Fetch response in its middle.
  'grpc-node.flow_control_window': 1024 * 1024,
  'grpc.use_local_subchannel_pool': 1,
};

const SMALL: {
  readonly [Name in keyof SmallCalls]: MethodDefinition<SmallCalls[Name][0], SmallCalls[Name][1]>;
} = { ...brokerService, ...subscriptionsService };

/** A connection that is not there after this long is given up for the call: nothing was sent, for certain. */
const CONNECT_MILLISECONDS = 1000;

/**
 * Requests up to this size travel on the shared stream. Larger ones have a call of their own: its cost is shared by many messages, and
 * the stream's flow-control window (64 KiB at the server) would hold them up.
 */
const STREAMED_BYTES_MAX = 16 * 1024;

/** Connects over gRPC, in plain text. */
export const grpcTransport: BrokerTransport = { connect: (address) => new GrpcConnection(address) };

class GrpcConnection implements BrokerConnection {
  readonly #address: string;
  readonly #client: Client;
  readonly #produceStream: ProduceStream;
  /** The node knows OrderedProduceStream, as far as it has been asked. */
  #streams = true;

  constructor(address: string) {
    this.#address = address;
    this.#client = new Client(address, credentials.createInsecure(), CHANNEL_OPTIONS);
    const { path, requestSerialize, responseDeserialize } = brokerService.OrderedProduceStream;
    this.#produceStream = new ProduceStream({
      open: () => this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize),
      translate: (error) => this.#translate(error),
    });
  }

  call<Name extends keyof SmallCalls>(
    name: Name,
    request: SmallCalls[Name][0],
    timeoutMilliseconds: number,
    signal?: AbortSignal,
  ): Promise<SmallCalls[Name][1]> {
    return this.#unary(SMALL[name], request, timeoutMilliseconds, signal);
  }

  orderedProduce(request: Buffer, timeoutMilliseconds: number): Promise<Buffer> {
    const alone = (): Promise<Buffer> =>
      this.#unary(brokerService.OrderedProduce, request, timeoutMilliseconds);
    if (!this.#streams || request.length > STREAMED_BYTES_MAX || !this.ready()) return alone();
    return this.#produceStream.call(request, timeoutMilliseconds).catch((error: unknown) => {
      if (!(error instanceof RefusalError) || error.code !== 'UNSUPPORTED') throw error;
      // A node of an earlier version: it has not seen the request.
      this.#streams = false;
      return alone();
    });
  }

  produce(request: Buffer, timeoutMilliseconds: number): Promise<Buffer> {
    return this.#unary(brokerService.Produce, request, timeoutMilliseconds);
  }

  fetch(request: FetchRequest): IncomingStream<Buffer> {
    return this.#stream(brokerService.Fetch, request);
  }

  listRoutes(request: ListRoutesRequest): IncomingStream<ListRoutesResponse> {
    return this.#stream(brokerService.ListRoutes, request);
  }

  listParkedGroups(request: ListParkedGroupsRequest): IncomingStream<ListParkedGroupsResponse> {
    return this.#stream(subscriptionsService.ListParkedGroups, request);
  }

  consume(listener: ConsumeListener): ConsumeCall {
    const { path, requestSerialize, responseDeserialize } = subscriptionsService.Consume;
    return new GrpcConsumeCall({
      listener,
      connected: () => this.#connected(CONNECT_MILLISECONDS),
      open: () => this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize),
      translate: (error) => this.#translate(error),
    });
  }

  close(): void {
    this.#produceStream.close();
    this.#client.close();
  }

  ready(): boolean {
    return this.#client.getChannel().getConnectivityState(true) === connectivityState.READY;
  }

  #unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    timeoutMilliseconds: number,
    signal?: AbortSignal,
  ): Promise<Response> {
    const deadline = Date.now() + timeoutMilliseconds;
    if (this.ready()) return this.#send(method, request, deadline, signal);
    return this.#connected(timeoutMilliseconds).then(() => this.#send(method, request, deadline, signal));
  }

  #send<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      let abort: (() => void) | undefined;
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        { deadline },
        (error, response) => {
          if (abort !== undefined) signal?.removeEventListener('abort', abort);
          if (error === null && response !== undefined) resolve(response);
          else reject(this.#translate(error));
        },
      );
      if (signal === undefined) return;
      abort = () => call.cancel();
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    });
  }

  #stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
  ): IncomingStream<Response> {
    const open = (): ClientReadableStream<Response> =>
      this.#client.makeServerStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        new Metadata(),
      );
    return new GrpcStream(
      () => this.#connected(CONNECT_MILLISECONDS),
      open,
      (error) => this.#translate(error),
    );
  }

  /**
   * Waits for the connection. gRPC would queue the call for up to 20 s, and could not say afterwards whether it was sent: here a node
   * that cannot be reached, or is reached and says nothing, is known within a second, and that nothing was done.
   */
  async #connected(timeoutMilliseconds: number): Promise<void> {
    const channel = this.#client.getChannel();
    const deadline = Date.now() + Math.min(timeoutMilliseconds, CONNECT_MILLISECONDS);
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return;
      const failed = state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN;
      if (failed || Date.now() >= deadline) {
        throw new UnreachableError('PEER_UNREACHABLE', `${this.#address} cannot be connected to`);
      }
      await new Promise<void>((resolve) => channel.watchConnectivityState(state, deadline, () => resolve()));
    }
  }

  #translate(error: unknown): RefusalError {
    if (!isServiceError(error)) {
      const text = error instanceof Error ? error.message : 'the call ended without an answer';
      return new RefusalError('INTERNAL', `${this.#address}: ${text}`, { outcome: 'unknown', cause: error });
    }
    const refusal = fromServiceError(error);
    if (error.metadata.get(CODE_TRAILER).length > 0) return refusal;
    const { code, message, outcome, cause } = refusal;
    return new UnreachableError(code, `${this.#address}: ${message}`, { outcome, cause });
  }
}

class GrpcStream<T> implements IncomingStream<T> {
  readonly #connected: () => Promise<void>;
  readonly #open: () => ClientReadableStream<T>;
  readonly #translate: (error: unknown) => RefusalError;
  #call: ClientReadableStream<T> | null = null;
  #responses: AsyncIterator<T> | null = null;
  #cancelled = false;

  constructor(
    connected: () => Promise<void>,
    open: () => ClientReadableStream<T>,
    translate: (error: unknown) => RefusalError,
  ) {
    this.#connected = connected;
    this.#open = open;
    this.#translate = translate;
  }

  async next(): Promise<T | null> {
    this.#responses ??= await this.#start();
    if (this.#cancelled) return null;
    try {
      const step = await this.#responses.next();
      return step.done === true ? null : step.value;
    } catch (error) {
      throw this.#translate(error);
    }
  }

  cancel(): void {
    this.#cancelled = true;
    this.#call?.cancel();
  }

  async #start(): Promise<AsyncIterator<T>> {
    await this.#connected();
    const call = this.#open();
    this.#call = call;
    // Between two `next` calls nobody listens: an error then is kept by the stream for the next one.
    call.on('error', () => {});
    if (this.#cancelled) call.cancel();
    return call[Symbol.asyncIterator]();
  }
}
