/**
 * A lane carries one group of one topic: one run of messages under way, the others waiting behind it. What is in a run, and its
 * bytes, never change until it is settled, because a retry must repeat it exactly to be known as one.
 */
import type { Buffer } from 'node:buffer';
import { encodeGroupField } from '@seriatim/protocol';
import type { GroupHaltedError } from './error.ts';
import type { SendCall } from './send-call.ts';

/** A stretch of one call's chain of messages of the lane's group. */
export interface Segment {
  readonly call: SendCall;
  /** Index of its first message in the call; the others follow by `call.next`. */
  head: number;
  last: number;
  count: number;
  /** Its messages have failed already, while the run that holds it goes on. */
  answered: boolean;
  /** The one behind it in the lane or in the run: a list that needs no array, since most have one or two. */
  behind: Segment | null;
}

/** From InitProducer. Sequences count per identity and group, from 1. */
export interface ProducerIdentity {
  readonly producerId: number;
  readonly epoch: number;
}

/** Messages of a lane that were put into a request together. */
export interface Run {
  readonly lane: Lane;
  readonly identity: ProducerIdentity;
  readonly firstSequence: number;
  readonly count: number;
  /** The first of its segments; calls among them may be given up already, and the run goes on until its fate is known. */
  readonly first: Segment;
  /** Its place in the bytes of the request that carries it first. */
  start: number;
  end: number;
  /** A copy of its bytes, once it has to be sent again. */
  bytes: Buffer | null;
  /** An attempt may have stored it. Stays true: a later refusal says nothing of an earlier attempt. */
  unknown: boolean;
  attempts: number;
  /** Monotonic milliseconds of the first attempt. */
  firstSentAt: number;
  /** Group sequence that its first message must get; 0: any. */
  readonly expected: number;
  /** It is sent in a request of its own, so that its trouble is nobody else's. */
  alone: boolean;
  inFlight: boolean;
  /** Why the last attempt failed. */
  refusal: RunRefusal | null;
}

/** Why an attempt failed. `code` is a broker's, also one that this version does not know. */
export interface RunRefusal {
  readonly code: string;
  readonly message: string;
  /** This attempt stored nothing, for certain. */
  readonly notApplied: boolean;
  /** With SEQUENCE_CONFLICT: the group's last sequence. */
  readonly currentSequence?: number | undefined;
}

/** A run's segments, for where speed does not count. */
export function segmentsOf(run: Run): Segment[] {
  const segments: Segment[] = [];
  for (let segment: Segment | null = run.first; segment !== null; segment = segment.behind)
    segments.push(segment);
  return segments;
}

/** One group's messages on their way. */
export class Lane {
  readonly group: string;
  readonly groupField: Buffer;
  /** As learned from answers; -1: not yet. */
  partition = -1;
  identity: ProducerIdentity | null = null;
  /** It must not be used for this group again: what the broker remembers of it is unknown here. */
  spoiledIdentity: ProducerIdentity | null = null;
  /** It went on under a new identity since it last stored something: a second time would be in vain. */
  renewed = false;
  nextSequence = 1;
  /** Under way or waiting to be sent again. */
  run: Run | null = null;
  /** A message failed for good: what comes is refused with this until the group is resumed. */
  halted: GroupHaltedError | null = null;
  /** In a ready list, or held by the request that is being built. */
  queued = false;
  first: Segment | null = null;
  last: Segment | null = null;

  constructor(group: string) {
    this.group = group;
    this.groupField = encodeGroupField(group);
  }

  /** It has something to send that does not wait for an answer. */
  get ready(): boolean {
    return this.run === null ? this.first !== null : !this.run.inFlight;
  }

  get idle(): boolean {
    return this.run === null && this.first === null;
  }

  /** Puts message `index` of a call behind all others. */
  append(call: SendCall, index: number): void {
    const { last } = this;
    if (last !== null && last.call === call) {
      call.next[last.last] = index;
      last.last = index;
      last.count++;
      return;
    }
    const segment: Segment = { call, head: index, last: index, count: 1, answered: false, behind: null };
    if (last === null) this.first = segment;
    else last.behind = segment;
    this.last = segment;
  }

  /** Puts a segment that was taken back before all others. */
  putFirst(segment: Segment): void {
    segment.behind = this.first;
    this.first = segment;
    this.last ??= segment;
  }

  /** Takes the first `count` messages of the first segment out of the lane. */
  take(count: number): Segment {
    const segment = this.first as Segment;
    if (count === segment.count) {
      this.first = segment.behind;
      if (this.first === null) this.last = null;
      segment.behind = null;
      return segment;
    }
    const { call, head } = segment;
    let last = head;
    for (let step = 1; step < count; step++) last = call.next[last] as number;
    segment.head = call.next[last] as number;
    segment.count -= count;
    return { call, head, last, count, answered: false, behind: null };
  }

  /** Takes what waits from the first segment on that `from` accepts; all of it when the run before it failed. */
  takeFrom(from: (segment: Segment) => boolean): Segment[] {
    const taken: Segment[] = [];
    let kept: Segment | null = null;
    for (let segment = this.first; segment !== null; segment = segment.behind) {
      if (taken.length > 0 || from(segment)) taken.push(segment);
      else kept = segment;
    }
    if (kept === null) this.first = null;
    else kept.behind = null;
    this.last = kept;
    return taken;
  }
}
