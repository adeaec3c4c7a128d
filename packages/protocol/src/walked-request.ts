import type { Buffer } from 'node:buffer';

/** Where the messages of a request lie, in columns, one row a message in the request's order. */
export interface WalkedMessages {
  /** The request's bytes; all positions are in it. */
  readonly buffer: Buffer;
  readonly count: number;
  /** Where each message's tag byte (0x7a) is. */
  readonly starts: Uint32Array;
  /** Behind each message's last byte: `[start, end)` is tag, length and bytes, as it is stored. */
  readonly ends: Uint32Array;
  /** The group's name; equal start and end: no group. */
  readonly groupStarts: Uint32Array;
  readonly groupEnds: Uint32Array;
}

/** A checked OrderedProduceRequest. Every message has a group. */
export interface WalkedOrderedProduce extends WalkedMessages {
  readonly topic: string;
  /** 0: not idempotent; then there are no runs. */
  readonly producerId: number;
  readonly producerEpoch: number;
  /** Messages in each run, each at least 1, in sum `count`; each run's messages have one group. */
  readonly runLengths: readonly number[];
  /** Producer's sequence of each run's first message, from 1. */
  readonly runSequences: readonly number[];
  /** Empty, or one a run: the group sequence that its first message must get; 0: any. */
  readonly runExpectedSequences: readonly number[];
}

/** A checked ProduceRequest. No message has a group. */
export interface WalkedProduce extends WalkedMessages {
  readonly topic: string;
  readonly partition: number;
}
