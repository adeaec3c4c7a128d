/**
 * The boundary between {@link RefusalError} and gRPC: the one file that knows trailers. Servers send `seriatim-code`,
 * `seriatim-outcome` and, where known, `seriatim-leader`; clients read them and never look at an error's text.
 */
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { ERRORS, type ErrorCode, type Outcome, RefusalError } from './errors.ts';

/** Trailer with the {@link ErrorCode}. */
export const CODE_TRAILER = 'seriatim-code';
/** Trailer with the {@link Outcome}. */
export const OUTCOME_TRAILER = 'seriatim-outcome';
/** Trailer with the address (host:port) of the node to ask instead. */
export const LEADER_TRAILER = 'seriatim-leader';

/** What grpc-js wants of a handler that fails. */
export type GrpcFailure = Error & StatusObject;

/**
 * Any thrown value as what a client is told. What is not a {@link RefusalError} is a bug of the server: it becomes INTERNAL with outcome
 * `unknown`, and its text stays with the server.
 */
export function toRefusal(error: unknown): RefusalError {
  if (error instanceof RefusalError) return error;
  return new RefusalError('INTERNAL', 'internal error; see the log of the node', {
    outcome: 'unknown',
    cause: error,
  });
}

/** Any thrown value as a gRPC failure with trailers, by {@link toRefusal}. */
export function toServiceError(error: unknown): GrpcFailure {
  const refusal = toRefusal(error);
  const metadata = new Metadata();
  metadata.set(CODE_TRAILER, refusal.code);
  metadata.set(OUTCOME_TRAILER, refusal.outcome);
  if (refusal.leaderAddress !== undefined) metadata.set(LEADER_TRAILER, refusal.leaderAddress);
  return Object.assign(new Error(refusal.message), {
    code: ERRORS[refusal.code].status,
    details: refusal.message,
    metadata,
  });
}

/** What a bare status says when no trailers came, that is when gRPC itself failed the call, not a broker. */
const BARE: Readonly<Partial<Record<status, ErrorCode>>> = {
  [status.CANCELLED]: 'SHUTTING_DOWN', // forceShutdown of a draining node
  [status.UNAVAILABLE]: 'PEER_UNREACHABLE',
  [status.INTERNAL]: 'PEER_UNREACHABLE', // a broken HTTP/2 stream: a broker's own INTERNAL has trailers
  [status.UNKNOWN]: 'PEER_UNREACHABLE',
  [status.DEADLINE_EXCEEDED]: 'DEADLINE',
  [status.RESOURCE_EXHAUSTED]: 'BATCH_TOO_LARGE', // over the transport's message limit
  [status.INVALID_ARGUMENT]: 'INVALID_REQUEST',
  [status.UNIMPLEMENTED]: 'UNSUPPORTED',
};
/** Bare statuses that mean the broker's handler never ran. */
const NEVER_RAN: ReadonlySet<status> = new Set([
  status.RESOURCE_EXHAUSTED,
  status.INVALID_ARGUMENT,
  status.UNIMPLEMENTED,
]);

const isCode = (code: string | undefined): code is ErrorCode =>
  code !== undefined && Object.hasOwn(ERRORS, code);

/** True for the errors that grpc-js gives to a caller. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'metadata' in error;
}

const trailer = (error: ServiceError, name: string): string | undefined => {
  const [value] = error.metadata.get(name);
  return typeof value === 'string' ? value : undefined;
};

/** A failed call as a {@link RefusalError}. Without trailers the outcome is `unknown` unless no handler can have run. */
export function fromServiceError(error: ServiceError): RefusalError {
  const named = trailer(error, CODE_TRAILER);
  const code = isCode(named) ? named : (BARE[error.code] ?? 'INTERNAL');
  const said = trailer(error, OUTCOME_TRAILER);
  const outcome: Outcome =
    said === 'not-applied' || (said === undefined && NEVER_RAN.has(error.code)) ? 'not-applied' : 'unknown';
  return new RefusalError(code, error.details, {
    outcome,
    leaderAddress: trailer(error, LEADER_TRAILER),
    cause: error,
  });
}
