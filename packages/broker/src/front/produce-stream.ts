/** One OrderedProduceStream: many requests, each answered by itself, in whatever order they are done. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { decodeProduceCall, encodeProduceReply, type RefusalError, toRefusal } from '@seriatim/protocol';

/** Requests of one stream that are handled at a time; what comes above waits at the client. */
const CALLS_MAX = 1_024;

/** Answers one request; rejects with a RefusalError, or with what is a bug. */
export type AnswerRequest = (request: Buffer, timeoutMilliseconds: number) => Promise<Buffer>;

/** What a stream needs. */
export interface ProduceStreamOptions {
  readonly stream: ServerDuplexStream<Buffer, Buffer>;
  readonly answer: AnswerRequest;
  /** Aborted with the refusal that ends the stream once what was taken is answered. */
  readonly signal: AbortSignal;
  /** Told of each request that was refused. */
  readonly onFailure: (error: unknown) => void;
}

/** Resolves when the client has ended the stream and all its requests are answered; rejects with why it ends before. */
export function serveProduceStream(options: ProduceStreamOptions): Promise<void> {
  return new Promise((resolve, reject) => new ProduceStream(options, resolve, reject).open());
}

class ProduceStream {
  readonly #options: ProduceStreamOptions;
  readonly #resolve: () => void;
  readonly #reject: (reason: unknown) => void;
  #underWay = 0;
  /** Why no more requests are taken; null: they are. */
  #ending: { readonly refusal: unknown } | null = null;
  /** Nobody hears the answers any more. */
  #gone = false;
  #full = false;

  constructor(options: ProduceStreamOptions, resolve: () => void, reject: (reason: unknown) => void) {
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  open(): void {
    const { stream, signal } = this.#options;
    const lost = (): void => {
      this.#gone = true;
      this.#end(null);
    };
    const stop = (): void => this.#end(signal.reason);
    stream.on('data', (bytes: Buffer) => this.#take(bytes));
    stream.on('end', () => this.#end(null));
    stream.on('error', lost);
    stream.on('cancelled', lost);
    stream.on('drain', () => {
      this.#full = false;
      this.#flow();
    });
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  }

  #take(bytes: Buffer): void {
    if (this.#ending !== null) return;
    let call: number;
    let work: Promise<Buffer>;
    try {
      const read = decodeProduceCall(bytes);
      call = read.call;
      work = this.#options.answer(read.request, read.timeoutMs);
    } catch (error) {
      // Whose answer it would be is not known.
      this.#end(error);
      return;
    }
    this.#underWay++;
    this.#flow();
    work.then(
      (answer) => this.#reply(call, answer),
      (error: unknown) => {
        this.#options.onFailure(error);
        this.#reply(call, toRefusal(error));
      },
    );
  }

  #reply(call: number, answer: Buffer | RefusalError): void {
    this.#underWay--;
    if (!this.#gone)
      this.#full = !this.#options.stream.write(encodeProduceReply({ call, answer })) || this.#full;
    this.#flow();
    this.#settle();
  }

  /** A client that does not read its answers sends no more requests. */
  #flow(): void {
    const { stream } = this.#options;
    const hold = this.#full || this.#underWay >= CALLS_MAX;
    if (hold !== stream.isPaused()) {
      if (hold) stream.pause();
      else stream.resume();
    }
  }

  #end(refusal: unknown): void {
    this.#ending ??= { refusal };
    this.#settle();
  }

  #settle(): void {
    if (this.#ending === null || this.#underWay > 0) return;
    const { refusal } = this.#ending;
    if (refusal === null || this.#gone) this.#resolve();
    else this.#reject(refusal);
  }
}
