/**
 * Small OrderedProduce requests to one node share a stream: a call of its own costs client and node several times what the request
 * does, and leaves a trail of objects that the garbage collector stops both for.
 */
import type { Buffer } from 'node:buffer';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { decodeProduceReply, encodeProduceCall, RefusalError } from '@seriatim/protocol';

/** How often it is looked for calls that got no answer in time, milliseconds. */
const SWEEP_MILLISECONDS = 100;
/** Beyond its time a call is given this much more, so that the node's own, better answer comes first. */
const GRACE_MILLISECONDS = 50;

interface OpenCall {
  readonly resolve: (response: Buffer) => void;
  readonly reject: (error: RefusalError) => void;
  readonly expiresAt: number;
}

/** What a stream needs of its connection. */
export interface ProduceStreamOptions {
  readonly open: () => ClientDuplexStream<Buffer, Buffer>;
  /** A foreign error in this API's terms. */
  readonly translate: (error: unknown) => RefusalError;
}

/** One stream; opened with its first call, and again by the next one after it broke. Requests in flight are limited by the producer. */
export class ProduceStream {
  readonly #options: ProduceStreamOptions;
  #stream: ClientDuplexStream<Buffer, Buffer> | null = null;
  #calls = new Map<number, OpenCall>();
  #nextCall = 1;
  #sweep: NodeJS.Timeout | null = null;

  constructor(options: ProduceStreamOptions) {
    this.#options = options;
  }

  /** Resolves with an OrderedProduceResponse. The request is copied before this returns. */
  call(request: Buffer, timeoutMilliseconds: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = this.#stream ?? this.#open();
      const call = this.#nextCall++;
      const expiresAt = performance.now() + timeoutMilliseconds + GRACE_MILLISECONDS;
      this.#calls.set(call, { resolve, reject, expiresAt });
      this.#sweep ??= setInterval(() => this.#expire(), SWEEP_MILLISECONDS).unref();
      stream.write(
        encodeProduceCall({ call, timeoutMs: Math.max(1, Math.ceil(timeoutMilliseconds)), request }),
      );
    });
  }

  close(): void {
    this.#stream?.end();
    this.#lost(
      this.#stream,
      new RefusalError('SHUTTING_DOWN', 'the client was closed', { outcome: 'unknown' }),
    );
  }

  #open(): ClientDuplexStream<Buffer, Buffer> {
    const stream = this.#options.open();
    this.#stream = stream;
    stream.on('data', (bytes: Buffer) => this.#answered(stream, bytes));
    stream.on('error', (error) => this.#lost(stream, this.#options.translate(error)));
    stream.on('end', () => this.#lost(stream, this.#options.translate(null)));
    return stream;
  }

  #answered(stream: ClientDuplexStream<Buffer, Buffer>, bytes: Buffer): void {
    try {
      const { call, answer } = decodeProduceReply(bytes);
      const open = this.#calls.get(call);
      this.#calls.delete(call);
      if (answer instanceof RefusalError) open?.reject(answer);
      else open?.resolve(answer);
    } catch (error) {
      stream.cancel();
      this.#lost(stream, this.#options.translate(error));
    }
  }

  /** The stream is over: what became of its calls is what `error` says. */
  #lost(stream: ClientDuplexStream<Buffer, Buffer> | null, error: RefusalError): void {
    if (stream !== this.#stream) return;
    this.#stream = null;
    const calls = this.#calls;
    this.#calls = new Map();
    this.#rest();
    for (const { reject } of calls.values()) reject(forCall(error));
  }

  #expire(): void {
    const now = performance.now();
    for (const [call, { reject, expiresAt }] of this.#calls) {
      if (expiresAt > now) continue;
      this.#calls.delete(call);
      reject(new RefusalError('DEADLINE', 'no answer came in time', { outcome: 'unknown' }));
    }
    if (this.#calls.size === 0) this.#rest();
  }

  #rest(): void {
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = null;
  }
}

/** An answer may have been lost with the stream, whatever ended it; only a node that does not know the stream has seen no request. */
function forCall(error: RefusalError): RefusalError {
  if (error.outcome === 'unknown' || error.code === 'UNSUPPORTED') return error;
  const { code, message, leaderAddress } = error;
  return new RefusalError(code, message, { outcome: 'unknown', leaderAddress, cause: error });
}
