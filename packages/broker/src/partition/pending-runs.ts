/**
 * What a leader has proposed and not yet seen applied, laid over the applied state: the runs in flight, and the names that
 * they add. Runs of one group are chained from the newest back, so that the newest word on a group or on one of its writers is
 * found without touching the others. Runs leave in the order they came (applied), from the end (refused by the core), or all
 * at once (leadership changed).
 */
const GROUP = 0;
const LIFE = 1;
const LAST_SEQUENCE = 2;
const PRODUCER = 3;
const EPOCH = 4;
const SEQUENCE = 5;
const COUNT = 6;
const CHECKSUM = 7;
const FIRST_OFFSET = 8;
const PREVIOUS = 9;
const STRIDE = 10;
const CAPACITY_AT_FIRST = 256;
const NONE = -1;

/** See the head of this file. */
export class PendingRuns {
  /** Ring of rows; run `id` lies at `id & mask`. Ids rise for ever. */
  #rows: Float64Array = new Float64Array(CAPACITY_AT_FIRST * STRIDE);
  #mask = CAPACITY_AT_FIRST - 1;
  #first = 0;
  #next = 0;
  /** Newest run id of a group; below `#first`: it has none in flight. */
  #newest: Float64Array = new Float64Array(0);
  readonly #names = new Map<string, number>();

  get count(): number {
    return this.#next - this.#first;
  }

  /** Id that the next run will get: a mark for {@link rollBack} and {@link release}. */
  get next(): number {
    return this.#next;
  }

  /** The group's newest run in flight, or -1. */
  newest(group: number): number {
    const id = this.#newest[group];
    return id === undefined || id < this.#first ? NONE : id;
  }

  /** The newest run of `producer` in the group's chain from `id` back that belongs to the same life, or -1. */
  ofProducer(id: number, producer: number): number {
    const life = id === NONE ? 0 : this.life(id);
    for (let at = id; at >= this.#first && this.life(at) === life; at = this.#field(at, PREVIOUS)) {
      if (this.#field(at, PRODUCER) === producer) return at;
    }
    return NONE;
  }

  life(id: number): number {
    return this.#field(id, LIFE);
  }
  lastSequence(id: number): number {
    return this.#field(id, LAST_SEQUENCE);
  }
  epoch(id: number): number {
    return this.#field(id, EPOCH);
  }
  sequence(id: number): number {
    return this.#field(id, SEQUENCE);
  }
  runLength(id: number): number {
    return this.#field(id, COUNT);
  }
  checksum(id: number): number {
    return this.#field(id, CHECKSUM);
  }
  firstOffset(id: number): number {
    return this.#field(id, FIRST_OFFSET);
  }

  push(
    group: number,
    life: number,
    lastSequence: number,
    producer: number,
    epoch: number,
    sequence: number,
    count: number,
    checksum: number,
    firstOffset: number,
  ): void {
    if (this.count > this.#mask) this.#growRows();
    if (group >= this.#newest.length) this.#growGroups(group);
    const id = this.#next++;
    const rows = this.#rows;
    const at = (id & this.#mask) * STRIDE;
    rows[at + GROUP] = group;
    rows[at + LIFE] = life;
    rows[at + LAST_SEQUENCE] = lastSequence;
    rows[at + PRODUCER] = producer;
    rows[at + EPOCH] = epoch;
    rows[at + SEQUENCE] = sequence;
    rows[at + COUNT] = count;
    rows[at + CHECKSUM] = checksum;
    rows[at + FIRST_OFFSET] = firstOffset;
    rows[at + PREVIOUS] = this.#newest[group] as number;
    this.#newest[group] = id;
  }

  /** Number of a name that a run in flight adds, or undefined. */
  name(key: string): number | undefined {
    return this.#names.get(key);
  }
  addName(key: string, group: number): void {
    this.#names.set(key, group);
  }
  dropNames(keys: readonly string[]): void {
    for (const key of keys) this.#names.delete(key);
  }

  /** Takes back the runs from `mark` on: the core did not take their entry. */
  rollBack(mark: number): void {
    while (this.#next > mark) {
      const id = --this.#next;
      this.#newest[this.#field(id, GROUP)] = this.#field(id, PREVIOUS);
    }
  }

  /** Lets the runs before `mark` go: their entry is applied. */
  release(mark: number): void {
    if (mark > this.#first) this.#first = mark;
  }

  /** Forgets everything: what becomes of it is no longer this leader's to know. Ids go on, so old marks do no harm. */
  clear(): void {
    this.#first = this.#next;
    this.#names.clear();
  }

  #field(id: number, field: number): number {
    return this.#rows[(id & this.#mask) * STRIDE + field] as number;
  }

  #growRows(): void {
    const capacity = (this.#mask + 1) * 2;
    const larger = new Float64Array(capacity * STRIDE);
    for (let id = this.#first; id < this.#next; id++) {
      const from = (id & this.#mask) * STRIDE;
      larger.set(this.#rows.subarray(from, from + STRIDE), (id & (capacity - 1)) * STRIDE);
    }
    this.#rows = larger;
    this.#mask = capacity - 1;
  }

  #growGroups(group: number): void {
    const larger = new Float64Array(Math.max(CAPACITY_AT_FIRST, 2 ** Math.ceil(Math.log2(group + 1))));
    larger.fill(NONE);
    larger.set(this.#newest);
    this.#newest = larger;
  }
}
