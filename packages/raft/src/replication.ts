import { advanceCommit } from './commitment.ts';
import type { Core, Leading } from './core.ts';
import { invariant } from './invariant.ts';
import { isActive, noteCommitTold } from './leading.ts';
import { lower, shift } from './position.ts';
import type { Progress } from './progress.ts';
import { confirmRounds } from './read-index.ts';
import { continueTransfer } from './transfer.ts';
import type { AppendResponse, EntriesWanted, Entry, HeartbeatResponse, Index, Term } from './types.ts';

/** The leader's side of AppendEntries (paper 5.3). Sends all that limits allow; called once per Ready, so that proposals gather. */
export function replicate(core: Core, leading: Leading): void {
  leading.sendDue = false;
  for (const progress of leading.progress.values()) {
    progress.wantsEntries = false;
    while (canSend(core, progress) && sendNext(core, leading, progress)) {
      // Each turn moves `next` or makes `canSend` false.
    }
    if (core.config.commitToldAtOnce) tellCommit(core, progress);
  }
}

/** Answer to an append: moves what is known of the member, and perhaps the commit index. */
export function handleAppendResponse(
  core: Core,
  leading: Leading,
  progress: Progress,
  message: AppendResponse,
): void {
  progress.heardAt = core.now;
  leading.sendDue = true;
  if (!message.success) {
    handleRefusal(core, progress, message);
    return;
  }
  if (message.index > core.log.last) {
    return;
  }
  const isNews = progress.acknowledged(message.index);
  if (progress.state === 'probe' || (progress.state === 'snapshot' && progress.match + 1 >= core.log.first)) {
    progress.becomeReplicate();
    core.imagesWanted.delete(progress.replica);
  }
  if (isNews) {
    continueTransfer(core, leading, progress);
    advanceCommit(core, leading);
  }
}

/** Answer to a heartbeat: the member lives. What seems lost on the way is asked for again. */
export function handleHeartbeatResponse(
  core: Core,
  leading: Leading,
  progress: Progress,
  message: HeartbeatResponse,
): void {
  progress.heardAt = core.now;
  leading.sendDue = true;
  if (message.round > progress.probeRound) {
    progress.waiting = false;
  }
  if (progress.state === 'replicate' && progress.match < progress.next - 1) {
    verifySent(core, progress);
  }
  continueTransfer(core, leading, progress);
  if (message.round > progress.round && message.round <= leading.round) {
    progress.round = message.round;
    confirmRounds(core, leading);
  }
}

/** Once per heartbeat: members that fell silent, and images that were sent and never answered. */
export function reviewMembers(core: Core, leading: Leading): void {
  for (const progress of leading.progress.values()) {
    if (progress.state === 'replicate' && !isActive(core, progress)) {
      // Nothing is kept or sent for a dead member; its next sign of life starts a probe.
      progress.becomeProbe(shift(progress.match, 1));
      progress.waiting = true;
    } else if (core.now - progress.imageSentAt > core.config.electionTimeoutTicks) {
      progress.becomeProbe(shift(progress.match, 1));
      progress.imageSentAt = Number.POSITIVE_INFINITY;
      leading.sendDue = true;
    }
  }
}

/** The next request to the log store for entries that left memory; null: none, or one is open. */
export function wantEntries(core: Core, leading: Leading): EntriesWanted | null {
  if (core.entriesWantedFrom !== null) {
    return null;
  }
  let from: Index | null = null;
  for (const progress of leading.progress.values()) {
    if (progress.wantsEntries && (from === null || progress.next < from)) {
      from = progress.next;
    }
  }
  core.entriesWantedFrom = from;
  return from === null ? null : { from, bytesMax: core.config.appendBytesMax };
}

/** The log store's answer: sent to every member that waits for a part of it. */
export function sendOldEntries(
  core: Core,
  leading: Leading,
  previousTerm: Term,
  entries: readonly Entry[],
  from: Index,
): void {
  leading.sendDue = true;
  const usable = committedPrefix(core, from, entries);
  for (const progress of leading.progress.values()) {
    const skip = progress.next - from;
    if (!progress.wantsEntries || skip < 0 || skip >= Math.max(usable.length, 1)) {
      continue;
    }
    progress.wantsEntries = false;
    if (usable.length === 0) {
      // The store has nothing to say. Asking again at once would spin; the next heartbeat's answer does.
      progress.becomeProbe(shift(progress.match, 1));
      progress.waiting = true;
    } else if (canSend(core, progress)) {
      progress.probeRound = leading.round;
      sendAppend(
        core,
        progress,
        usable[skip - 1]?.term ?? core.log.term(shift(from, -1)) ?? previousTerm,
        usable.slice(skip),
      );
    }
  }
}

