/** What a replica's disk must hold, kept beside it from the outside. */
import type { RecoveredShard, ShardWrite } from '@seriatim/multiraft';
import type { HardState, Index, ReplicaId, Term } from '@seriatim/raft';
import { Violation } from './violation.ts';

/** Terms of a log by index; below `base` they are not known any more (an image stands for them). */
export class MirroredLog {
  base = 0;
  baseTerm = 0;
  readonly #terms: number[] = [];

  get last(): number {
    return this.base + this.#terms.length;
  }

  /** Term at an index; undefined above the last or below the base. */
  term(index: number): number | undefined {
    return index === this.base ? this.baseTerm : this.#terms[index - this.base - 1];
  }

  append(index: number, term: number): void {
    this.#terms.length = Math.max(0, index - this.base - 1);
    this.#terms.push(term);
  }

  reset(index: number, term: number): void {
    this.base = index;
    this.baseTerm = term;
    this.#terms.length = 0;
  }
}

/** Follows the writes of one replica: what was given to the store, and what the store called durable. */
export class ReplicaMirror {
  readonly replica: ReplicaId;
  readonly written: MirroredLog = new MirroredLog();
  readonly durable: MirroredLog = new MirroredLog();
  hardState: HardState = { term: 0 as Term, vote: 0 as ReplicaId };
  durableHardState: HardState = { term: 0 as Term, vote: 0 as ReplicaId };
  /** Index of the newest image that the store called complete. */
  image = 0;

  constructor(replica: ReplicaId) {
    this.replica = replica;
  }

  /** The replica hands a write to its store. */
  wrote(write: ShardWrite): void {
    if (write.hardState !== null) {
      checkHardState(this.replica, this.hardState, write.hardState);
      this.hardState = write.hardState;
    }
    applyTo(this.written, write);
  }

  /** The store says that this write is durable. */
  becameDurable(write: ShardWrite): void {
    if (write.hardState !== null) this.durableHardState = write.hardState;
    if (write.reset !== null) this.image = Math.max(this.image, write.reset.index);
    applyTo(this.durable, write);
  }

  /** What a restart found must hold all that was durable; then it is what counts. Terms of images may stand for entries. */
  restarted(found: RecoveredShard | null): void {
    const imageIndex = found?.image?.index ?? 0;
    const hardState = found?.hardState ?? { term: 0 as Term, vote: 0 as ReplicaId };
    if (
      hardState.term < this.durableHardState.term ||
      (hardState.term === this.durableHardState.term &&
        this.durableHardState.vote !== 0 &&
        hardState.vote !== this.durableHardState.vote)
    ) {
      throw new Violation(
        'durable vote',
        `replica ${this.replica} had term ${this.durableHardState.term} vote ${this.durableHardState.vote} on disk, found ${hardState.term} ${hardState.vote}`,
      );
    }
    if (imageIndex < this.image) {
      throw new Violation(
        'durable image',
        `replica ${this.replica} had an image at ${this.image}, found ${imageIndex}`,
      );
    }
    const log = new MirroredLog();
    log.reset(imageIndex, found?.image?.term ?? 0);
    for (const entry of found?.entries ?? []) log.append(entry.index, entry.term);
    this.#checkFound(log, imageIndex);
    for (const target of [this.written, this.durable]) {
      target.reset(log.base, log.baseTerm);
      for (let index = log.base + 1; index <= log.last; index += 1)
        target.append(index, log.term(index) ?? 0);
    }
    this.hardState = hardState;
    this.durableHardState = hardState;
    this.image = Math.max(this.image, imageIndex);
  }

  /** Whether this replica's disk holds an entry, itself or in an image. */
  holds(index: Index, term: Term): boolean {
    return index <= this.image || index < this.durable.base || this.durable.term(index) === term;
  }

  #checkFound(found: MirroredLog, imageIndex: number): void {
    for (let index = Math.max(imageIndex, this.durable.base) + 1; index <= this.durable.last; index += 1) {
      const term = this.durable.term(index) ?? 0;
      const foundTerm = found.term(index);
      // A later write that was under way at the crash may have replaced it, with a higher term.
      if (foundTerm !== undefined ? foundTerm >= term : this.#replacedInFlight(index, term)) continue;
      throw new Violation(
        'durable entries',
        `replica ${this.replica} had entry ${index} of term ${term} on disk, found ${foundTerm ?? 'none'}`,
      );
    }
  }

  /** The entry was cut by a write that was under way: the log as written ends before it or differs up to it. */
  #replacedInFlight(index: number, term: number): boolean {
    if (this.written.base > index) return true;
    for (let at = Math.max(this.written.base, this.durable.base) + 1; at <= index; at += 1) {
      if (this.written.term(at) !== this.durable.term(at)) return true;
    }
    return this.written.term(index) !== term;
  }
}

function applyTo(log: MirroredLog, write: ShardWrite): void {
  if (write.reset !== null) log.reset(write.reset.index, write.reset.term);
  for (const entry of write.entries) if (entry.index > log.base) log.append(entry.index, entry.term);
}

function checkHardState(replica: ReplicaId, before: HardState, after: HardState): void {
  if (after.term < before.term) {
    throw new Violation(
      'terms never fall',
      `replica ${replica} went from term ${before.term} to ${after.term}`,
    );
  }
  if (after.term === before.term && before.vote !== 0 && after.vote !== before.vote) {
    throw new Violation(
      'one vote per term',
      `replica ${replica} voted for ${before.vote} and ${after.vote} in term ${after.term}`,
    );
  }
}
