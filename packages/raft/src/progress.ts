import { higher, shift, ZERO_INDEX } from './position.ts';
import type { Index, ReplicaId } from './types.ts';

/** How a leader sends to a member (see {@link Progress}). */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

interface Inflight {
  readonly last: Index;
  readonly bytes: number;
}

/**
 * What a leader knows of one other member.
 *
 * - `probe`: the match is not known; one append at a time, the next one after an answer to anything.
 * - `replicate`: appends go out ahead of their answers, within the limits in flight.
 * - `snapshot`: the log does not reach back far enough; nothing is sent until an image has arrived.
 *
 * `match < next` always; entries in between are on their way.
 */
export class Progress {
  readonly replica: ReplicaId;
  state: ProgressState = 'probe';
  /** Highest index known to be durable there and equal to the leader's. */
  match: Index = ZERO_INDEX;
  next: Index;
  /** Probe: one append is on its way. */
  waiting = false;
  /** Confirmation round in which it left: an answer to a later one means that it should have been answered by now. */
  probeRound = 0;
  /** Needs entries that are no longer in memory. */
  wantsEntries = false;
  /** Tick at which anything of the current term came from there. */
  heardAt: number;
  /** Highest confirmation round answered. */
  round = 0;
  /** Commit index last told. */
  commitTold: Index = ZERO_INDEX;
  /** Snapshot: tick at which the transfer ended well; an answer is due from then on. Infinity: still under way. */
  imageSentAt: number = Number.POSITIVE_INFINITY;

  #inflight: Inflight[] = [];
  #inflightBytes = 0;

  constructor(replica: ReplicaId, next: Index, now: number) {
    this.replica = replica;
    this.next = next;
    this.heardAt = now;
  }

  /** Appends on their way. */
  get inflightMessages(): number {
    return this.#inflight.length;
  }

  /** Bytes on their way. */
  get inflightBytes(): number {
    return this.#inflightBytes;
  }

  /** Starts over from what is known to match, or from further ahead when a refusal said so. */
  becomeProbe(next: Index): void {
    this.state = 'probe';
    this.next = higher(next, shift(this.match, 1));
    this.waiting = false;
    this.#clear();
  }

  becomeReplicate(): void {
    this.state = 'replicate';
    this.next = shift(this.match, 1);
    this.#clear();
  }

  becomeSnapshot(): void {
    this.state = 'snapshot';
    this.#clear();
  }

  /** An append that ends with `last` goes out. */
  sent(last: Index, bytes: number): void {
    if (this.state === 'probe') {
      this.waiting = true;
      return;
    }
    this.next = shift(last, 1);
    this.#inflight.push({ last, bytes });
    this.#inflightBytes += bytes;
  }

  /** The member has everything up to `index`. True when that is news. */
  acknowledged(index: Index): boolean {
    this.waiting = false;
    let count = 0;
    for (const inflight of this.#inflight) {
      if (inflight.last > index) {
        break;
      }
      this.#inflightBytes -= inflight.bytes;
      count++;
    }
    if (count > 0) {
      this.#inflight.splice(0, count);
    }
    if (index <= this.match) {
      return false;
    }
    this.match = index;
    this.next = higher(this.next, shift(index, 1));
    return true;
  }

  /** True when `refused` (the previous index of an append) answers something that is still open. */
  isOpen(refused: Index): boolean {
    if (this.state === 'probe') {
      return refused === this.next - 1;
    }
    return this.state === 'replicate' && refused > this.match && refused < this.next;
  }

  #clear(): void {
    this.wantsEntries = false;
    this.imageSentAt = Number.POSITIVE_INFINITY;
    this.#inflight = [];
    this.#inflightBytes = 0;
  }
}
