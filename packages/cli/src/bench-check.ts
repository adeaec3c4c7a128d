/** Judges the order in which the messages of a load come back. A message is known by its group and its place in it, both from 0. */

/** Order of what is stored: every group whole and in order. */
export class StoredOrder {
  readonly #next: Uint32Array;
  readonly #sequences: Float64Array;
  readonly #complete: boolean;
  #violations = 0;

  /** `complete`: everything was stored, so that no place may be left out. */
  constructor(groups: number, complete: boolean) {
    this.#next = new Uint32Array(groups);
    this.#sequences = new Float64Array(groups);
    this.#complete = complete;
  }

  take(group: number, place: number, sequence: number): void {
    const next = this.#next[group] as number;
    const before = this.#sequences[group] as number;
    const inPlace = this.#complete ? place === next : place >= next;
    if (!inPlace || (before > 0 && sequence !== before + 1)) this.#violations++;
    this.#next[group] = Math.max(next, place + 1);
    this.#sequences[group] = sequence;
  }

  /** Messages out of their group's order or doubled, and of a complete load those of `counts` that are missing. */
  violations(counts: Uint32Array): number {
    if (!this.#complete) return this.#violations;
    return counts.reduce(
      (sum, count, group) => sum + Math.max(0, count - (this.#next[group] as number)),
      this.#violations,
    );
  }
}

/** A message as a consumer was given it. */
export interface DeliveredMessage {
  readonly group: number;
  readonly place: number;
  readonly sequence: number;
  readonly attempt: number;
}

/** Messages that were not delivered. */
export interface MissingMessages {
  readonly group: number;
  /** Place of the first of them. */
  readonly from: number;
  readonly messages: number;
}

/**
 * Order of what is delivered to the one consumer of a subscription. Delivery is at least once: a group may go back to what was not acknowledged, which
 * shows as a hold that was lost or as an attempt above 1, and goes on from there without a gap.
 */
export class DeliveredOrder {
  /** Behind the last message, and behind the highest. */
  readonly #next: Uint32Array;
  readonly #highest: Uint32Array;
  readonly #sequences: Float64Array;
  readonly #lost = new Set<number>();
  #messages = 0;
  #repeats = 0;
  #violations = 0;

  /** `from`: the place of each group's first message. `sequences`: of the message before it, 0: there is none. */
  constructor(from: Uint32Array, sequences: Float64Array = new Float64Array(from.length)) {
    this.#next = from.slice();
    this.#highest = from.slice();
    this.#sequences = sequences.slice();
  }

  /** Different ones. */
  get messages(): number {
    return this.#messages;
  }

  /** Messages that came before, and may come again. */
  get repeats(): number {
    return this.#repeats;
  }

  /** Times that a group went on behind a gap, or back without a reason. */
  get violations(): number {
    return this.#violations;
  }

  /** The hold of a group was lost: what was not acknowledged comes again. */
  lost(group: number): void {
    this.#lost.add(group);
  }

  /** Gives whether it had not come before. */
  take({ group, place, sequence, attempt }: DeliveredMessage): boolean {
    const next = this.#next[group] as number;
    const before = this.#sequences[group] as number;
    // Places that were given to messages that could not be stored have no sequence.
    const skips = place > next && (before === 0 || sequence !== before + 1);
    const returns = place < next && attempt === 1 && !this.#lost.has(group);
    if (skips || returns) this.#violations++;
    this.#lost.delete(group);
    this.#next[group] = place + 1;
    this.#sequences[group] = sequence;
    if (place < (this.#highest[group] as number)) {
      if (!returns) this.#repeats++;
      return false;
    }
    this.#highest[group] = place + 1;
    this.#messages++;
    return true;
  }

  /** Of each group that lacks some at its end, how many of `counts`. */
  missing(counts: Uint32Array): readonly MissingMessages[] {
    return Array.from(counts, (count, group) => {
      const from = this.#highest[group] as number;
      return { group, from, messages: count - from };
    }).filter(({ messages }) => messages > 0);
  }
}
