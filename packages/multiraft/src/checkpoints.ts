/** Writes state images when the log store asks for them. */
import type { LogStore, ShardId } from './ports.ts';
import type { ShardRunner } from './shard-runner.ts';

/**
 * One checkpoint per shard at a time, none while its image is being sent or received (the store drops the image before) or
 * while the state is being replaced.
 */
export class Checkpoints {
  readonly #store: LogStore;
  readonly #onFault: (runner: ShardRunner, error: unknown) => void;
  readonly #running = new Map<ShardId, Promise<void>>();
  readonly #holds = new Map<ShardId, number>();

  constructor(store: LogStore, onFault: (runner: ShardRunner, error: unknown) => void) {
    this.#store = store;
    this.#onFault = onFault;
  }

  /** The stored image is in use. */
  hold(shard: ShardId): void {
    this.#holds.set(shard, (this.#holds.get(shard) ?? 0) + 1);
  }

  release(shard: ShardId): void {
    const left = (this.#holds.get(shard) ?? 0) - 1;
    if (left > 0) this.#holds.set(shard, left);
    else this.#holds.delete(shard);
  }

  isRunning(shard: ShardId): boolean {
    return this.#running.has(shard);
  }

  /** Starts one if the store says that it is due and nothing stands against it. */
  review(runner: ShardRunner): void {
    if (this.#holds.has(runner.id) || !this.#store.checkpointDue(runner.id)) return;
    // Errors are handled where they happen; nobody waits for this one.
    void this.run(runner);
  }

  /** Writes the state of now as an image, or waits for the checkpoint under way. Resolves also when it failed. */
  run(runner: ShardRunner): Promise<void> {
    const running = this.#running.get(runner.id);
    if (running !== undefined) return running;
    if (runner.closed || runner.restoring || runner.appliedMeta.index === 0) return Promise.resolve();
    const started = this.#write(runner).finally(() => this.#running.delete(runner.id));
    this.#running.set(runner.id, started);
    return started;
  }

  /** Resolves when no checkpoint of this shard is under way. */
  settled(shard: ShardId): Promise<void> {
    return this.#running.get(shard) ?? Promise.resolve();
  }

  async #write(runner: ShardRunner): Promise<void> {
    try {
      const meta = runner.appliedMeta;
      // All chunks are taken now: the state goes on changing while they are written.
      const chunks = [...runner.spec.stateMachine.image()];
      await this.#store.checkpoint(runner.id, runner.replica, meta, chunks);
    } catch (error) {
      this.#onFault(runner, error);
    }
  }
}
