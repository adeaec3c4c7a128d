/** Runs tasks one behind the other. The first that fails is reported once; those behind it never run and never resolve. */
export class Serial {
  readonly #onFault: (error: Error) => void;
  #last: Promise<void> = Promise.resolve();
  #failed = false;

  constructor(onFault: (error: Error) => void) {
    this.#onFault = onFault;
  }

  /** True when a task failed. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Resolves when the task is done; stays pending for ever when it or one before failed (the node is ending). */
  run(task: () => Promise<void>): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#last = this.#last.then(async () => {
        if (this.#failed) return;
        try {
          await task();
        } catch (error) {
          this.#failed = true;
          this.#onFault(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        resolve();
      });
    });
    return done;
  }

  /** Resolves when all tasks given so far have ended, well or not. */
  settled(): Promise<void> {
    return this.#last;
  }
}
