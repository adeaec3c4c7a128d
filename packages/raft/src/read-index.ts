import type { Core, Leading } from './core.ts';
import { isActive, noteCommitTold, tellableCommit } from './leading.ts';
import { higher } from './position.ts';
import { quorumValue } from './quorum.ts';
import type { Refusal } from './types.ts';

/**
 * Linearizable reads without a log entry (dissertation 6.4). A read waits for a round of heartbeats that began after it, and
 * for the commit of the term's no-op, because before that the commit index may lie behind what an earlier leader
 * acknowledged. Rounds rise for as long as the replica leads and are never reused.
 */
export function requestRead(core: Core, id: number): Refusal | null {
  const { leading } = core;
  if (leading === null) {
    return 'notLeader';
  }
  if (!leading.roundJoinable) {
    beginRound(core, leading);
  }
  leading.reads.push({ id, round: leading.round, index: higher(core.log.commit, leading.noop) });
  releaseReads(core, leading);
  return null;
}

/** Sends a heartbeat to every member and asks for the confirmation of a new round. */
export function beginRound(core: Core, leading: Leading): void {
  leading.round++;
  leading.roundJoinable = true;
  if (leading.roundStarts.at(-1)?.tick !== core.now) {
    leading.roundStarts.push({ round: leading.round, tick: core.now });
  }
  for (const progress of leading.progress.values()) {
    const commit = tellableCommit(core, progress);
    noteCommitTold(progress, commit);
    core.send({
      type: 'heartbeatRequest',
      from: core.id,
      to: progress.replica,
      term: core.term,
      commit,
      round: leading.round,
    });
  }
  confirmRounds(core, leading);
}

/** Some member answered a round: perhaps a quorum has now. */
export function confirmRounds(core: Core, leading: Leading): void {
  const round = quorumValue(core.configuration, (replica) =>
    replica === core.id ? leading.round : (leading.progress.get(replica)?.round ?? 0),
  );
  if (round <= leading.confirmedRound) {
    return;
  }
  leading.confirmedRound = round;
  let count = 0;
  for (const start of leading.roundStarts) {
    if (start.round > round) {
      break;
    }
    leading.confirmedAt = start.tick;
    count++;
  }
  leading.roundStarts.splice(0, count);
  releaseReads(core, leading);
}

/** Gives out the reads whose round is confirmed and whose index is committed. */
export function releaseReads(core: Core, leading: Leading): void {
  let count = 0;
  for (const read of leading.reads) {
    if (read.round > leading.confirmedRound || read.index > core.log.commit) {
      break;
    }
    core.readOutcomes.push({ type: 'confirmed', id: read.id, index: read.index });
    count++;
  }
  if (count > 0) {
    leading.reads.splice(0, count);
  }
}

/** True when a quorum answered a round that began at most `ticks` ago, and no transfer makes that worthless. */
export function isConfirmedWithin(core: Core, ticks: number): boolean {
  const { leading } = core;
  return (
    leading !== null &&
    core.log.applied >= leading.noop &&
    leading.transferee === 0 &&
    core.now - leading.confirmedAt <= ticks
  );
}

/** The process was away: what was confirmed before says nothing about now, and nobody had a chance to be heard. */
export function restartConfirmation(core: Core, leading: Leading): void {
  leading.confirmedAt = Number.NEGATIVE_INFINITY;
  leading.roundStarts = [];
  leading.roundJoinable = false;
  for (const progress of leading.progress.values()) {
    if (isActive(core, progress)) {
      progress.heardAt = core.now;
    }
  }
  beginRound(core, leading);
}
