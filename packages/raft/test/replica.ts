import type * as raftLibrary from '../src/index.ts';
import type {
  Configuration,
  Entry,
  HardState,
  Index,
  Message,
  Raft,
  RaftConfig,
  ReadOutcome,
  Ready,
  ReplicaId,
  Restored,
  SnapshotMeta,
} from '../src/index.ts';

/** What a crash leaves behind. */
export interface Disk {
  hardState: HardState;
  image: SnapshotMeta;
  state: readonly string[];
  entries: Entry[];
  /** Known committed, a hint only. */
  commit: Index;
}

/** What the harness needs of the package. */
export type Library = Pick<typeof raftLibrary, 'Raft' | 'initialRestored' | 'decodeConfiguration'>;

/** Where a replica's output goes. */
export interface World {
  /** The core under test; mutants are brought in here. */
  readonly library: Library;
  send(message: Message): void;
  /** The state of an image: state machines are deterministic, so one place can keep them all. */
  images: Map<Index, readonly string[]>;
  /** Called before an entry is applied. */
  onApply?(replica: Replica, entry: Entry): void;
  /** Called with every Ready, before it is handled. */
  onReady?(replica: Replica, ready: Ready): void;
}

export const config: Omit<RaftConfig, 'replica' | 'random'> = {
  electionTimeoutTicks: 10,
  heartbeatTicks: 2,
  commitToldAtOnce: true,
  refusedCampaignTicks: { min: 1, max: 3 },
  appendBytesMax: 1_000,
  inflightMessagesMax: 8,
  inflightBytesMax: 8_000,
  uncommittedBytesMax: 100_000,
  cacheBytesMax: 1_000_000,
};

export function text(data: Uint8Array): string {
  return String.fromCharCode(...data);
}

export function bytes(value: string): Uint8Array {
  return Uint8Array.from(value, (character) => character.charCodeAt(0));
}

export function replicaId(id: number): ReplicaId {
  return id as ReplicaId;
}

export function configurationOf(voters: readonly number[], learners: readonly number[] = []): Configuration {
  return { voters: voters.map(replicaId), outgoing: [], learners: learners.map(replicaId), learnersNext: [] };
}

/** A core with a disk that can be held back, and a state machine that is the list of its commands. */
export class Replica {
  readonly id: ReplicaId;
  raft: Raft;
  readonly disk: Disk;
  /** Writes do not complete by themselves while set. */
  holdWrites = false;
  pendingWrites: Ready[] = [];
  state: string[] = [];
  reads: ReadOutcome[] = [];
  membership: Configuration;
  readonly #world: World;
  readonly #config: RaftConfig;

