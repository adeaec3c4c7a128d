/** Many writers, one reader. A writer waits until what it gave was taken: so each holds one item at most. */
export class MergeQueue<T> {
  readonly #items: { readonly item: T; readonly taken: () => void }[] = [];
  #reader: (() => void) | null = null;
  #closed = false;

  /** Resolves when the item was taken, or the queue is closed. */
  put(item: T): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#items.push({ item, taken: resolve });
      this.#wake();
    });
  }

  /** The next item, from whoever was first. */
  async take(): Promise<T> {
    for (;;) {
      const entry = this.#items.shift();
      if (entry !== undefined) {
        entry.taken();
        return entry.item;
      }
      await new Promise<void>((resolve) => {
        this.#reader = resolve;
      });
    }
  }

  /** Lets all writers go. */
  close(): void {
    this.#closed = true;
    for (const { taken } of this.#items.splice(0)) taken();
  }

  #wake(): void {
    const reader = this.#reader;
    this.#reader = null;
    reader?.();
  }
}
