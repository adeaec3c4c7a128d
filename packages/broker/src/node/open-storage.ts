/** The node's disk as the rest of the node sees it: the store, who the node is, and what of its memory may be used. */
import { resolve } from 'node:path';
import type { Clock, NodeId, RecoveredShard } from '@seriatim/multiraft';
import { META_SHARD } from '@seriatim/multiraft';
import { type NodeStore, nodeFileSystem, openLevelStore, openNodeStore } from '@seriatim/storage';
import { type OwnIdentity, ownIdentity } from '../meta/formation.ts';
import type { NodeConfig } from './config.ts';
import type { Logger } from './log.ts';
import { timedFileSystem } from './timed-file-system.ts';

/** What {@link openStorage} needs. */
export interface StorageOptions {
  readonly config: NodeConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onFault: (error: Error) => void;
  /** A sync of the journal took this many milliseconds. */
  readonly onSync: (milliseconds: number) => void;
}

/** Opens the data directory; the start is counted when this resolves. */
export async function openStorage(options: StorageOptions): Promise<NodeStorage> {
  const { config, clock, log, onFault, onSync } = options;
  const opened = await openNodeStore({
    directory: resolve(config.dataDirectory),
    node: config.nodeId as NodeId,
    files: timedFileSystem(nodeFileSystem(), clock, onSync),
    openImages: openLevelStore,
    clock,
    random: Math.random,
    onFault,
    config: {
      freeBytesRefuse: config.freeSpace.produceBytesMin,
      freeBytesStop: config.freeSpace.runBytesMin,
    },
  });
  if (opened.type === 'lost')
    log.error({ reason: opened.reason }, 'the journal is lost; its replicas are given up');
  const whole = opened.type === 'lost' ? await opened.startOver() : opened;
  for (const warning of whole.warnings) log.warn({ warning }, 'damage found on disk');
  const storage = new NodeStorage(whole.store, whole.recovered);
  if (whole.damaged.length > 0) {
    log.error({ damaged: whole.damaged }, 'damage that the journal can not mend; all replicas are given up');
    await storage.giveUp(whole.damaged.map(({ shard }) => shard));
  }
  return storage;
}

/** See the head of this file. */
export class NodeStorage {
  readonly store: NodeStore;
  #recovered: readonly RecoveredShard[];

  constructor(store: NodeStore, recovered: readonly RecoveredShard[]) {
    this.store = store;
    this.#recovered = recovered;
  }

  /** Replicas found on disk that may be opened under their ids. */
  get recovered(): readonly RecoveredShard[] {
    return this.#recovered;
  }

  get bootNumber(): number {
    return this.store.identity.current.bootNumber;
  }

  /** What the disk says of this node. */
  identity(): OwnIdentity {
    const hasMetaReplica = this.#recovered.some(({ shard }) => shard === META_SHARD);
    return ownIdentity(this.store.identity.current, hasMetaReplica);
  }

  /** Makes it durable that this node takes part, from `bootNumber` on. */
  async takePart(clusterId: string, bootNumber: number): Promise<void> {
    if (bootNumber > this.bootNumber) await this.store.identity.update({ bootNumber });
    await this.store.identity.joinCluster(clusterId);
  }

  /**
   * Notes a loss and forgets all replicas. The meta replica goes first: as long as it is missing, the node is known as one that
   * lost its memory, also when it is killed meanwhile.
   */
  async giveUp(others: readonly RecoveredShard['shard'][] = []): Promise<void> {
    const { losses, bootNumber } = this.store.identity.current;
    if (!losses.includes(bootNumber)) {
      await this.store.identity.update({ losses: [...losses, bootNumber] });
    }
    const shards = new Set([META_SHARD, ...this.#recovered.map(({ shard }) => shard), ...others]);
    for (const shard of shards) await this.store.remove(shard);
    this.#recovered = [];
  }
}
