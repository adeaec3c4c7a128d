/** What was started, in order; stopping runs it backwards. One step that fails does not keep the others from running. */

/** See the head of this file. */
export class StopList {
  readonly #steps: { readonly name: string; readonly stop: () => Promise<unknown> | unknown }[] = [];
  readonly #onFailure: (name: string, error: unknown) => void;
  #stopping: Promise<void> | null = null;

  constructor(onFailure: (name: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** To be called when a part was started. */
  add(name: string, stop: () => Promise<unknown> | unknown): void {
    this.#steps.push({ name, stop });
  }

  /** Stops what was added and not yet stopped, the last first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#run();
    return this.#stopping;
  }

  async #run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.stop();
      } catch (error) {
        this.#onFailure(step.name, error);
      }
    }
  }
}
