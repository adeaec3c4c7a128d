/** Watches all replicas of one shard and stops the simulation at the first broken guarantee. */
import type { RecoveredShard, ShardId, ShardWrite } from '@seriatim/multiraft';
import {
  type Configuration,
  decodeConfiguration,
  type Entry,
  type Index,
  type ReplicaId,
  type Term,
} from '@seriatim/raft';
import { ReplicaMirror } from './replica-mirror.ts';
import { entryMark, writeIdOf } from './toy-state-machine.ts';
import { Violation } from './violation.ts';

interface KnownEntry {
  readonly mark: number;
  readonly previousTerm: number | undefined;
}

interface KnownConfiguration {
  readonly index: number;
  readonly configuration: Configuration;
}

/** Keys (index, term) as one number. */
const TERMS_MAX = 2 ** 20;

/** All checks are made where something changes, so that they cost little: at writes, applies, elections and restarts. */
export class ShardObserver {
  readonly shard: ShardId;
  readonly mirrors: Map<ReplicaId, ReplicaMirror> = new Map();
  readonly #leaders = new Map<number, ReplicaId>();
  readonly #entries = new Map<number, KnownEntry>();
  /** By index, from the first apply anywhere: term, checksum and hash of the state. */
  readonly #terms: number[] = [];
  readonly #checksums: number[] = [];
  readonly #hashes: number[] = [];
  /** All that ever stood in some log. */
  readonly #configurations: KnownConfiguration[] = [];
  #committedConfiguration: KnownConfiguration;
  /** Writes whose callers were told "certainly never applied". */
  readonly #overwritten = new Set<number>();
  readonly #appliedWrites = new Set<number>();
  /** Highest index whose writer was told "applied". */
  acknowledgedIndex = 0;
  acknowledged = 0;
  /** Entries from here on may be removed by no replica. */
  keptFrom = 1;

  readonly #onViolation: (error: Error) => void;

  /** `onViolation` is told before the violation is thrown into production code, which may catch it. */
  constructor(shard: ShardId, initial: Configuration, onViolation: (error: Error) => void) {
    this.shard = shard;
    this.#onViolation = onViolation;
    this.#committedConfiguration = { index: 0, configuration: initial };
  }

  /** Last index that was applied anywhere. */
  get committedLast(): number {
    return Math.max(0, this.#terms.length - 1);
  }

  mirror(replica: ReplicaId): ReplicaMirror {
    let mirror = this.mirrors.get(replica);
    if (mirror === undefined) {
      mirror = new ReplicaMirror(replica);
      this.mirrors.set(replica, mirror);
    }
    return mirror;
  }

  opened(replica: ReplicaId, found: RecoveredShard | null): void {
    this.#watch(() => this.#checkOpened(replica, found));
  }

  #checkOpened(replica: ReplicaId, found: RecoveredShard | null): void {
    this.mirror(replica).restarted(found);
    for (const entry of found?.entries ?? []) this.#know(replica, entry, undefined);
  }

  wrote(write: ShardWrite): void {
    this.#watch(() => this.#checkWritten(write));
  }

