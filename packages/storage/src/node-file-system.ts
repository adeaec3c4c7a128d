/** {@link FileSystem} over the machine's files, by `node:fs`. The one place that translates its errors. */
import fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { type FileSystem, type OpenFile, StorageError, type StorageErrorCode } from './ports.ts';

const ZERO_PIECE_BYTES = 1024 * 1024;
const zeros = Buffer.alloc(ZERO_PIECE_BYTES);
/** Most parts of one writev (IOV_MAX on Linux). */
const PARTS_MAX = 1_024;

/** The machine's files. */
export function nodeFileSystem(): FileSystem {
  return {
    create: (path) =>
      translated(`create ${path}`, async () => new NodeFile(path, await fs.open(path, 'wx+'))),
    open: (path, mode) =>
      translated(
        `open ${path}`,
        async () => new NodeFile(path, await fs.open(path, mode === 'read' ? 'r' : 'r+')),
      ),
    rename: (from, to) => translated(`rename ${from} to ${to}`, () => fs.rename(from, to)),
    unlink: (path) => translated(`unlink ${path}`, () => fs.unlink(path)),
    list: (directory) => translated(`list ${directory}`, async () => (await fs.readdir(directory)).sort()),
    makeDirectory: (directory) => translated(`make ${directory}`, () => makeDirectory(directory)),
    removeDirectory: (directory) => translated(`remove ${directory}`, () => fs.rmdir(directory)),
    syncDirectory: (directory) => translated(`sync ${directory}`, () => syncDirectory(directory)),
    freeBytes: (directory) =>
      translated(`free space of ${directory}`, async () => {
        const { bavail, bsize } = await fs.statfs(directory);
        return bavail * bsize;
      }),
  };
}

class NodeFile implements OpenFile {
  readonly #path: string;
  readonly #handle: fs.FileHandle;

  constructor(path: string, handle: fs.FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  write(position: number, parts: readonly Uint8Array[]): Promise<void> {
    return translated(`write ${this.#path}`, async () => {
      let at = position;
      for (let from = 0; from < parts.length; from += PARTS_MAX) {
        at = await writeAll(this.#handle, at, parts.slice(from, from + PARTS_MAX));
      }
    });
  }

  read(position: number, length: number): Promise<Uint8Array> {
    return translated(`read ${this.#path}`, async () => {
      const bytes = Buffer.allocUnsafeSlow(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await this.#handle.read(bytes, done, length - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    });
  }

  sync(): Promise<void> {
    return translated(`sync ${this.#path}`, () => this.#handle.datasync());
  }

  size(): Promise<number> {
    return translated(`size of ${this.#path}`, async () => (await this.#handle.stat()).size);
  }

  truncate(length: number): Promise<void> {
    return translated(`truncate ${this.#path}`, () => this.#handle.truncate(length));
  }

  /** Node has no fallocate, so zeros are written. */
  preallocate(length: number): Promise<void> {
    return translated(`preallocate ${this.#path}`, async () => {
      for (let at = (await this.#handle.stat()).size; at < length; ) {
        at = await writeAll(this.#handle, at, [zeros.subarray(0, Math.min(zeros.length, length - at))]);
      }
    });
  }

  close(): Promise<void> {
    return translated(`close ${this.#path}`, () => this.#handle.close());
  }
}

/** Writes all parts, however few bytes the machine takes at a time; gives the position behind them. */
async function writeAll(
  handle: fs.FileHandle,
  position: number,
  parts: readonly Uint8Array[],
): Promise<number> {
  let at = position;
  let left = parts;
  while (left.length > 0) {
    const { bytesWritten } = await handle.writev(left, at);
    at += bytesWritten;
    left = behind(left, bytesWritten);
  }
  return at;
}

/** What is left of `parts` behind the first `bytes` of them. */
function behind(parts: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skip = bytes;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Uint8Array;
    if (skip < part.length) return [part.subarray(skip), ...parts.slice(i + 1)];
    skip -= part.length;
  }
  return [];
}

async function makeDirectory(directory: string): Promise<void> {
  const first = await fs.mkdir(directory, { recursive: true });
  if (first === undefined) return;
  for (let made = directory; ; made = dirname(made)) {
    await syncDirectory(dirname(made));
    if (made === first || made === dirname(made)) return;
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await fs.open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function translated<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const foreign = error as NodeJS.ErrnoException;
    throw new StorageError(codeOf(foreign), `${what}: ${foreign.message}`, error);
  }
}

function codeOf(error: NodeJS.ErrnoException): StorageErrorCode {
  switch (error.code) {
    case 'ENOENT':
      return 'notFound';
    case 'EEXIST':
      return 'exists';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'noSpace';
    default:
      return 'io';
  }
}
