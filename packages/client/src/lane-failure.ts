/** How a lane's messages fail: terminally, by their deadline or signal, or not at all because the run goes on under a new identity. */
import { GroupHaltedError, SeriatimError, type SeriatimErrorCode } from './error.ts';
import { type Lane, type Run, type RunRefusal, type Segment, segmentsOf } from './lane.ts';
import { spoilsIdentity } from './run-verdict.ts';
import type { SendCall } from './send-call.ts';

/**
 * The run was refused for good. What waits behind it in the lane fails with it: sent now, it would overtake a message that its
 * caller may send again. Gives the calls that lost messages, and the run's error.
 */
export function failLane(
  run: Run,
  refusal: RunRefusal,
): { readonly touched: ReadonlySet<SendCall>; readonly error: SeriatimError } {
  const { lane } = run;
  const touched = new Set<SendCall>();
  const { currentSequence } = refusal;
  const details = { group: lane.group, partition: lane.partition, attempts: run.attempts };
  const error = new SeriatimError(refusal.code as SeriatimErrorCode, refusal.message, {
    outcome: run.unknown ? 'unknown' : 'not-applied',
    details: currentSequence === undefined ? details : { ...details, currentSequence },
  });
  for (const segment of segmentsOf(run)) failSegment(segment, error, touched);
  const behind = lane.takeFrom(() => true);
  failBehind(behind, error, touched);
  lane.run = null;
  if (spoilsIdentity(run, refusal)) {
    lane.spoiledIdentity = run.identity;
    lane.identity = null;
  } else lane.nextSequence = run.firstSequence;
  return { touched, error };
}

/** Fails all that waits in a lane: it is halted, or it was never begun because its producer may not write to the group. */
export function failWaiting(lane: Lane, error: SeriatimError): ReadonlySet<SendCall> {
  const touched = new Set<SendCall>();
  for (const segment of lane.takeFrom(() => true)) failSegment(segment, error, touched);
  return touched;
}

/**
 * Answers for the calls of the lane that are given up. A run that may be stored stays, and is sent again until its fate is known:
 * a later message must not get ahead of it. `reason` is what went wrong last, if anything did.
 */
export function abandonLane(lane: Lane, reason: RunRefusal | null): ReadonlySet<SendCall> {
  const touched = new Set<SendCall>();
  const { run } = lane;
  let dropped: SeriatimError | null = null;
  if (run !== null) {
    const uncertain = run.unknown || run.inFlight;
    const segments = segmentsOf(run);
    for (const segment of segments) {
      const { abandoned } = segment.call;
      if (abandoned === null || segment.answered) continue;
      const error = lateError(abandoned, reason, uncertain, lane);
      failSegment(segment, error, touched);
      dropped = error;
    }
    if (uncertain || segments.some(({ answered }) => !answered)) dropped = null;
    else {
      lane.run = null;
      lane.nextSequence = run.firstSequence;
    }
  }
  const all = dropped !== null;
  const behind = lane.takeFrom((segment) => all || segment.call.abandoned !== null);
  for (const segment of behind) {
    const { abandoned } = segment.call;
    if (abandoned === null) continue;
    const error = lateError(abandoned, reason, false, lane);
    failSegment(segment, error, touched);
    dropped ??= error;
  }
  if (dropped !== null) failBehind(behind, dropped, touched);
  return touched;
}

/** Puts a run that is certainly not stored back to the head of its lane, to be sent under another identity. */
export function returnRun(run: Run): void {
  const { lane } = run;
  lane.run = null;
  lane.identity = null;
  lane.spoiledIdentity = run.identity;
  lane.renewed = true;
  for (const segment of segmentsOf(run).reverse()) {
    if (!segment.answered) lane.putFirst(segment);
  }
}

function failBehind(segments: readonly Segment[], error: SeriatimError, touched: Set<SendCall>): void {
  const earlier = new GroupHaltedError(error);
  for (const segment of segments) failSegment(segment, earlier, touched);
}

function failSegment(segment: Segment, error: SeriatimError, touched: Set<SendCall>): void {
  if (segment.answered) return;
  segment.answered = true;
  const { call, count } = segment;
  let index = segment.head;
  for (let step = 0; step < count; step++) {
    const next = call.next[index] as number;
    call.failed(index, error);
    index = next;
  }
  touched.add(call);
}

/** A deadline says what kept the message from being stored, where that is known. */
function lateError(
  given: SeriatimError,
  reason: RunRefusal | null,
  uncertain: boolean,
  lane: Lane,
): SeriatimError {
  const late = given.code === 'DEADLINE' && reason !== null;
  const code = late ? (reason.code as SeriatimErrorCode) : given.code;
  const message = late ? `${reason.message} (${given.message})` : given.message;
  return new SeriatimError(code, message, {
    outcome: uncertain ? 'unknown' : 'not-applied',
    details: { group: lane.group, partition: lane.partition, attempts: lane.run?.attempts ?? 0 },
    cause: given.cause,
  });
}
