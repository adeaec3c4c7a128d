import type { Entry, Index, Message, ReplicaId } from '../src/index.ts';
import { calm, type Profile, profiles } from './profiles.ts';
import { Promises, Violation } from './promises.ts';
import { seededRandom } from './random.ts';
import { bytes, configurationOf, type Library, Replica, replicaId, type World } from './replica.ts';

export interface ModelOptions {
  readonly seed: number;
  readonly events: number;
  /** Members change, too; replicas beyond the first voters join and leave. */
  readonly membership: boolean;
}

export interface ModelReport {
  /** Entries known committed at the end. */
  readonly committed: number;
  readonly leaders: number;
  readonly images: number;
  readonly reads: number;
}

/**
 * Replicas under a random schedule: messages lost, doubled and out of order, writes that take long, crashes that lose
 * them, cuts, images, reads, transfers, changes of members. After every event Raft's promises (paper figure 3) are checked.
 */
export class Model implements World {
  readonly library: Library;
  readonly images: Map<Index, readonly string[]> = new Map();
  readonly #random: () => number;
  readonly #options: ModelOptions;
  readonly #replicas: Replica[] = [];
  readonly #voters: number;
  readonly #promises: Promises;
  #queue: Message[] = [];
  #isCut: (message: Message) => boolean = () => false;
  #imagesSent = 0;
  #counter = 0;
  /** Messages that were delivered before; some come again much later. */
  readonly #past: Message[] = [];
  readonly #profile: Profile;

