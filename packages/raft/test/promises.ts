import type { Entry, Index, ReplicaId, Term } from '../src/index.ts';
import { type Replica, text } from './replica.ts';

/** Something that Raft promises did not hold. */
export class Violation extends Error {}

interface Committed {
  readonly entry: Entry;
  /** Term of the replica that applied it first: it was committed in this term or before. */
  readonly term: Term;
}

/** What Raft promises (paper figure 3), watched from outside over the whole run. */
export class Promises {
  readonly #replicas: readonly Replica[];
  readonly #voters: number | null;
  readonly #leaders: Map<Term, ReplicaId> = new Map();
  readonly #committed: Map<Index, Committed> = new Map();
  #committedMax = 0;
  readonly #positions: Map<ReplicaId, { term: number; commit: number; applied: number }> = new Map();
  /** Highest index applied anywhere when a read began. */
  readonly #reads: Map<number, number> = new Map();
  #readsConfirmed = 0;

  /** `voters` is their number when it does not change, else null. */
  constructor(replicas: readonly Replica[], voters: number | null) {
    this.#replicas = replicas;
    this.#voters = voters;
  }

  counts(): { committed: number; leaders: number; reads: number } {
    return { committed: this.#committedMax, leaders: this.#leaders.size, reads: this.#readsConfirmed };
  }

  /** A read was accepted: its index must cover everything that anybody has applied by now. */
  expectRead(id: number): void {
    this.#reads.set(id, this.#committedMax);
  }

  /** A crash: positions may go back to what is on disk. */
  forget(replica: Replica): void {
    this.#positions.delete(replica.id);
  }

  /** An entry is about to be applied. */
  checkApply(replica: Replica, entry: Entry): void {
    const onDisk = replica.disk.entries.find((candidate) => candidate.index === entry.index);
    this.#require(
      onDisk?.term === entry.term || replica.disk.image.index >= entry.index,
      `${replica.id} applies ${entry.index} before it is on its disk`,
    );
    const known = this.#committed.get(entry.index)?.entry;
    if (known === undefined) {
      this.#committed.set(entry.index, { entry, term: replica.raft.status().term });
      this.#committedMax = Math.max(this.#committedMax, entry.index);
      this.#checkQuorum(entry);
      return;
    }
    this.#require(
      known.term === entry.term && text(known.data) === text(entry.data),
      `state-machine safety: two entries committed at ${entry.index}`,
    );
  }

  /** Something happened to `replica`. */
  check(replica: Replica): void {
    const status = replica.raft.status();
    const { id } = replica;
    const before = this.#positions.get(id);
    this.#require(
      status.first - 1 <= status.applied,
      `${id}: first ${status.first}, applied ${status.applied}`,
    );
    this.#require(status.applied <= status.commit, `${id}: applied ${status.applied} > ${status.commit}`);
    this.#require(status.commit <= status.last, `${id}: commit ${status.commit} > ${status.last}`);
    this.#require(status.term >= (before?.term ?? 0), `${id}: term goes back`);
    this.#require(status.commit >= (before?.commit ?? 0), `${id}: commit goes back`);
    this.#require(status.applied >= (before?.applied ?? 0), `${id}: applied goes back`);
    this.#require(status.term >= replica.disk.hardState.term, `${id}: term is behind its disk`);
    this.#positions.set(id, status);
    if (status.role === 'leader') {
      this.#checkLeader(replica, status.term);
    }
    for (const outcome of replica.reads.splice(0)) {
      const floor = this.#reads.get(outcome.id);
      if (outcome.type === 'confirmed' && floor !== undefined) {
        this.#readsConfirmed++;
        this.#require(outcome.index >= floor, `stale read ${outcome.index} < ${floor}`);
      }
      this.#reads.delete(outcome.id);
    }
  }

  #checkLeader(replica: Replica, term: Term): void {
    const known = this.#leaders.get(term);
    if (known !== undefined) {
      this.#require(known === replica.id, `election safety: ${known} and ${replica.id} lead in ${term}`);
      return;
    }
    this.#leaders.set(term, replica.id);
    const terms = new Map(replica.disk.entries.map((entry) => [entry.index, entry.term]));
    for (const write of replica.pendingWrites) {
      for (const entry of write.entries) {
        terms.set(entry.index, entry.term);
      }
    }
    const { image } = replica.disk;
    for (const [index, { entry, term: knownIn }] of this.#committed) {
      // A candidate of an older term may win late: it need not have what was committed after its term.
      this.#require(
        knownIn >= term || index <= image.index || terms.get(index) === entry.term,
        `leader completeness: ${replica.id} leads in ${term} without ${index}`,
      );
    }
  }

  /** Committed means: on the disks of a majority of voters. Checked where the voters are known. */
  #checkQuorum(entry: Entry): void {
    if (this.#voters === null) {
      return;
    }
    const holders = this.#replicas.filter(
      ({ disk }) =>
        disk.image.index >= entry.index ||
        disk.entries.some((candidate) => candidate.index === entry.index && candidate.term === entry.term),
    );
    this.#require(
      holders.length * 2 > this.#voters,
      `entry ${entry.index} is committed on ${holders.length} disks`,
    );
  }

  /** Equal index and term mean equal logs up to there (paper 5.3). */
  checkLogMatching(): void {
    for (const a of this.#replicas) {
      for (const b of this.#replicas) {
        if (a.id < b.id) {
          this.#compareLogs(a, b);
        }
      }
    }
  }

  #compareLogs(a: Replica, b: Replica): void {
    const theirs = new Map(b.disk.entries.map((entry) => [entry.index, entry]));
    let matched = false;
    for (const entry of a.disk.entries.toReversed()) {
      const other = theirs.get(entry.index);
      if (other === undefined) {
        continue;
      }
      const same = other.term === entry.term;
      this.#require(!matched || same, `log matching: ${a.id} and ${b.id} differ at ${entry.index}`);
      this.#require(
        !same || text(other.data) === text(entry.data),
        `log matching: ${entry.index} of term ${entry.term} holds two values`,
      );
      matched = same;
    }
  }

  #require(holds: boolean, promise: string): void {
    if (!holds) {
      throw new Violation(promise);
    }
  }
}
