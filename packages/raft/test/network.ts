import type { Configuration, Index, Message, RaftConfig, ReplicaId } from '../src/index.ts';
import * as sources from '../src/index.ts';
import {
  bytes,
  configurationOf,
  type Disk,
  type Library,
  Replica,
  replicaId,
  type World,
} from './replica.ts';

/** Replicas in one process and the messages between them; nothing happens but by the test's calls. */
export class Network implements World {
  readonly library: Library;
  readonly images: Map<Index, readonly string[]> = new Map();
  readonly replicas: Map<ReplicaId, Replica> = new Map();
  /** Sent and not yet delivered, oldest first. */
  queue: Message[] = [];
  /** Everything that was sent. */
  sent: Message[] = [];
  /** Messages for which this is true are lost when they are sent. */
  drops: (message: Message) => boolean = () => false;
  readonly #settings: Partial<RaftConfig>;

  constructor(voters: number, settings: Partial<RaftConfig> = {}, library: Library = sources) {
    this.library = library;
    this.#settings = settings;
    const ids = Array.from({ length: voters }, (_, i) => i + 1);
    for (const id of ids) {
      this.add(id, configurationOf(ids));
    }
  }

  add(id: number, initial: Configuration | Disk): Replica {
    const replica = new Replica(id, this, this.#settings, initial);
    this.replicas.set(replica.id, replica);
    return replica;
  }

  get(id: number): Replica {
    const replica = this.replicas.get(replicaId(id));
    if (replica === undefined) {
      throw new Error(`no replica ${id}`);
    }
    return replica;
  }

  send(message: Message): void {
    this.sent.push(message);
    if (!this.drops(message)) {
      this.queue.push(message);
    }
  }

  /** Delivers and works until nothing moves; held writes stay held. */
  settle(): void {
    for (let turn = 0; turn < 10_000; turn++) {
      let moved = false;
      for (const replica of this.replicas.values()) {
        while (replica.work()) {
          moved = true;
        }
      }
      const message = this.queue.shift();
      if (message !== undefined) {
        this.replicas.get(message.to)?.raft.step(message);
        moved = true;
      }
      if (!moved) {
        return;
      }
    }
    throw new Error('the replicas do not come to rest');
  }

  /** Ticks every replica (or these) and settles, `count` times. */
  tick(count = 1, ids: readonly number[] = [...this.replicas.keys()]): void {
    for (let i = 0; i < count; i++) {
      for (const id of ids) {
        this.get(id).raft.tick();
      }
      this.settle();
    }
  }

  /** Makes `id` the leader; it must be able to win. */
  elect(id: number): Replica {
    const replica = this.get(id);
    // Followers forget a leader after T; the candidate's own campaign then meets no "leader heard".
    for (let i = 0; i < 10 && replica.raft.status().role !== 'leader'; i++) {
      replica.raft.campaign();
      this.settle();
      if (replica.raft.status().role !== 'leader') {
        for (const other of this.replicas.values()) {
          other.raft.tick();
          other.raft.tick();
        }
        this.queue = [];
      }
    }
    if (replica.raft.status().role !== 'leader') {
      throw new Error(`replica ${id} was not elected`);
    }
    return replica;
  }

  /** Proposes on `id` and settles. */
  propose(id: number, ...commands: string[]): void {
    for (const command of commands) {
      this.get(id).raft.propose(bytes(command));
    }
    this.settle();
  }

  /** Loses all messages between the two sides, both ways. */
  cut(side: readonly number[]): void {
    const inside = new Set(side.map(replicaId));
    this.drops = (message) => inside.has(message.from) !== inside.has(message.to);
  }

  heal(): void {
    this.drops = () => false;
  }

  leader(): Replica | undefined {
    let found: Replica | undefined;
    for (const replica of this.replicas.values()) {
      const { role, term } = replica.raft.status();
      if (role === 'leader' && term > (found?.raft.status().term ?? -1)) {
        found = replica;
      }
    }
    return found;
  }
}
