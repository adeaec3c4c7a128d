import { ERRORS, type ErrorCode, type Outcome, RefusalError } from '@seriatim/protocol';

/** A broker's {@link ErrorCode}, or one that the client itself gives. */
export type SeriatimErrorCode =
  | ErrorCode
  /** The caller's AbortSignal, or the end of a read. */
  | 'CANCELLED'
  /** The producer, reader or cluster was closed. */
  | 'CLOSED'
  /** The producer holds as much as it may, see {@link ProducerConfig.whenFull}. */
  | 'BUFFER_FULL'
  /** A message before this one, in the same group, failed: sending this one would break the group's order. */
  | 'EARLIER_FAILED'
  /** The arguments of a call are wrong. */
  | 'INVALID_ARGUMENT';

/** Facts beside the text, for programs. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** The one error that this library throws. Switch on `code`, never on the text. */
export class SeriatimError extends Error {
  readonly code: SeriatimErrorCode;
  /** The same call may succeed later. The library has retried already, until the call's deadline. */
  readonly retryable: boolean;
  /** `not-applied`: nothing changed, for certain. `unknown`: it may have been done. */
  readonly outcome: Outcome;
  readonly details: ErrorDetails;

  constructor(
    code: SeriatimErrorCode,
    message: string,
    options: {
      readonly outcome?: Outcome | undefined;
      readonly details?: ErrorDetails | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'SeriatimError';
    this.code = code;
    this.retryable = isRetryable(code);
    this.outcome = options.outcome ?? 'not-applied';
    this.details = options.details ?? {};
  }
}

/** Whether a code says "try again". Codes of later brokers, unknown here, do not. */
export function isRetryable(code: string): boolean {
  if (code === 'EARLIER_FAILED' || code === 'BUFFER_FULL') return true;
  return Object.hasOwn(ERRORS, code) && ERRORS[code as ErrorCode].retryable;
}

/**
 * A message before this one, in the same group, failed: this one was not sent. `cause` is that failure. If it was final (not a deadline, a signal
 * or a SEQUENCE_CONFLICT), the group is halted: it takes messages again after `resumeGroup`, and what is sent to it before fails like this.
 */
export class GroupHaltedError extends SeriatimError {
  constructor(cause: SeriatimError) {
    super('EARLIER_FAILED', `an earlier message of the group failed: ${cause.message}`, {
      details: cause.details,
      cause,
    });
    this.name = 'GroupHaltedError';
  }
}

/** No broker answered: the connection failed, or the time for the attempt was over. */
export class UnreachableError extends RefusalError {}

/** Whatever was thrown, as the library's error. */
export function toSeriatimError(error: unknown, details: ErrorDetails = {}): SeriatimError {
  if (error instanceof SeriatimError) return error;
  if (error instanceof RefusalError) {
    return new SeriatimError(error.code, error.message, { outcome: error.outcome, details, cause: error });
  }
  const text = error instanceof Error ? error.message : String(error);
  return new SeriatimError('INTERNAL', text, { outcome: 'unknown', details, cause: error });
}
