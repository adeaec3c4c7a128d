/** Which log store a simulation runs on. */
import type { Clock, LogStore, RecoveredShard, ShardId } from '@seriatim/multiraft';
import type { Index } from '@seriatim/raft';
import { PlainDisk, PlainLogStore } from './plain-log-store.ts';
import type { Random } from './random.ts';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { Loss } from './simulated-file.ts';
import type { SimulatedProcess } from './simulated-process.ts';

/** An open store and what it found. */
export interface OpenedStore {
  readonly store: LogStore;
  readonly recovered: readonly RecoveredShard[];
}

/** What lies under the replicas of one node, over all incarnations of its process. */
export interface NodeStorage {
  /** Opens the store for a new process. `onFault`: the disk failed, the process must end. */
  open(process: SimulatedProcess, onFault: (error: Error) => void): Promise<OpenedStore>;
  /** The process is gone, or power is lost. */
  crash(loss: Loss): void;
  /** Retention: old entries may go, so that followers need images. */
  removeBefore(shard: ShardId, index: Index): void;
  /** First entry from which on readers would get everything; null: this store serves no readers. */
  firstReadable(shard: ShardId): Index | null;
}

/** Without files: flushes of {@link PlainLogStore} at the speed of the simulated disk. */
export class PlainStorage implements NodeStorage {
  readonly #disk = new PlainDisk();
  readonly #speed: SimulatedDisk;
  readonly #random: Random;

  constructor(speed: SimulatedDisk, random: Random) {
    this.#speed = speed;
    this.#random = random;
  }

  async open(process: SimulatedProcess): Promise<OpenedStore> {
    const clock: Clock = process.clock;
    const store = new PlainLogStore({
      clock,
      disk: this.#disk,
      flushMilliseconds: () => this.#speed.syncMilliseconds(this.#random),
      checkpointEntries: 60,
      keptEntries: 20,
    });
    return { store, recovered: store.recovered() };
  }

  crash(): void {
    // What was flushed is safe, the rest is gone with the process.
  }

  removeBefore(): void {
    // Each checkpoint does it.
  }

  firstReadable(): null {
    return null;
  }
}
