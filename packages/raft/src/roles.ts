import { type Core, drawElectionTimeout } from './core.ts';
import { ZERO_INDEX } from './position.ts';
import type { ReplicaId, Term } from './types.ts';
import { NO_REPLICA } from './types.ts';

/**
 * Follows `leader` (or nobody yet) in `term`. A new term clears the vote, the same term keeps it (paper 5.2): a replica
 * that steps down within its term must not vote a second time.
 */
export function becomeFollower(core: Core, term: Term, leader: ReplicaId): void {
  if (term > core.term) {
    core.term = term;
    core.vote = NO_REPLICA;
    core.verified = ZERO_INDEX;
  }
  if (core.leading !== null) {
    stopLeading(core);
  }
  if (core.role !== 'follower') {
    core.role = 'follower';
    core.electionTimeout = drawElectionTimeout(core.config, core.hurried);
  }
  core.leader = leader;
  core.refusedCampaignIn = 0;
  core.votes.clear();
  core.campaignTransfer = false;
}

/** A message of the current term's leader: the one thing, besides a granted vote, that defers an election. */
export function heardLeader(core: Core, leader: ReplicaId): void {
  core.electionElapsed = 0;
  if (core.role === 'follower' && core.leader === leader) {
    return;
  }
  core.hurried = false;
  becomeFollower(core, core.term, leader);
  core.electionTimeout = drawElectionTimeout(core.config, false);
  if (core.refused.has(leader)) {
    planRefusedCampaign(core);
  }
}

/** The leader's node refuses connections: its process is gone, there is no need to wait for the timeout. */
export function planRefusedCampaign(core: Core): void {
  if (core.role === 'follower' && core.mayCampaign) {
    const { min, max } = core.config.refusedCampaignTicks;
    core.refusedCampaignIn = min + Math.floor(core.config.random() * (max - min + 1));
  }
}

function stopLeading(core: Core): void {
  for (const read of core.leading?.reads ?? []) {
    core.readOutcomes.push({ type: 'dropped', id: read.id });
  }
  core.leading = null;
  core.imagesWanted.clear();
  core.electionElapsed = 0;
}
