/** One replica: carries what its core decides to disk, network and state machine, and brings back what came of it. */
import {
  type Configuration,
  type ConfigurationChange,
  decodeConfiguration,
  type Entry,
  type Index,
  type Message,
  NO_REPLICA,
  type ProposeResult,
  Raft,
  type RaftStatus,
  type Ready,
  type Refusal,
  type ReplicaId,
  type SnapshotMeta,
  type SoftStatus,
  type Term,
} from '@seriatim/raft';
import { ApplyBacklog } from './apply-backlog.ts';
import { raftConfig, ticks } from './host-config.ts';
import { Inbox } from './inbox.ts';
import type { Leadership, LogStore, NodeId, ShardId } from './ports.ts';
import { Proposals } from './proposals.ts';
import { Reads } from './reads.ts';
import { restoredFrom } from './restored.ts';
import type { Fate, HostConfig, Shard, ShardSpec } from './types.ts';

/** What a replica needs of its host. */
export interface RunnerHost {
  readonly config: HostConfig;
  readonly store: LogStore;
  readonly random: () => number;
  /** The replica has something to do: {@link ShardRunner.process} is called once, soon. */
  wake(runner: ShardRunner): void;
  send(runner: ShardRunner, message: Message): void;
  wantImage(runner: ShardRunner, to: ReplicaId): void;
  writeStarted(): void;
  writeEnded(): void;
  isRefused(node: NodeId): boolean;
  /** Ticks to leave out so that the next heartbeat falls on the beat that all leaders of this node share. */
  ticksToBeat(): number;
  /** True when the process may have been away just now and nobody judged it yet. */
  mayHavePaused(): boolean;
  /** Work outside {@link ShardRunner.process} failed: the replica is to be closed. */
  fault(runner: ShardRunner, error: unknown): void;
}

/** Drives one core. All methods run on the event loop; nothing here awaits. */
export class ShardRunner implements Shard {
  readonly id: ShardId;
  readonly replica: ReplicaId;
  readonly spec: ShardSpec;
  /** Set by the host while the replica waits for its turn. */
  waiting = false;
  readonly #host: RunnerHost;
  readonly #core: Raft;
  readonly #inbox: Inbox;
  readonly #proposals = new Proposals();
  readonly #reads = new Reads();
  readonly #confirmationTicks: number;
  #soft: SoftStatus;
  #confirmed = false;
  #appliedIndex: Index;
  #appliedTerm: Term;
  #appliedConfiguration: Configuration;
  /** Committed entries that wait for a later turn, or for an image to be loaded. */
  readonly #backlog = new ApplyBacklog();
  #restoring = false;
  #skipTicks = 0;
  #refused = new Set<ReplicaId>();
  #closed = false;

  constructor(host: RunnerHost, spec: ShardSpec) {
    const { config } = host;
    const restored = restoredFrom(spec);
    this.id = spec.shard;
    this.replica = spec.replica;
    this.spec = spec;
    this.#host = host;
    this.#core = new Raft(raftConfig(config, spec, host.random), restored);
    this.#inbox = new Inbox(config.inboxMessagesMax, config.inboxBytesMax);
    this.#confirmationTicks = ticks(config.electionTimeoutMilliseconds / 2, config);
    this.#appliedIndex = restored.snapshot.index;
    this.#appliedTerm = restored.snapshot.term;
    this.#appliedConfiguration = restored.snapshot.configuration;
    const { role, term, leader } = this.#core.status();
    this.#soft = { role, term, leader };
    this.noteRefusedNodes();
  }

