import { SeriatimError } from './error.ts';
import type { ClientClock } from './ports.ts';
import type { SendCall } from './send-call.ts';

/** How much a producer holds before further calls wait outside. */
export interface PendingLimits {
  /** Messages of calls that are taken in and not settled. */
  readonly pendingMessagesMax: number;
  /** About their bytes. */
  readonly pendingBytesMax: number;
}

/** The calls of a producer: taken in as the limits allow, in their order, and given up at their deadlines. */
export class CallBook {
  readonly #limits: PendingLimits;
  readonly #clock: ClientClock;
  readonly #admit: (call: SendCall) => void;
  readonly #abandon: () => void;
  readonly #active = new Set<SendCall>();
  readonly #waiting = new Set<SendCall>();
  #messages = 0;
  #bytes = 0;
  #sweepAt = Number.POSITIVE_INFINITY;
  #cancelSweep: () => void = () => {};
  #onEmpty: (() => void)[] = [];

  /** `admit` takes a call's messages in; `abandon` answers for all calls that were just marked as abandoned. */
  constructor(
    limits: PendingLimits,
    clock: ClientClock,
    admit: (call: SendCall) => void,
    abandon: () => void,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#admit = admit;
    this.#abandon = abandon;
  }

  get empty(): boolean {
    return this.#active.size === 0 && this.#waiting.size === 0;
  }

  /** A new call. Behind others that wait it waits too, so that a group's calls keep their order. */
  enter(call: SendCall): void {
    if (this.#waiting.size > 0 || !this.#fits(call)) this.#waiting.add(call);
    else this.#take(call);
    if (call.order.deadline < this.#sweepAt) this.#scheduleSweep(call.order.deadline);
  }

  /** All messages of the call are settled. */
  leave(call: SendCall): void {
    if (!this.#active.delete(call)) return;
    this.#messages -= call.messages.length;
    this.#bytes -= call.order.bytes;
    call.finish();
    for (const next of this.#waiting) {
      if (!this.#fits(next)) break;
      this.#waiting.delete(next);
      this.#take(next);
    }
    if (this.empty) this.#notifyEmpty();
  }

  /** Gives up calls: those taken in by way of `abandon`, the others here. */
  abandon(calls: Iterable<SendCall>, error: (call: SendCall) => SeriatimError): void {
    let taken = false;
    for (const call of calls) {
      if (call.abandoned !== null || call.settled) continue;
      call.abandoned = error(call);
      if (this.#waiting.delete(call)) {
        for (let index = 0; index < call.messages.length; index++) call.failed(index, call.abandoned);
        call.finish();
      } else taken = true;
    }
    if (taken) this.#abandon();
    if (this.empty) this.#notifyEmpty();
  }

  abandonAll(error: SeriatimError): void {
    this.abandon([...this.#active, ...this.#waiting], () => error);
  }

  /** Resolves when no call is under way. */
  whenEmpty(): Promise<void> {
    if (this.empty) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  #notifyEmpty(): void {
    this.#cancelSweep();
    this.#sweepAt = Number.POSITIVE_INFINITY;
    const waiting = this.#onEmpty;
    this.#onEmpty = [];
    for (const resolve of waiting) resolve();
  }

  /** A call larger than the limits goes in alone. */
  #fits(call: SendCall): boolean {
    if (this.#active.size === 0) return true;
    return (
      this.#messages + call.messages.length <= this.#limits.pendingMessagesMax &&
      this.#bytes + call.order.bytes <= this.#limits.pendingBytesMax
    );
  }

  #take(call: SendCall): void {
    this.#active.add(call);
    this.#messages += call.messages.length;
    this.#bytes += call.order.bytes;
    this.#admit(call);
  }

  #scheduleSweep(at: number): void {
    this.#cancelSweep();
    this.#sweepAt = at;
    this.#cancelSweep = this.#clock.schedule(Math.max(0, at - this.#clock.now()) + 1, () => this.#sweep());
  }

  #sweep(): void {
    const now = this.#clock.now();
    const due: SendCall[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const calls of [this.#active, this.#waiting]) {
      for (const call of calls) {
        if (call.abandoned !== null) continue;
        if (call.order.deadline <= now) due.push(call);
        else next = Math.min(next, call.order.deadline);
      }
    }
    this.#sweepAt = Number.POSITIVE_INFINITY;
    if (next < Number.POSITIVE_INFINITY) this.#scheduleSweep(next);
    this.abandon(
      due,
      (call) => new SeriatimError('DEADLINE', `not settled within ${call.order.timeoutMilliseconds} ms`),
    );
  }
}
