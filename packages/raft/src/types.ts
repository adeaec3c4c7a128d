/**
 * The words of the core. Terms follow "In Search of an Understandable Consensus Algorithm"
 * (Ongaro and Ousterhout 2014, extended version; "the paper") and Ongaro's dissertation.
 */

/** Position in a shard's Raft log, dense, the first entry is 1. 0 means "before the first entry". */
export type Index = number & { readonly brand: 'Index' };
/** Raft term, rises by one or more with each election. 0 means "no term yet". */
export type Term = number & { readonly brand: 'Term' };
/** One copy of one shard. Given by the meta shard, never used twice; 0 is {@link NO_REPLICA}. */
export type ReplicaId = number & { readonly brand: 'ReplicaId' };

/** "Nobody": no vote cast, no leader known. */
export const NO_REPLICA: ReplicaId = 0 as ReplicaId;

/** `noop` opens a term (paper 8), `configuration` changes members (paper 6), `command` is the state machine's. */
export type EntryType = 'noop' | 'command' | 'configuration';

/** What Raft replicates. `data` is opaque to the core (except `configuration`, see {@link Configuration}). */
export interface Entry {
  readonly index: Index;
  readonly term: Term;
  readonly type: EntryType;
  readonly data: Uint8Array;
}

/** What must survive a crash besides the log; both are saved in one step (paper figure 2). */
export interface HardState {
  readonly term: Term;
  readonly vote: ReplicaId;
}

/**
 * Members of a shard. Outside a change `outgoing` is empty. In the joint state (paper 6) a decision needs a
 * majority of `voters` and one of `outgoing`. `learnersNext` are voters of `outgoing` that become learners when it ends.
 */
export interface Configuration {
  readonly voters: readonly ReplicaId[];
  readonly outgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
  readonly learnersNext: readonly ReplicaId[];
}

/** Names the state an image holds: everything up to and including `index`, and the members as of it. */
export interface SnapshotMeta {
  readonly index: Index;
  readonly term: Term;
  readonly configuration: Configuration;
}

/** Fields of every message between replicas of one shard. */
interface Envelope {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly term: Term;
}

/** RequestVote (paper 5.2), also its pre-vote form (dissertation 9.6), where `term` is the term it would campaign for. */
export interface VoteRequest extends Envelope {
  readonly type: 'voteRequest';
  readonly preVote: boolean;
  /** The sender campaigns on its leader's request: the "leader heard" rule does not apply. */
  readonly transfer: boolean;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
}
/** Answer to {@link VoteRequest}. */
export interface VoteResponse extends Envelope {
  readonly type: 'voteResponse';
  readonly preVote: boolean;
  readonly granted: boolean;
}
/** AppendEntries with entries, or an empty probe (paper 5.3). */
export interface AppendRequest extends Envelope {
  readonly type: 'appendRequest';
  readonly previousIndex: Index;
  readonly previousTerm: Term;
  readonly commit: Index;
  readonly entries: readonly Entry[];
}
/** Answer to {@link AppendRequest}; sent only after what it confirms is durable. */
export interface AppendResponse extends Envelope {
  readonly type: 'appendResponse';
  readonly success: boolean;
  /** On success the last index known to match; on refusal the `previousIndex` that was refused. */
  readonly index: Index;
  /** On refusal: where to look next, the largest index at or below the refused one whose term could match, and its term. */
  readonly hintIndex: Index;
  readonly hintTerm: Term;
}
/** Empty AppendEntries on the control channel; carries min(commit, match of the follower). */
export interface HeartbeatRequest extends Envelope {
  readonly type: 'heartbeatRequest';
  readonly commit: Index;
  /** Highest round of confirmation (ReadIndex, check-quorum) that this heartbeat asks for. */
  readonly round: number;
}
/** Answer to {@link HeartbeatRequest}, echoes its round. */
export interface HeartbeatResponse extends Envelope {
  readonly type: 'heartbeatResponse';
  readonly round: number;
}
/** The follower has received a whole image, named here, from the leader of `term` (paper 7). Stepped by the driver. */
export interface SnapshotRequest extends Envelope {
  readonly type: 'snapshotRequest';
  readonly meta: SnapshotMeta;
}
/** "Campaign now" (dissertation 3.10, leadership transfer). */
export interface TimeoutNow extends Envelope {
  readonly type: 'timeoutNow';
}

/** Everything that replicas of a shard say to each other. */
export type Message =
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendResponse
  | HeartbeatRequest
  | HeartbeatResponse
  | SnapshotRequest
  | TimeoutNow;

/** What a replica is at the moment. */
export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'learner';

/** A change of members, as the caller asks for it. It always runs through a joint state (or a one-step equivalent). */
export interface ConfigurationChange {
  /** The voters wanted at the end. Must not be empty. */
  readonly voters: readonly ReplicaId[];
  /** The learners wanted at the end. Disjoint from `voters`. */
  readonly learners: readonly ReplicaId[];
}

