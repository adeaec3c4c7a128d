/** Ports that stop dead at a chosen operation, as the machine does for a process that is killed: nothing after it happens. */
import type { FileSystem, KeyValueStore, OpenFile } from '../../src/ports.ts';

/** Counts changes to the disk; from the `limit`-th on nothing happens and nothing resolves. */
export class CrashPoint {
  readonly limit: number;
  count = 0;
  /** Resolves when the crash point is reached and what was under way has ended. */
  readonly died: Promise<void>;
  #die: () => void = () => {};
  #files: OpenFile[] = [];
  #running = new Set<Promise<unknown>>();

  constructor(limit: number) {
    this.limit = limit;
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  get dead(): boolean {
    return this.count >= this.limit;
  }

  change<T>(run: () => Promise<T>): Promise<T> {
    if (this.dead) return new Promise<T>(() => {});
    this.count++;
    if (!this.dead) return this.#track(run());
    void Promise.allSettled(this.#running).then(this.#die);
    return new Promise<T>(() => {});
  }

  /** The machine closes the files of a process that is gone. */
  async closeFiles(): Promise<void> {
    for (const file of this.#files.splice(0)) await file.close().catch(() => {});
  }

  opened(file: OpenFile): void {
    this.#files.push(file);
  }

  read<T>(run: () => Promise<T>): Promise<T> {
    return this.dead ? new Promise<T>(() => {}) : this.#track(run());
  }

  #track<T>(running: Promise<T>): Promise<T> {
    this.#running.add(running);
    return running.finally(() => this.#running.delete(running));
  }
}

/** Files that die at the crash point. */
export function crashingFiles(files: FileSystem, point: CrashPoint): FileSystem {
  const wrap = (file: OpenFile): OpenFile => {
    point.opened(file);
    return wrapped(file);
  };
  const wrapped = (file: OpenFile): OpenFile => ({
    write: (position, parts) => point.change(() => file.write(position, parts)),
    read: (position, length) => point.read(() => file.read(position, length)),
    sync: () => point.change(() => file.sync()),
    size: () => point.read(() => file.size()),
    truncate: (length) => point.change(() => file.truncate(length)),
    preallocate: (length) => point.change(() => file.preallocate(length)),
    close: () => file.close(),
  });
  return {
    create: (path) => point.change(async () => wrap(await files.create(path))),
    open: (path, mode) => point.read(async () => wrap(await files.open(path, mode))),
    rename: (from, to) => point.change(() => files.rename(from, to)),
    unlink: (path) => point.change(() => files.unlink(path)),
    list: (directory) => point.read(() => files.list(directory)),
    makeDirectory: (directory) => point.read(() => files.makeDirectory(directory)),
    removeDirectory: (directory) => point.change(() => files.removeDirectory(directory)),
    syncDirectory: (directory) => point.change(() => files.syncDirectory(directory)),
    freeBytes: (directory) => point.read(() => files.freeBytes(directory)),
  };
}

/** A key-value store that dies at the crash point; closing it always works. */
export function crashingStore(store: KeyValueStore, point: CrashPoint): KeyValueStore {
  return {
    get: (key) => point.read(() => store.get(key)),
    batch: (changes, options) => point.change(() => store.batch(changes, options)),
    iterate: (range) => store.iterate(range),
    deleteRange: (range) => point.change(() => store.deleteRange(range)),
    close: () => store.close(),
  };
}
