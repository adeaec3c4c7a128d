import type { Core, Leading } from './core.ts';
import { isActive } from './leading.ts';
import { shift } from './position.ts';
import { quorumHolds } from './quorum.ts';
import { beginRound, restartConfirmation } from './read-index.ts';
import { reviewMembers } from './replication.ts';
import { becomeFollower, planRefusedCampaign } from './roles.ts';
import { tickTransfer } from './transfer.ts';
import type { ReplicaId } from './types.ts';
import { NO_REPLICA } from './types.ts';

/** One tick of a leader: heartbeats, check-quorum, transfers. */
export function tickLeader(core: Core, leading: Leading): void {
  tickTransfer(core, leading);
  leading.heartbeatElapsed++;
  if (leading.heartbeatElapsed < core.config.heartbeatTicks) {
    return;
  }
  leading.heartbeatElapsed = 0;
  if (!hearsQuorum(core, leading)) {
    // Check-quorum: a leader that is cut off stops taking itself for one.
    becomeFollower(core, core.term, NO_REPLICA);
    return;
  }
  reviewMembers(core, leading);
  if (!leading.roundJoinable) {
    beginRound(core, leading);
  }
}

/** The node of `replica` refuses connections, or no longer does. */
export function noteRefused(core: Core, replica: ReplicaId, refused: boolean): void {
  if (!refused) {
    core.refused.delete(replica);
    if (replica === core.leader) {
      core.refusedCampaignIn = 0;
    }
    return;
  }
  if (core.refused.has(replica)) {
    return;
  }
  core.refused.add(replica);
  if (replica === core.leader) {
    planRefusedCampaign(core);
  }
  const progress = core.leading?.progress.get(replica);
  if (progress?.state === 'replicate') {
    progress.becomeProbe(shift(progress.match, 1));
    progress.waiting = true;
  }
}

/** The process was away for long: whatever time says is void, so timers start again and a leader asks for confirmation. */
export function notePause(core: Core): void {
  core.electionElapsed = 0;
  if (core.leading !== null) {
    restartConfirmation(core, core.leading);
  }
}

function hearsQuorum(core: Core, leading: Leading): boolean {
  return quorumHolds(core.configuration, (replica) => {
    const progress = leading.progress.get(replica);
    return replica === core.id || (progress !== undefined && isActive(core, progress));
  });
}
