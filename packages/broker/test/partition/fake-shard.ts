import type { Fate, Leadership, Shard, ShardId, StateMachine } from '@seriatim/multiraft';
import type {
  Entry,
  EntryType,
  Index,
  ProposeResult,
  RaftStatus,
  Refusal,
  ReplicaId,
  Term,
} from '@seriatim/raft';

interface Proposal {
  readonly index: number;
  readonly term: number;
  readonly settle: (fate: Fate) => void;
}

/** A shard of one replica whose commits, leadership and refusals a test decides. */
export class FakeShard implements Shard {
  readonly id: ShardId = 7 as ShardId;
  readonly replica: ReplicaId = 1 as ReplicaId;
  /** All entries, committed or not, index 1 first. */
  log: Entry[] = [];
  committed = 0;
  term = 0;
  leads = false;
  confirmed = false;
  refuseWith: Refusal | null = null;
  proposed = 0;
  readonly machine: StateMachine;
  #proposals: Proposal[] = [];
  reads: ((confirmed: boolean) => void)[] = [];

  constructor(machine: StateMachine) {
    this.machine = machine;
  }

  propose(data: Uint8Array, settle: (fate: Fate) => void): ProposeResult {
    const reason = this.leads ? this.refuseWith : 'notLeader';
    if (reason !== null) return { type: 'refused', reason, leader: 0 as ReplicaId };
    const entry = this.push('command', data);
    this.proposed++;
    this.#proposals.push({ index: entry.index, term: this.term, settle });
    return { type: 'accepted', index: entry.index, term: this.term as Term };
  }

  read(done: (confirmed: boolean) => void): void {
    this.reads.push(done);
  }

  /** Answers all reads that wait. */
  confirmReads(confirmed = true): void {
    for (const done of this.reads.splice(0)) done(confirmed);
  }

  push(type: EntryType, data: Uint8Array): Entry {
    const entry = { index: (this.log.length + 1) as Index, term: this.term as Term, type, data };
    this.log.push(entry);
    return entry;
  }

  /** Commits and applies up to `index` (default: all). */
  commit(index: number = this.log.length): void {
    const entries = this.log.slice(this.committed, index);
    if (entries.length === 0) return;
    this.machine.apply(entries);
    this.committed = index;
    if (this.leads && !this.confirmed && entries.some((e) => e.type === 'noop' && e.term === this.term)) {
      this.confirmed = true;
      this.#tell();
    }
    const term = entries.at(-1)?.term ?? 0;
    for (const proposal of [...this.#proposals]) {
      // An applied entry of a later term shows that what this replica proposed behind it is gone.
      if (proposal.index > index && proposal.term >= term) continue;
      this.#proposals = this.#proposals.filter((other) => other !== proposal);
      const kept = proposal.index <= index && this.log[proposal.index - 1]?.term === proposal.term;
      proposal.settle(kept ? { type: 'applied', index: proposal.index as Index } : { type: 'overwritten' });
    }
  }

  /** Wins the next term with what is in the log; commit the no-op to confirm. */
  lead(): void {
    this.term++;
    this.leads = true;
    this.confirmed = false;
    this.push('noop', new Uint8Array(0));
    this.#tell();
  }

  /** Leads with everything before it applied. */
  leadConfirmed(): void {
    this.lead();
    this.commit();
  }

  /** Another replica leads; with `keep` it has the log up to that index, and writes its no-op behind. */
  lose(keep: number = this.log.length): void {
    this.term++;
    this.leads = false;
    this.confirmed = false;
    this.log = this.log.slice(0, Math.max(keep, this.committed));
    this.push('noop', new Uint8Array(0));
    this.#tell();
  }

  /** What is proposed can't be known any more: an image jumped over it. */
  jump(): void {
    for (const proposal of this.#proposals.splice(0)) proposal.settle({ type: 'unknown' });
  }

  change(): ProposeResult {
    return { type: 'refused', reason: 'notLeader', leader: 0 as ReplicaId };
  }
  transfer(): Refusal | null {
    return null;
  }
  leadsForSure(): boolean {
    return this.confirmed;
  }
  status(): RaftStatus {
    throw new Error('not needed here');
  }

  #tell(): void {
    const leadership: Leadership = {
      term: this.term as Term,
      leader: (this.leads ? 1 : 2) as ReplicaId,
      leads: this.leads,
      confirmed: this.confirmed,
    };
    this.machine.onLeadership(leadership);
  }
}