  #checkWritten(write: ShardWrite): void {
    const mirror = this.mirror(write.replica);
    mirror.wrote(write);
    for (const entry of write.entries) {
      this.#know(write.replica, entry, mirror.written.term(entry.index - 1));
    }
  }

  becameDurable(write: ShardWrite): void {
    this.mirror(write.replica).becameDurable(write);
  }

  /** A replica leads: nobody else in this term, and with every committed entry (paper 5.2, 5.4). */
  leads(replica: ReplicaId, term: Term): void {
    this.#watch(() => this.#checkLeader(replica, term));
  }

  #checkLeader(replica: ReplicaId, term: Term): void {
    const known = this.#leaders.get(term);
    if (known === replica) return;
    if (known !== undefined) {
      throw new Violation(
        'election safety',
        `${this.#name} replicas ${known} and ${replica} lead in term ${term}`,
      );
    }
    this.#leaders.set(term, replica);
    const { written, image } = this.mirror(replica);
    const last = this.committedLast;
    if (last > Math.max(image, written.base) && written.term(last) !== this.#terms[last]) {
      throw new Violation(
        'leader completeness',
        `${this.#name} replica ${replica} leads term ${term} without committed entry ${last} of term ${this.#terms[last]}`,
      );
    }
  }

  /** A state machine applied an entry and is in this state now. */
  applied(replica: ReplicaId, entry: Entry, checksum: number, hash: number): void {
    this.#watch(() => this.#checkApplied(replica, entry, checksum, hash));
  }

  #checkApplied(replica: ReplicaId, entry: Entry, checksum: number, hash: number): void {
    const { index, term } = entry;
    const mirror = this.mirror(replica);
    if (!mirror.holds(index, term)) {
      throw new Violation(
        'applied is durable',
        `${this.#name} replica ${replica} applied ${index} before it was on its disk`,
      );
    }
    const knownTerm = this.#terms[index];
    if (knownTerm === undefined) {
      this.#firstApplied(replica, entry, checksum, hash);
    } else if (knownTerm !== term || this.#checksums[index] !== checksum) {
      throw new Violation(
        'state machine safety',
        `${this.#name} replica ${replica} applied ${index} of term ${term}, another one of term ${knownTerm}`,
      );
    } else if (this.#hashes[index] !== hash) {
      throw new Violation(
        'equal states',
        `${this.#name} replica ${replica} differs at applied index ${index}`,
      );
    }
  }

  /** A replica was told that nobody needs entries below `first`. */
  mayRemoveBefore(first: Index): void {
    this.keptFrom = Math.max(this.keptFrom, first);
  }

  /** The writer of `id` was told that it is applied at `index`. */
  acknowledgedWrite(id: number, index: Index): void {
    this.#watch(() => this.#checkAcknowledged(id, index));
  }

  #checkAcknowledged(id: number, index: Index): void {
    if (!this.#appliedWrites.has(id)) {
      throw new Violation('acknowledged is applied', `${this.#name} write ${id} at ${index}`);
    }
    this.acknowledged += 1;
    this.acknowledgedIndex = Math.max(this.acknowledgedIndex, index);
  }

  /** The writer of `id` was told that it never was and never will be applied. */
  overwrittenWrite(id: number): void {
    this.#watch(() => this.#checkOverwritten(id));
  }

  #checkOverwritten(id: number): void {
    this.#overwritten.add(id);
    if (this.#appliedWrites.has(id)) this.#refusedYetApplied(id);
  }

  #firstApplied(replica: ReplicaId, entry: Entry, checksum: number, hash: number): void {
    const { index, term } = entry;
    if (index !== this.#terms.length && index !== 1) {
      throw new Violation(
        'commit is dense',
        `${this.#name} replica ${replica} applied ${index} after ${this.committedLast}`,
      );
    }
    this.#terms[index] = term;
    this.#checksums[index] = checksum;
    this.#hashes[index] = hash;
    if (entry.type === 'command') {
      const id = writeIdOf(entry.data);
      if (this.#appliedWrites.has(id)) throw new Violation('applied once', `${this.#name} write ${id}`);
      this.#appliedWrites.add(id);
      if (this.#overwritten.has(id)) this.#refusedYetApplied(id);
    }
    this.#checkQuorum(index, term);
    if (entry.type === 'configuration') {
      this.#committedConfiguration = { index, configuration: decodeConfiguration(entry.data) };
    }
  }

  /**
   * A committed entry lies on the disks of a quorum: of the configuration in effect at its index, or of a later one that its
   * leader may have had in its log already.
   */
  #checkQuorum(index: Index, term: Term): void {
    const current = this.#committedConfiguration;
    const candidates = [current, ...this.#configurations.filter((known) => known.index > current.index)];
    const holds = (replica: ReplicaId): boolean => this.mirrors.get(replica)?.holds(index, term) === true;
    for (const { configuration } of candidates) {
      if (hasMajority(configuration.voters, holds) && hasMajority(configuration.outgoing, holds)) return;
    }
    const voters = candidates
      .map(({ configuration: { voters, outgoing } }) => `${voters}/${outgoing}`)
      .join(' or ');
    const holders = [...this.mirrors.keys()].filter(holds);
    throw new Violation(
      'committed is on a durable quorum',
      `${this.#name} entry ${index} of term ${term} is on the disks of ${holders}, voters are ${voters}`,
    );
  }

  /** The same index and term mean the same entry and the same log before it (paper 5.3). */
  #know(replica: ReplicaId, entry: Entry, previousTerm: number | undefined): void {
    const key = entry.index * TERMS_MAX + entry.term;
    const mark = entryMark(entry);
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.#entries.set(key, { mark, previousTerm });
      if (entry.type === 'configuration') {
        this.#configurations.push({ index: entry.index, configuration: decodeConfiguration(entry.data) });
      }
      return;
    }
    const otherPrevious =
      previousTerm !== undefined && known.previousTerm !== undefined && known.previousTerm !== previousTerm;
    if (known.mark !== mark || otherPrevious) {
      throw new Violation(
        'log matching',
        `${this.#name} replica ${replica} has another entry ${entry.index} of term ${entry.term}, or another one before it`,
      );
    }
  }

  #refusedYetApplied(id: number): never {
    throw new Violation('overwritten is never applied', `${this.#name} write ${id}`);
  }

  #watch(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#onViolation(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  get #name(): string {
    return `shard ${this.shard}:`;
  }
}

function hasMajority(voters: readonly ReplicaId[], holds: (replica: ReplicaId) => boolean): boolean {
  return voters.length === 0 || voters.filter(holds).length * 2 > voters.length;
}
