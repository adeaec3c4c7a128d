/** A node's disk: outlives its processes, loses at a loss of power what was not synced, and can be made faulty. */
import { type KeyValueStore, StorageError } from '@seriatim/storage';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { type Loss, SimulatedFile } from './simulated-file.ts';
import { KeyValueState, SimulatedKeyValueStore } from './simulated-key-value-store.ts';
import type { SimulatedProcess } from './simulated-process.ts';

/** How long operations take, milliseconds. */
export interface DiskSpeed {
  readonly readMax: number;
  readonly writeMax: number;
  readonly syncMin: number;
  readonly syncMax: number;
}
export const FAST_DISK: DiskSpeed = { readMax: 0.2, writeMax: 0.2, syncMin: 0.3, syncMax: 2 };
export const SLOW_DISK: DiskSpeed = { readMax: 5, writeMax: 5, syncMin: 10, syncMax: 60 };

type NameChange =
  | { readonly type: 'set'; readonly name: string; readonly file: SimulatedFile }
  | { readonly type: 'delete'; readonly name: string };

interface Directory {
  readonly names: Map<string, SimulatedFile>;
  /** Names as of the last sync of the directory. */
  readonly synced: Map<string, SimulatedFile>;
  /** What happened to the names since then, in order. */
  changes: NameChange[];
}

/** Operations that can be made to fail. */
export type DiskOperation = 'read' | 'write' | 'sync' | 'name';

/** Files, directories and key-value stores of one node. */
export class SimulatedDisk {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #directories = new Map<string, Directory>();
  readonly #keyValueStores = new Map<string, KeyValueState>();
  #stalledUntil = 0;
  #failed = false;
  #failing: { operation: DiskOperation; after: number } | null = null;
  speed: DiskSpeed = FAST_DISK;
  capacityBytes: number = 1024 ** 3;
  /** Syncs that completed. */
  syncs = 0;
  /** A lying disk: syncs complete and make nothing durable. For tests of the tests. */
  ignoresSync = false;

  constructor(scheduler: Scheduler, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#directories.set('', newDirectory());
  }

  /** Every operation takes until `milliseconds` from now at least. */
  stall(milliseconds: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#scheduler.now + milliseconds);
  }

  /** The `nth` operation of this kind from now on fails with an I/O error. */
  failNext(operation: DiskOperation, nth: number): void {
    this.#failing = { operation, after: nth };
  }

