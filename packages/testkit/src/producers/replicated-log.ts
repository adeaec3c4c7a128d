/**
 * One shard's log in virtual time, with what Raft promises and no more: entries are committed in order and never lost; what was proposed and not
 * committed when the leader changes is kept or lost, by chance; a leader that was replaced goes on believing in itself for a while; replicas
 * apply behind each other. The core itself has its own simulation.
 */
import type { Fate, Leadership, Shard, ShardId, StateMachine } from '@seriatim/multiraft';
import type { Entry, EntryType, Index, ProposeResult, RaftStatus, ReplicaId, Term } from '@seriatim/raft';
import type { Random } from '../simulation/random.ts';
import type { EventOwner, Scheduler } from '../simulation/scheduler.ts';

const NOTHING = new Uint8Array(0);
/** Milliseconds from a proposal to its commit, from a commit to a follower's apply, and until a replaced leader hears of it. */
const COMMIT = [1, 8] as const;
/** A disk that stalls: a retry may come before the commit of what it repeats. */
const SLOW_COMMIT = [8, 400] as const;
const APPLY = [0, 12] as const;
const HEARD = [0, 60] as const;
/** Applied entries between two images of a shard. */
const IMAGE_EVERY = 12;

/** See the head of this file. */
export class ReplicatedLog {
  readonly shard: ShardId;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly entries: Entry[] = [];
  readonly replicas: Map<ReplicaId, LogReplica> = new Map();
  committed = 0;
  term = 0;
  leader: LogReplica | null = null;
  image: { readonly index: number; readonly chunks: readonly Uint8Array[] } | null = null;
  readonly #members: number;
  /** Told of who leads from now on. */
  readonly #onLeader: (shard: ShardId, replica: ReplicaId, term: number) => void;

  constructor(
    shard: ShardId,
    members: number,
    scheduler: Scheduler,
    random: Random,
    onLeader: (shard: ShardId, replica: ReplicaId, term: number) => void,
  ) {
    this.shard = shard;
    this.scheduler = scheduler;
    this.random = random;
    this.#members = members;
    this.#onLeader = onLeader;
  }

  get hasQuorum(): boolean {
    return this.replicas.size * 2 > this.#members;
  }

  /** Opens a replica on a process: from the newest image, then what was committed behind it. */
  open(replica: ReplicaId, owner: EventOwner, machine: StateMachine): LogReplica {
    const opened = new LogReplica(this, replica, owner, machine);
    this.replicas.set(replica, opened);
    if (this.image !== null) {
      machine.restore(this.image.chunks);
      opened.applied = this.image.index;
    }
    opened.applyTo(this.committed);
    return opened;
  }

  /** The replica's process is gone; what it had not committed may be kept by others all the same. */
  drop(replica: ReplicaId): void {
    const dropped = this.replicas.get(replica);
    this.replicas.delete(replica);
    if (dropped !== undefined && this.leader === dropped) this.leader = null;
  }

  /** Writes an entry that is there from the beginning. */
  seed(data: Uint8Array): void {
    this.push('command', data);
    this.committed = this.entries.length;
  }

  push(type: EntryType, data: Uint8Array): Entry {
    const index = (this.entries.length + 1) as Index;
    const entry = { index, term: this.term as Term, type, data };
    this.entries.push(entry);
    return entry;
  }

  /** Another replica, or the same one again, wins the next term. Nothing happens without a majority. */
  elect(): void {
    if (!this.hasQuorum) return;
    const candidates = [...this.replicas.values()].filter(({ owner }) => !owner.paused);
    if (candidates.length === 0) return;
    const next = this.random.pick(candidates);
    const before = this.leader;
    const kept = this.committed + this.random.below(this.entries.length - this.committed + 1);
    this.entries.length = kept;
    this.term += 1;
    this.leader = next;
    next.lead(this.term);
    if (before !== null && before !== next) {
      this.scheduler.after(this.random.between(...HEARD), 'frame', before.owner, () => before.follow());
    }
    this.#onLeader(this.shard, next.replica, this.term);
    this.push('noop', NOTHING);
    this.commitSoon();
  }

  /** Commits what is there now in a moment, unless the leader changes or a majority is gone. */
  commitSoon(): void {
    const { term } = this;
    const last = this.entries.length;
    const [least, most] = this.random.chance(0.15) ? SLOW_COMMIT : COMMIT;
    this.scheduler.after(this.random.between(least, most), 'frame', null, () => {
      if (this.term !== term || this.leader === null || this.leader.owner.dead) return;
      if (!this.hasQuorum || this.leader.owner.paused) {
        this.commitSoon();
        return;
      }
      if (last <= this.committed) return;
      this.committed = last;
      this.leader.applyTo(last);
      for (const replica of [...this.replicas.values()]) {
        if (replica === this.leader) continue;
        this.scheduler.after(this.random.between(...APPLY), 'frame', replica.owner, () =>
          replica.applyTo(last),
        );
      }
      this.#keepImage();
    });
  }

