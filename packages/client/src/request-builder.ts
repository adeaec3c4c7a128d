import type { Buffer } from 'node:buffer';
import { encodeMessage, encodeOrderedProduceHead, messageSize, type WireWriter } from '@seriatim/protocol';
import type { Lane, ProducerIdentity, Run, Segment } from './lane.ts';
import type { NodeLink } from './node-link.ts';

/** An OrderedProduce request on its way. */
export interface BuiltRequest {
  readonly topic: string;
  readonly link: NodeLink;
  readonly identity: ProducerIdentity;
  readonly runs: readonly Run[];
  /** Messages in it. */
  readonly messages: number;
  readonly bytes: Buffer;
  /** Monotonic milliseconds: the earliest of its calls. */
  readonly deadline: number;
  /** To be given back when nobody needs `bytes` any more. */
  readonly writer: WireWriter;
}

/** Gathers runs of many lanes into one request of about `bytesTarget`. */
export class RequestBuilder {
  readonly #identity: ProducerIdentity;
  readonly #bytesTarget: number;
  readonly #messagesMax: number;
  readonly #writer: WireWriter;
  readonly #runs: Run[] = [];
  readonly #now: number;
  #messages = 0;
  #deadline = Number.POSITIVE_INFINITY;

  /** `now`: monotonic milliseconds. */
  constructor(
    identity: ProducerIdentity,
    bytesTarget: number,
    messagesMax: number,
    writer: WireWriter,
    now: number,
  ) {
    this.#now = now;
    this.#identity = identity;
    this.#bytesTarget = bytesTarget;
    this.#messagesMax = messagesMax;
    this.#writer = writer;
    writer.reset();
  }

  get bytes(): number {
    return this.#writer.length;
  }

  get empty(): boolean {
    return this.#runs.length === 0;
  }

  /** No run, or no further message of one, fits. */
  get full(): boolean {
    if (this.#runs[0]?.alone === true) return true;
    return this.#writer.length >= this.#bytesTarget || this.#messages >= this.#messagesMax;
  }

  /** Adds the lane's run to be sent again, or as much of what waits as fits. False: it does not go into this request. */
  add(lane: Lane): boolean {
    if ((lane.run?.identity ?? lane.identity) !== this.#identity) return false;
    if (lane.run?.alone === true && !this.empty) return false;
    if (lane.run === null && !this.empty && !this.#fitsWhole(lane)) return false;
    const run = lane.run ?? this.#newRun(lane);
    if (run.bytes !== null) {
      const fits = this.#writer.length + run.bytes.length <= this.#bytesTarget;
      if (!(fits || this.empty)) return false;
      this.#writer.raw(run.bytes);
      this.#messages += run.count;
    }
    this.#runs.push(run);
    for (let segment: Segment | null = run.first; segment !== null; segment = segment.behind) {
      if (segment.call.order.deadline < this.#deadline) this.#deadline = segment.call.order.deadline;
    }
    run.inFlight = true;
    if (run.attempts++ === 0) run.firstSentAt = this.#now;
    lane.run = run;
    return true;
  }

  /** A call with an expectation is one run, all of it, or none. */
  #fitsWhole({ first }: Lane): boolean {
    if (first === null || first.call.order.expectedSequence === undefined) return true;
    return this.#writer.length + first.call.order.bytes <= this.#bytesTarget;
  }

  /** The lane has something that waits. */
  #newRun(lane: Lane): Run {
    const start = this.#writer.length;
    let first: Segment | null = null;
    let last: Segment | null = null;
    let count = 0;
    const expectation = lane.first?.call.order.expectedSequence;
    while (lane.first !== null) {
      if (count > 0 && (expectation ?? lane.first.call.order.expectedSequence) !== undefined) break;
      const taken = this.#encode(lane, lane.first, count === 0);
      if (taken === 0) break;
      const whole = taken === lane.first.count;
      const segment = lane.take(taken);
      if (last === null) first = segment;
      else last.behind = segment;
      last = segment;
      count += taken;
      if (!whole) break;
    }
    if (first === null) throw new Error(`lane ${lane.group} is in line with nothing to send`);
    const firstSequence = lane.nextSequence;
    lane.nextSequence += count;
    return {
      lane,
      identity: this.#identity,
      firstSequence,
      expected: expectation === undefined ? 0 : expectation + 1,
      firstSentAt: 0,
      count,
      first,
      start,
      end: this.#writer.length,
      bytes: null,
      unknown: false,
      attempts: 0,
      alone: false,
      inFlight: false,
      refusal: null,
    };
  }

  /** Encodes messages of a segment until the request is full; at least one where `force`. Gives their number. */
  #encode(lane: Lane, segment: Segment, force: boolean): number {
    const { messages, next, order } = segment.call;
    const whole = order.expectedSequence !== undefined;
    const writer = this.#writer;
    const { groupField } = lane;
    let index = segment.head;
    let taken = 0;
    while (taken < segment.count) {
      const must = whole || (force && taken === 0);
      if (this.full && !must) break;
      const message = messages[index];
      if (message === undefined) break;
      const size = messageSize(message, groupField.length);
      if (writer.length + size > this.#bytesTarget && writer.length > 0 && !must) break;
      encodeMessage(writer, message, groupField, size);
      this.#messages++;
      taken++;
      index = next[index] as number;
    }
    return taken;
  }

  /** Ends the request. */
  build(topic: string, link: NodeLink, idempotent: boolean): BuiltRequest {
    const runs = this.#runs;
    encodeOrderedProduceHead(this.#writer, {
      topic,
      producerId: this.#identity.producerId,
      producerEpoch: this.#identity.epoch,
      runLengths: idempotent ? runs.map((run) => run.count) : [],
      runSequences: idempotent ? runs.map((run) => run.firstSequence) : [],
      runExpectedSequences: runs.some((run) => run.expected > 0) ? runs.map((run) => run.expected) : [],
    });
    return {
      topic,
      link,
      identity: this.#identity,
      runs,
      messages: this.#messages,
      bytes: this.#writer.take(),
      deadline: this.#deadline,
      writer: this.#writer,
    };
  }
}