  get closed(): boolean {
    return this.#closed;
  }
  /** Names the state that the state machine holds now. */
  get appliedMeta(): SnapshotMeta {
    return { index: this.#appliedIndex, term: this.#appliedTerm, configuration: this.#appliedConfiguration };
  }
  /** Term, role and leader as of the last turn. */
  get soft(): SoftStatus {
    return this.#soft;
  }
  /** True while an image replaces the state. */
  get restoring(): boolean {
    return this.#restoring;
  }

  propose(data: Uint8Array, settle: (fate: Fate) => void): ProposeResult {
    const result = this.#closed ? this.#refusal('notLeader') : this.#core.propose(data);
    if (result.type === 'accepted') {
      this.#proposals.add(result.index, result.term, settle);
      this.#host.wake(this);
    }
    return result;
  }

  change(change: ConfigurationChange, settle: (fate: Fate) => void): ProposeResult {
    const result = this.#closed ? this.#refusal('notLeader') : this.#core.proposeChange(change);
    if (result.type === 'accepted') {
      this.#proposals.addChange(result.index, result.term, settle);
      this.#host.wake(this);
    }
    return result;
  }

  read(done: (confirmed: boolean) => void): void {
    this.#reads.add(done);
    this.#host.wake(this);
  }

  transfer(to: ReplicaId): Refusal | null {
    if (this.#closed) return 'notLeader';
    const refusal = this.#core.transfer(to);
    this.#host.wake(this);
    return refusal;
  }

  campaign(): void {
    if (this.#closed) return;
    this.#core.campaign();
    this.#host.wake(this);
  }

  leadsForSure(): boolean {
    return (
      !this.#closed &&
      this.#confirmed &&
      !this.#host.mayHavePaused() &&
      this.#core.confirmedWithin(this.#confirmationTicks)
    );
  }

  status(): RaftStatus {
    return this.#core.status();
  }

  /** Takes a message in; it is handled in this replica's next turn. */
  receive(message: Message): void {
    if (this.#closed || message.to !== this.replica) return;
    this.#inbox.add(message);
    this.#host.wake(this);
  }

  /** `count` ticks passed. True when the core has something to say. */
  tick(count: number): boolean {
    for (let n = 0; n < count; n += 1) {
      if (this.#skipTicks > 0) this.#skipTicks -= 1;
      else this.#core.tick();
    }
    return this.#core.hasReady();
  }

  /** The process was away. */
  paused(): void {
    this.#core.paused();
    this.#host.wake(this);
  }

  /** Handles what waits and carries out all that the core wants; called once per event-loop turn. */
  process(): void {
    if (this.#closed) {
      this.#reads.abandon();
      return;
    }
    for (const message of this.#inbox.take()) this.#core.step(message);
    this.#applySlice();
    this.#reads.issue((id) => this.#core.read(id) === null);
    while (!this.#closed && this.#core.hasReady()) this.#carryOut(this.#core.ready());
  }

  /** The image that was received and is durable replaces the log and the state. Its leader is the one of now. */
  installImage(meta: SnapshotMeta): void {
    const { term, leader } = this.#core.status();
    this.receive({ type: 'snapshotRequest', from: leader, to: this.replica, term, meta });
  }

  /** An image for a follower was delivered, or could not be. */
  imageSent(to: ReplicaId, ok: boolean): void {
    if (this.#closed) return;
    this.#core.snapshotReport(to, ok);
    this.#host.wake(this);
  }

  /** Brings to the core which members live on a node that refuses connections. */
  noteRefusedNodes(): void {
    const { voters, outgoing, learners } = this.#core.status().configuration;
    const refused = new Set<ReplicaId>();
    for (const replica of [...voters, ...outgoing, ...learners]) {
      const node = replica === this.replica ? undefined : this.spec.locate(replica);
      if (node !== undefined && this.#host.isRefused(node)) refused.add(replica);
    }
    for (const replica of this.#refused) if (!refused.has(replica)) this.#core.nodeRefused(replica, false);
    for (const replica of refused) if (!this.#refused.has(replica)) this.#core.nodeRefused(replica, true);
    this.#refused = refused;
    if (this.#core.hasReady()) this.#host.wake(this);
  }

  /** Stops at once; what is pending settles as unknown. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#confirmed = false;
    this.#backlog.clear();
    this.#proposals.abandon();
    this.#reads.abandon();
  }

  #carryOut(ready: Ready): void {
    if (ready.status !== null) this.#statusChanged(ready.status);
    if (ready.writeId !== 0) this.#write(ready);
    for (const message of ready.messages) this.#host.send(this, message);
    if (ready.snapshot !== null) this.#restore(ready.snapshot);
    if (ready.committed.length > 0) {
      const idle = this.#backlog.empty;
      this.#backlog.add(ready.committed);
      // What waits already has its turn planned.
      if (idle) this.#applySlice();
    }
    if (ready.reads.length > 0) this.#reads.outcomes(ready.reads, this.#readable());
    for (const replica of ready.imagesWanted) this.#host.wantImage(this, replica);
    if (ready.entriesWanted !== null)
      this.#readEntries(ready.entriesWanted.from, ready.entriesWanted.bytesMax);
  }

  #write(ready: Ready): void {
    const { hardState, entries, snapshot, afterWrite, writeId } = ready;
    const reset = snapshot === null ? null : { index: snapshot.index, term: snapshot.term };
    this.#host.writeStarted();
    this.#host.store.write({ shard: this.id, replica: this.replica, hardState, entries, reset }, () => {
      this.#host.writeEnded();
      this.#guard(() => {
        this.#core.written(writeId);
        for (const message of afterWrite) this.#host.send(this, message);
      });
    });
  }

  /** Applies what waits, as much as one turn may; the rest has the next one. */
  #applySlice(): void {
    if (this.#restoring || this.#backlog.empty) return;
    this.#apply(this.#backlog.takeSlice());
    if (!this.#backlog.empty) this.#host.wake(this);
  }

  #apply(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    const { stateMachine } = this.spec;
    stateMachine.apply(entries);
    this.#host.store.committed(this.id, entries, (entry) => stateMachine.describe(entry));
    this.#appliedIndex = last.index;
    this.#appliedTerm = last.term;
    let opened = false;
    let finalIndex: Index | null = null;
    for (const entry of entries) {
      if (entry.type === 'noop' && entry.term === this.#soft.term) opened = true;
      if (entry.type !== 'configuration') continue;
      this.#appliedConfiguration = decodeConfiguration(entry.data);
      if (this.#appliedConfiguration.outgoing.length === 0) finalIndex = entry.index;
    }
    this.#core.applied(last.index);
    if (opened && this.#soft.role === 'leader' && !this.#confirmed) {
      this.#confirmed = true;
      this.#tellLeadership();
    }
    this.#proposals.applied(entries);
    if (finalIndex !== null) {
      this.#proposals.configurationFinal(finalIndex);
      this.noteRefusedNodes();
    }
    this.#reads.applied(last.index);
  }

  #statusChanged(status: SoftStatus): void {
    const leads = status.role === 'leader';
    if (leads && (this.#soft.role !== 'leader' || this.#soft.term !== status.term)) {
      this.#skipTicks = this.#host.ticksToBeat();
    } else if (!leads) this.#skipTicks = 0;
    if (!leads || status.term !== this.#soft.term) this.#confirmed = false;
    this.#soft = status;
    this.#tellLeadership();
    this.noteRefusedNodes();
  }

  #tellLeadership(): void {
    const { term, leader, role } = this.#soft;
    const leadership: Leadership = { term, leader, leads: role === 'leader', confirmed: this.#confirmed };
    this.spec.stateMachine.onLeadership(leadership);
  }

  /** An image took the place of the log: the state follows from the store. */
  #restore(meta: SnapshotMeta): void {
    this.#backlog.clear();
    this.#restoring = true;
    this.#appliedIndex = meta.index;
    this.#appliedTerm = meta.term;
    this.#appliedConfiguration = meta.configuration;
    this.#proposals.jumped(meta.index);
    this.noteRefusedNodes();
    readImage(this.#host.store, this.id, meta).then(
      (chunks) =>
        this.#guard(() => {
          this.spec.stateMachine.restore(chunks);
          this.#imageLoaded();
        }),
      (error: unknown) => this.#host.fault(this, error),
    );
  }

  /** The state machine holds the image: what was committed meanwhile follows. */
  #imageLoaded(): void {
    this.#restoring = false;
    this.#core.applied(this.#appliedIndex);
    this.#applySlice();
    this.#reads.applied(this.#appliedIndex);
  }

  /** Runs what came back from outside, unless this replica is closed; what it throws closes this replica only. */
  #guard(run: () => void): void {
    if (this.#closed) return;
    try {
      run();
      this.#host.wake(this);
    } catch (error) {
      this.#host.fault(this, error);
    }
  }

  #readEntries(from: Index, bytesMax: number): void {
    this.#host.store.read(this.id, from, bytesMax).then(
      (result) =>
        this.#guard(() => {
          if (result.type === 'entries') this.#core.entriesRead(from, result.previousTerm, result.entries);
          else this.#core.entriesCompacted(result.first);
        }),
      (error: unknown) => this.#host.fault(this, error),
    );
  }

  /** What reads may rely on: nothing while an image is being loaded. */
  #readable(): Index {
    return this.#restoring ? (0 as Index) : this.#appliedIndex;
  }

  #refusal(reason: Refusal): ProposeResult {
    return { type: 'refused', reason, leader: NO_REPLICA };
  }
}

/**
 * The chunks of the store's image.
 * @throws Error when the store's image is not the one named by `meta`.
 */
export async function readImage(
  store: LogStore,
  shard: ShardId,
  meta: SnapshotMeta,
): Promise<readonly Uint8Array[]> {
  const image = await store.image(shard);
  if (image === null || image.meta.index !== meta.index || image.meta.term !== meta.term) {
    const found = image === null ? 'none' : `one at index ${image.meta.index} of term ${image.meta.term}`;
    throw new Error(
      `shard ${shard}: an image at index ${meta.index} of term ${meta.term} was expected, found ${found}`,
    );
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of image.chunks) chunks.push(chunk);
  return chunks;
}
