/**
 * Opens a node's directory: identity first (its boot number is raised before anything else), then images, journal, segments.
 * Nothing is repaired by guessing: a journal that is not whole is reported as lost.
 */

import { join } from 'node:path/posix';
import type { Clock, NodeId, RecoveredShard, ShardId } from '@seriatim/multiraft';
import type { HardState, Index, Term } from '@seriatim/raft';
import { type StorageConfig, storageConfig } from './config.ts';
import { FreeSpaceWatch } from './free-space.ts';
import { type Identity, IdentityKeeper, readIdentity } from './identity.ts';
import { ImageStore } from './image-store.ts';
import { currentDirectory, directoryName, ownerOfDirectory } from './incoming-records.ts';
import { Journal, type JournalOptions, removeLeftover } from './journal.ts';
import type { JournalShardState } from './journal-format.ts';
import { type ReplayedJournal, type ReplayedShard, replayJournal } from './journal-replay.ts';
import { listJournalFiles } from './journal-scan.ts';
import { NodeStore } from './node-store.ts';
import { type FileSystem, type KeyValueStore, type OpenKeyValueStore, StorageError } from './ports.ts';
import { removeSegmentDirectory } from './segment-recovery.ts';
import { type LogPosition, ShardSegments, type ShardSegmentsOptions } from './shard-segments.ts';
import { StoredShard } from './stored-shard.ts';

/** How to open a node's storage. */
export interface NodeStoreOptions {
  /** The node's own directory; created when missing. `/` separates. */
  readonly directory: string;
  readonly node: NodeId;
  readonly files: FileSystem;
  /** Opens the key-value store for images. */
  readonly openImages: OpenKeyValueStore;
  readonly clock: Clock;
  /** Uniform in [0, 1): names the journal and salts its files. */
  readonly random: () => number;
  /** The first fault of the disk: the node must end and say why. Called once, never inside a call. */
  readonly onFault: (error: Error) => void;
  /** What differs from {@link defaultStorageConfig}. */
  readonly config?: Partial<StorageConfig>;
}

/** A replica whose image is damaged beyond its journal: it must be replaced by a new one, under a new replica id. */
export interface DamagedShard {
  readonly shard: ShardId;
  readonly replica: RecoveredShard['replica'];
  readonly hardState: HardState;
  readonly reason: string;
}

/** The store is open and whole. */
export interface OpenedNodeStore {
  readonly type: 'open';
  readonly store: NodeStore;
  readonly recovered: readonly RecoveredShard[];
  /** Not in `recovered`. {@link NodeStore.remove} forgets one. */
  readonly damaged: readonly DamagedShard[];
  /** Damage that cost nothing but bytes at rest, for the log. */
  readonly warnings: readonly string[];
  readonly identity: Identity;
}

/**
 * This node has lost its journal: it may have confirmed what it no longer knows. Under its replica ids it must neither vote nor
 * count. `startOver` puts what is left aside and opens an empty store, whose replicas need new ids.
 */
export interface LostNodeStore {
  readonly type: 'lost';
  readonly reason: string;
  readonly identity: Identity;
  readonly startOver: () => Promise<OpenedNodeStore>;
}

const JOURNAL_DIRECTORY = 'journal';
const SEGMENTS_DIRECTORY = 'segments';
const IMAGES_DIRECTORY = 'images';
const LOST_SUFFIX = '.lost';

/** Opens a node's storage. Rejects when the disk fails or a file is of a version that this program does not know. */
export async function openNodeStore(options: NodeStoreOptions): Promise<OpenedNodeStore | LostNodeStore> {
  const { files, directory } = options;
  storageConfig(options.config);
  await files.makeDirectory(directory);
  await files.makeDirectory(join(directory, JOURNAL_DIRECTORY));
  await files.makeDirectory(join(directory, SEGMENTS_DIRECTORY));
  // The store of images first: it is locked, so a second process on the same directory ends here and changes nothing.
  return withImages(options, async (keyValues) => {
    const { keeper, lost } = await raiseBootNumber(options);
    if (lost === null) {
      if (!keeper.current.journalBegun) return startOver(options, keeper, keyValues);
      const opened = await new Opening(options, keeper).open(keyValues);
      if (typeof opened !== 'string') return opened;
      await keyValues.close();
      return lostStore(options, keeper, opened);
    }
    await keyValues.close();
    return lostStore(options, keeper, lost);
  });
}

function lostStore(options: NodeStoreOptions, keeper: IdentityKeeper, reason: string): LostNodeStore {
  const again = (): Promise<OpenedNodeStore> =>
    withImages(options, (keyValues) => startOver(options, keeper, keyValues));
  return { type: 'lost', reason, identity: keeper.current, startOver: again };
}

