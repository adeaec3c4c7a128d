/** One consumer's right to one group, and how far the application has settled it: a few numbers a group, nothing a message. */
import { SeriatimError } from '../error.ts';
import type { DeliveredRun } from './delivery.ts';

/** The fencing token of a hold: of two, the later one has the higher epoch, or the same epoch and the higher counter. */
export interface HoldToken {
  readonly epoch: number;
  readonly counter: number;
}

/** A nack or a reject. */
export interface Failure {
  /** SETTLEMENT_KIND_NACK or SETTLEMENT_KIND_REJECT. */
  readonly kind: number;
  readonly sequence: number;
  /** As in a settlement row. */
  readonly milliseconds: number;
  readonly reason: string;
}

/** Where settlements go: the stream that the hold is of. Gathers, sends later. */
export interface HoldDesk {
  /** `ackTo` rose above what was sent. Called once until it was sent. */
  changed(hold: Hold): void;
  /** The hold's head failed: what is acknowledged goes first. */
  failed(hold: Hold, failure: Failure): void;
  extend(hold: Hold, milliseconds: number): void;
}

/** After a broken stream or a change of leader a hold may be given to others after this, milliseconds. */
const COME_BACK_MILLISECONDS = 2_000;

interface Watcher {
  readonly sequence: number;
  readonly done: () => void;
}

/** See the head of this file. */
export class Hold {
  readonly topic: string;
  readonly partition: number;
  readonly group: string;
  readonly life: number;
  /** Of its group, among all partitions. */
  readonly key: string;
  tokenEpoch = 0;
  tokenCounter = 0;
  /** null while no stream has it: its stream broke or its partition has moved, and it waits to be held again. */
  desk: HoldDesk | null = null;
  /** The stream in whose open it is named, and which has not answered. */
  named: HoldDesk | null = null;
  /** Last sequence that came. */
  last: number;
  /** The application is done up to here; sent up to `ackSent`, answered up to `ackedTo`. */
  ackTo: number;
  ackSent: number;
  ackedTo: number;
  /** Last sequence whose acknowledgement a broker answered, unlike `ackedTo` nothing that others settled or that was refused; 0: none. */
  durableTo = 0;
  /** Its desk knows that there is something to send. */
  dirty = false;
  /** Its owner was told that it is lost. */
  toldLost = false;
  /** Failed while no stream had it: told when it is held again. */
  failure: Failure | null = null;
  /** Messages that came and were not taken. */
  queued = 0;
  /** A handler works on it. */
  running = false;
  /** The subscription's. */
  holdMilliseconds = 0;
  /** Monotonic milliseconds: when a broker ends it, unless it is renewed before. */
  deadline = 0;
  /** Runs that came, chained: from the one with the first message that is not acknowledged to the last. */
  #firstRun: DeliveredRun | null = null;
  #lastRun: DeliveredRun | null = null;
  /** Milliseconds of an extension that was asked for and not sent. */
  #wanted = 0;
  readonly #onExpired: (hold: Hold) => void;
  #ended = false;
  #controller: AbortController | null = null;
  #reason = 'HOLD_LOST';
  #watchers: Watcher[] = [];

  /** `first`: sequence of the first message that came with it. `onExpired`: its time is over by the clock here. */
  constructor(
    topic: string,
    partition: number,
    group: string,
    life: number,
    first: number,
    onExpired: (hold: Hold) => void,
  ) {
    this.topic = topic;
    this.partition = partition;
    this.group = group;
    this.life = life;
    this.key = `${partition}/${group}`;
    this.last = first - 1;
    this.ackTo = first - 1;
    this.ackSent = first - 1;
    this.ackedTo = first - 1;
    this.#onExpired = onExpired;
  }

  /** Nothing of it is to be worked on or settled any more: it failed or was lost. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Offset and attempt of the first message that came and is not acknowledged; null: there is none. */
  get head(): { readonly offset: number; readonly attempt: number } | null {
    const run = this.#headRun();
    if (run === null) return null;
    const step = Math.max(0, this.ackTo + 1 - run.sequence);
    return { offset: run.offset + step, attempt: step === 0 ? run.attempt : 1 };
  }

  /** The application is done with all that came. */
  get settled(): boolean {
    return this.ackTo >= this.last;
  }

