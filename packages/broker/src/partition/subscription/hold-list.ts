/**
 * When holds end: those of the subscription's usual length in a list in order of their ends, since renewing one moves it to the end;
 * those that were extended otherwise in a set that is walked.
 */
import type { ActiveGroup } from './active-group.ts';

/** See the head of this file. */
export class HoldList {
  #first: ActiveGroup | null = null;
  #last: ActiveGroup | null = null;
  readonly #extended = new Set<ActiveGroup>();

  /** Adds a hold or renews it; `usual`: it ends no sooner than every other one here. */
  renew(group: ActiveGroup, deadline: number, usual: boolean): void {
    this.remove(group);
    group.deadline = deadline;
    if (!usual || (this.#last !== null && this.#last.deadline > deadline)) {
      this.#extended.add(group);
      return;
    }
    group.before = this.#last;
    if (this.#last === null) this.#first = group;
    else this.#last.after = group;
    this.#last = group;
  }

  /** Nothing happens when it is not here. */
  remove(group: ActiveGroup): void {
    if (this.#extended.size > 0 && this.#extended.delete(group)) return;
    if (group.before === null && this.#first !== group) return;
    if (group.before === null) this.#first = group.after;
    else group.before.after = group.after;
    if (group.after === null) this.#last = group.before;
    else group.after.before = group.before;
    group.before = null;
    group.after = null;
  }

  /** When the next one ends; Infinity: there is none. */
  get nextDeadline(): number {
    let next = this.#first?.deadline ?? Number.POSITIVE_INFINITY;
    for (const group of this.#extended) next = Math.min(next, group.deadline);
    return next;
  }

  /** Takes out those that ended. */
  takeDue(now: number): readonly ActiveGroup[] {
    const due: ActiveGroup[] = [];
    while (this.#first !== null && this.#first.deadline <= now) {
      due.push(this.#first);
      this.remove(this.#first);
    }
    for (const group of this.#extended) if (group.deadline <= now) due.push(group);
    for (const group of due) this.#extended.delete(group);
    return due;
  }
}
