/** Watches the free space of a node's disk against two floors. */
import type { Clock } from '@seriatim/multiraft';
import type { StorageConfig } from './config.ts';
import { type FileSystem, StorageError } from './ports.ts';

/** `refuse`: take no more records in. `stop`: the node ends. */
export type FreeSpaceStatus = 'ok' | 'refuse' | 'stop';

/** Looks every few seconds, and after much was written. */
export class FreeSpaceWatch {
  readonly #files: FileSystem;
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #config: StorageConfig;
  readonly #onFault: (error: Error) => void;
  #status: FreeSpaceStatus = 'ok';
  #free = Number.POSITIVE_INFINITY;
  #written = 0;
  #looking = false;
  #cancel: () => void = () => {};
  #closed = false;

  constructor(
    files: FileSystem,
    directory: string,
    clock: Clock,
    config: StorageConfig,
    onFault: (error: Error) => void,
  ) {
    this.#files = files;
    this.#directory = directory;
    this.#clock = clock;
    this.#config = config;
    this.#onFault = onFault;
  }

  get status(): FreeSpaceStatus {
    return this.#status;
  }

  /** Bytes free when it was looked at last. */
  get freeBytes(): number {
    return this.#free;
  }

  /** Looks now and from then on. */
  async start(): Promise<void> {
    await this.#look();
  }

  wrote(bytes: number): void {
    this.#written += bytes;
    if (this.#written >= this.#config.freeCheckBytes) void this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    this.#written = 0;
    this.#cancel();
    try {
      this.#free = await this.#files.freeBytes(this.#directory);
    } catch (error) {
      this.#onFault(error as Error);
      return;
    }
    this.#looking = false;
    if (this.#closed) return;
    this.#judge();
    this.#cancel = this.#clock.after(this.#config.freeCheckMilliseconds, () => void this.#look());
  }

  #judge(): void {
    const { freeBytesRefuse, freeBytesStop } = this.#config;
    if (this.#free >= freeBytesRefuse) this.#status = 'ok';
    else if (this.#free >= freeBytesStop) this.#status = 'refuse';
    else {
      this.#status = 'stop';
      const text = `${this.#directory}: ${this.#free} bytes free, the node stops below ${freeBytesStop}: free some and start it`;
      this.#onFault(new StorageError('noSpace', text));
    }
  }
}
