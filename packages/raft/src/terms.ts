import { invariant } from './invariant.ts';
import { higher, lower, shift, ZERO_INDEX } from './position.ts';
import type { Index, Term } from './types.ts';

interface Run {
  readonly first: Index;
  readonly term: Term;
}

/**
 * The term of every index from `floor` to the last one, kept as runs of equal terms. A log of millions of entries has as
 * many runs as it had leaders, so that terms stay known after their entries left memory, and a conflict is
 * searched by term and not by entry.
 */
export class TermRuns {
  /** Ascending by `first`; the first run begins at the floor. Never empty. */
  #runs: Run[];

  constructor(floor: Index, term: Term) {
    this.#runs = [{ first: floor, term }];
  }

  /** Lowest index whose term is known. */
  get floor(): Index {
    return this.#at(0).first;
  }

  /** Notes the term of the index behind the last one. */
  append(index: Index, term: Term): void {
    const last = this.#at(this.#runs.length - 1);
    invariant(term >= last.term, `term ${term} at ${index} is below ${last.term}`);
    if (term !== last.term) {
      this.#runs.push({ first: index, term });
    }
  }

  /** Forgets `index` and everything behind it. */
  truncateFrom(index: Index): void {
    invariant(index > this.floor, `truncation at ${index} reaches the floor ${this.floor}`);
    while (this.#at(this.#runs.length - 1).first >= index) {
      this.#runs.pop();
    }
  }

  /** Raises the floor to `index`, whose term stays known. */
  dropBelow(index: Index): void {
    let keep = 0;
    while (keep + 1 < this.#runs.length && this.#at(keep + 1).first <= index) {
      keep++;
    }
    const term = this.#at(keep).term;
    if (index > this.#at(keep).first) {
      this.#runs = [{ first: index, term }, ...this.#runs.slice(keep + 1)];
    } else if (keep > 0) {
      this.#runs = this.#runs.slice(keep);
    }
  }

  /** Term of an index at or above the floor and at or below the last one; undefined below the floor. */
  at(index: Index): Term | undefined {
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      const run = this.#at(i);
      if (run.first <= index) {
        return run.term;
      }
    }
    return undefined;
  }

  /**
   * Largest index at or below `from` whose term may be at most `term`: beyond it no entry can match one of that
   * term (fast back-off, paper 5.3). Below the floor terms are not known, so nothing there is ruled out.
   */
  lastAtMost(from: Index, term: Term): Index {
    let upper = from;
    for (let i = this.#runs.length - 1; i >= 0 && upper >= this.floor; i--) {
      const run = this.#at(i);
      if (run.first <= upper && run.term <= term) {
        return upper;
      }
      upper = lower(upper, shift(run.first, -1));
    }
    return higher(upper, ZERO_INDEX);
  }

  #at(position: number): Run {
    const run = this.#runs[position];
    invariant(run !== undefined, `no run ${position}`);
    return run;
  }
}
