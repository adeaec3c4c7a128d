/** Linearizable reads (ReadIndex, dissertation 6.4): gathered per turn, confirmed by the core, then waiting for the applied index. */
import type { Index, ReadOutcome } from '@seriatim/raft';

type Done = (confirmed: boolean) => void;

interface Waiting {
  readonly index: Index;
  readonly done: readonly Done[];
}

/** All reads of a turn share one round of confirmation, under an id that is never used again. */
export class Reads {
  #gathering: Done[] = [];
  #nextId = 1;
  readonly #asked = new Map<number, readonly Done[]>();
  #waiting: Waiting[] = [];

  add(done: Done): void {
    this.#gathering.push(done);
  }

  /** Starts a round for what was gathered; `ask` gives false when the core refuses. */
  issue(ask: (id: number) => boolean): void {
    if (this.#gathering.length === 0) return;
    const gathered = this.#gathering;
    this.#gathering = [];
    const id = this.#nextId++;
    this.#asked.set(id, gathered);
    if (!ask(id)) this.#drop(id);
  }

  /** Takes the core's outcomes; reads whose index is applied are answered at once. */
  outcomes(outcomes: readonly ReadOutcome[], applied: Index): void {
    for (const outcome of outcomes) {
      const done = this.#asked.get(outcome.id);
      if (done === undefined) continue;
      if (outcome.type === 'dropped') this.#drop(outcome.id);
      else {
        this.#asked.delete(outcome.id);
        this.#waiting.push({ index: outcome.index, done });
      }
    }
    this.applied(applied);
  }

  applied(applied: Index): void {
    if (this.#waiting.length === 0) return;
    const ready = this.#waiting.filter((read) => read.index <= applied);
    if (ready.length === 0) return;
    this.#waiting = this.#waiting.filter((read) => read.index > applied);
    for (const read of ready) for (const done of read.done) done(true);
  }

  /** The replica closes: nothing can be known any more. */
  abandon(): void {
    const open = [this.#gathering, ...this.#asked.values(), ...this.#waiting.map((read) => read.done)];
    this.#gathering = [];
    this.#asked.clear();
    this.#waiting = [];
    for (const list of open) for (const done of list) done(false);
  }

  #drop(id: number): void {
    const done = this.#asked.get(id) ?? [];
    this.#asked.delete(id);
    for (const one of done) one(false);
  }
}
