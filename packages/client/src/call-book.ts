import { SeriatimError } from './error.ts';
import type { ClientClock } from './ports.ts';
import type { SendCall } from './send-call.ts';

/** How much a producer holds. Above the first two, calls wait in their order or are refused; above the others they are refused: BUFFER_FULL. */
export interface PendingLimits {
  /** Messages of calls that are taken in and not settled. */
  readonly pendingMessagesMax: number;
  /** About their bytes. */
  readonly pendingBytesMax: number;
  /** What a call meets when they are reached. */
  readonly whenFull: 'wait' | 'refuse';
  /** Messages of calls that wait. */
  readonly waitingMessagesMax: number;
  /** About their bytes. */
  readonly waitingBytesMax: number;
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
  #waitingMessages = 0;
  #waitingBytes = 0;
  #onRoom: (() => void)[] = [];
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

  /** Messages held, those that wait included. */
  get messages(): number {
    return this.#messages + this.#waitingMessages;
  }

  /** About the bytes held, those that wait included. */
  get bytes(): number {
    return this.#bytes + this.#waitingBytes;
  }

  /** A new call. Behind others that wait it waits too, so that a group's calls keep their order. Throws BUFFER_FULL. */
  enter(call: SendCall): void {
    if (this.#waiting.size === 0 && this.#fits(call)) this.#take(call);
    else {
      this.#requireRoom(call);
      this.#waiting.add(call);
      this.#countWaiting(call, 1);
    }
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
      this.#stopWaiting(next);
      this.#take(next);
    }
    if (this.empty) this.#notifyEmpty();
    if (this.#waiting.size === 0) for (const resolve of this.#onRoom.splice(0)) resolve();
  }

  /** Resolves when a call would not have to wait. */
  whenRoom(): Promise<void> {
    const { pendingMessagesMax, pendingBytesMax } = this.#limits;
    const room = this.#messages < pendingMessagesMax && this.#bytes < pendingBytesMax;
    if (this.#waiting.size === 0 && room) return Promise.resolve();
    return new Promise((resolve) => this.#onRoom.push(resolve));
  }

  /** Resolves when the calls that are under way now are settled. */
  async whenSettled(): Promise<void> {
    await Promise.all([...this.#active, ...this.#waiting].map((call) => call.result));
  }

  /** Gives up calls: those taken in by way of `abandon`, the others here. */
  abandon(calls: Iterable<SendCall>, error: (call: SendCall) => SeriatimError): void {
    let taken = false;
    for (const call of calls) {
      if (call.abandoned !== null || call.settled) continue;
      call.abandoned = error(call);
      if (this.#stopWaiting(call)) {
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

  #stopWaiting(call: SendCall): boolean {
    if (!this.#waiting.delete(call)) return false;
    this.#countWaiting(call, -1);
    return true;
  }

  #countWaiting(call: SendCall, sign: 1 | -1): void {
    this.#waitingMessages += sign * call.messages.length;
    this.#waitingBytes += sign * call.order.bytes;
  }

  #requireRoom(call: SendCall): void {
    const { whenFull, waitingMessagesMax, waitingBytesMax } = this.#limits;
    const messages = this.#waitingMessages + call.messages.length;
    const bytes = this.#waitingBytes + call.order.bytes;
    // A call larger than the limits waits alone.
    const room = this.#waiting.size === 0 || (messages <= waitingMessagesMax && bytes <= waitingBytesMax);
    if (whenFull === 'wait' && room) return;
    throw new SeriatimError(
      'BUFFER_FULL',
      `the producer holds ${this.messages} messages of ${this.bytes} bytes, with this call its limits are passed; nothing of it was sent`,
    );
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
