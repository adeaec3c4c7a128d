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
  type ListRoutesRequest,
  type ListRoutesResponse,
  RefusalError,
} from '@seriatim/protocol';
import { UnreachableError } from './error.ts';
import type { BrokerConnection, BrokerTransport, IncomingStream, SmallCalls } from './ports.ts';

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
} = brokerService;

/** Connects over gRPC, in plain text. */
export const grpcTransport: BrokerTransport = { connect: (address) => new GrpcConnection(address) };

class GrpcConnection implements BrokerConnection {
  readonly #address: string;
  readonly #client: Client;

  constructor(address: string) {
    this.#address = address;
    this.#client = new Client(address, credentials.createInsecure(), CHANNEL_OPTIONS);
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
    return this.#unary(brokerService.OrderedProduce, request, timeoutMilliseconds);
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

  close(): void {
    this.#client.close();
  }

  #unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    timeoutMilliseconds: number,
    signal?: AbortSignal,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const down = this.#knownDown();
      if (down !== null) {
        reject(down);
        return;
      }
      let abort: (() => void) | undefined;
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        { deadline: Date.now() + timeoutMilliseconds },
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
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
    );
    return new GrpcStream(call, (error) => this.#translate(error));
  }

  /** A channel that failed to connect is not asked to queue the call: so it is certain that nothing was sent. */
  #knownDown(): UnreachableError | null {
    const state = this.#client.getChannel().getConnectivityState(true);
    if (state !== connectivityState.TRANSIENT_FAILURE) return null;
    return new UnreachableError('PEER_UNREACHABLE', `${this.#address} does not take connections`);
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
  readonly #call: ClientReadableStream<T>;
  readonly #responses: AsyncIterator<T>;
  readonly #translate: (error: unknown) => RefusalError;

  constructor(call: ClientReadableStream<T>, translate: (error: unknown) => RefusalError) {
    this.#call = call;
    this.#translate = translate;
    this.#responses = call[Symbol.asyncIterator]();
    // Between two `next` calls nobody listens: an error then is kept by the stream for the next one.
    call.on('error', () => {});
  }

  async next(): Promise<T | null> {
    try {
      const step = await this.#responses.next();
      return step.done === true ? null : step.value;
    } catch (error) {
      throw this.#translate(error);
    }
  }

  cancel(): void {
    this.#call.cancel();
  }
}
