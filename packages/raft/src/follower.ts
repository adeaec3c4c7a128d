import { commitTo } from './commitment.ts';
import { readConfiguration } from './configuration.ts';
import type { Core } from './core.ts';
import { higher, lower, shift } from './position.ts';
import { heardLeader } from './roles.ts';
import type { AppendRequest, Entry, HeartbeatRequest, Index } from './types.ts';

/** The follower's side of AppendEntries (paper 5.3). */
export function handleAppendRequest(core: Core, message: AppendRequest): void {
  heardLeader(core, message.from);
  if (!isWellFormed(message)) {
    return;
  }
  const { previousIndex, previousTerm } = message;
  if (previousIndex > core.log.commit && core.log.term(previousIndex) !== previousTerm) {
    refuse(core, message);
    return;
  }
  if (!appendMissing(core, message.entries)) {
    return;
  }
  const last = shift(previousIndex, message.entries.length);
  core.verified = higher(core.verified, last);
  commitTo(core, lower(message.commit, last));
  // What is committed here is in every later leader's log, so it may be confirmed along with the append.
  confirm(core, message.from, higher(last, core.log.commit));
}

/** A heartbeat may overtake appends, so it moves the commit index no further than this leader's appends have verified. */
export function handleHeartbeatRequest(core: Core, message: HeartbeatRequest): void {
  heardLeader(core, message.from);
  commitTo(core, lower(message.commit, core.verified));
  core.send({
    type: 'heartbeatResponse',
    from: core.id,
    to: message.from,
    term: core.term,
    round: message.round,
  });
}

/** Confirms to the leader that everything up to `index` matches, once it is durable. */
export function confirm(core: Core, leader: AppendRequest['from'], index: Index): void {
  core.sendAfterWrite({
    type: 'appendResponse',
    from: core.id,
    to: leader,
    term: core.term,
    success: true,
    index,
    hintIndex: index,
    hintTerm: core.log.term(index) ?? core.term,
  });
}

/** Says where the leader should look next: nothing behind the hint can match an entry of `previousTerm`. */
function refuse(core: Core, message: AppendRequest): void {
  const { log } = core;
  const hintIndex = higher(log.lastAtMost(message.previousIndex, message.previousTerm), log.commit);
  core.send({
    type: 'appendResponse',
    from: core.id,
    to: message.from,
    term: core.term,
    success: false,
    index: message.previousIndex,
    hintIndex,
    hintTerm: log.term(hintIndex) ?? message.previousTerm,
  });
}

/**
 * Appends what is missing. Entries are dropped only where one of another term stands (paper figure 2, receiver's step 3): an old or
 * doubled append must not shorten the log. False when the entries contradict what is committed.
 */
function appendMissing(core: Core, entries: readonly Entry[]): boolean {
  const { log } = core;
  for (const entry of entries) {
    if (entry.index <= log.commit) {
      continue;
    }
    if (entry.index <= log.last) {
      if (log.term(entry.index) === entry.term) {
        continue;
      }
    }
    if ((log.term(shift(entry.index, -1)) ?? entry.term) > entry.term) {
      return false;
    }
    if (entry.index <= log.last) {
      core.truncateFrom(entry.index);
    }
    core.appendReceived(entry);
  }
  return true;
}

/** A message that no correct leader sends is dropped: dense, terms that do not fall or pass the leader's, readable configurations. */
function isWellFormed(message: AppendRequest): boolean {
  let index = message.previousIndex as number;
  let term = message.previousTerm as number;
  for (const entry of message.entries) {
    index++;
    if (entry.index !== index || entry.term < term || entry.term > message.term) {
      return false;
    }
    if (entry.type === 'configuration' && readConfiguration(entry.data) === null) {
      return false;
    }
    term = entry.term;
  }
  return message.commit >= 0;
}
