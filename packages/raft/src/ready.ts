import type { Core } from './core.ts';
import { lower, shift } from './position.ts';
import { replicate, wantEntries } from './replication.ts';
import { softStatus } from './status.ts';
import type { Entry, Message, ReadOutcome, Ready, ReplicaId, SoftStatus } from './types.ts';

const NO_ENTRIES: readonly Entry[] = Object.freeze([]);
const NO_OUTCOMES: readonly ReadOutcome[] = Object.freeze([]);
const NO_REPLICAS: readonly ReplicaId[] = Object.freeze([]);

/** Gathers what the core has decided into one {@link Ready}. */
export class ReadyMaker {
  readonly #core: Core;
  #reported: SoftStatus;

  constructor(core: Core) {
    this.#core = core;
    this.#reported = softStatus(core);
  }

  /** True when {@link make} has something to say. */
  has(): boolean {
    const core = this.#core;
    return (
      this.#hasWrite() ||
      core.outbox.busy ||
      this.#committedEnd() > core.log.handed ||
      core.readOutcomes.length > 0 ||
      core.imagesWanted.size > 0 ||
      core.leading?.sendDue === true ||
      this.#statusChanged()
    );
  }

  make(): Ready {
    const core = this.#core;
    if (core.leading?.sendDue === true) {
      replicate(core, core.leading);
    }
    const entriesWanted = core.leading === null ? null : wantEntries(core, core.leading);
    const write = this.#takeWrite();
    const messages = core.outbox.takeNow();
    if (core.leading !== null) {
      core.leading.roundJoinable = false;
    }
    // Field by field: spreading `write` here cost ten times all the rest (Node 20, measured).
    return {
      writeId: write.writeId,
      hardState: write.hardState,
      entries: write.entries,
      snapshot: write.snapshot,
      afterWrite: write.afterWrite,
      messages,
      committed: this.#takeCommitted(),
      reads: core.readOutcomes.length === 0 ? NO_OUTCOMES : core.readOutcomes.splice(0),
      imagesWanted: this.#takeImagesWanted(),
      entriesWanted,
      status: this.#takeStatus(),
    };
  }

  #hasWrite(): boolean {
    const { log, snapshot } = this.#core;
    return log.unwritten <= log.last || snapshot !== null || this.#hardStateChanged();
  }

  #hardStateChanged(): boolean {
    const { term, vote, writes } = this.#core;
    return term !== writes.handed.term || vote !== writes.handed.vote;
  }

  #takeWrite(): Pick<Ready, 'writeId' | 'hardState' | 'entries' | 'snapshot' | 'afterWrite'> {
    const core = this.#core;
    const { log, outbox, snapshot, writes } = core;
    if (!this.#hasWrite()) {
      outbox.holdFor(writes.busy ? writes.lastId : null);
      return { writeId: 0, hardState: null, entries: NO_ENTRIES, snapshot: null, afterWrite: [] };
    }
    const hardState = { term: core.term, vote: core.vote };
    const saved = this.#hardStateChanged() ? hardState : null;
    const entries = log.slice(log.unwritten, log.last);
    log.unwritten = shift(log.last, 1);
    core.snapshot = null;
    const writeId = writes.begin(log.last, hardState);
    const afterWrite: readonly Message[] = outbox.takeAfterWrite();
    return { writeId, hardState: saved, entries, snapshot, afterWrite };
  }

  /** Applied only when durable in the own journal: a crash must not leave a state that is ahead of its log. */
  #committedEnd(): Entry['index'] {
    return lower(this.#core.log.commit, this.#core.log.durable);
  }

  #takeCommitted(): readonly Entry[] {
    const { log } = this.#core;
    const end = this.#committedEnd();
    if (end <= log.handed) {
      return NO_ENTRIES;
    }
    const entries = log.slice(shift(log.handed, 1), end);
    log.handed = end;
    return entries;
  }

  #takeImagesWanted(): readonly ReplicaId[] {
    const { imagesWanted } = this.#core;
    if (imagesWanted.size === 0) {
      return NO_REPLICAS;
    }
    const wanted = [...imagesWanted];
    imagesWanted.clear();
    return wanted;
  }

  #statusChanged(): boolean {
    const { role, term, leader } = this.#reported;
    const core = this.#core;
    if (term !== core.term || leader !== core.leader) {
      return true;
    }
    return role === 'learner' || core.role === 'follower'
      ? role !== softStatus(core).role
      : role !== core.role;
  }

  #takeStatus(): SoftStatus | null {
    if (!this.#statusChanged()) {
      return null;
    }
    this.#reported = softStatus(this.#core);
    return this.#reported;
  }
}
