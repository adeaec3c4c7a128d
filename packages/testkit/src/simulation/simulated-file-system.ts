/** The file port of storage on a {@link SimulatedDisk}. */
import { type FileSystem, type OpenFile, StorageError } from '@seriatim/storage';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { SimulatedFile } from './simulated-file.ts';
import type { SimulatedProcess } from './simulated-process.ts';

/** One process's view of the disk: when the process dies, operations under way have no effect any more. */
export class SimulatedFileSystem implements FileSystem {
  readonly #disk: SimulatedDisk;
  readonly #process: SimulatedProcess;

  constructor(disk: SimulatedDisk, process: SimulatedProcess) {
    this.#disk = disk;
    this.#process = process;
  }

  create(path: string): Promise<OpenFile> {
    return this.#disk.perform(this.#process, 'name', () => this.#opened(this.#disk.createFile(path), true));
  }
  open(path: string, mode: 'read' | 'readWrite'): Promise<OpenFile> {
    return this.#disk.perform(this.#process, 'name', () =>
      this.#opened(this.#disk.find(path), mode === 'readWrite'),
    );
  }
  rename(from: string, to: string): Promise<void> {
    return this.#disk.perform(this.#process, 'name', () => this.#disk.rename(from, to));
  }
  unlink(path: string): Promise<void> {
    return this.#disk.perform(this.#process, 'name', () => this.#disk.unlink(path));
  }
  list(directory: string): Promise<readonly string[]> {
    return this.#disk.perform(this.#process, 'name', () => this.#disk.list(directory));
  }
  makeDirectory(directory: string): Promise<void> {
    return this.#disk.perform(this.#process, 'name', () => this.#disk.makeDirectory(directory));
  }
  removeDirectory(directory: string): Promise<void> {
    return this.#disk.perform(this.#process, 'name', () => this.#disk.removeDirectory(directory));
  }
  syncDirectory(directory: string): Promise<void> {
    return this.#disk.perform(this.#process, 'sync', () => this.#disk.syncNames(directory));
  }
  freeBytes(): Promise<number> {
    return this.#disk.perform(this.#process, 'name', () =>
      Math.max(0, this.#disk.capacityBytes - this.#disk.usedBytes),
    );
  }

  #opened(file: SimulatedFile, writable: boolean): OpenFile {
    return new SimulatedOpenFile(this.#disk, this.#process, file, writable);
  }
}

class SimulatedOpenFile implements OpenFile {
  readonly #disk: SimulatedDisk;
  readonly #process: SimulatedProcess;
  readonly #file: SimulatedFile;
  readonly #writable: boolean;
  #closed = false;
  #busy = false;

  constructor(disk: SimulatedDisk, process: SimulatedProcess, file: SimulatedFile, writable: boolean) {
    this.#disk = disk;
    this.#process = process;
    this.#file = file;
    this.#writable = writable;
  }

  /** The bytes are in the page cache at once, so that a crash before it resolves may tear them. */
  write(position: number, parts: readonly Uint8Array[]): Promise<void> {
    return this.#change('write', () => {
      let at = position;
      for (const part of parts) {
        this.#file.write(at, part);
        at += part.length;
      }
    });
  }
  async read(position: number, length: number): Promise<Uint8Array> {
    this.#checkOpen();
    return this.#disk.perform(this.#process, 'read', () => this.#file.read(position, length));
  }
  sync(): Promise<void> {
    return this.#change('sync', () => {
      if (!this.#disk.ignoresSync) this.#file.sync();
    });
  }
  async size(): Promise<number> {
    this.#checkOpen();
    return this.#file.size;
  }
  truncate(length: number): Promise<void> {
    return this.#change('write', () => this.#file.truncate(length));
  }
  preallocate(length: number): Promise<void> {
    return this.#change('write', () => this.#file.extend(length));
  }
  async close(): Promise<void> {
    this.#checkOpen();
    this.#closed = true;
  }

  async #change(operation: 'write' | 'sync', run: () => void): Promise<void> {
    this.#checkOpen();
    if (!this.#writable) throw new StorageError('io', 'the file was opened for reading');
    if (this.#busy) throw new Error('bug: two writes or syncs at the same time on one file');
    this.#busy = true;
    try {
      if (operation === 'sync') await this.#disk.perform(this.#process, 'sync', run);
      else {
        const before = this.#file.size;
        run();
        await this.#disk.perform(this.#process, 'write', () => this.#checkSpace(before));
      }
    } finally {
      this.#busy = false;
    }
  }

  #checkSpace(before: number): void {
    if (this.#file.size <= before || this.#disk.usedBytes <= this.#disk.capacityBytes) return;
    this.#file.truncate(before);
    throw new StorageError('noSpace', 'the simulated disk is full');
  }

  #checkOpen(): void {
    if (this.#closed) throw new StorageError('closed', 'the file is closed');
  }
}
