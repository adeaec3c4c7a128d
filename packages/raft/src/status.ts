import type { Core } from './core.ts';
import { isActive } from './leading.ts';
import type { RaftStatus, Role, SoftStatus } from './types.ts';

/** What this replica is, as people see it. */
export function roleOf(core: Core): Role {
  return core.role === 'follower' && !core.isVoter ? 'learner' : core.role;
}

/** Who leads, as this replica sees it. */
export function softStatus(core: Core): SoftStatus {
  return { role: roleOf(core), term: core.term, leader: core.leader };
}

/** Everything worth showing. */
export function statusOf(core: Core): RaftStatus {
  const { log, configuration } = core;
  const progress = [...(core.leading?.progress.values() ?? [])];
  return {
    ...softStatus(core),
    replica: core.id,
    vote: core.vote,
    commit: log.commit,
    applied: log.applied,
    durable: log.durable,
    last: log.last,
    first: log.first,
    configuration,
    progress: progress.map((member) => ({
      replica: member.replica,
      state: member.state,
      match: member.match,
      next: member.next,
      active: isActive(core, member),
      learner:
        !configuration.voters.includes(member.replica) && !configuration.outgoing.includes(member.replica),
    })),
  };
}