  constructor(id: number, world: World, settings: Partial<RaftConfig>, initial: Configuration | Disk) {
    this.id = replicaId(id);
    this.#world = world;
    this.#config = { ...config, random: () => 0, ...settings, replica: this.id };
    const restored = 'voters' in initial ? world.library.initialRestored(initial) : restoredOf(initial);
    this.disk = {
      hardState: restored.hardState,
      image: restored.snapshot,
      state: 'voters' in initial ? [] : initial.state,
      entries: [...restored.entries],
      commit: restored.commit,
    };
    this.raft = new world.library.Raft(this.#config, restored);
    this.state = [...this.disk.state];
    this.membership = restored.snapshot.configuration;
  }

  /** Loses everything that is not on disk and starts again. */
  restart(): void {
    this.pendingWrites = [];
    this.reads = [];
    this.raft = new this.#world.library.Raft(this.#config, restoredOf(this.disk));
    this.state = [...this.disk.state];
    this.membership = this.disk.image.configuration;
  }

  /** Handles one Ready; true when there was one. */
  work(): boolean {
    if (!this.raft.hasReady()) {
      return false;
    }
    const ready = this.raft.ready();
    this.#world.onReady?.(this, ready);
    if (ready.snapshot !== null) {
      this.state = [...(this.#world.images.get(ready.snapshot.index) ?? [])];
      this.membership = ready.snapshot.configuration;
    }
    if (ready.writeId !== 0) {
      this.pendingWrites.push(ready);
    }
    for (const message of ready.messages) {
      this.#world.send(message);
    }
    this.#apply(ready.committed);
    this.reads.push(...ready.reads);
    for (const to of ready.imagesWanted) {
      this.#sendImage(to);
    }
    if (ready.entriesWanted !== null) {
      this.#readEntries(ready.entriesWanted.from);
    }
    if (!this.holdWrites) {
      this.completeWrites();
    }
    return true;
  }

  /** Makes the oldest `count` writes durable. */
  completeWrites(count: number = this.pendingWrites.length): void {
    for (const ready of this.pendingWrites.splice(0, count)) {
      save(this.disk, ready, this.#world.images);
      this.raft.written(ready.writeId);
      for (const message of ready.afterWrite) {
        this.#world.send(message);
      }
    }
  }

  /** Makes the applied state the image that a restart begins with, and drops the log up to `keepFrom`. */
  checkpoint(keepFrom?: number): void {
    const { applied } = this.raft.status();
    if (applied <= this.disk.image.index) {
      return;
    }
    const entry = this.disk.entries.find((candidate) => candidate.index === applied);
    if (entry === undefined) {
      return;
    }
    this.disk.image = { index: applied, term: entry.term, configuration: this.membership };
    this.disk.state = [...this.state];
    this.#world.images.set(applied, this.disk.state);
    const first = (keepFrom ?? applied + 1) as Index;
    this.disk.entries = this.disk.entries.filter((candidate) => candidate.index >= first);
    this.raft.compacted(first);
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#world.onApply?.(this, entry);
      if (entry.type === 'command') {
        this.state.push(text(entry.data));
      } else if (entry.type === 'configuration') {
        this.membership = this.#world.library.decodeConfiguration(entry.data);
      }
      this.raft.applied(entry.index);
      if (entry.index % 3 === 0) {
        this.disk.commit = entry.index;
      }
    }
  }

  #sendImage(to: ReplicaId): void {
    if (this.disk.image.index === 0) {
      this.checkpoint();
    }
    const { term } = this.raft.status();
    this.#world.send({ type: 'snapshotRequest', from: this.id, to, term, meta: this.disk.image });
    this.raft.snapshotReport(to, true);
  }

  #readEntries(from: Index): void {
    const found = this.disk.entries.filter((entry) => entry.index >= from && entry.index < from + 4);
    const before = this.disk.entries.find((entry) => entry.index === from - 1);
    const isAfterImage = from === this.disk.image.index + 1;
    if (found[0]?.index === from && (before !== undefined || isAfterImage)) {
      this.raft.entriesRead(from, before?.term ?? this.disk.image.term, found);
    } else {
      this.raft.entriesCompacted(
        (Math.max(from, this.disk.entries[0]?.index ?? this.disk.image.index) + 1) as Index,
      );
    }
  }
}

function save(disk: Disk, ready: Ready, images: Map<Index, readonly string[]>): void {
  disk.hardState = ready.hardState ?? disk.hardState;
  if (ready.snapshot !== null) {
    disk.image = ready.snapshot;
    disk.state = images.get(ready.snapshot.index) ?? [];
    disk.entries = [];
  }
  const first = ready.entries[0];
  if (first !== undefined) {
    disk.entries = [...disk.entries.filter((entry) => entry.index < first.index), ...ready.entries];
  }
}

function restoredOf(disk: Disk): Restored {
  return {
    hardState: disk.hardState,
    snapshot: disk.image,
    entries: disk.entries.filter((entry) => entry.index > disk.image.index),
    first: disk.entries[0]?.index ?? ((disk.image.index + 1) as Index),
    commit: Math.max(disk.commit, disk.image.index) as Index,
  };
}
