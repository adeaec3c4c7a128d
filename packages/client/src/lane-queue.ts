import { Backoff, type BackoffConfig } from './backoff.ts';
import { Lane, type RunRefusal } from './lane.ts';
import type { ClientClock } from './ports.ts';

/** Lanes of one partition that have something to send; after failures of the partition they wait together. */
export class LaneQueue {
  readonly partition: number;
  readonly #clock: ClientClock;
  readonly #backoff: Backoff;
  #lanes: Lane[] = [];
  #head = 0;
  /** Monotonic milliseconds; before, nothing is sent. */
  pausedUntil = 0;
  /** While failures last, one request at a time tries. */
  inFlight = 0;
  refusal: RunRefusal | null = null;

  constructor(partition: number, backoff: BackoffConfig, clock: ClientClock) {
    this.partition = partition;
    this.#clock = clock;
    this.#backoff = new Backoff(backoff, clock);
  }

  get empty(): boolean {
    return this.#head === this.#lanes.length;
  }

  /** It may be sent from now. */
  get open(): boolean {
    if (this.refusal !== null && this.inFlight > 0) return false;
    return this.pausedUntil <= this.#clock.now();
  }

  push(lane: Lane): void {
    lane.queued = true;
    this.#lanes.push(lane);
  }

  peek(): Lane | undefined {
    return this.#lanes[this.#head];
  }

  shift(): Lane | undefined {
    const lane = this.#lanes[this.#head];
    if (lane === undefined) return undefined;
    this.#head++;
    lane.queued = false;
    if (this.#head === this.#lanes.length) {
      this.#lanes = [];
      this.#head = 0;
    }
    return lane;
  }

  succeeded(): void {
    if (this.refusal === null) return;
    this.refusal = null;
    this.pausedUntil = 0;
    this.#backoff.succeeded();
  }

  failed(refusal: RunRefusal): void {
    this.refusal = refusal;
    const now = this.#clock.now();
    // Several requests that were under way together fail together: that is one failure.
    if (this.pausedUntil <= now) this.pausedUntil = now + this.#backoff.failed();
  }
}

/** The lanes of a topic. */
export class TopicLanes {
  readonly name: string;
  readonly #backoff: BackoffConfig;
  readonly #clock: ClientClock;
  readonly lanes: Map<string, Lane> = new Map();
  readonly queues: Map<number, LaneQueue> = new Map();

  constructor(name: string, backoff: BackoffConfig, clock: ClientClock) {
    this.name = name;
    this.#backoff = backoff;
    this.#clock = clock;
  }

  lane(group: string): Lane {
    let lane = this.lanes.get(group);
    if (lane === undefined) {
      lane = new Lane(group);
      this.lanes.set(group, lane);
    }
    return lane;
  }

  /** The queue of a partition; -1: of the lanes whose partition is not known yet. */
  queue(partition: number): LaneQueue {
    let queue = this.queues.get(partition);
    if (queue === undefined) {
      queue = new LaneQueue(partition, this.#backoff, this.#clock);
      this.queues.set(partition, queue);
    }
    return queue;
  }

  /** Lines a lane up if it has something to send and does not stand in line already. */
  ready(lane: Lane): void {
    if (!lane.queued && lane.ready) this.queue(lane.partition).push(lane);
  }
}
