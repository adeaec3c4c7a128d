import { advanceCommit } from './commitment.ts';
import { Core } from './core.ts';
import {
  beginPreVote,
  countOwnVote,
  handleTimeoutNow,
  handleVoteRequest,
  handleVoteResponse,
  ignoresCampaign,
  tickElection,
} from './election.ts';
import { handleAppendRequest, handleHeartbeatRequest } from './follower.ts';
import { appendAsLeader } from './leading.ts';
import { notePause, noteRefused, tickLeader } from './liveness.ts';
import { beginMembershipChange, changeRefusal } from './membership.ts';
import { higher, shift, ZERO_INDEX, ZERO_TERM } from './position.ts';
import { checkConfig } from './raft-config.ts';
import { isConfirmedWithin, requestRead } from './read-index.ts';
import { ReadyMaker } from './ready.ts';
import { handleAppendResponse, handleHeartbeatResponse, sendOldEntries, wantImages } from './replication.ts';
import { becomeFollower } from './roles.ts';
import { handleSnapshotRequest } from './snapshot.ts';
import { statusOf } from './status.ts';
import { beginTransfer } from './transfer.ts';
import type {
  AppendResponse,
  ConfigurationChange,
  Entry,
  HeartbeatResponse,
  Index,
  Message,
  ProposeResult,
  RaftConfig,
  RaftStatus,
  Ready,
  Refusal,
  ReplicaId,
  Restored,
  Term,
} from './types.ts';
import { NO_REPLICA } from './types.ts';

/**
 * One replica of one shard: decides, and does nothing else. Inputs are method calls; outputs wait in {@link Raft.ready}.
 * No clock, no disk, no network: ticks, completed writes and messages are brought to it.
 */
export class Raft {
  readonly #core: Core;
  readonly #ready: ReadyMaker;

  /** Throws a RangeError for a setting that makes no sense. */
  constructor(config: RaftConfig, restored: Restored) {
    checkConfig(config);
    this.#core = new Core(config, restored);
    this.#ready = new ReadyMaker(this.#core);
  }

  /** One unit of time passed. */
  tick(): void {
    const core = this.#core;
    core.now++;
    if (core.leading === null) {
      tickElection(core);
    } else {
      tickLeader(core, core.leading);
    }
  }

  /** A message of a peer, or a received image. Never throws for what the message says; nonsense is ignored. */
  step(message: Message): void {
    const core = this.#core;
    if (message.to !== core.id || message.from === core.id) {
      return;
    }
    if (message.from === NO_REPLICA && message.type !== 'snapshotRequest') {
      return;
    }
    if (message.term < core.term) {
      answerStale(core, message);
    } else if (message.term === core.term || adoptTerm(core, message)) {
      dispatch(core, message);
    }
  }

