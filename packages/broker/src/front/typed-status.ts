/**
 * Gives the errors that grpc-js makes by itself (a message over its limit, a request that ends in the middle) the code, status and
 * trailers of the one table, so that a client meets no untyped error.
 */
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { CODE_TRAILER, type ErrorCode, RefusalError, toServiceError } from '@seriatim/protocol';

type PartialStatusObject = Pick<StatusObject, 'code' | 'details'> & {
  metadata?: Metadata | null | undefined;
};

/** What a bare status of grpc-js means here. Others (CANCELLED, DEADLINE_EXCEEDED) go as they are. */
const CODES: Readonly<Partial<Record<status, ErrorCode>>> = {
  [status.RESOURCE_EXHAUSTED]: 'BATCH_TOO_LARGE',
  [status.INTERNAL]: 'INVALID_REQUEST',
  [status.UNIMPLEMENTED]: 'UNSUPPORTED',
};

/** A status of grpc-js itself as a typed one; all others as they are. Such a status comes before any handler ran. */
export function typedStatus(given: PartialStatusObject): PartialStatusObject {
  const code = CODES[given.code];
  if (code === undefined || (given.metadata?.get(CODE_TRAILER).length ?? 0) > 0) return given;
  const typed = toServiceError(
    new RefusalError(code, `${given.details}; nothing of the request was applied`),
  );
  return { code: typed.code, details: typed.details, metadata: typed.metadata };
}

/**
 * grpc-js sends its own statuses past the interceptors' responders, straight through this method of the innermost call: so that
 * is where they are met.
 */
export const typedStatusInterceptor: ServerInterceptor = (_method, call) => {
  const sendStatus = call.sendStatus.bind(call);
  call.sendStatus = (given) => sendStatus(typedStatus(given));
  return new ServerInterceptingCall(call);
};