/** Opens the store of images for `run`, and closes it when that fails. */
async function withImages<T>(
  options: NodeStoreOptions,
  run: (keyValues: KeyValueStore) => Promise<T>,
): Promise<T> {
  const keyValues = await options.openImages(join(options.directory, IMAGES_DIRECTORY));
  try {
    return await run(keyValues);
  } catch (error) {
    await keyValues.close().catch(() => {});
    throw error;
  }
}

/** Reads who this node is and notes one more start, durably. `lost`: why the rest of the directory can't be trusted. */
async function raiseBootNumber(
  options: NodeStoreOptions,
): Promise<{ readonly keeper: IdentityKeeper; readonly lost: string | null }> {
  const { files, directory, node, random } = options;
  const read = await readIdentity(files, directory);
  const fresh: Identity = {
    clusterId: '',
    node,
    bootNumber: 0,
    journal: Math.floor(random() * 2 ** 48),
    journalBegun: false,
    losses: [],
    peers: {},
  };
  const before = read.type === 'found' ? read.identity : fresh;
  if (before.node !== node) {
    throw new Error(
      `${directory} belongs to node ${before.node}, not to node ${node}: check the node id or the directory`,
    );
  }
  const journals = await listJournalFiles(files, join(directory, JOURNAL_DIRECTORY));
  const keeper = new IdentityKeeper(files, directory, before);
  let lost: string | null = null;
  if (read.type === 'damaged') lost = 'the identity file is damaged';
  else if (read.type === 'missing' && journals.length > 0)
    lost = 'the identity file is missing beside a journal';
  else if (before.journalBegun && journals.length === 0) lost = 'the journal is gone';
  // Without its identity the node must go on being seen as one that lost its journal, also at the next start.
  await keeper.update({
    bootNumber: before.bootNumber + 1,
    ...(lost === null ? {} : { journalBegun: true }),
  });
  return { keeper, lost };
}

/** Puts the journal's files aside, forgets segments and images, and opens an empty store. */
async function startOver(
  options: NodeStoreOptions,
  keeper: IdentityKeeper,
  keyValues: KeyValueStore,
): Promise<OpenedNodeStore> {
  const { files, directory, random } = options;
  const journals = join(directory, JOURNAL_DIRECTORY);
  for (const name of await files.list(journals)) {
    if (name.endsWith(LOST_SUFFIX)) await files.unlink(join(journals, name));
    else await files.rename(join(journals, name), join(journals, `${name}${LOST_SUFFIX}`));
  }
  await files.syncDirectory(journals);
  const { journalBegun, losses, bootNumber } = keeper.current;
  const journal = Math.floor(random() * 2 ** 48);
  await keeper.update({
    journal,
    losses: journalBegun ? [...losses, bootNumber] : losses,
    journalBegun: false,
  });
  const opened = await new Opening(options, keeper).open(keyValues);
  if (typeof opened !== 'string') return opened;
  throw new StorageError('io', `a journal begun anew can't be read: ${opened}`);
}

interface Recovery {
  readonly recovered: RecoveredShard[];
  readonly damaged: DamagedShard[];
  readonly warnings: string[];
  readonly resets: { readonly shard: ShardId; readonly index: Index; readonly term: Term }[];
  readonly shards: Map<ShardId, StoredShard>;
}

class Opening {
  readonly #options: NodeStoreOptions;
  readonly #config: StorageConfig;
  readonly #keeper: IdentityKeeper;
  readonly #journals: string;
  /** Where the segments of the shards found lie. */
  readonly #directories = new Map<ShardId, string>();
  #faulted = false;
  readonly #space: FreeSpaceWatch;

  constructor(options: NodeStoreOptions, keeper: IdentityKeeper) {
    this.#options = options;
    this.#config = storageConfig(options.config);
    this.#keeper = keeper;
    this.#journals = join(options.directory, JOURNAL_DIRECTORY);
    const { files, directory, clock } = options;
    this.#space = new FreeSpaceWatch(files, directory, clock, this.#config, (error) => this.#fault(error));
  }