  /** How long a sync takes if it starts now. */
  syncMilliseconds(random: Random): number {
    const { syncMin, syncMax } = this.speed;
    return Math.max(random.between(syncMin, syncMax), this.#stalledUntil - this.#scheduler.now);
  }

  /** Whether an operation was made to fail since the last call. */
  takeFailed(): boolean {
    const failed = this.#failed;
    this.#failed = false;
    return failed;
  }

  /** The disk is replaced or repaired as far as errors go; contents stay. */
  mend(): void {
    this.#failing = null;
    this.#stalledUntil = 0;
    this.speed = FAST_DISK;
  }

  /** The process is gone (`none`: the machine stays up and keeps all writes) or power is lost. */
  crash(loss: Loss): void {
    for (const directory of this.#directories.values()) {
      if (loss !== 'none') this.#loseNames(directory, loss);
      markNamesSynced(directory);
      for (const file of new Set(directory.names.values())) file.crash(loss, this.#random);
    }
    for (const state of this.#keyValueStores.values()) state.crash(loss, this.#random);
  }

  /** The disk is lost with all that was on it. */
  erase(): void {
    this.#directories.clear();
    this.#directories.set('', newDirectory());
    this.#keyValueStores.clear();
  }

  /** Paths of all files whose path contains `part`, sorted. */
  paths(part: string): string[] {
    const found: string[] = [];
    for (const [path, directory] of this.#directories) {
      for (const name of directory.names.keys()) found.push(`${path}/${name}`);
    }
    return found.filter((path) => path.includes(part)).sort();
  }

  /** Flips a bit somewhere in the first `length` bytes of a file. */
  flipBit(path: string, length: number): void {
    const file = this.find(path);
    const end = Math.min(file.size, length);
    if (end > 0) file.flip(this.#random.below(end), this.#random.below(8));
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const directory of this.#directories.values()) {
      for (const file of directory.names.values()) bytes += file.size;
    }
    return bytes;
  }

  /** @internal The store in a directory, for one process. */
  keyValueStore(process: SimulatedProcess, directory: string): KeyValueStore {
    const path = normalize(directory);
    let state = this.#keyValueStores.get(path);
    if (state === undefined) {
      state = new KeyValueState();
      this.#keyValueStores.set(path, state);
    }
    return new SimulatedKeyValueStore(state, (operation, run) => this.perform(process, operation, run));
  }

  /** @internal Runs an operation after the time it takes; its effect and its outcome come in the same event. */
  perform<T>(process: SimulatedProcess, operation: DiskOperation, run: () => T): Promise<T> {
    if (this.#isCached(operation)) return Promise.resolve(run());
    return new Promise((resolve, reject) => {
      const wait = Math.max(this.#duration(operation), this.#stalledUntil - this.#scheduler.now);
      this.#scheduler.after(wait, 'disk', process, () => {
        try {
          this.#maybeFail(operation);
          if (operation === 'sync') this.syncs += 1;
          resolve(run());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
  }

  /** @internal */
  find(path: string): SimulatedFile {
    const [directory, name] = this.#place(path);
    const file = directory.names.get(name);
    if (file === undefined) throw new StorageError('notFound', `${path} does not exist`);
    return file;
  }

  /** @internal */
  createFile(path: string): SimulatedFile {
    const [directory, name] = this.#place(path);
    if (directory.names.has(name)) throw new StorageError('exists', `${path} exists`);
    const file = new SimulatedFile();
    this.#change(directory, { type: 'set', name, file });
    return file;
  }

  /** @internal */
  rename(from: string, to: string): void {
    const file = this.find(from);
    const [source, sourceName] = this.#place(from);
    const [target, targetName] = this.#place(to);
    this.#change(target, { type: 'set', name: targetName, file });
    this.#change(source, { type: 'delete', name: sourceName });
  }

  /** @internal */
  unlink(path: string): void {
    this.find(path);
    const [directory, name] = this.#place(path);
    this.#change(directory, { type: 'delete', name });
  }

  /** @internal */
  list(path: string): string[] {
    const normal = normalize(path);
    const names = [...this.#directory(normal).names.keys()];
    const prefix = normal === '' ? '' : `${normal}/`;
    for (const other of this.#directories.keys()) {
      if (other !== normal && other.startsWith(prefix) && !other.slice(prefix.length).includes('/')) {
        names.push(other.slice(prefix.length));
      }
    }
    return names.sort();
  }

  /** @internal Directories are durable at once, as the port says. */
  makeDirectory(path: string): void {
    const parts = normalize(path).split('/');
    for (let n = 1; n <= parts.length; n += 1) {
      const prefix = parts.slice(0, n).join('/');
      if (!this.#directories.has(prefix)) this.#directories.set(prefix, newDirectory());
    }
  }

  /** @internal */
  removeDirectory(path: string): void {
    if (this.list(path).length > 0) throw new StorageError('io', `${path} is not empty`);
    this.#directories.delete(normalize(path));
    this.#keyValueStores.delete(normalize(path));
  }

  /** @internal */
  syncNames(path: string): void {
    const directory = this.#directory(normalize(path));
    if (!this.ignoresSync) markNamesSynced(directory);
  }

  #place(path: string): [Directory, string] {
    const normal = normalize(path);
    const slash = normal.lastIndexOf('/');
    return [this.#directory(normal.slice(0, Math.max(0, slash))), normal.slice(slash + 1)];
  }

  #directory(path: string): Directory {
    const directory = this.#directories.get(path);
    if (directory === undefined) throw new StorageError('notFound', `directory ${path} does not exist`);
    return directory;
  }

  #change(directory: Directory, change: NameChange): void {
    applyChange(directory.names, change);
    directory.changes.push(change);
  }

  /** A prefix of the changes survives: file systems order them in their own journal. */
  #loseNames(directory: Directory, loss: Loss): void {
    const kept = loss === 'all' ? 0 : this.#random.below(directory.changes.length + 1);
    directory.names.clear();
    for (const [name, file] of directory.synced) directory.names.set(name, file);
    for (const change of directory.changes.slice(0, kept)) applyChange(directory.names, change);
  }

  /** Writes mostly end in the page cache, at once. It saves an event, so a crash in between is tried less often. */
  #isCached(operation: DiskOperation): boolean {
    const fast =
      this.speed === FAST_DISK && this.#failing === null && this.#stalledUntil <= this.#scheduler.now;
    return operation === 'write' && fast && this.#random.chance(0.8);
  }

  #duration(operation: DiskOperation): number {
    const { speed } = this;
    switch (operation) {
      case 'read':
        return this.#random.between(0, speed.readMax);
      case 'write':
      case 'name':
        return this.#random.between(0, speed.writeMax);
      case 'sync':
        return this.#random.between(speed.syncMin, speed.syncMax);
    }
  }

  #maybeFail(operation: DiskOperation): void {
    if (this.#failing === null || this.#failing.operation !== operation) return;
    this.#failing.after -= 1;
    if (this.#failing.after > 0) return;
    this.#failing = null;
    this.#failed = true;
    throw new StorageError('io', `simulated input/output error on ${operation}`);
  }
}

function newDirectory(): Directory {
  return { names: new Map(), synced: new Map(), changes: [] };
}

function applyChange(names: Map<string, SimulatedFile>, change: NameChange): void {
  if (change.type === 'set') names.set(change.name, change.file);
  else names.delete(change.name);
}

function markNamesSynced(directory: Directory): void {
  directory.synced.clear();
  for (const [name, file] of directory.names) directory.synced.set(name, file);
  directory.changes = [];
}

function normalize(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}