  #keepImage(): void {
    const { leader } = this;
    if (leader === null || leader.applied - (this.image?.index ?? 0) < IMAGE_EVERY) return;
    const chunks = [...leader.machine.image()].map((chunk) => chunk.slice());
    this.image = { index: leader.applied, chunks };
  }
}

interface Proposal {
  readonly index: number;
  readonly term: number;
  readonly settle: (fate: Fate) => void;
}

/** A replica of one process: the {@link Shard} that its broker sees. */
export class LogReplica implements Shard {
  readonly replica: ReplicaId;
  readonly owner: EventOwner;
  readonly machine: StateMachine;
  applied = 0;
  readonly #log: ReplicatedLog;
  #term = 0;
  #leads = false;
  #confirmed = false;
  #proposals: Proposal[] = [];
  /** Entries that a replaced leader still takes for its own go nowhere. */
  #strayIndex = 0;

  constructor(log: ReplicatedLog, replica: ReplicaId, owner: EventOwner, machine: StateMachine) {
    this.#log = log;
    this.replica = replica;
    this.owner = owner;
    this.machine = machine;
  }

  get id(): ShardId {
    return this.#log.shard;
  }

  propose(data: Uint8Array, settle: (fate: Fate) => void): ProposeResult {
    if (!this.#leads) return { type: 'refused', reason: 'notLeader', leader: 0 as ReplicaId };
    const term = this.#term as Term;
    if (this.#log.leader !== this || this.#log.term !== term) {
      const index = ++this.#strayIndex as Index;
      this.#proposals.push({ index, term, settle });
      return { type: 'accepted', index, term };
    }
    const { index } = this.#log.push('command', data);
    this.#strayIndex = index;
    this.#proposals.push({ index, term, settle });
    this.#log.commitSoon();
    return { type: 'accepted', index, term };
  }

  read(done: (confirmed: boolean) => void): void {
    const { scheduler, random } = this.#log;
    scheduler.after(random.between(1, 5), 'frame', this.owner, () => {
      done(this.#confirmed && this.#log.leader === this && this.#log.hasQuorum);
    });
  }

  /** Won: it leads, and knows of it once its no-op is applied. */
  lead(term: number): void {
    this.#term = term;
    this.#leads = true;
    this.#confirmed = false;
    this.#strayIndex = this.#log.entries.length + 1;
    this.#tell();
  }

  /** Heard that another one leads. */
  follow(): void {
    if (this.#log.leader === this) return;
    this.#term = this.#log.term;
    this.#leads = false;
    this.#confirmed = false;
    this.#tell();
    this.#settle();
  }

  /** Applies committed entries up to `index`, in order. */
  applyTo(index: number): void {
    if (index <= this.applied || this.#log.replicas.get(this.replica) !== this) return;
    const entries = this.#log.entries.slice(this.applied, index);
    // Nobody gets an entry of a later term without hearing of that term first.
    if (this.#leads && entries.some(({ term }) => term > this.#term)) this.follow();
    this.machine.apply(entries);
    this.applied = index;
    const own = entries.some(({ type, term }) => type === 'noop' && term === this.#term);
    if (own && this.#leads && !this.#confirmed) {
      this.#confirmed = true;
      this.#tell();
    }
    this.#settle();
  }

  change(): ProposeResult {
    return { type: 'refused', reason: 'notLeader', leader: 0 as ReplicaId };
  }
  transfer(): null {
    return null;
  }
  leadsForSure(): boolean {
    return this.#confirmed;
  }
  status(): RaftStatus {
    const role = this.#leads ? 'leader' : 'follower';
    return { role, term: this.#term, last: this.applied, progress: [] } as unknown as RaftStatus;
  }

  /** Tells proposals their fate where it is certain: applied here, or replaced by what was committed instead. */
  #settle(): void {
    const open: Proposal[] = [];
    const settled: [Proposal, Fate][] = [];
    for (const proposal of this.#proposals) {
      const { index, term } = proposal;
      const there = this.#log.entries[index - 1];
      if (index <= this.applied && there?.term === term) {
        settled.push([proposal, { type: 'applied', index: index as Index }]);
      } else if (index <= this.applied || (term < this.#term && there?.term !== term)) {
        settled.push([proposal, { type: 'overwritten' }]);
      } else open.push(proposal);
    }
    this.#proposals = open;
    for (const [proposal, fate] of settled) proposal.settle(fate);
  }

  #tell(): void {
    const leadership: Leadership = {
      term: this.#term as Term,
      leader: this.#log.leader?.replica ?? (0 as ReplicaId),
      leads: this.#leads,
      confirmed: this.#confirmed,
    };
    this.machine.onLeadership(leadership);
  }
}
