import type { Core, Leading } from './core.ts';
import { isActive } from './leading.ts';
import type { Progress } from './progress.ts';
import type { Refusal, ReplicaId } from './types.ts';
import { NO_REPLICA } from './types.ts';

/**
 * Hands leadership over (dissertation 3.10): no proposals are taken until the target has everything and was told to
 * campaign, or until T has passed. A target that can't do it soon is refused at once, so that a dead one costs nothing.
 */
export function beginTransfer(core: Core, to: ReplicaId): Refusal | null {
  const { leading } = core;
  if (leading === null) {
    return 'notLeader';
  }
  if (to === core.id || to === leading.transferee) {
    return null;
  }
  if (leading.transferee !== NO_REPLICA) {
    return 'transferring';
  }
  const progress = leading.progress.get(to);
  if (progress === undefined || !core.configuration.voters.includes(to)) {
    return 'invalidChange';
  }
  if (progress.state === 'snapshot' || !isActive(core, progress) || core.refused.has(to)) {
    return 'notConfirmed';
  }
  leading.transferee = to;
  leading.transferElapsed = 0;
  leading.sendDue = true;
  continueTransfer(core, leading, progress);
  return null;
}

/** Tells the target to campaign as soon as it has the whole log. */
export function continueTransfer(core: Core, leading: Leading, progress: Progress): void {
  if (progress.replica === leading.transferee && progress.match === core.log.last) {
    core.send({ type: 'timeoutNow', from: core.id, to: progress.replica, term: core.term });
  }
}

/** One tick of a transfer under way; after T it is given up. */
export function tickTransfer(core: Core, leading: Leading): void {
  if (leading.transferee === NO_REPLICA) {
    return;
  }
  leading.transferElapsed++;
  if (leading.transferElapsed >= core.config.electionTimeoutTicks) {
    leading.transferee = NO_REPLICA;
  }
}
