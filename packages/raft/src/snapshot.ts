import { commitTo } from './commitment.ts';
import { ConfigurationHistory } from './configuration-history.ts';
import type { Core } from './core.ts';
import { confirm } from './follower.ts';
import { higher } from './position.ts';
import { heardLeader } from './roles.ts';
import type { SnapshotMeta, SnapshotRequest } from './types.ts';
import { NO_REPLICA } from './types.ts';

/**
 * A whole image has arrived (paper 7). One that is not ahead of the commit index is answered and nothing else. Where the log
 * holds the image's last entry, the entries behind it were acknowledged and stay: only the commit index moves.
 *
 * The driver steps it in when the last piece has come, which may be after the leader was lost; `from` is then nobody. What an
 * image holds is committed, so every later leader has it, and it is taken all the same.
 */
export function handleSnapshotRequest(core: Core, message: SnapshotRequest): void {
  if (message.from !== NO_REPLICA) {
    heardLeader(core, message.from);
  }
  const { meta } = message;
  if (meta.term > message.term) {
    return;
  }
  if (meta.index > core.log.commit) {
    if (core.log.term(meta.index) === meta.term) {
      commitTo(core, meta.index);
    } else {
      install(core, meta);
    }
    core.verified = higher(core.verified, meta.index);
  }
  if (message.from !== NO_REPLICA) {
    confirm(core, message.from, core.log.commit);
  }
}

function install(core: Core, meta: SnapshotMeta): void {
  core.writes.truncatedTo(core.log.commit);
  core.log.reset(meta);
  core.configurations = new ConfigurationHistory(meta.index, meta.configuration);
  core.snapshot = meta;
}
