/** What became of the proposals that this replica's core accepted. */
import type { Entry, Index, Term } from '@seriatim/raft';
import type { Fate } from './types.ts';

interface Proposal {
  readonly index: Index;
  readonly term: Term;
  readonly settle: (fate: Fate) => void;
}

/**
 * Fates by index and term. A proposal is `overwritten` only when a committed entry of a later term was applied at or before its
 * index: an entry that another leader cut from this log may still be committed through a third replica (paper, figure 8).
 * Terms never fall from one accepted proposal to the next, so a queue in the order of acceptance is enough.
 */
export class Proposals {
  #queue: Proposal[] = [];
  #head = 0;
  /** Changes of members whose joint entry was applied and that wait for the final configuration. */
  #changes: Proposal[] = [];

  get pending(): number {
    return this.#queue.length - this.#head + this.#changes.length;
  }

  add(index: Index, term: Term, settle: (fate: Fate) => void): void {
    this.#queue.push({ index, term, settle });
  }

  /** A change of members: settled by {@link configurationApplied} with a final configuration. */
  addChange(index: Index, term: Term, settle: (fate: Fate) => void): void {
    this.add(index, term, (fate) => {
      if (fate.type === 'applied') this.#changes.push({ index, term, settle });
      else settle(fate);
    });
  }

  /** Settles what these entries, just applied, decide. */
  applied(entries: readonly Entry[]): void {
    for (const entry of entries) {
      let head = this.#queue[this.#head];
      while (head !== undefined && (head.term < entry.term || head.index <= entry.index)) {
        this.#head += 1;
        const same = head.term === entry.term && head.index === entry.index;
        head.settle(same ? { type: 'applied', index: entry.index } : { type: 'overwritten' });
        head = this.#queue[this.#head];
      }
    }
    this.#shrink();
  }

  /** The configuration as of `index` was applied and no change is left in it. */
  configurationFinal(index: Index): void {
    if (this.#changes.length === 0) return;
    const changes = this.#changes;
    this.#changes = [];
    for (const change of changes) change.settle({ type: 'applied', index });
  }

  /** An image replaced the state up to `index`: what lies there can't be known any more. */
  jumped(index: Index): void {
    const kept: Proposal[] = [];
    const waiting = this.#queue.slice(this.#head);
    this.#queue = kept;
    this.#head = 0;
    for (const proposal of waiting) {
      if (proposal.index > index) kept.push(proposal);
      else proposal.settle({ type: 'unknown' });
    }
  }

  /** The replica closes. */
  abandon(): void {
    const waiting = [...this.#queue.slice(this.#head), ...this.#changes];
    this.#queue = [];
    this.#head = 0;
    this.#changes = [];
    for (const proposal of waiting) proposal.settle({ type: 'unknown' });
  }

  #shrink(): void {
    if (this.#head === this.#queue.length) {
      if (this.#head > 0) this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
