import type { Entry, Index, Message, ReplicaId, Term } from '../src/index.ts';
import { seededRandom } from './random.ts';
import { bytes, configurationOf, type Library, Replica, replicaId, text, type World } from './replica.ts';

/** Something that Raft promises did not hold. */
export class Violation extends Error {}

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

/** Upper ends of the dice for each kind of event; the rest of 1 is left to changes of members. */
interface Profile {
  readonly deliver: number;
  readonly tick: number;
  readonly write: number;
  readonly propose: number;
  readonly disturb: number;
  readonly ask: number;
  readonly checkpoint: number;
  /** Share of messages delivered in order. */
  readonly inOrder: number;
  /** Connections to leaders count as refused, so that nobody waits for a leader that was just heard. */
  readonly unruly: boolean;
}
const calm: Profile = {
  deliver: 0.42,
  tick: 0.62,
  write: 0.78,
  propose: 0.94,
  disturb: 0.955,
  ask: 0.975,
  checkpoint: 0.985,
  inOrder: 0.8,
  unruly: false,
};
/** Leaders change all the time, crashes are frequent. */
const storm: Profile = {
  ...calm,
  deliver: 0.5,
  tick: 0.62,
  write: 0.76,
  propose: 0.88,
  disturb: 0.92,
  ask: 0.97,
  unruly: true,
};
/** Messages linger and overtake each other, disks are slow. */
const tangle: Profile = {
  ...calm,
  deliver: 0.5,
  tick: 0.6,
  write: 0.68,
  propose: 0.86,
  disturb: 0.89,
  ask: 0.93,
  checkpoint: 0.97,
  inOrder: 0.3,
  unruly: true,
};
const profiles = [calm, storm, tangle];

interface ReadExpectation {
  readonly replica: ReplicaId;
  /** Highest index applied anywhere when the read began. */
  readonly floor: number;
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
  #queue: Message[] = [];
  #isCut: (message: Message) => boolean = () => false;
  readonly #leaders: Map<Term, ReplicaId> = new Map();
  readonly #committed: Map<Index, Entry> = new Map();
  #committedMax = 0;
  readonly #positions: Map<ReplicaId, { term: number; commit: number; applied: number }> = new Map();
  readonly #reads: Map<number, ReadExpectation> = new Map();
  #readsConfirmed = 0;
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
        this.#checkLogMatching();
      }
    }
    this.#checkLogMatching();
    this.#converge();
    return {
      committed: this.#committedMax,
      leaders: this.#leaders.size,
      images: this.#imagesSent,
      reads: this.#readsConfirmed,
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
    const onDisk = replica.disk.entries.find((candidate) => candidate.index === entry.index);
    this.#require(
      onDisk?.term === entry.term || replica.disk.image.index >= entry.index,
      `${replica.id} applies ${entry.index} before it is on its disk`,
    );
    const known = this.#committed.get(entry.index);
    if (known === undefined) {
      this.#committed.set(entry.index, entry);
      this.#committedMax = Math.max(this.#committedMax, entry.index);
      this.#checkQuorum(entry);
      return;
    }
    this.#require(
      known.term === entry.term && text(known.data) === text(entry.data),
      `state-machine safety: two entries committed at ${entry.index}`,
    );
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
    this.#check(replica);
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
      this.#positions.delete(replica.id);
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
        this.#reads.set(this.#counter, { replica: asked.id, floor: this.#committedMax });
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

  #check(replica: Replica): void {
    const status = replica.raft.status();
    const { id } = replica;
    const before = this.#positions.get(id);
    this.#require(
      status.first - 1 <= status.applied,
      `${id}: first ${status.first}, applied ${status.applied}`,
    );
    this.#require(status.applied <= status.commit, `${id}: applied ${status.applied} > ${status.commit}`);
    this.#require(status.commit <= status.last, `${id}: commit ${status.commit} > ${status.last}`);
    this.#require(status.term >= (before?.term ?? 0), `${id}: term goes back`);
    this.#require(status.commit >= (before?.commit ?? 0), `${id}: commit goes back`);
    this.#require(status.applied >= (before?.applied ?? 0), `${id}: applied goes back`);
    this.#require(status.term >= replica.disk.hardState.term, `${id}: term is behind its disk`);
    this.#positions.set(id, status);
    if (status.role === 'leader') {
      this.#checkLeader(replica, status.term);
    }
    for (const outcome of replica.reads.splice(0)) {
      const expected = this.#reads.get(outcome.id);
      if (outcome.type === 'confirmed' && expected !== undefined) {
        this.#readsConfirmed++;
        this.#require(outcome.index >= expected.floor, `stale read ${outcome.index} < ${expected.floor}`);
      }
      this.#reads.delete(outcome.id);
    }
  }

  #checkLeader(replica: Replica, term: Term): void {
    const known = this.#leaders.get(term);
    if (known !== undefined) {
      this.#require(known === replica.id, `election safety: ${known} and ${replica.id} lead in ${term}`);
      return;
    }
    this.#leaders.set(term, replica.id);
    const terms = new Map(replica.disk.entries.map((entry) => [entry.index, entry.term]));
    for (const write of replica.pendingWrites) {
      for (const entry of write.entries) {
        terms.set(entry.index, entry.term);
      }
    }
    for (const [index, entry] of this.#committed) {
      this.#require(
        index <= replica.raft.status().applied || terms.get(index) === entry.term,
        `leader completeness: ${replica.id} leads in ${term} without ${index}`,
      );
    }
  }

  /** Committed means: on the disks of a majority of voters. Checked where the voters are known. */
  #checkQuorum(entry: Entry): void {
    if (this.#options.membership) {
      return;
    }
    const holders = this.#replicas.filter(
      ({ disk }) =>
        disk.image.index >= entry.index ||
        disk.entries.some((candidate) => candidate.index === entry.index && candidate.term === entry.term),
    );
    this.#require(
      holders.length * 2 > this.#voters,
      `entry ${entry.index} is committed on ${holders.length} disks`,
    );
  }

  /** Equal index and term mean equal logs up to there (paper 5.3). */
  #checkLogMatching(): void {
    for (const a of this.#replicas) {
      for (const b of this.#replicas) {
        if (a.id < b.id) {
          this.#compareLogs(a, b);
        }
      }
    }
  }

  #compareLogs(a: Replica, b: Replica): void {
    const theirs = new Map(b.disk.entries.map((entry) => [entry.index, entry]));
    let matched = false;
    for (const entry of a.disk.entries.toReversed()) {
      const other = theirs.get(entry.index);
      if (other === undefined) {
        continue;
      }
      const same = other.term === entry.term;
      this.#require(!matched || same, `log matching: ${a.id} and ${b.id} differ at ${entry.index}`);
      this.#require(
        !same || text(other.data) === text(entry.data),
        `log matching: ${entry.index} of term ${entry.term} holds two values`,
      );
      matched = same;
    }
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
          this.#check(replica);
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

  #require(holds: boolean, promise: string): void {
    if (!holds) {
      throw new Violation(promise);
    }
  }
}
