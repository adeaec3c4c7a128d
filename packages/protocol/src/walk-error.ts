import { type ErrorCode, RefusalError } from './errors.ts';

/** What the walker found: which message, which value, which limit. The text says all of it too. */
export interface WalkDetails {
  /** Index of the message in the request, from 0; undefined where the fault is outside of messages. */
  readonly messageIndex?: number | undefined;
  readonly value?: number | undefined;
  readonly limit?: number | undefined;
}

/** A produce request that is not what it should be. Nothing of it was applied. */
export class WalkError extends RefusalError {
  readonly messageIndex: number | undefined;
  readonly value: number | undefined;
  readonly limit: number | undefined;

  constructor(code: ErrorCode, what: string, details: WalkDetails = {}) {
    const where = details.messageIndex === undefined ? 'request' : `message ${details.messageIndex}`;
    const value = details.value === undefined ? '' : `: ${details.value}`;
    const limit = details.limit === undefined ? '' : ` (limit ${details.limit})`;
    super(code, `${where}: ${what}${value}${limit}; nothing of the request was applied`);
    this.messageIndex = details.messageIndex;
    this.value = details.value;
    this.limit = details.limit;
  }
}
