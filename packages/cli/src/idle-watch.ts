/** What an {@link IdleWatch} goes by. Times in milliseconds. */
export interface IdleWatchOptions {
  readonly idleMilliseconds: number;
  /** For so long, without a message, a partition may be unattached or the cluster give no word: then it fails. */
  readonly patienceMilliseconds: number;
  /** How many partitions there are, as far as is known; 0: not known. */
  readonly partitions: () => number;
  /** Asks the cluster whether every partition answers; gives what is wrong, or null. */
  readonly confirm: () => Promise<string | null>;
  /** Called once, when nothing came for the idle time while everything was attached, or with what keeps it from being told. */
  readonly over: (failure: Error | null) => void;
}

/**
 * Tells a subscription that has nothing to give from one that can not be reached: idle time runs only while the leader of every partition serves the
 * consumer and the consumer waits for a message, begins anew after each message and each change, and counts only when the cluster still answers at its
 * end. Before the first attachment nothing is decided here: the consumer itself fails when it gets no stream.
 */
export class IdleWatch {
  readonly #options: IdleWatchOptions;
  /** Addresses that serve a partition: for a moment both the former leader and the next may. */
  readonly #attached = new Map<number, Set<string>>();
  #timer: NodeJS.Timeout | undefined;
  #busy = false;
  #over = false;
  /** Rises with all that happens: what the cluster was asked before no longer counts. */
  #turn = 0;
  /** Since when something is lacking; null: nothing is. */
  #lackingSince: number | null = null;

  constructor(options: IdleWatchOptions) {
    this.#options = options;
  }

  attached(partition: number, address: string): void {
    const addresses = this.#attached.get(partition) ?? new Set();
    this.#attached.set(partition, addresses.add(address));
    this.#arm();
  }

  detached(partition: number, address: string): void {
    this.#attached.get(partition)?.delete(address);
    this.#arm();
  }

  /** A message is at work: no time counts until {@link waiting}. */
  busy(): void {
    this.#busy = true;
    this.#lackingSince = null;
    this.#arm();
  }

  /** The next message is waited for. */
  waiting(): void {
    this.#busy = false;
    this.#arm();
  }

  stop(): void {
    this.#over = true;
    this.#arm();
  }

  #arm(): void {
    this.#turn++;
    clearTimeout(this.#timer);
    if (this.#over || this.#busy || this.#attached.size === 0) return;
    const { idleMilliseconds, patienceMilliseconds } = this.#options;
    if (this.#lacking().length === 0) {
      this.#lackingSince = null;
      this.#timer = setTimeout(() => void this.#quiet(), idleMilliseconds);
      return;
    }
    this.#lackingSince ??= performance.now();
    const left = patienceMilliseconds - (performance.now() - this.#lackingSince);
    this.#timer = setTimeout(() => this.#late(), Math.max(0, left));
  }

  #lacking(): readonly number[] {
    const all = Array.from({ length: Math.max(1, this.#options.partitions()) }, (_, partition) => partition);
    return all.filter((partition) => (this.#attached.get(partition)?.size ?? 0) === 0);
  }

  async #quiet(): Promise<void> {
    // The topic may have more partitions than were known when the time began.
    if (this.#lacking().length > 0) {
      this.#arm();
      return;
    }
    const turn = this.#turn;
    const asked = performance.now();
    const doubt = await this.#options.confirm();
    if (turn !== this.#turn) return;
    if (doubt === null) {
      this.stop();
      this.#options.over(null);
      return;
    }
    const since = this.#lackingSince ?? asked;
    if (performance.now() - since >= this.#options.patienceMilliseconds) {
      this.#fail(doubt);
      return;
    }
    this.#arm();
    this.#lackingSince = since;
  }

  #late(): void {
    const lacking = this.#lacking();
    if (lacking.length === 0) this.#arm();
    else this.#fail(`nobody serves partition ${lacking.join(', ')}`);
  }

  #fail(what: string): void {
    this.stop();
    const { patienceMilliseconds } = this.#options;
    this.#options.over(
      new Error(`not known whether anything is left, for ${patienceMilliseconds} ms: ${what}`),
    );
  }
}