  /** Aborts when the hold is lost. Made when first asked for: it costs more than a message. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#ended && !this.#controller.signal.aborted) this.#abort(this.#controller);
    return this.#controller.signal;
  }

  /** A run came. */
  came(run: DeliveredRun): void {
    if (run.sequence > this.last + 1) this.#settledBefore(run.sequence);
    this.last = run.lastSequence;
    if (this.#headRun() === null) this.#firstRun = run;
    else if (this.#lastRun !== null) this.#lastRun.next = run;
    this.#lastRun = run;
  }

  /** Done up to `sequence`. False: it was lost, and this settles nothing. */
  ack(sequence: number): boolean {
    if (this.#ended) return false;
    if (sequence <= this.ackTo) return true;
    this.ackTo = sequence;
    if (!this.dirty && this.desk !== null) {
      this.dirty = true;
      this.desk.changed(this);
    }
    return true;
  }

  /** Its head failed; the hold ends. False: it was lost already. Throws SETTLEMENT_OUT_OF_ORDER when `sequence` is not the head. */
  fail(failure: Failure): boolean {
    if (this.#ended) return false;
    const { sequence } = failure;
    // Without group sequences are not dense: there the broker sees to it.
    if (sequence <= this.ackTo || (this.group !== '' && sequence !== this.ackTo + 1)) {
      throw new SeriatimError(
        'SETTLEMENT_OUT_OF_ORDER',
        `message ${sequence} of group "${this.group}" is not its head, ${this.ackTo + 1} is: settle the earlier ones first`,
        { details: { group: this.group, partition: this.partition, sequence, head: this.ackTo + 1 } },
      );
    }
    if (this.desk === null) this.failure = failure;
    else this.desk.failed(this, failure);
    this.end('HOLD_LOST');
    return true;
  }

  /** False: it was lost. */
  extend(milliseconds: number): boolean {
    if (this.#ended) return false;
    this.#wanted = Math.max(this.#wanted, milliseconds);
    this.desk?.extend(this, milliseconds);
    return true;
  }

  /** It was acknowledged, or extended (0: by the subscription's hold), which is on its way. As at the broker, nothing shortens it. */
  renewed(now: number, milliseconds = 0): void {
    if (milliseconds > 0) this.#wanted = 0;
    this.deadline = Math.max(this.deadline, now + (milliseconds || this.holdMilliseconds));
  }

  /** Less is left of it than five sixths of the subscription's hold. */
  isDue(now: number): boolean {
    return (this.deadline - now) * 6 <= this.holdMilliseconds * 5;
  }

  /** A broker has ended it by now, as far as the clock here says. One that a stream named may be held again at any moment: its answer decides. */
  isOver(now: number): boolean {
    if (this.desk !== null) return now > this.deadline;
    return (
      this.named === null && now > this.deadline + Math.max(0, COME_BACK_MILLISECONDS - this.holdMilliseconds)
    );
  }

  /** Its time is over: it ends here, although no broker said so yet. */
  expire(): void {
    this.#onExpired(this);
  }

  /** It goes on at another stream: what has no answer is told there again, and what it was extended to. */
  goOn(now: number): void {
    const { desk, failure } = this;
    const left = Math.max(this.#wanted, Math.ceil(this.deadline - now));
    this.deadline = now + this.holdMilliseconds;
    if (desk === null) return;
    if (left > this.holdMilliseconds) {
      // Until it is sent: this stream may break before.
      this.#wanted = left;
      desk.extend(this, left);
    }
    if (failure !== null) desk.failed(this, failure);
    else if (this.ackTo > this.ackedTo) {
      this.ackSent = this.ackedTo;
      this.dirty = true;
      desk.changed(this);
    }
  }

  /** Ends it for the application; `code` says why, to those who watch its signal. */
  end(code: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reason = code;
    if (this.#controller !== null) this.#abort(this.#controller);
  }

  /** The broker answered settlements up to `sequence`. */
  answered(sequence: number): void {
    if (sequence > this.ackedTo) this.ackedTo = sequence;
    if (this.#watchers.length > 0) this.#wake((watcher) => watcher.sequence <= sequence);
  }

  /** Nothing of it will be answered any more. */
  over(): void {
    if (this.#watchers.length > 0) this.#wake(() => true);
  }

  /** Calls `done` when settlements up to `sequence` (Infinity: its failure) are answered, or never will be. */
  watch(sequence: number, done: () => void): void {
    this.#watchers.push({ sequence, done });
  }

  /**
   * The next message that came is not the one behind the last: another consumer had settled those between, before this one came back with a hold
   * of which it had settled everything.
   */
  #settledBefore(sequence: number): void {
    if (this.group === '') return;
    this.ackTo = Math.max(this.ackTo, sequence - 1);
    this.ackSent = Math.max(this.ackSent, sequence - 1);
    this.answered(sequence - 1);
  }

  #headRun(): DeliveredRun | null {
    let run = this.#firstRun;
    while (run !== null && run.lastSequence <= this.ackTo) {
      const { next } = run;
      // A message that the application keeps must not keep what came after it.
      run.next = null;
      run = next;
    }
    this.#firstRun = run;
    return run;
  }

  #wake(due: (watcher: Watcher) => boolean): void {
    const ready = this.#watchers.filter(due);
    this.#watchers = this.#watchers.filter((watcher) => !due(watcher));
    for (const { done } of ready) done();
  }

  #abort(controller: AbortController): void {
    controller.abort(
      new SeriatimError('HOLD_LOST', `the hold of group "${this.group}" ended: ${this.#reason}`, {
        details: { group: this.group, partition: this.partition, code: this.#reason },
      }),
    );
  }
}