  constructor(library: Library, options: ModelOptions) {
    this.library = library;
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#profile = profiles[options.seed % profiles.length] ?? calm;
    this.#voters = 3 + (options.seed % 3 === 0 ? 2 : 0);
    this.#promises = new Promises(this.#replicas, options.membership ? null : this.#voters);
    const initial = Array.from({ length: this.#voters }, (_, i) => i + 1);
    const total = this.#voters + (options.membership ? 2 : 0);
    for (let id = 1; id <= total; id++) {
      const settings = {
        random: seededRandom(options.seed * 31 + id),
        cacheBytesMax: options.seed % 2 === 0 ? 1 : 100_000,
        appendBytesMax: 40,
        inflightMessagesMax: 4,
        inflightBytesMax: 200,
        electionTimeoutTicks: 6,
        heartbeatTicks: 2,
        commitToldAtOnce: options.seed % 4 < 2,
      };
      this.#replicas.push(
        new Replica(id, this, settings, configurationOf(id <= this.#voters ? initial : [])),
      );
    }
    for (const replica of this.#replicas) {
      replica.holdWrites = true;
      if (this.#profile.unruly) {
        this.#unrule(replica);
      }
    }
  }

  /** Runs the schedule, then heals everything and asks for progress. Throws a {@link Violation}. */
  run(): ModelReport {
    for (let i = 0; i < this.#options.events; i++) {
      this.#event();
      if (i % 250 === 0) {
        this.#promises.checkLogMatching();
      }
    }
    this.#promises.checkLogMatching();
    this.#converge();
    return {
      ...this.#promises.counts(),
      images: this.#imagesSent,
    };
  }

  send(message: Message): void {
    if (message.type === 'snapshotRequest') {
      this.#imagesSent++;
    }
    if (!this.#isCut(message)) {
      this.#queue.push(message);
    }
  }

  onApply(replica: Replica, entry: Entry): void {
    this.#promises.checkApply(replica, entry);
  }

  #event(): void {
    const replica = this.#pick();
    const dice = this.#random();
    const profile = this.#profile;
    // A backlog would make every message stale and nothing would happen any more.
    if (dice < profile.deliver || this.#queue.length > 20 + this.#random() * 40) {
      this.#deliver();
      return;
    }
    if (dice < profile.tick) {
      replica.raft.tick();
    } else if (dice < profile.write) {
      replica.completeWrites(1 + Math.floor(this.#random() * 3));
    } else if (dice < profile.propose) {
      this.#propose(this.#random() < 0.9 ? (this.#leader() ?? replica) : replica);
    } else if (dice < profile.disturb) {
      this.#disturb();
    } else if (dice < profile.ask) {
      this.#ask(replica);
    } else if (dice < profile.checkpoint) {
      replica.checkpoint(Math.max(1, replica.raft.status().applied - Math.floor(this.#random() * 10)));
    } else if (this.#options.membership) {
      this.#changeMembers();
    }
    this.#after(replica);
  }

  /** Lets a replica work (mostly) and checks it. */
  #after(replica: Replica): void {
    if (this.#random() < 0.8) {
      replica.work();
    }
    this.#promises.check(replica);
  }

  #deliver(): void {
    const position =
      this.#random() < this.#profile.inOrder ? 0 : Math.floor(this.#random() * this.#queue.length);
    if (this.#random() < 0.03) {
      this.#redeliver();
      return;
    }
    const message = this.#queue[position];
    if (message === undefined) {
      return;
    }
    const fate = this.#random();
    if (fate >= 0.04) {
      this.#queue.splice(position, 1);
    }
    if (fate > 0.08) {
      const to = this.#get(message.to);
      this.#past.push(message);
      to.raft.step(message);
      this.#after(to);
    }
  }

  /** A message of long ago comes again. */
  #redeliver(): void {
    const message = this.#past[Math.floor(this.#random() * this.#past.length)];
    // An image is named by a request but handed over by the driver, which never repeats it.
    if (message !== undefined && message.type !== 'snapshotRequest') {
      const to = this.#get(message.to);
      to.raft.step(message);
      this.#after(to);
    }
  }

  /** Each replica may campaign at any time and is heeded. */
  #unrule(replica: Replica): void {
    for (const other of this.#replicas) {
      replica.raft.nodeRefused(other.id, true);
    }
  }

  #propose(replica: Replica): void {
    this.#counter++;
    replica.raft.propose(bytes(`c${this.#counter}`));
  }

  #disturb(): void {
    const dice = this.#random();
    if (dice < 0.4) {
      // Best in the moment that hurts most: with term or vote on the way to the disk.
      const torn = this.#replicas.find(({ pendingWrites }) =>
        pendingWrites.some((w) => w.hardState !== null),
      );
      const replica = (this.#random() < 0.5 ? torn : this.#leader()) ?? this.#pick();
      replica.restart();
      if (this.#profile.unruly) {
        this.#unrule(replica);
      }
      this.#promises.forget(replica);
    } else if (dice < 0.55) {
      const side = new Set(this.#replicas.filter(() => this.#random() < 0.4).map((replica) => replica.id));
      const oneWay = this.#random() < 0.3;
      this.#isCut = (message) =>
        side.has(message.from) !== side.has(message.to) && (!oneWay || side.has(message.from));
    } else {
      this.#isCut = () => false;
    }
  }

  #ask(replica: Replica): void {
    const dice = this.#random();
    const other = this.#pick().id;
    if (dice < 0.4) {
      this.#counter++;
      const leaders = this.#replicas.filter(({ raft }) => raft.status().role === 'leader');
      const asked = leaders[Math.floor(this.#random() * leaders.length)] ?? replica;
      if (asked.raft.read(this.#counter) === null) {
        this.#promises.expectRead(this.#counter);
      }
    } else if (dice < 0.55) {
      (this.#leader() ?? replica).raft.transfer(other);
    } else if (dice < 0.65) {
      replica.raft.paused();
    } else if (dice < 0.75) {
      replica.raft.nodeRefused(other, this.#random() < 0.5);
    } else {
      replica.raft.campaign();
    }
  }

  #changeMembers(): void {
    const ids = this.#replicas.map((replica) => replica.id).sort(() => this.#random() - 0.5);
    const voters = ids.slice(0, 1 + Math.floor(this.#random() * 4));
    const learners = ids.slice(voters.length, voters.length + Math.floor(this.#random() * 2));
    this.#leader()?.raft.proposeChange({ voters, learners });
  }

  /** Everything heals: a leader must appear and a fresh command reach every member. */
  #converge(): void {
    this.#isCut = () => false;
    for (const replica of this.#replicas) {
      replica.holdWrites = false;
      for (const other of this.#replicas) {
        replica.raft.nodeRefused(other.id, false);
      }
    }
    let asked = false;
    for (let tick = 0; tick < 400; tick++) {
      for (const replica of this.#replicas) {
        replica.raft.tick();
      }
      this.#settle();
      const leader = this.#leader();
      if (asked && this.#hasConverged(leader)) {
        return;
      }
      // A leader that is about to be deposed may take the command and lose it.
      if (tick % 40 === 30 && leader !== undefined) {
        asked = leader.raft.propose(bytes('final')).type === 'accepted';
      }
    }
    throw new Violation(`no progress after healing (asked: ${asked})\n${this.#describe()}`);
  }

  #describe(): string {
    return this.#replicas
      .map(({ raft, disk }) => JSON.stringify({ ...raft.status(), image: disk.image.index }))
      .join('\n');
  }

  #hasConverged(leader: Replica | undefined): boolean {
    if (leader === undefined) {
      return false;
    }
    const { configuration } = leader.raft.status();
    const members = [...configuration.voters, ...configuration.learners];
    return (
      configuration.outgoing.length === 0 && members.every((id) => this.#get(id).state.at(-1) === 'final')
    );
  }

  #settle(): void {
    for (let turn = 0; turn < 5_000; turn++) {
      for (const replica of this.#replicas) {
        replica.completeWrites();
        while (replica.work()) {
          this.#promises.check(replica);
        }
      }
      const message = this.#queue.shift();
      if (message === undefined) {
        return;
      }
      this.#get(message.to).raft.step(message);
    }
    throw new Violation('the replicas do not come to rest');
  }

  #leader(): Replica | undefined {
    const leaders = this.#replicas.filter((replica) => replica.raft.status().role === 'leader');
    return leaders.sort((a, b) => b.raft.status().term - a.raft.status().term)[0];
  }

  #pick(): Replica {
    return this.#get(replicaId(1 + Math.floor(this.#random() * this.#replicas.length)));
  }

  #get(id: ReplicaId): Replica {
    const replica = this.#replicas[id - 1];
    if (replica === undefined) {
      throw new Error(`no replica ${id}`);
    }
    return replica;
  }
}
