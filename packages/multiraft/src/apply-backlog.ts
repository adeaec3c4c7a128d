import type { Entry } from '@seriatim/raft';

/**
 * Data bytes, with a fixed share for each entry, that are applied in one turn of the event loop: a few milliseconds' work. After a
 * restart hundreds of thousands of entries may wait, and the heartbeats of every shard would wait for them.
 */
const SLICE_BYTES_MAX = 1024 * 1024;
const ENTRY_BYTES = 512;

/** Committed entries of one replica that wait to be applied, in order. */
export class ApplyBacklog {
  #entries: readonly Entry[] = [];

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  add(entries: readonly Entry[]): void {
    this.#entries = this.empty ? entries : this.#entries.concat(entries);
  }

  /** Takes what one turn may apply: at least one entry if there is one. */
  takeSlice(): readonly Entry[] {
    let count = 0;
    for (let bytes = 0; count < this.#entries.length && bytes < SLICE_BYTES_MAX; count++) {
      bytes += (this.#entries[count]?.data.length ?? 0) + ENTRY_BYTES;
    }
    const slice = count === this.#entries.length ? this.#entries : this.#entries.slice(0, count);
    this.#entries = this.#entries.slice(count);
    return slice;
  }

  clear(): void {
    this.#entries = [];
  }
}
