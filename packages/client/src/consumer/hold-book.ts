import type { Hold, HoldDesk } from './hold.ts';

/** Holds of one partition by token epoch, then counter. */
type Tokens = Map<number, Map<number, Hold>>;

/** All holds of a consumer: with a stream by token, without one by group. */
export class HoldBook {
  readonly #held = new Map<number, Tokens>();
  readonly #homeless = new Map<number, Map<string, Hold>>();
  /** Failures that were sent and not answered. */
  readonly failing: Set<Hold> = new Set();

  /** The hold with a token, while a stream has it. */
  find(partition: number, epoch: number, counter: number): Hold | undefined {
    return this.#held.get(partition)?.get(epoch)?.get(counter);
  }

  /** Puts it under its token, with the stream that has it. */
  hold(hold: Hold, desk: HoldDesk, epoch: number, counter: number): void {
    hold.desk = desk;
    hold.named = null;
    hold.tokenEpoch = epoch;
    hold.tokenCounter = counter;
    const tokens = entry(this.#held, hold.partition, () => new Map<number, Map<number, Hold>>());
    entry(tokens, epoch, () => new Map<number, Hold>()).set(counter, hold);
  }

  /** Nothing more comes of it. */
  release(hold: Hold): void {
    this.#forget(hold);
    hold.over();
  }

  /**
   * The stream has lost its holds, all or those of one partition: they wait to be held again. Gives those that can not be: a group is named once,
   * with its highest token. A failure that was sent is not told again, since it could count twice: its group comes again when nobody names it.
   */
  detach(desk: HoldDesk, partition: number | null = null): Hold[] {
    const lost: Hold[] = [];
    for (const [number, tokens] of this.#held) {
      if (partition !== null && number !== partition) continue;
      for (const hold of [...tokens.values()].flatMap((counters) => [...counters.values()])) {
        if (hold.desk !== desk) continue;
        const failing = this.failing.has(hold);
        this.#forget(hold);
        if (failing || hold.ended) lost.push(hold);
        else this.#keep(hold, lost);
      }
    }
    return lost;
  }

  /** Holds of a partition that no stream has. */
  homeless(partition: number): Iterable<Hold> {
    return this.#homeless.get(partition)?.values() ?? [];
  }

  /** Those without a stream whose time is over by the clock here. */
  overdue(now: number): Hold[] {
    return [...this.#homeless.values()].flatMap((groups) =>
      [...groups.values()].filter((one) => one.isOver(now)),
    );
  }

  /** Some hold of this partition waits for a stream that names it. */
  hasUnnamed(partition: number): boolean {
    for (const hold of this.homeless(partition)) if (hold.named === null) return true;
    return false;
  }

  /** Partitions with holds that no stream has. */
  get homelessPartitions(): number[] {
    return [...this.#homeless].filter(([, groups]) => groups.size > 0).map(([partition]) => partition);
  }

  /** A stream will not answer for what was named in it, in one partition or all: others may be asked. */
  unname(desk: HoldDesk, partition: number | null = null): void {
    for (const [number, groups] of this.#homeless) {
      if (partition !== null && number !== partition) continue;
      for (const hold of groups.values()) if (hold.named === desk) hold.named = null;
    }
  }

  /** The hold without a stream that an event is about. */
  findHomeless(partition: number, group: string, life: number): Hold | undefined {
    const hold = this.#homeless.get(partition)?.get(group);
    return hold?.life === life ? hold : undefined;
  }

  /** It is held again. */
  heldAgain(hold: Hold, desk: HoldDesk, epoch: number, counter: number): void {
    this.#homeless.get(hold.partition)?.delete(hold.group);
    this.hold(hold, desk, epoch, counter);
  }

  *all(): IterableIterator<Hold> {
    for (const tokens of this.#held.values()) {
      for (const counters of tokens.values()) yield* counters.values();
    }
    for (const groups of this.#homeless.values()) yield* groups.values();
  }

  #forget(hold: Hold): void {
    const tokens = this.#held.get(hold.partition);
    const counters = tokens?.get(hold.tokenEpoch);
    if (counters?.get(hold.tokenCounter) === hold) {
      counters.delete(hold.tokenCounter);
      if (counters.size === 0) tokens?.delete(hold.tokenEpoch);
    }
    const groups = this.#homeless.get(hold.partition);
    if (groups?.get(hold.group) === hold) groups.delete(hold.group);
    this.failing.delete(hold);
    hold.desk = null;
  }

  #keep(hold: Hold, lost: Hold[]): void {
    hold.dirty = false;
    hold.named = null;
    hold.ackSent = hold.ackedTo;
    const groups = entry(this.#homeless, hold.partition, () => new Map<string, Hold>());
    const other = groups.get(hold.group);
    if (other !== undefined && isHigher(other, hold)) {
      lost.push(hold);
      return;
    }
    if (other !== undefined) lost.push(other);
    groups.set(hold.group, hold);
  }
}

function isHigher(a: Hold, b: Hold): boolean {
  return a.tokenEpoch === b.tokenEpoch ? a.tokenCounter > b.tokenCounter : a.tokenEpoch > b.tokenEpoch;
}

function entry<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = make();
  map.set(key, value);
  return value;
}
