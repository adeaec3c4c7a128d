/** What a node does with its shards: the surface of {@link MultiRaft}. */
import type {
  Configuration,
  ConfigurationChange,
  Index,
  ProposeResult,
  RaftStatus,
  Refusal,
  ReplicaId,
} from '@seriatim/raft';
import type {
  Clock,
  LogStore,
  NodeId,
  PeerTransport,
  RecoveredShard,
  ShardId,
  StateMachine,
} from './ports.ts';

/**
 * What became of an accepted proposal. `applied`: committed and applied here. `overwritten`: certainly never applied.
 * `unknown`: this replica was closed, or an image jumped over the index, before it could know.
 */
export type Fate =
  | { readonly type: 'applied'; readonly index: Index }
  | { readonly type: 'overwritten' }
  | { readonly type: 'unknown' };

/** One replica on this node. */
export interface Shard {
  readonly id: ShardId;
  readonly replica: ReplicaId;
  /**
   * Proposes a command in one synchronous step; a refusal leaves no trace. `settle` is called exactly once when accepted, never
   * inside this call, and after the state machine applied the entry.
   */
  propose(data: Uint8Array, settle: (fate: Fate) => void): ProposeResult;
  /** ReadIndex: calls `done(true)` when the applied state is at least as new as this call, `done(false)` when it can't be known. */
  read(done: (confirmed: boolean) => void): void;
  /** Changes members through a joint state; settled when the final configuration is applied. */
  change(change: ConfigurationChange, settle: (fate: Fate) => void): ProposeResult;
  /** Hands leadership to a voter that is up to date; null: under way. */
  transfer(to: ReplicaId): Refusal | null;
  /** True when this replica leads, its no-op is applied, and a quorum answered within half an election timeout. */
  leadsForSure(): boolean;
  /** Campaigns (with a pre-vote) now instead of at its election timeout: for the preferred leader of a new shard. */
  readonly campaign?: () => void;
  status(): RaftStatus;
}

/** How to open a replica. */
export interface ShardSpec {
  readonly shard: ShardId;
  readonly replica: ReplicaId;
  readonly stateMachine: StateMachine;
  /** First configuration, for a replica that was never opened before. An empty voters list: it waits to be contacted as a learner. */
  readonly initial: Configuration;
  /** The state is read on followers too: they are told of each commit at once, instead of with the next entries or heartbeat. */
  readonly followersRead: boolean;
  /** Node of a replica; undefined: not known (messages to it are dropped). Asked often; must be quick. */
  readonly locate: (replica: ReplicaId) => NodeId | undefined;
  /** As found on disk by the log store; null for a new replica. */
  readonly recovered: RecoveredShard | null;
}

/** Limits and times; whole numbers. Defaults in `defaultHostConfig`. */
export interface HostConfig {
  /** Milliseconds per tick of all cores (25). */
  readonly tickMilliseconds: number;
  /** T, milliseconds (1,000). */
  readonly electionTimeoutMilliseconds: number;
  /** Milliseconds between heartbeats (100). */
  readonly heartbeatMilliseconds: number;
  /** Milliseconds a tick may be late before the node takes itself for paused (250). */
  readonly pauseMilliseconds: number;
  /** Most unhandled raft messages of one shard; above it the oldest appends are dropped (4,096). */
  readonly inboxMessagesMax: number;
  /** Most unhandled bytes of one shard's inbox (64 MiB). */
  readonly inboxBytesMax: number;
  readonly appendBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  readonly uncommittedBytesMax: number;
  readonly cacheBytesMax: number;
}

export interface HostOptions {
  readonly node: NodeId;
  readonly clock: Clock;
  readonly transport: PeerTransport;
  readonly store: LogStore;
  /** Uniform in [0, 1), seeded by the caller. */
  readonly random: () => number;
  readonly config: HostConfig;
  /** A shard whose own state is broken (unknown version, invariant): it was closed, the others go on. */
  readonly onShardFault: (shard: ShardId, error: Error) => void;
}

/** Drives all replicas of one node: one timer, one flush, one heartbeat frame per node pair. */
export interface ShardHost {
  open(spec: ShardSpec): Promise<Shard>;
  close(shard: ShardId): Promise<void>;
  get(shard: ShardId): Shard | undefined;
  shards(): Iterable<Shard>;
  /** Stops the timer and all shards; pending proposals settle as `unknown`. */
  stop(): Promise<void>;
  /** Milliseconds the last pause took, and how many there were. */
  pauses(): { readonly count: number; readonly lastMilliseconds: number };
}