  /** A text says why the journal is lost. */
  async open(keyValues: KeyValueStore): Promise<OpenedNodeStore | string> {
    const { files } = this.#options;
    const { images, damage } = await ImageStore.open(keyValues);
    const imageIndex = (shard: ShardId): Index => images.newest(shard)?.meta.index ?? (0 as Index);
    const identity = this.#keeper.current;
    const replayed = await replayJournal(
      files,
      this.#journals,
      identity.journal,
      (shard, index) => index > imageIndex(shard),
    );
    if (replayed.type === 'lost') return replayed.reason;
    await this.#forgetStrangers(images, replayed);
    const recovery = await this.#recover(replayed, images);
    recovery.warnings.push(...damage);
    await removeLeftover(files, this.#journals, replayed.leftover);
    const store = new NodeStore({
      config: this.#config,
      keyValues,
      images,
      identity: this.#keeper,
      shards: recovery.shards,
      segmentOptions: (shard, base) => this.#segmentOptions(shard, directoryName(shard, base)),
      space: this.#space,
      fault: (error) => this.#fault(error),
      newJournal: (onFile) => new Journal(this.#journalOptions(replayed, recovery, onFile)),
    });
    await store.start();
    if (!identity.journalBegun) await this.#keeper.update({ journalBegun: true });
    const { recovered, damaged, warnings } = recovery;
    return { type: 'open', store, recovered, damaged, warnings, identity: this.#keeper.current };
  }

  /** Images and segments that the journal does not know: they were being removed, or never began. Finds those of the others. */
  async #forgetStrangers(images: ImageStore, replayed: ReplayedJournal): Promise<void> {
    const { files, directory } = this.#options;
    for (const shard of [...images.shards()]) {
      const known = replayed.shards.get(shard);
      if (known === undefined || known.replica !== images.newest(shard)?.replica) await images.remove(shard);
    }
    const root = join(directory, SEGMENTS_DIRECTORY);
    const names = await files.list(root);
    for (const shard of replayed.shards.keys()) {
      const image = images.newest(shard)?.meta.index ?? (0 as Index);
      this.#directories.set(shard, await currentDirectory(files, root, names, shard, image));
    }
    for (const name of names) {
      if (this.#directories.get(ownerOfDirectory(name).shard) === name) continue;
      await removeSegmentDirectory(files, join(root, name));
    }
  }

  async #recover(replayed: ReplayedJournal, images: ImageStore): Promise<Recovery> {
    const recovery: Recovery = { recovered: [], damaged: [], warnings: [], resets: [], shards: new Map() };
    for (const found of replayed.shards.values()) {
      const image = images.newest(found.shard)?.meta ?? null;
      const base: LogPosition = image ?? { index: 0 as Index, term: 0 as Term };
      const hardState = { term: found.term, vote: found.vote };
      const { shard, replica } = found;
      const gap = gapAbove(found, base.index);
      if (gap !== null) {
        recovery.damaged.push({ shard, replica, hardState, reason: gap });
        continue;
      }
      if (found.last < base.index) {
        recovery.resets.push({ shard, index: base.index, term: base.term });
        found.last = base.index;
      }
      const { opened: segments, damage } = await ShardSegments.open(
        this.#segmentOptions(shard, this.#directories.get(shard) ?? directoryName(shard)),
        base,
      );
      recovery.warnings.push(...damage);
      recovery.shards.set(shard, new StoredShard(shard, replica, segments, found.entries));
      const commit = Math.max(base.index, Math.min(found.commit, found.last)) as Index;
      const { entries } = found;
      recovery.recovered.push({ shard, replica, hardState, image, entries, first: segments.first, commit });
    }
    return recovery;
  }

  #segmentOptions(shard: ShardId, name: string): ShardSegmentsOptions {
    const { files, clock, directory } = this.#options;
    return {
      files,
      clock,
      config: this.#config,
      directory: join(directory, SEGMENTS_DIRECTORY, name),
      shard,
      onFault: (error) => this.#fault(error),
      onWritten: (bytes) => this.#space.wrote(bytes),
    };
  }

  #journalOptions(replayed: ReplayedJournal, recovery: Recovery, onFile: () => void): JournalOptions {
    const { files, clock, random } = this.#options;
    const shards = new Map<ShardId, JournalShardState>();
    for (const { shard, replica, term, vote, last, commit, entries } of replayed.shards.values()) {
      const first = entries[0]?.index ?? ((last + 1) as Index);
      shards.set(shard, { replica, term, vote, first, last, commit });
    }
    return {
      files,
      directory: this.#journals,
      clock,
      config: this.#config,
      journal: this.#keeper.current.journal,
      salt: () => Math.floor(random() * 2 ** 32),
      onFault: (error) => this.#fault(error),
      shards,
      extents: replayed.files,
      nextFrame: replayed.nextFrame,
      nextFile: replayed.nextFile,
      resets: recovery.resets,
      onFile,
    };
  }

  #fault(error: Error): void {
    if (this.#faulted) return;
    this.#faulted = true;
    this.#options.clock.soon(() => this.#options.onFault(error));
  }
}

/** What the journal must have above the image, and has not. */
function gapAbove(found: ReplayedShard, base: Index): string | null {
  const first = found.entries[0];
  if (first !== undefined && first.index !== base + 1) {
    return `the journal begins at ${first.index}, the newest sound image ends at ${base}`;
  }
  if (first === undefined && found.last > base) {
    return `the log ended at ${found.last}, the newest sound image ends at ${base}`;
  }
  return null;
}
