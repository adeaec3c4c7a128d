/** Runs a handler for messages: in parallel across groups, one after the other inside a group. */
import type { ConsumedMessage } from './consumed-message.ts';
import type { DeliveredRun, Delivery } from './delivery.ts';
import type { Hold } from './hold.ts';
import type { Intake } from './intake.ts';
import { reasonOf } from './settlement-input.ts';

/** Thrown by a handler: the message can not be handled, however often it is tried. */
export class RejectMessage extends Error {
  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super(reason, options);
    this.name = 'RejectMessage';
  }
}

/** Handles one message: returning settles it, throwing fails it. */
export type MessageHandler = (message: ConsumedMessage) => void | Promise<void>;

/** Messages of one group in a row, before others have their turn. */
const TURN_MESSAGES = 64;

/** What waits of one group. A hold that followed another one of the group waits behind it, though the other was lost. */
interface Lane {
  readonly key: string;
  readonly runs: DeliveredRun[];
  /** In the queue of those that are ready, or at work. */
  queued: boolean;
}

/** See the head of this file. */
export class HandlerPool {
  readonly #intake: Intake;
  readonly #handler: MessageHandler;
  readonly #concurrency: number;
  readonly #lanes = new Map<string, Lane>();
  #ready: Lane[] = [];
  #working = 0;
  #pumping = false;
  #resolve: () => void = () => {};
  /** Resolves when no handler runs and none will: the intake is over. */
  readonly finished: Promise<void>;

  constructor(intake: Intake, handler: MessageHandler, concurrency: number) {
    this.#intake = intake;
    this.#handler = handler;
    this.#concurrency = concurrency;
    this.finished = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#arrived();
  }

  #arrived(): void {
    for (let delivery = this.#intake.take(); delivery !== null; delivery = this.#intake.take())
      this.#enter(delivery);
    if (!this.#intake.over) this.#intake.onArrival(() => this.#arrived());
    this.#pump();
  }

  #enter(delivery: Delivery): void {
    for (const run of delivery.runs) {
      const { key } = run.hold;
      let lane = this.#lanes.get(key);
      if (lane === undefined) {
        lane = { key, runs: [], queued: false };
        this.#lanes.set(key, lane);
      }
      lane.runs.push(run);
      if (lane.queued) continue;
      lane.queued = true;
      this.#ready.push(lane);
    }
  }

  #pump(): void {
    // A turn that ends at once ends inside this loop.
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#intake.over && this.#working < this.#concurrency) {
      const lane = this.#ready.shift();
      if (lane === undefined) break;
      this.#working++;
      this.#work(lane, TURN_MESSAGES);
    }
    this.#pumping = false;
    if (this.#intake.over && this.#working === 0) this.#resolve();
  }

  /** A turn of a group: without a promise for handlers that need none. */
  #work(lane: Lane, turn: number): void {
    for (let left = turn; left > 0 && !this.#intake.over; left--) {
      const message = next(lane, this.#intake.touch());
      if (message === null) break;
      const { message: taken, hold } = message;
      let working: Promise<void> | null;
      try {
        const result = this.#handler(taken);
        working = isPromise(result) ? Promise.resolve(result) : null;
      } catch (error) {
        fail(taken, error);
        continue;
      }
      if (working === null) {
        taken.ack();
        continue;
      }
      hold.running = true;
      const rest = left - 1;
      working.then(
        () => {
          taken.ack();
          this.#settled(lane, hold, rest);
        },
        (error: unknown) => {
          fail(taken, error);
          this.#settled(lane, hold, rest);
        },
      );
      return;
    }
    this.#endTurn(lane);
  }

  #settled(lane: Lane, hold: Hold, rest: number): void {
    hold.running = false;
    this.#work(lane, rest);
  }

  #endTurn(lane: Lane): void {
    this.#working--;
    if (lane.runs.length > 0) this.#ready.push(lane);
    else {
      lane.queued = false;
      this.#lanes.delete(lane.key);
    }
    this.#pump();
  }
}

function next(lane: Lane, now: number): { readonly message: ConsumedMessage; readonly hold: Hold } | null {
  for (;;) {
    const run = lane.runs[0];
    if (run === undefined) return null;
    const message = run.take(now);
    if (run.left === 0) {
      // Gives the credit of what was dropped back.
      run.take(now);
      lane.runs.shift();
    }
    if (message !== null) return { message, hold: run.hold };
  }
}

/** Also one of a library, or of another realm: what it stands for is not done before it says so. */
function isPromise(result: void | Promise<void>): result is Promise<void> {
  return typeof (result as Promise<void> | null | undefined)?.then === 'function';
}

function fail(message: ConsumedMessage, error: unknown): void {
  const reason = reasonOf(error);
  // The handler had settled it itself, or its hold is lost.
  if (message.settled) return;
  if (error instanceof RejectMessage) message.reject(reason);
  else message.nack({ reason });
}
