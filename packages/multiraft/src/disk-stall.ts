/** Notices that the own disk is stuck while others' are not (a "gray" leader: heartbeats go on, nothing is committed). */
import type { Clock, NodeId } from './ports.ts';

/** A flush that takes longer is a stall. */
const STALL_MILLISECONDS = 500;
/** Only a node whose last flush was this many times faster is worth a handover: the disk may be shared. */
const FASTER_FACTOR = 4;
/** Handovers because of stalls are at least so far apart. */
const HANDOVER_MILLISECONDS_MIN = 30_000;

/** Times of flushes here and, as they tell with each frame, on the other nodes. */
export class DiskStall {
  readonly #clock: Clock;
  readonly #peers = new Map<NodeId, number>();
  /** Start times of writes that are not durable yet, oldest first. */
  #started: number[] = [];
  #head = 0;
  #lastMilliseconds = 0;
  #handedOverAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  writeStarted(): void {
    this.#started.push(this.#clock.now());
  }

  /** Writes become durable in the order they were started. */
  writeEnded(): void {
    const started = this.#started[this.#head];
    if (started === undefined) return;
    this.#head += 1;
    this.#lastMilliseconds = this.#clock.now() - started;
    if (this.#head === this.#started.length) {
      this.#started = [];
      this.#head = 0;
    } else if (this.#head > 1_024) {
      this.#started.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** What the own frames tell: the last flush, or the one under way if that is longer already. Whole milliseconds. */
  flushMilliseconds(): number {
    return Math.ceil(Math.max(this.#lastMilliseconds, this.#underWay()));
  }

  heard(node: NodeId, flushMilliseconds: number): void {
    this.#peers.set(node, flushMilliseconds);
  }

  /** Whether leaderships should be handed over now; {@link isFaster} says to whom. True at most once in 30 s. */
  takeHandover(): boolean {
    if (this.#underWay() < STALL_MILLISECONDS) return false;
    const now = this.#clock.now();
    if (now - this.#handedOverAt < HANDOVER_MILLISECONDS_MIN) return false;
    const anyFaster = [...this.#peers.keys()].some((node) => this.isFaster(node));
    if (anyFaster) this.#handedOverAt = now;
    return anyFaster;
  }

  isFaster(node: NodeId): boolean {
    const theirs = this.#peers.get(node);
    return theirs !== undefined && theirs * FASTER_FACTOR <= this.#underWay();
  }

  #underWay(): number {
    const oldest = this.#started[this.#head];
    return oldest === undefined ? 0 : this.#clock.now() - oldest;
  }
}
