/** A consumer's stream over gRPC. */
import type { Buffer } from 'node:buffer';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { RefusalError } from '@seriatim/protocol';
import type { ConsumeCall, ConsumeListener } from './ports.ts';

/** What a call needs of its connection. */
export interface GrpcConsumeCallOptions {
  readonly listener: ConsumeListener;
  /** Resolves when the connection is there; rejects with a RefusalError where it can not be had. */
  readonly connected: () => Promise<void>;
  readonly open: () => ClientDuplexStream<Buffer, Buffer>;
  /** A foreign error in this API's terms. */
  readonly translate: (error: unknown) => RefusalError;
}

/** See the head of this file. What flows in is bounded by the credit that the consumer grants, so it is never paused. */
export class GrpcConsumeCall implements ConsumeCall {
  readonly #listener: ConsumeListener;
  /** Requests from before the connection was there. */
  #waiting: Buffer[] = [];
  #stream: ClientDuplexStream<Buffer, Buffer> | null = null;
  #over = false;

  constructor(options: GrpcConsumeCallOptions) {
    this.#listener = options.listener;
    options.connected().then(
      () => this.#start(options),
      (error: unknown) => this.#end(error as RefusalError),
    );
  }

  send(request: Buffer): void {
    if (this.#over) return;
    if (this.#stream === null) this.#waiting.push(request);
    else this.#stream.write(request);
  }

  cancel(): void {
    this.#over = true;
    this.#waiting = [];
    this.#stream?.cancel();
  }

  #start(options: GrpcConsumeCallOptions): void {
    if (this.#over) return;
    const stream = options.open();
    this.#stream = stream;
    stream.on('data', (bytes: Buffer) => {
      if (!this.#over) this.#listener.response(bytes);
    });
    stream.on('error', (error) => this.#end(options.translate(error)));
    // An error comes after the end of the data: the status says which of both it is.
    stream.on('status', (status) => {
      if (status.code === 0) this.#end(null);
    });
    for (const request of this.#waiting.splice(0)) stream.write(request);
  }

  #end(error: RefusalError | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener.ended(error);
  }
}
