import { membersOf } from './configuration.ts';
import type { Core, Leading } from './core.ts';
import { higher, lower, shift } from './position.ts';
import { Progress } from './progress.ts';
import type { Entry, EntryType, Index, ReplicaId } from './types.ts';
import { NO_REPLICA } from './types.ts';

/** A fresh state for a term that `core` has won; the no-op is not appended yet. */
export function newLeading(core: Core): Leading {
  const { log } = core;
  const leading: Leading = {
    progress: new Map(),
    noop: shift(log.last, 1),
    uncommittedBytes: log.bytes(shift(log.commit, 1), log.last),
    heartbeatElapsed: 0,
    sendDue: false,
    round: 0,
    roundJoinable: false,
    roundStarts: [],
    confirmedRound: 0,
    confirmedAt: Number.NEGATIVE_INFINITY,
    reads: [],
    transferee: NO_REPLICA,
    transferElapsed: 0,
  };
  followConfiguration(core, leading, shift(log.last, 1));
  return leading;
}

/** Appends to the own log and lets the next Ready send it. A configuration takes effect at once (paper 6). */
export function appendAsLeader(core: Core, leading: Leading, type: EntryType, data: Uint8Array): Entry {
  const entry = core.log.append(core.term, type, data);
  leading.uncommittedBytes += data.length;
  leading.sendDue = true;
  if (core.configurations.append(entry)) {
    followConfiguration(core, leading, entry.index);
  }
  return entry;
}

/** True when `progress` was heard within the last election timeout. */
export function isActive(core: Core, progress: Progress): boolean {
  return core.now - progress.heardAt <= core.config.electionTimeoutTicks;
}

/** How far a member's durable log is known to equal the leader's. The leader counts only what is on its own disk. */
export function matchOf(core: Core, leading: Leading, replica: ReplicaId): number {
  return replica === core.id ? core.log.durable : (leading.progress.get(replica)?.match ?? 0);
}

/** Commit index that `progress` may be told on the control channel. */
export function tellableCommit(core: Core, progress: Progress): Index {
  return lower(core.log.commit, progress.match);
}

/** Notes that `progress` was told a commit index. */
export function noteCommitTold(progress: Progress, commit: Index): void {
  progress.commitTold = higher(progress.commitTold, commit);
}

function followConfiguration(core: Core, leading: Leading, next: Index): void {
  const members = new Set(membersOf(core.configuration));
  members.delete(core.id);
  for (const replica of members) {
    if (!leading.progress.has(replica)) {
      leading.progress.set(replica, new Progress(replica, next, core.now));
    }
  }
  for (const replica of [...leading.progress.keys()]) {
    if (!members.has(replica)) {
      leading.progress.delete(replica);
      core.imagesWanted.delete(replica);
    }
  }
  if (!core.configuration.voters.includes(leading.transferee)) {
    leading.transferee = NO_REPLICA;
  }
}
