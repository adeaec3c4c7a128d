import { UNKNOWN_TOPIC_ATTEMPTS } from './backoff.ts';
import { isRetryable } from './error.ts';
import type { Run, RunRefusal } from './lane.ts';

/** What to do with a run whose attempt failed. */
export type Verdict =
  /** Send the same bytes with the same sequence again. */
  | 'retry'
  /** Send it under a new identity: the broker no longer knows the old one, and no attempt can have stored it. */
  | 'renew'
  | 'fail';

/** The broker's record of this producer in this group is gone or another. */
const IDENTITY_LOST: ReadonlySet<string> = new Set(['WRITER_UNKNOWN', 'SEQUENCE_GAP']);

/** Decides; `run.unknown` still tells of the attempts before. */
export function judge(run: Run, refusal: RunRefusal, idempotent: boolean): Verdict {
  const { code, notApplied } = refusal;
  if (IDENTITY_LOST.has(code)) return run.unknown || run.lane.renewed ? 'fail' : 'renew';
  if (code === 'UNKNOWN_TOPIC') return run.attempts < UNKNOWN_TOPIC_ATTEMPTS ? 'retry' : 'fail';
  // Without a sequence a second attempt could store the messages twice.
  if (!(notApplied || idempotent)) return 'fail';
  // With one, only a retry tells what became of the first.
  return isRetryable(code) || !notApplied ? 'retry' : 'fail';
}

/** After this failure the identity's sequence in the group is not what this client believes. */
export function spoilsIdentity(run: Run, refusal: RunRefusal): boolean {
  return run.unknown || IDENTITY_LOST.has(refusal.code) || refusal.code === 'PRODUCER_FENCED';
}
