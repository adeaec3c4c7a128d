import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, Term } from '@seriatim/raft';
import { onTestFinished } from 'vitest';
import type { StorageConfig } from '../../src/config.ts';
import { openLevelStore } from '../../src/level-store.ts';
import { nodeFileSystem } from '../../src/node-file-system.ts';
import type { NodeStore } from '../../src/node-store.ts';
import { type NodeStoreOptions, type OpenedNodeStore, openNodeStore } from '../../src/open-node-store.ts';
import { ManualClock } from './manual-clock.ts';

/** A directory that goes with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'seriatim-storage-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export const SHARD = 7 as ShardId;
export const REPLICA = 3 as ReplicaId;
export const configuration = { voters: [REPLICA], outgoing: [], learners: [], learnersNext: [] };

export function entry(index: number, bytes = 20, term = 1): Entry {
  const data = Buffer.alloc(bytes, `${index}/${term};`);
  return { index: index as Index, term: term as Term, type: 'command', data };
}

export function entries(from: number, to: number, bytes = 20, term = 1): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, bytes, term));
}

/** Small files, so that everything rolls over often. */
export const smallConfig: Partial<StorageConfig> = {
  journalFileBytes: 8_192,
  journalBytesMax: 32_768,
  checkpointBytes: 4_096,
  segmentBytes: 2_048,
  segmentPieceBytes: 512,
  segmentIndexStrideBytes: 256,
  tailBytesMax: 256,
  freeBytesRefuse: 0,
  freeBytesStop: 0,
};

export function storeOptions(directory: string, change: Partial<NodeStoreOptions> = {}): NodeStoreOptions {
  let seed = 1;
  return {
    directory,
    node: 1 as NodeId,
    files: nodeFileSystem(),
    openImages: openLevelStore,
    clock: new ManualClock(),
    random: () => {
      seed = (seed * 16_807) % 2_147_483_647;
      return seed / 2_147_483_647;
    },
    onFault: (error) => {
      throw error;
    },
    config: smallConfig,
    ...change,
  };
}

/** Opens a store that must be whole, and closes it when the test is over. */
export async function openWhole(
  directory: string,
  change: Partial<NodeStoreOptions> = {},
): Promise<OpenedNodeStore> {
  const opened = await openNodeStore(storeOptions(directory, change));
  if (opened.type !== 'open') throw new Error(`lost: ${opened.reason}`);
  return opened;
}

/** Writes and waits until it is durable. */
export function write(
  store: NodeStore,
  written: readonly Entry[],
  options: { shard?: ShardId; replica?: ReplicaId; term?: number; vote?: number } = {},
): Promise<void> {
  const { shard = SHARD, replica = REPLICA, term, vote = 0 } = options;
  const hardState = term === undefined ? null : { term: term as Term, vote: vote as ReplicaId };
  return new Promise((resolve) =>
    store.write({ shard, replica, hardState, entries: written, reset: null }, resolve),
  );
}

/** Each entry describes itself: two records, its index as time stamp, group `index % 5`. */
export function describeEntry({ index }: Entry): {
  offset: number;
  count: number;
  timestamp: number;
  groups: number[];
} {
  return { offset: (index - 1) * 2, count: 2, timestamp: index * 10, groups: [index % 5] };
}
