import type { Core, Leading } from './core.ts';
import { matchOf } from './leading.ts';
import { continueMembershipChange } from './membership.ts';
import { shift } from './position.ts';
import { quorumValue } from './quorum.ts';
import { releaseReads } from './read-index.ts';
import type { Index } from './types.ts';

/** Moves the commit index forward, never back. True when it moved. */
export function commitTo(core: Core, index: Index): boolean {
  if (index <= core.log.commit) {
    return false;
  }
  core.log.commit = index;
  core.configurations.committedTo(index);
  return true;
}

/**
 * Commits what a quorum has on disk, but only by counting an entry of the own term: an older entry on a majority may still be
 * overwritten (paper 5.4.2, figure 8).
 */
export function advanceCommit(core: Core, leading: Leading): void {
  const { log } = core;
  const before = log.commit;
  const index = quorumValue(core.configuration, (replica) => matchOf(core, leading, replica)) as Index;
  if (index <= before || log.term(index) !== core.term) {
    return;
  }
  leading.uncommittedBytes -= log.bytes(shift(before, 1), index);
  leading.sendDue = true;
  commitTo(core, index);
  releaseReads(core, leading);
  continueMembershipChange(core, leading);
}
