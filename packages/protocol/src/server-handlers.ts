/** Turns async functions that throw {@link RefusalError} into grpc-js handlers that answer with the trailers of the error table. */
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
} from '@grpc/grpc-js';
import { RefusalError } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';

/** Told about every failed call, before it is answered: for logs and metrics. */
export type FailureListener = (method: string, error: unknown) => void;

/** A unary RPC. A request that could not be decoded is refused before `answer` is called. */
export function unaryHandler<Request, Response>(
  answer: (request: Request, call: ServerUnaryCall<Request, Response>) => Promise<Response>,
  onFailure: FailureListener = () => {},
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const fail = (error: unknown): void => {
      onFailure(call.getPath(), error);
      callback(toServiceError(error));
    };
    if (call.request instanceof RefusalError) {
      fail(call.request);
      return;
    }
    answer(call.request, call).then((response) => callback(null, response), fail);
  };
}

/** A server-streaming RPC: `serve` writes, honouring back-pressure; the stream ends when it resolves and fails when it rejects. */
export function streamHandler<Request, Response>(
  serve: (request: Request, call: ServerWritableStream<Request, Response>) => Promise<void>,
  onFailure: FailureListener = () => {},
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const fail = (error: unknown): void => {
      onFailure(call.getPath(), error);
      // grpc-js takes the status from an emitted error; destroy() would give CANCELLED.
      call.emit('error', toServiceError(error));
    };
    if (call.request instanceof RefusalError) {
      fail(call.request);
      return;
    }
    serve(call.request, call).then(() => call.end(), fail);
  };
}

/** A bidirectional RPC: `serve` reads and writes, honouring back-pressure; the stream ends when it resolves and fails when it rejects. */
export function duplexHandler<Request, Response>(
  serve: (call: ServerDuplexStream<Request, Response>) => Promise<void>,
  onFailure: FailureListener = () => {},
): handleBidiStreamingCall<Request, Response> {
  return (call) => {
    serve(call).then(
      () => call.end(),
      (error: unknown) => {
        onFailure(call.getPath(), error);
        call.emit('error', toServiceError(error));
      },
    );
  };
}
