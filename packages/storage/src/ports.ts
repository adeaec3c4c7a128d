/**
 * What storage needs of the machine: files and a key-value store. Adapters: `node-file-system.ts` and `level-store.ts` here,
 * simulated ones in `testkit`. Both sides pass the suites in `conformance/`.
 *
 * Every method rejects with a {@link StorageError} when the machine fails; nobody above retries a failed write or sync.
 */

/** Why a port failed. `noSpace`: the disk is full. `io`: everything else that the machine reports, damage included. */
export type StorageErrorCode = 'notFound' | 'exists' | 'noSpace' | 'io' | 'closed';

/** The one error of the ports; the foreign error is kept as `cause`. */
export class StorageError extends Error {
  readonly code: StorageErrorCode;
  constructor(code: StorageErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StorageError';
    this.code = code;
  }
}

/**
 * A file that is open. Writes are visible to reads at once and survive a crash only after {@link OpenFile.sync}. At most one
 * write or sync is under way at a time on one file (the caller sees to it); reads may run beside them.
 */
export interface OpenFile {
  /** Writes all parts one behind the other from `position` on. The parts must not change until it resolves. */
  write(position: number, parts: readonly Uint8Array[]): Promise<void>;
  /** Bytes from `position` on: `length` of them, fewer only at the end of the file. The result belongs to the caller. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** fdatasync: everything written, truncated and preallocated before is durable when it resolves (the name is not). */
  sync(): Promise<void>;
  /** Length in bytes. */
  size(): Promise<number>;
  /** Cuts the file to `length`, or extends it with zeros that take no space. */
  truncate(length: number): Promise<void>;
  /**
   * Makes the file at least `length` long with zeros that have their place on disk, so that a later write inside changes no
   * metadata and its sync costs one write. Bytes that are there stay.
   */
  preallocate(length: number): Promise<void>;
  close(): Promise<void>;
}

/** Files by path; directories are separated by `/`. Names become durable only by {@link FileSystem.syncDirectory}. */
export interface FileSystem {
  /** Creates a file for reading and writing; `exists` when there is one. */
  create(path: string): Promise<OpenFile>;
  /** Opens a file that exists; `notFound` when there is none. A file opened for reading refuses writes. */
  open(path: string, mode: 'read' | 'readWrite'): Promise<OpenFile>;
  /** Gives a file a new name, replacing a file of that name in one step. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; `notFound` when there is none. */
  unlink(path: string): Promise<void>;
  /** Names in a directory, sorted, without `.` and `..`; `notFound` when the directory does not exist. */
  list(directory: string): Promise<readonly string[]>;
  /** Creates a directory and its parents (durably, parents synced); nothing happens when it is there. */
  makeDirectory(directory: string): Promise<void>;
  /** Removes an empty directory. */
  removeDirectory(directory: string): Promise<void>;
  /** Makes the names created, renamed and removed in this directory durable. */
  syncDirectory(directory: string): Promise<void>;
  /** Bytes that this process may still write on the disk that holds `directory`. */
  freeBytes(directory: string): Promise<number>;
}

/** One change of a batch. */
export type KeyValueChange =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: Uint8Array };

/** A key and its value. */
export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Keys in [from, to), in the order of their bytes. */
export interface KeyRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/**
 * An ordered store of bytes by bytes. It is not trusted to notice damage (whoever writes puts a checksum into the value), only
 * to apply a batch whole or not at all, and to keep what was written with `sync` (and everything before it) over a crash.
 */
export interface KeyValueStore {
  /** The value, or undefined. */
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Applies all changes in one step; durable when it resolves if `sync`. */
  batch(changes: readonly KeyValueChange[], options: { readonly sync: boolean }): Promise<void>;
  /** Entries of a range in key order, as of the start of the iteration. */
  iterate(range: KeyRange): AsyncIterable<KeyValue>;
  /** Deletes every key of a range; not synced by itself. */
  deleteRange(range: KeyRange): Promise<void>;
  close(): Promise<void>;
}

/** Opens (or creates) the key-value store in a directory. */
export type OpenKeyValueStore = (directory: string) => Promise<KeyValueStore>;
