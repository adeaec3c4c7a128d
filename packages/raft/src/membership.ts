import { beginChange, changeFault, encodeConfiguration, endChange, isJoint } from './configuration.ts';
import type { Core, Leading } from './core.ts';
import { appendAsLeader } from './leading.ts';
import { becomeFollower } from './roles.ts';
import type { ConfigurationChange, Refusal } from './types.ts';
import { NO_REPLICA } from './types.ts';

/**
 * Why a change can't begin now; null: it can. One change at a time, and none before an entry of the own term is
 * committed: an uncommitted configuration of an earlier term may still win elsewhere (paper 6, and its known correction).
 */
export function changeRefusal(core: Core, leading: Leading, change: ConfigurationChange): Refusal | null {
  if (changeFault(change) !== null) {
    return 'invalidChange';
  }
  if (core.log.commit < leading.noop) {
    return 'notConfirmed';
  }
  const { configurations, log } = core;
  return isJoint(configurations.current) || configurations.index > log.commit ? 'changePending' : null;
}

/** Appends the configuration that begins the change; the rest happens by itself as entries commit. */
export function beginMembershipChange(core: Core, leading: Leading, change: ConfigurationChange): void {
  const data = encodeConfiguration(beginChange(core.configuration, change));
  appendAsLeader(core, leading, 'configuration', data);
}

/**
 * The commit index moved: leaves a committed joint state, whoever began it, and steps down when a committed configuration
 * no longer has this leader as a voter (paper 6).
 */
export function continueMembershipChange(core: Core, leading: Leading): void {
  const { configurations, log } = core;
  if (log.commit < leading.noop || configurations.index > log.commit) {
    return;
  }
  if (isJoint(configurations.current)) {
    appendAsLeader(core, leading, 'configuration', encodeConfiguration(endChange(configurations.current)));
  } else if (!core.isVoter) {
    orderSuccessor(core, leading);
    becomeFollower(core, core.term, NO_REPLICA);
  }
}

/** Spares the others an election timeout: the removed leader names a voter that has everything. */
function orderSuccessor(core: Core, leading: Leading): void {
  for (const voter of core.configuration.voters) {
    if (leading.progress.get(voter)?.match === core.log.last && !core.refused.has(voter)) {
      core.send({ type: 'timeoutNow', from: core.id, to: voter, term: core.term });
      return;
    }
  }
}
