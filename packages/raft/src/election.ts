import { votersOf } from './configuration.ts';
import { type Core, drawElectionTimeout } from './core.ts';
import { appendAsLeader, newLeading } from './leading.ts';
import { ZERO_INDEX } from './position.ts';
import { voteResult } from './quorum.ts';
import { beginRound } from './read-index.ts';
import { becomeFollower } from './roles.ts';
import type { Term, TimeoutNow, VoteRequest, VoteResponse } from './types.ts';
import { NO_REPLICA } from './types.ts';

const NO_DATA = new Uint8Array(0);

/** One tick of a replica that does not lead. Costs two additions and two comparisons while its leader is alive. */
export function tickElection(core: Core): void {
  core.electionElapsed++;
  if (core.refusedCampaignIn > 0) {
    core.refusedCampaignIn--;
    if (core.refusedCampaignIn === 0) {
      core.hurried = true;
      beginPreVote(core);
      return;
    }
  }
  if (core.electionElapsed >= core.electionTimeout) {
    beginPreVote(core);
  } else if (core.role === 'follower' && isOnlyVoter(core)) {
    beginPreVote(core);
  }
}

/**
 * Asks whether an election could be won, without touching the term of anybody (dissertation 9.6): a replica that was cut off
 * does not disturb a working leader when it comes back.
 */
export function beginPreVote(core: Core): void {
  if (core.role === 'leader' || !core.mayCampaign) {
    return;
  }
  core.electionElapsed = 0;
  becomeFollower(core, core.term, NO_REPLICA);
  core.role = 'preCandidate';
  core.electionTimeout = drawElectionTimeout(core.config, core.hurried);
  core.votes.set(core.id, true);
  requestVotes(core, true);
  tally(core);
}

/** True when a campaign is not heeded: a leader was heard within T, and it is not known to be gone. */
export function ignoresCampaign(core: Core, message: VoteRequest): boolean {
  if (message.transfer || core.leader === NO_REPLICA) {
    return false;
  }
  if (core.role === 'leader') {
    // Check-quorum deposes a leader that nobody hears.
    return true;
  }
  return core.electionElapsed < core.config.electionTimeoutTicks && !core.refused.has(core.leader);
}

/** RequestVote (paper 5.2, 5.4.1). Terms were compared before; the answer to a real vote waits until it is saved. */
export function handleVoteRequest(core: Core, message: VoteRequest): void {
  const upToDate = core.log.isUpToDate(message.lastIndex, message.lastTerm);
  if (message.preVote) {
    const granted = message.term > core.term && upToDate;
    answer(core, message, granted, granted ? message.term : core.term);
    return;
  }
  const repeated = core.vote === message.from;
  const free = core.vote === NO_REPLICA && core.leader === NO_REPLICA;
  if (!upToDate || !(free || repeated)) {
    answer(core, message, false, core.term);
    return;
  }
  if (!repeated) {
    becomeFollower(core, core.term, NO_REPLICA);
    core.vote = message.from;
    core.electionElapsed = 0;
  }
  answer(core, message, true, core.term);
}

/** A vote for the campaign that is under way; others are late. */
export function handleVoteResponse(core: Core, message: VoteResponse): void {
  const awaited = message.preVote ? 'preCandidate' : 'candidate';
  if (core.role !== awaited) {
    return;
  }
  if (message.preVote && message.granted && message.term !== core.term + 1) {
    return;
  }
  if (!core.votes.has(message.from)) {
    core.votes.set(message.from, message.granted);
  }
  tally(core);
}

/** The leader orders a campaign: no pre-vote, and voters waive the leader they just heard (dissertation 3.10). */
export function handleTimeoutNow(core: Core, message: TimeoutNow): void {
  if (core.role === 'follower' && core.isVoter && core.leader === message.from) {
    beginCampaign(core, true);
  }
}

/** A write became durable: a candidate counts its own vote only then. */
export function countOwnVote(core: Core): void {
  if (core.role === 'candidate' && core.hardStateDurable && !core.votes.has(core.id)) {
    core.votes.set(core.id, true);
    tally(core);
  }
}

function beginCampaign(core: Core, transfer: boolean): void {
  becomeFollower(core, core.term, NO_REPLICA);
  core.role = 'candidate';
  core.term = (core.term + 1) as Term;
  core.vote = core.id;
  core.verified = ZERO_INDEX;
  core.campaignTransfer = transfer;
  core.electionElapsed = 0;
  core.electionTimeout = drawElectionTimeout(core.config, core.hurried);
  requestVotes(core, false);
}

function becomeLeader(core: Core): void {
  core.role = 'leader';
  core.leader = core.id;
  core.hurried = false;
  core.votes.clear();
  const leading = newLeading(core);
  core.leading = leading;
  appendAsLeader(core, leading, 'noop', NO_DATA);
  beginRound(core, leading);
}

function tally(core: Core): void {
  switch (voteResult(core.configuration, core.votes)) {
    case 'won':
      if (core.role === 'preCandidate') {
        beginCampaign(core, false);
      } else {
        becomeLeader(core);
      }
      return;
    case 'lost':
      becomeFollower(core, core.term, NO_REPLICA);
      return;
    case 'pending':
      return;
  }
}

/** A real request leaves when the own vote is saved: otherwise a crash could make this replica vote twice in the term. */
function requestVotes(core: Core, preVote: boolean): void {
  for (const to of votersOf(core.configuration)) {
    if (to === core.id) {
      continue;
    }
    const request: VoteRequest = {
      type: 'voteRequest',
      from: core.id,
      to,
      term: preVote ? ((core.term + 1) as Term) : core.term,
      preVote,
      transfer: core.campaignTransfer,
      lastIndex: core.log.last,
      lastTerm: core.log.lastTerm,
    };
    if (preVote) {
      core.send(request);
    } else {
      core.sendAfterWrite(request);
    }
  }
}

function answer(core: Core, request: VoteRequest, granted: boolean, term: Term): void {
  const response: VoteResponse = {
    type: 'voteResponse',
    from: core.id,
    to: request.from,
    term,
    preVote: request.preVote,
    granted,
  };
  if (granted && !request.preVote) {
    core.sendAfterWrite(response);
  } else {
    core.send(response);
  }
}

function isOnlyVoter(core: Core): boolean {
  const { voters, outgoing } = core.configuration;
  return voters.length === 1 && outgoing.length === 0 && voters[0] === core.id;
}
