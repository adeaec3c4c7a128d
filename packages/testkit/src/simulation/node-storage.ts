/** Storage's real code over a simulated disk. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { Index } from '@seriatim/raft';
import { type NodeStore, openNodeStore, type StorageConfig } from '@seriatim/storage';
import type { Random } from './random.ts';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { Loss } from './simulated-file.ts';
import { SimulatedFileSystem } from './simulated-file-system.ts';
import type { SimulatedProcess } from './simulated-process.ts';
import type { NodeStorage, OpenedStore } from './storage-kind.ts';

const KIBIBYTE = 1024;

/** Small files, so that all of them roll, close and go within seconds. */
const CONFIG: Partial<StorageConfig> = {
  journalFileBytes: 32 * KIBIBYTE,
  journalBytesMax: 128 * KIBIBYTE,
  checkpointBytes: 8 * KIBIBYTE,
  segmentBytes: 6 * KIBIBYTE,
  segmentPieceBytes: 2 * KIBIBYTE,
  segmentDelayMilliseconds: 300,
  segmentIndexStrideBytes: KIBIBYTE,
  tailBytesMax: 4 * KIBIBYTE,
  freeBytesRefuse: 2 * KIBIBYTE * KIBIBYTE,
  freeBytesStop: KIBIBYTE * KIBIBYTE,
  freeCheckMilliseconds: 2_000,
};

/** A `NodeStore` on a {@link SimulatedDisk}. */
export class DiskStorage implements NodeStorage {
  readonly #disk: SimulatedDisk;
  readonly #random: Random;
  readonly #node: NodeId;
  #store: NodeStore | null = null;

  constructor(disk: SimulatedDisk, random: Random, node: NodeId) {
    this.#disk = disk;
    this.#random = random;
    this.#node = node;
  }

  async open(process: SimulatedProcess, onFault: (error: Error) => void): Promise<OpenedStore> {
    this.#store = null;
    const opened = await openNodeStore({
      directory: '/data',
      node: this.#node,
      files: new SimulatedFileSystem(this.#disk, process),
      openImages: async (directory) => this.#disk.keyValueStore(process, directory),
      clock: process.clock,
      random: () => this.#random.next(),
      onFault,
      config: CONFIG,
    });
    if (opened.type === 'lost') throw new Error(`node ${this.#node} lost its journal: ${opened.reason}`);
    const [damaged] = opened.damaged;
    if (damaged !== undefined) throw new Error(`node ${this.#node}: ${JSON.stringify(damaged)}`);
    this.#store = opened.store;
    return { store: opened.store, recovered: opened.recovered };
  }

  crash(_loss: Loss): void {
    this.#store = null;
  }

  removeBefore(shard: ShardId, index: Index): void {
    this.#store?.segments.removeBefore(shard, index);
  }

  firstReadable(shard: ShardId): Index | null {
    const extents = this.#store?.segments.segments(shard) ?? [];
    let first: Index | null = null;
    for (const { firstIndex, lastIndex } of [...extents].reverse()) {
      if (first !== null && lastIndex + 1 !== first) break;
      first = firstIndex;
    }
    return first;
  }
}
