/** Virtual time: a queue of events, run one by one, promises settled in between. */

/** Events run per trip through the real event loop; microtasks are drained after each of them all the same. */
const EVENTS_PER_TRIP = 256;

/** More events than this without time going on: something runs in circles. */
const EVENTS_PER_INSTANT_MAX = 100_000;
/** The least that a wait takes, milliseconds. */
const LEAST = 0.001;

/** What owns events: a process that can be stopped for a while or for good. */
export interface EventOwner {
  readonly id: number;
  /** Its events are dropped. */
  readonly dead: boolean;
  /** Its events wait in {@link deferred}. */
  readonly paused: boolean;
  readonly deferred: SimulationEvent[];
}

/** Kinds are mixed into the trace. After a pause a process sees its timers before its sockets, as Node does. */
export type EventKind = 'timer' | 'soon' | 'frame' | 'disk' | 'world';

export interface SimulationEvent {
  at: number;
  sequence: number;
  readonly kind: EventKind;
  readonly owner: EventOwner | null;
  readonly run: () => void;
  cancelled: boolean;
}

const KIND_CODE: Readonly<Record<EventKind, number>> = { timer: 1, soon: 2, frame: 3, disk: 4, world: 5 };

/** Runs a simulation. Two runs with the same seed have the same {@link trace}. */
export class Scheduler {
  #now = 0;
  #sequence = 0;
  #heap: SimulationEvent[] = [];
  #ready: SimulationEvent[] = [];
  #readyHead = 0;
  #trace = 0x811c9dc5;
  #events = 0;
  #instant = 0;
  #instantBegan = 0;
  #afterEvent: () => void = () => undefined;
  #stopped = false;

  /** Milliseconds since the simulation began. */
  get now(): number {
    return this.#now;
  }
  /** Events run so far. */
  get events(): number {
    return this.#events;
  }
  /** Hash of all that happened so far. */
  get trace(): string {
    return (this.#trace >>> 0).toString(16).padStart(8, '0');
  }

  /** Mixes a fact into the trace. */
  note(fact: number): void {
    this.#trace = Math.imul(this.#trace ^ (fact | 0), 0x01000193) ^ (this.#trace >>> 15);
  }

  /** Called after every event; what it throws ends {@link run}. */
  onEvent(listener: () => void): void {
    this.#afterEvent = listener;
  }

  /** Runs `run` in `milliseconds`; the returned function cancels. */
  after(milliseconds: number, kind: EventKind, owner: EventOwner | null, run: () => void): () => void {
    const at = this.#now + Math.max(0, milliseconds);
    // What is left until a deadline may be too little to be added: time must pass all the same, or whoever waits for it waits in circles.
    const event = this.#event(milliseconds > 0 && at === this.#now ? at + LEAST : at, kind, owner, run);
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** Runs `run` at this moment, after what is ready. */
  soon(kind: EventKind, owner: EventOwner | null, run: () => void): void {
    this.#ready.push(this.#event(this.#now, kind, owner, run));
  }

  /** Gives a process back the events that waited while it was paused: timers first. */
  resume(owner: EventOwner): void {
    const waiting = owner.deferred.splice(0).sort((a, b) => order(a) - order(b) || a.sequence - b.sequence);
    for (const event of waiting) {
      event.at = this.#now;
      this.#ready.push(event);
    }
  }

  /** Ends {@link run} after the current event. */
  stop(): void {
    this.#stopped = true;
  }

  /** Runs all events up to this time. Rejects with what an event threw. */
  run(until: number): Promise<void> {
    this.#stopped = false;
    return new Promise((resolve, reject) => {
      let over = false;
      let planned = 0;
      const step = (): void => {
        planned -= 1;
        if (over) return;
        try {
          if (this.#stopped || !this.#step(until)) {
            over = true;
            resolve();
            return;
          }
        } catch (error) {
          over = true;
          reject(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        if (planned === 0) plan();
      };
      const plan = (): void => {
        planned = EVENTS_PER_TRIP;
        for (let n = 0; n < EVENTS_PER_TRIP; n += 1) setImmediate(step);
      };
      plan();
    });
  }

  #step(until: number): boolean {
    for (;;) {
      const event = this.#next(until);
      if (event === null) {
        this.#now = Math.max(this.#now, until);
        return false;
      }
      if (event.cancelled || event.owner?.dead === true) continue;
      if (event.owner?.paused === true) {
        event.owner.deferred.push(event);
        continue;
      }
      this.#events += 1;
      this.#checkProgress();
      this.note(Math.floor(this.#now * 1_000));
      this.note((event.owner?.id ?? 0) * 8 + KIND_CODE[event.kind]);
      event.run();
      this.#afterEvent();
      return true;
    }
  }

  #checkProgress(): void {
    if (this.#now > this.#instant) {
      this.#instant = this.#now;
      this.#instantBegan = this.#events;
    } else if (this.#events - this.#instantBegan > EVENTS_PER_INSTANT_MAX) {
      throw new Error(`the simulation runs in circles at ${this.#now} ms`);
    }
  }

  #next(until: number): SimulationEvent | null {
    const ready = this.#ready[this.#readyHead];
    if (ready !== undefined) {
      this.#readyHead += 1;
      if (this.#readyHead === this.#ready.length) {
        this.#ready = [];
        this.#readyHead = 0;
      }
      return ready;
    }
    const first = this.#heap[0];
    if (first === undefined || first.at > until) return null;
    this.#pop();
    this.#now = Math.max(this.#now, first.at);
    return first;
  }

  #event(at: number, kind: EventKind, owner: EventOwner | null, run: () => void): SimulationEvent {
    this.#sequence += 1;
    return { at, sequence: this.#sequence, kind, owner, run, cancelled: false };
  }

  #push(event: SimulationEvent): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(event);
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !earlier(event, parent)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let place = 0;
    for (;;) {
      let below = place * 2 + 1;
      let child = heap[below];
      if (child === undefined) break;
      const right = heap[below + 1];
      if (right !== undefined && earlier(right, child)) {
        child = right;
        below += 1;
      }
      if (!earlier(child, last)) break;
      heap[place] = child;
      place = below;
    }
    heap[place] = last;
  }
}

function earlier(a: SimulationEvent, b: SimulationEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}

function order(event: SimulationEvent): number {
  return event.kind === 'timer' ? 0 : 1;
}