/** The log store no longer has entries below `first`. */
export function wantImages(core: Core, leading: Leading, first: Index): void {
  leading.sendDue = true;
  for (const progress of leading.progress.values()) {
    if (progress.wantsEntries && progress.next < first) {
      wantImage(core, progress);
    }
  }
}

function canSend(core: Core, progress: Progress): boolean {
  switch (progress.state) {
    case 'probe':
      return !progress.waiting;
    case 'replicate':
      return (
        progress.inflightMessages < core.config.inflightMessagesMax &&
        progress.inflightBytes < core.config.inflightBytesMax
      );
    case 'snapshot':
      return false;
  }
}

/** Sends one append with entries. False when there is none to send, or not from memory. */
function sendNext(core: Core, leading: Leading, progress: Progress): boolean {
  const { log } = core;
  if (progress.next > log.last) {
    return false;
  }
  if (progress.next < log.cacheFirst) {
    if (progress.next < log.first) {
      wantImage(core, progress);
    } else {
      progress.wantsEntries = true;
    }
    return false;
  }
  const previousTerm = log.term(shift(progress.next, -1));
  invariant(previousTerm !== undefined, `the term before ${progress.next} is known`);
  progress.probeRound = leading.round;
  sendAppend(core, progress, previousTerm, log.sliceBytes(progress.next, core.config.appendBytesMax));
  return true;
}

function sendAppend(core: Core, progress: Progress, previousTerm: Term, entries: readonly Entry[]): void {
  const previousIndex = shift(progress.next, -1);
  const last = shift(previousIndex, entries.length);
  core.send({
    type: 'appendRequest',
    from: core.id,
    to: progress.replica,
    term: core.term,
    previousIndex,
    previousTerm,
    commit: core.log.commit,
    entries,
  });
  noteCommitTold(progress, lower(core.log.commit, last));
  if (entries.length > 0) {
    let bytes = 0;
    for (const entry of entries) {
      bytes += entry.data.length;
    }
    progress.sent(last, bytes);
  }
}

/** Tells a member that has everything what is committed; others learn it with their next entries. */
function tellCommit(core: Core, progress: Progress): void {
  const isIdle = progress.state === 'replicate' && progress.match === core.log.last;
  if (isIdle && progress.commitTold < core.log.commit) {
    const term = core.log.term(progress.match);
    if (term !== undefined) {
      sendAppend(core, progress, term, []);
    }
  }
}

/** Appends are unanswered: an empty one behind them shows whether they, or only their answers, were lost. */
function verifySent(core: Core, progress: Progress): void {
  const term = core.log.term(shift(progress.next, -1));
  if (term === undefined) {
    progress.becomeProbe(shift(progress.match, 1));
  } else {
    sendAppend(core, progress, term, []);
  }
}

/** Backs off by whole terms (paper 5.3, end). Refusals that answer nothing open are late or doubled: ignored. */
function handleRefusal(core: Core, progress: Progress, message: AppendResponse): void {
  if (!progress.isOpen(message.index)) {
    return;
  }
  const highest = lower(message.hintIndex, shift(message.index, -1));
  progress.becomeProbe(shift(core.log.lastAtMost(highest, message.hintTerm), 1));
}

function wantImage(core: Core, progress: Progress): void {
  progress.becomeSnapshot();
  core.imagesWanted.add(progress.replica);
}

/** Entries of the store above the commit index may have been overwritten since they were read. */
function committedPrefix(core: Core, from: Index, entries: readonly Entry[]): readonly Entry[] {
  let count = 0;
  for (const entry of entries) {
    if (entry.index !== from + count || entry.index > core.log.commit) {
      break;
    }
    count++;
  }
  return count === entries.length ? entries : entries.slice(0, count);
}
