import { isVoter } from './configuration.ts';
import { ConfigurationHistory } from './configuration-history.ts';
import { RaftLog } from './log.ts';
import { Outbox } from './outbox.ts';
import { ZERO_INDEX } from './position.ts';
import type { Progress } from './progress.ts';
import type {
  Configuration,
  Entry,
  Index,
  Message,
  RaftConfig,
  ReadOutcome,
  ReplicaId,
  Restored,
  SnapshotMeta,
  Term,
} from './types.ts';
import { NO_REPLICA } from './types.ts';
import { PendingWrites } from './writes.ts';

/** A read that waits for the confirmation of its round (dissertation 6.4). */
export interface PendingRead {
  readonly id: number;
  readonly round: number;
  readonly index: Index;
}

/** The first round begun in a tick. */
export interface RoundStart {
  readonly round: number;
  readonly tick: number;
}

/** What exists only while a replica leads. Made anew for each term, so that nothing of an earlier one can count. */
export interface Leading {
  /** All other members. */
  readonly progress: Map<ReplicaId, Progress>;
  /** Index of the no-op that opened the term. */
  readonly noop: Index;
  /** Bytes proposed and not yet committed. */
  uncommittedBytes: number;
  heartbeatElapsed: number;
  /** Something may have to be sent to members. */
  sendDue: boolean;
  /** Newest round; its heartbeats may still be in the outbox. */
  round: number;
  /** The newest round's heartbeats have not left yet, so that a new read can join it. */
  roundJoinable: boolean;
  roundStarts: RoundStart[];
  /** Highest round that a quorum answered. */
  confirmedRound: number;
  /** Tick at which that round began. */
  confirmedAt: number;
  readonly reads: PendingRead[];
  transferee: ReplicaId;
  transferElapsed: number;
}

/**
 * State that the concerns (election, replication, membership, …) share. It has no behaviour beyond keeping its parts
 * consistent; they are functions over it.
 */
export class Core {
  readonly config: RaftConfig;
  readonly id: ReplicaId;
  readonly log: RaftLog;
  readonly writes: PendingWrites;
  readonly outbox: Outbox = new Outbox();
  configurations: ConfigurationHistory;

  term: Term;
  vote: ReplicaId;
  role: 'follower' | 'preCandidate' | 'candidate' | 'leader' = 'follower';
  leader: ReplicaId = NO_REPLICA;
  /** Set exactly while `role` is leader. */
  leading: Leading | null = null;
  /** Votes of the current (pre-)campaign. */
  votes: Map<ReplicaId, boolean> = new Map();
  /** The current campaign was ordered by the leader (leadership transfer). */
  campaignTransfer = false;

  /** Ticks since the start. */
  now = 0;
  /** Ticks since a leader was heard, a vote granted or a campaign begun. */
  electionElapsed = 0;
  /** Drawn from [T, 2T). */
  electionTimeout: number;
  /** Ticks until the campaign that a refused leader causes; 0: none is planned. */
  refusedCampaignIn = 0;
  /** The last campaign was caused by a refused leader: a failed one is repeated soon. */
  hurried = false;
  /** Replicas whose nodes refuse connections. */
  readonly refused: Set<ReplicaId> = new Set();

  /** Up to here the log is known to equal that of the current term's leader (bounded commit). */
  verified: Index;
  /** An accepted image that the next Ready carries. */
  snapshot: SnapshotMeta | null = null;
  readonly readOutcomes: ReadOutcome[] = [];
  readonly imagesWanted: Set<ReplicaId> = new Set();
  /** First index of the open request to the log store; null: none is open. */
  entriesWantedFrom: Index | null = null;

  constructor(config: RaftConfig, restored: Restored) {
    this.config = config;
    this.id = config.replica;
    this.term = restored.hardState.term;
    this.vote = restored.hardState.vote;
    this.log = new RaftLog(restored, config.cacheBytesMax);
    this.writes = new PendingWrites(restored.hardState);
    const { snapshot } = restored;
    this.configurations = new ConfigurationHistory(snapshot.index, snapshot.configuration);
    for (const entry of restored.entries) {
      this.configurations.append(entry);
    }
    this.configurations.committedTo(this.log.commit);
    // Entries of the current term came from its leader, which verified everything before them.
    this.verified = this.log.lastTerm === this.term ? this.log.last : ZERO_INDEX;
    this.electionTimeout = drawElectionTimeout(config, false);
  }

  /** The configuration in effect. */
  get configuration(): Configuration {
    return this.configurations.current;
  }

  /**
   * True when this replica may campaign: as a voter, and also when only an uncommitted configuration removes it, because the
   * others may be unable to win without its log (dissertation 4.2.2).
   */
  get mayCampaign(): boolean {
    return this.configurations.some((configuration) => isVoter(configuration, this.id));
  }

  /** True when this replica counts in quorums. */
  get isVoter(): boolean {
    return isVoter(this.configurations.current, this.id);
  }

  /** True when the current term and vote would survive a crash. */
  get hardStateDurable(): boolean {
    return this.writes.hardState.term === this.term && this.writes.hardState.vote === this.vote;
  }

  /** Sends at once, but never a term that a crash could take back. */
  send(message: Message): void {
    if (this.hardStateDurable) {
      this.outbox.send(message);
    } else {
      this.outbox.sendAfterWrite(message);
    }
  }

  /** Sends when all that was changed so far is durable. */
  sendAfterWrite(message: Message): void {
    this.outbox.sendAfterWrite(message);
  }

  /** Appends a received entry; a configuration takes effect at once (paper 6). */
  appendReceived(entry: Entry): void {
    this.log.appendReceived(entry);
    this.configurations.append(entry);
  }

  /** Drops entries that contradict the leader's, and the configurations in them. */
  truncateFrom(index: Index): void {
    this.log.truncateFrom(index);
    this.writes.truncatedTo(this.log.last);
    this.configurations.truncateFrom(index);
  }
}

/**
 * A timeout in [T, 2T), so that replicas seldom campaign together (paper 5.2). After a refused leader nobody has to be waited
 * for: a split or unheeded campaign is repeated soon, spread over twice the range of the first one.
 */
export function drawElectionTimeout(config: RaftConfig, hurried: boolean): number {
  if (hurried) {
    const { max } = config.refusedCampaignTicks;
    return max + Math.floor(config.random() * (2 * max + 1));
  }
  return config.electionTimeoutTicks + Math.floor(config.random() * config.electionTimeoutTicks);
}
