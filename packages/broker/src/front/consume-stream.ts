/** One Consume stream on gRPC: bytes to and from a {@link ConsumeSession}. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { ConsumeWire } from './consume-responses.ts';
import type { ConsumeSession } from './consume-session.ts';

/** What a stream needs. */
export interface ConsumeStreamOptions {
  readonly stream: ServerDuplexStream<Buffer, Buffer>;
  readonly open: (wire: ConsumeWire) => ConsumeSession;
  /** Aborted with the refusal that ends the stream when the node shuts down. */
  readonly signal: AbortSignal;
}

/** Resolves when the stream ends in order, or the client is gone; rejects with why it ends before. */
export function serveConsumeStream({ stream, open, signal }: ConsumeStreamOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const session = open({
      // A client that does not read is not listened to either: what it is told would pile up.
      write: (bytes) => {
        const takesMore = stream.write(bytes);
        if (!takesMore) stream.pause();
        return takesMore;
      },
      end: (refusal) => {
        signal.removeEventListener('abort', stop);
        if (refusal === null) resolve();
        else reject(refusal);
      },
    });
    const stop = (): void => session.shutDown(signal.reason);
    const gone = (): void => session.gone();
    stream.on('data', (bytes: Buffer) => session.take(bytes));
    stream.on('drain', () => {
      stream.resume();
      session.drained();
    });
    stream.on('end', () => session.halfClosed());
    stream.on('error', gone);
    stream.on('cancelled', gone);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });
}