  /** Asks to replicate a command. Sent with the next Ready, so that calls in between travel together. */
  propose(data: Uint8Array): ProposeResult {
    const { leading, config } = this.#core;
    if (leading === null) {
      return this.#refused('notLeader');
    }
    if (leading.transferee !== NO_REPLICA) {
      return this.#refused('transferring');
    }
    // One entry always goes, however large, or a large one would never.
    if (leading.uncommittedBytes > 0 && leading.uncommittedBytes + data.length > config.uncommittedBytesMax) {
      return this.#refused('tooMuchUncommitted');
    }
    const { index, term } = appendAsLeader(this.#core, leading, 'command', data);
    return { type: 'accepted', index, term };
  }

  /** Asks to change members. `accepted` names the entry that begins the change; it ends with a later, final one. */
  proposeChange(change: ConfigurationChange): ProposeResult {
    const core = this.#core;
    const { leading } = core;
    if (leading === null) {
      return this.#refused('notLeader');
    }
    if (leading.transferee !== NO_REPLICA) {
      return this.#refused('transferring');
    }
    const refusal = changeRefusal(core, leading, change);
    if (refusal !== null) {
      return this.#refused(refusal);
    }
    beginMembershipChange(core, leading, change);
    return { type: 'accepted', index: core.log.last, term: core.term };
  }

  /** Asks for an index that a linearizable read has to wait for; the outcome named `id` comes in a later Ready. */
  read(id: number): Refusal | null {
    return requestRead(this.#core, id);
  }

  /** Hands leadership to `to`; null: under way. Given up after T. */
  transfer(to: ReplicaId): Refusal | null {
    return beginTransfer(this.#core, to);
  }

  /** Begins a pre-vote now, if this replica may campaign. */
  campaign(): void {
    beginPreVote(this.#core);
  }

  /** That replica's node refuses connections (its process is gone), or no longer does. */
  nodeRefused(replica: ReplicaId, refused: boolean): void {
    noteRefused(this.#core, replica, refused);
  }

  /** The process was away: confirmations are void and timers start again. */
  paused(): void {
    notePause(this.#core);
  }

  /** This write and all before it are durable. */
  written(writeId: number): void {
    const core = this.#core;
    const durable = core.writes.complete(writeId);
    if (durable !== null) {
      core.log.durable = higher(core.log.durable, durable);
    }
    core.outbox.release(writeId);
    countOwnVote(core);
    if (core.leading !== null) {
      advanceCommit(core, core.leading);
    }
    core.log.evict();
  }

  /** The state machine has applied everything up to `index`. */
  applied(index: Index): void {
    this.#core.log.appliedTo(index);
  }

  /** Answer to `entriesWanted`: dense from `from` on; `previousTerm` is that of the entry before. */
  entriesRead(from: Index, previousTerm: Term, entries: readonly Entry[]): void {
    const core = this.#core;
    if (core.entriesWantedFrom !== from) {
      return;
    }
    core.entriesWantedFrom = null;
    if (core.leading !== null) {
      sendOldEntries(core, core.leading, previousTerm, entries, from);
    }
  }

  /** Answer to `entriesWanted`: the log store begins at `first` by now. */
  entriesCompacted(first: Index): void {
    const core = this.#core;
    core.entriesWantedFrom = null;
    core.log.compactedTo(first);
    if (core.leading !== null) {
      wantImages(core, core.leading, first);
    }
  }

  /** The transfer of an image to a follower ended. */
  snapshotReport(replica: ReplicaId, ok: boolean): void {
    const { leading, now } = this.#core;
    const progress = leading?.progress.get(replica);
    if (progress?.state !== 'snapshot') {
      return;
    }
    if (ok) {
      progress.imageSentAt = now;
    } else {
      progress.becomeProbe(shift(progress.match, 1));
      progress.waiting = true;
    }
  }

  /** The log store dropped entries below `first`. */
  compacted(first: Index): void {
    this.#core.log.compactedTo(first);
  }

  /** True for a leader whose no-op is applied and whom a quorum answered within the last `ticks`. */
  confirmedWithin(ticks: number): boolean {
    return isConfirmedWithin(this.#core, ticks);
  }

  /** True when {@link ready} has something to say. Cheap. */
  hasReady(): boolean {
    return this.#ready.has();
  }

  /** Takes everything that is to be done now. */
  ready(): Ready {
    return this.#ready.make();
  }

  status(): RaftStatus {
    return statusOf(this.#core);
  }

  #refused(reason: Refusal): ProposeResult {
    return { type: 'refused', reason, leader: this.#core.leader };
  }
}

/** Handles a message of the current term (or a pre-vote for the next). */
function dispatch(core: Core, message: Message): void {
  switch (message.type) {
    case 'voteRequest':
      handleVoteRequest(core, message);
      return;
    case 'voteResponse':
      handleVoteResponse(core, message);
      return;
    case 'appendResponse':
    case 'heartbeatResponse':
      dispatchResponse(core, message);
      return;
    case 'timeoutNow':
      handleTimeoutNow(core, message);
      return;
    case 'appendRequest':
    case 'heartbeatRequest':
    case 'snapshotRequest':
      dispatchFromLeader(core, message);
      return;
  }
}

type LeaderMessage = Extract<Message, { type: 'appendRequest' | 'heartbeatRequest' | 'snapshotRequest' }>;

function dispatchFromLeader(core: Core, message: LeaderMessage): void {
  if (core.role === 'leader') {
    // There is one leader in a term; whoever claims otherwise is not heeded.
    return;
  }
  switch (message.type) {
    case 'appendRequest':
      handleAppendRequest(core, message);
      return;
    case 'heartbeatRequest':
      handleHeartbeatRequest(core, message);
      return;
    case 'snapshotRequest':
      handleSnapshotRequest(core, message);
      return;
  }
}

function dispatchResponse(core: Core, message: AppendResponse | HeartbeatResponse): void {
  const { leading } = core;
  const progress = leading?.progress.get(message.from);
  if (leading === null || progress === undefined) {
    return;
  }
  if (message.type === 'appendResponse') {
    handleAppendResponse(core, leading, progress, message);
  } else {
    handleHeartbeatResponse(core, leading, progress, message);
  }
}

/** A newer term (paper 5.1). False when the message is not to be handled at all. */
function adoptTerm(core: Core, message: Message): boolean {
  if (message.type === 'voteRequest') {
    if (ignoresCampaign(core, message)) {
      return false;
    }
    if (message.preVote) {
      return true;
    }
  }
  if (message.type === 'voteResponse' && message.preVote && message.granted) {
    return true;
  }
  becomeFollower(core, message.term, NO_REPLICA);
  return true;
}

/** The sender is behind: it learns the newer term from the answer and steps down, or stops waiting. */
function answerStale(core: Core, message: Message): void {
  const envelope = { from: core.id, to: message.from, term: core.term };
  switch (message.type) {
    case 'voteRequest':
      core.send({ ...envelope, type: 'voteResponse', preVote: message.preVote, granted: false });
      return;
    case 'heartbeatRequest':
      core.send({ ...envelope, type: 'heartbeatResponse', round: 0 });
      return;
    case 'appendRequest':
    case 'snapshotRequest':
      core.send({
        ...envelope,
        type: 'appendResponse',
        success: false,
        index: ZERO_INDEX,
        hintIndex: ZERO_INDEX,
        hintTerm: ZERO_TERM,
      });
      return;
    default:
      return;
  }
}