/** Why the core did not take a proposal. Nothing was applied and nothing was changed. */
export type Refusal =
  | 'notLeader'
  | 'transferring'
  | 'tooMuchUncommitted'
  | 'changePending'
  | 'invalidChange'
  | 'notConfirmed';

/** Answer to a proposal. `accepted` is not yet committed: its fate is known when its index is applied or overwritten. */
export type ProposeResult =
  | { readonly type: 'accepted'; readonly index: Index; readonly term: Term }
  | { readonly type: 'refused'; readonly reason: Refusal; readonly leader: ReplicaId };

/** A confirmed ReadIndex (dissertation 6.4): a state applied up to `index` serves the read `id`. */
export interface ReadConfirmed {
  readonly type: 'confirmed';
  readonly id: number;
  readonly index: Index;
}
/** A read that can't be confirmed any more: leadership was lost. */
export interface ReadDropped {
  readonly type: 'dropped';
  readonly id: number;
}
export type ReadOutcome = ReadConfirmed | ReadDropped;

/** Old entries that the core needs from the log store; answered with `entriesRead`. */
export interface EntriesWanted {
  readonly from: Index;
  readonly bytesMax: number;
}

/**
 * What the driver has to do, in this order: (1) write `hardState`, `entries` (an entry at or below the last index
 * overwrites it and all behind it) and `snapshot` as one write named `writeId` and report {@link Raft.written} when all of it,
 * and every earlier write, is durable; (2) send `messages` at once and `afterWrite` when that write is durable;
 * (3) apply `committed`, in order; report {@link Raft.applied}. `writeId` is 0 when there is nothing to write.
 */
export interface Ready {
  readonly writeId: number;
  readonly hardState: HardState | null;
  readonly entries: readonly Entry[];
  /** Install this image (it was stepped in as {@link SnapshotRequest}); the log before and at its index is void. */
  readonly snapshot: SnapshotMeta | null;
  readonly messages: readonly Message[];
  readonly afterWrite: readonly Message[];
  /** Committed, durable here, not handed out before; dense and in order. */
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadOutcome[];
  /** Followers that need an image because the log no longer reaches back to them. Report with `snapshotReport`. */
  readonly imagesWanted: readonly ReplicaId[];
  /** At most one request is open at a time; answer with `entriesRead`. */
  readonly entriesWanted: EntriesWanted | null;
  /** Set when term, role or leader changed since the last Ready. */
  readonly status: SoftStatus | null;
}

/** Who leads, as this replica sees it. `confirmed`: it leads and has applied the no-op of its term. */
export interface SoftStatus {
  readonly role: Role;
  readonly term: Term;
  readonly leader: ReplicaId;
}

/** A leader's view of one other member. Lengths in entries. */
export interface ProgressStatus {
  readonly replica: ReplicaId;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly match: Index;
  readonly next: Index;
  readonly active: boolean;
  readonly learner: boolean;
}

/** Everything worth showing to people and to the invariants of a simulation. */
export interface RaftStatus extends SoftStatus {
  readonly replica: ReplicaId;
  readonly vote: ReplicaId;
  readonly commit: Index;
  readonly applied: Index;
  readonly durable: Index;
  readonly last: Index;
  readonly first: Index;
  readonly configuration: Configuration;
  readonly progress: readonly ProgressStatus[];
}

/** Limits and times of a core. Counts of ticks are whole and positive; bytes count entry data. */
export interface RaftConfig {
  readonly replica: ReplicaId;
  /** T in ticks. A timeout is drawn from [T, 2T). */
  readonly electionTimeoutTicks: number;
  /** Ticks between heartbeats, well below T. */
  readonly heartbeatTicks: number;
  /** Ticks drawn from [min, max] before a pre-vote after the leader's node refused connections. */
  readonly refusedCampaignTicks: { readonly min: number; readonly max: number };
  /** Most data bytes in one AppendRequest (at least one entry always goes). */
  readonly appendBytesMax: number;
  /** Most unanswered AppendRequests to one follower. */
  readonly inflightMessagesMax: number;
  /** Most unanswered bytes to one follower. */
  readonly inflightBytesMax: number;
  /** Proposals are refused above this many uncommitted bytes. */
  readonly uncommittedBytesMax: number;
  /** Applied, durable entries beyond this many bytes leave memory; older ones come by `entriesWanted`. */
  readonly cacheBytesMax: number;
  /**
   * Idle followers are told at once what is committed. False: they learn it with the next entries or heartbeat, which saves a message
   * a commit where nobody reads a follower's state.
   */
  readonly commitToldAtOnce: boolean;
  /** Uniform in [0, 1), seeded by the caller. */
  readonly random: () => number;
}

/** What a core starts from, read back from disk. `entries` are all above `snapshot.index`, dense. */
export interface Restored {
  readonly hardState: HardState;
  /** State of the image the state machine starts with; index 0 for a new shard, with its first configuration. */
  readonly snapshot: SnapshotMeta;
  readonly entries: readonly Entry[];
  /** First index that the log store can still read (at most snapshot.index + 1). */
  readonly first: Index;
  /** Known committed at the last run, at least snapshot.index. */
  readonly commit: Index;
}
