/** Keys of groups that wait, by when their wait ends: a binary heap. A wait that was cut short stays until its time and is then ignored. */
export class DelayHeap {
  readonly #times: number[] = [];
  readonly #keys: number[] = [];
  /** When each group's wait ends. */
  readonly #waits = new Map<number, number>();

  /** When the first wait ends; Infinity: there is none. */
  get nextTime(): number {
    return this.#times[0] ?? Number.POSITIVE_INFINITY;
  }

  /** When the group's wait ends; undefined: it does not wait. */
  get(key: number): number | undefined {
    return this.#waits.get(key);
  }

  set(key: number, time: number): void {
    this.#waits.set(key, time);
    let at = this.#times.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if ((this.#times[above] as number) <= time) break;
      this.#place(at, above);
      at = above;
    }
    this.#times[at] = time;
    this.#keys[at] = key;
  }

  cancel(key: number): void {
    this.#waits.delete(key);
  }

  /** A group whose wait has ended, taken out; -1: none. */
  takeDue(now: number): number {
    while ((this.#times[0] ?? Number.POSITIVE_INFINITY) <= now) {
      const time = this.#times[0] as number;
      const key = this.#keys[0] as number;
      this.#removeFirst();
      if (this.#waits.get(key) !== time) continue;
      this.#waits.delete(key);
      return key;
    }
    return -1;
  }

  #removeFirst(): void {
    const time = this.#times.pop() as number;
    const key = this.#keys.pop() as number;
    const length = this.#times.length;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= length) break;
      if (below + 1 < length && (this.#times[below + 1] as number) < (this.#times[below] as number)) below++;
      if ((this.#times[below] as number) >= time) break;
      this.#place(at, below);
      at = below;
    }
    this.#times[at] = time;
    this.#keys[at] = key;
  }

  #place(to: number, from: number): void {
    this.#times[to] = this.#times[from] as number;
    this.#keys[to] = this.#keys[from] as number;
  }
}
