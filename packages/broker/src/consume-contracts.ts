/**
 * What the partition and the front door expect of each other to consume: deliveries and settlements in columns, no object per
 * message. Definitions and administration: subscription-contracts.ts. Why it is so: docs/decisions/007-subscriptions.md.
 */
import type { ErrorCode, RefusalError } from '@seriatim/protocol';
import type { TopicId } from './contracts.ts';
import type { SubscriptionId } from './subscription-contracts.ts';

// What a partition offers to the front door (room A to room C).

/** SettlementKind on the wire. */
export const SETTLE_ACK = 0;
export const SETTLE_NACK = 1;
export const SETTLE_REJECT = 2;
export const SETTLE_EXTEND = 3;
/** In `milliseconds` of a NACK: the subscription's back-off. */
export const DEFAULT_BACKOFF = 0xffff_ffff;

/** Runs of one partition for one consumer, one row a run, dense in offset and sequence. Owned by the receiver. */
export interface Delivery {
  readonly runLengths: number[];
  readonly runOffsets: number[];
  readonly runSequences: number[];
  readonly runLives: number[];
  readonly runTimestamps: number[];
  /** Of the run's first message: 1 plus the failures counted. */
  readonly runAttempts: number[];
  readonly runTokenCounters: number[];
  readonly tokenEpoch: number;
  readonly holdMilliseconds: number;
  readonly messages: number;
  readonly bodyBytes: number;
  /** Field-15 messages, run after run, as they are stored; not to be changed. */
  readonly body: readonly Uint8Array[];
}

/** Settlements of one consumer for one partition, one row each, in its order. Only valid during the call. */
export interface SettlementColumns {
  readonly rows: number;
  /** The row's number in the consumer's stream, from 1, ascending. */
  readonly numbers: number[];
  readonly kinds: number[];
  readonly tokenEpochs: number[];
  readonly tokenCounters: number[];
  readonly sequences: number[];
  readonly milliseconds: number[];
  /** One for each NACK and REJECT, in order. */
  readonly reasons: readonly string[];
}

/** Why a hold ended against its consumer's will. */
export type HoldLossReason =
  | 'HOLD_EXPIRED'
  | 'HOLD_TAKEN'
  | 'NOT_LEADER'
  | 'GROUP_PARKED'
  | 'GENERATION_CHANGED'
  | 'GROUP_REWOUND';

export interface HoldKept {
  readonly type: 'held';
  readonly group: string;
  readonly life: number;
  readonly tokenEpoch: number;
  readonly tokenCounter: number;
}
export interface HoldLost {
  readonly type: 'hold-lost';
  readonly group: string;
  readonly life: number;
  readonly tokenEpoch: number;
  readonly tokenCounter: number;
  readonly reason: HoldLossReason;
}
/** Retention took messages before they were delivered: of a group, or with an empty name of any, then with their offsets plus 1. */
export interface FellBehind {
  readonly type: 'fell-behind';
  readonly group: string;
  readonly life: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
}
/** Leadership ended here: the attachment is over, nothing more is called; every row not answered has an unknown outcome. */
export interface LeadershipEnded {
  readonly type: 'leadership-ended';
}
export type ConsumerEvent = HoldKept | HoldLost | FellBehind | LeadershipEnded;

/** The front door's side of an attachment. Calls come from the event loop, never inside a call of the attachment's. */
export interface ConsumerSink {
  /**
   * Credit that is left over all attachments of this stream, shared by them: the partition asks before it builds a delivery and takes
   * what it uses in the same synchronous step. Zero messages or bytes: nothing is built until {@link Attachment.creditGranted}.
   */
  readonly creditMessages: number;
  readonly creditBytes: number;
  /** False while the stream's write buffer is full: treated as no credit. */
  readonly writable: boolean;
  /** Takes its messages and bytes off the credit. */
  deliver(delivery: Delivery): void;
  /** Rows of the last {@link Attachment.settle} calls up to `row` are durable or refused. `refused` ascending, with their codes. */
  settled(row: number, refused: readonly number[], codes: readonly ErrorCode[]): void;
  event(event: ConsumerEvent): void;
}

/** A hold that a consumer names when it comes back. */
export interface ResumedHold {
  readonly group: string;
  readonly life: number;
  readonly tokenEpoch: number;
  readonly tokenCounter: number;
  /** Last sequence that the consumer has. */
  readonly lastSequence: number;
  /** Offset and attempt of the first message that it has and has not acknowledged; -1 and 0: none. */
  readonly headOffset: number;
  readonly headAttempt: number;
  /** Last sequence whose acknowledgement it was answered; 0: none. */
  readonly settledSequence: number;
}

/** What became of the rows that were not answered when a consumer left. */
export interface LastAnswers {
  /** Every row not refused is durable. False: leadership ended, their outcome is unknown. */
  readonly durable: boolean;
  readonly refused: readonly number[];
  readonly codes: readonly ErrorCode[];
}

/** One consumer at one partition's leader. */
export interface Attachment {
  /** Credit was granted or the stream drained: look for work again. */
  creditGranted(): void;
  /** Handles rows in order; each is answered by {@link ConsumerSink.settled} exactly once, unless leadership ends. Never throws. */
  settle(columns: SettlementColumns): void;
  /**
   * `clean`: resolves when what was settled is durable and its holds are free. `broken`: resolves at once, the consumer has the come-back
   * window to attach with the same session. Nothing is called on the sink afterwards.
   */
  detach(how: 'clean' | 'broken'): Promise<LastAnswers>;
}

export interface ConsumerIdentity {
  readonly subscription: SubscriptionId;
  readonly consumer: string;
  /** The same on all streams of one consumer process; an attachment with it replaces the one before (SESSION_REPLACED). */
  readonly session: string;
}

/** One subscription in one partition. */
export interface SubscriptionStanding {
  readonly subscription: SubscriptionId;
  /** Stored messages that are not settled. */
  readonly unsettled: number;
  /** Messages that retention removed before they were settled, in this generation; after a change of leader perhaps more than there were. */
  readonly lost: number;
}

/** Dispatch at a partition, beside {@link Partition}. Refuses with NOT_LEADER where it does not lead with its term confirmed. */
export interface PartitionDispatch {
  /**
   * Attaches a consumer. `resumed` holds are answered by events before any delivery; null: it has not said what it holds, as its stream was open
   * before this node led: what waits for it goes on to wait. `replaced` is called when a newer attachment of the
   * session comes. Rejects with {@link RefusalError}: NOT_LEADER, UNKNOWN_SUBSCRIPTION, SUBSCRIPTION_NOT_READY, TOO_MANY_CONSUMERS.
   */
  attach(
    identity: ConsumerIdentity,
    sink: ConsumerSink,
    resumed: readonly ResumedHold[] | null,
    replaced: (reason: RefusalError) => void,
  ): Promise<Attachment>;
  /** True while this replica leads with its term confirmed: consumers may attach. */
  readonly leads: boolean;
  /** Records looked at to find what to deliver, since the replica was opened. */
  readonly recordsRead: number;
  /** How far each subscription is, where this replica leads: counters, no work. */
  standings(): Iterable<SubscriptionStanding>;
  /** Told when {@link leads} changes: streams attach to what comes. The returned function ends it. */
  onDispatchChange(listener: (leads: boolean) => void): () => void;
}

// What a partition needs.

/** A message that leaves a subscription by the SKIP policy. All of it comes from replicated state, so a repetition has the same bytes. */
export interface DeadLetter {
  readonly topic: TopicId;
  readonly group: string;
  /** {@link SubscriptionView.deadLetterProducer}. */
  readonly producerId: number;
  /** Producer's sequence in the group: behind that of the letter before. */
  readonly producerSequence: number;
  /** Original Message, without tag and length. The writer adds the headers `seriatim-dead-letter-…`, see the decision. */
  readonly message: Uint8Array;
  readonly origin: {
    readonly topic: TopicId;
    readonly subscription: SubscriptionId;
    readonly partition: number;
    readonly offset: number;
    readonly life: number;
    readonly sequence: number;
  };
  readonly failures: number;
  readonly reason: string;
}

/** Writes dead letters through the node's own produce path (room C wires it in the front door). */
export interface DeadLetterWriter {
  /**
   * `stored`: once, now or by an earlier attempt. `refused`: not with this sequence (WRITER_UNKNOWN, SEQUENCE_GAP), or never (unknown topic, too large).
   * `retry`: may or may not be stored; the same letter is to be written again; `code` says why where that is known. Never rejects.
   */
  write(letter: DeadLetter, deadline: number): Promise<DeadLetterResult>;
}
export type DeadLetterResult =
  | { readonly type: 'stored' }
  | { readonly type: 'retry'; readonly code?: ErrorCode }
  | { readonly type: 'refused'; readonly code: ErrorCode };

/** Limits of subscriptions in one partition, whole numbers; joins the partition's configuration. Defaults in parentheses. */
export interface SubscriptionLimits {
  /** Attached sessions of a subscription, those that may come back included (1,000); above it TOO_MANY_CONSUMERS. */
  readonly consumersMax: number;
  /** Bodies read and not yet delivered, of a subscription (2 MiB); at it the scan waits for credit. */
  readonly readAheadBytesMax: number;
  /** Messages of one group that the read-ahead keeps (1,024); beyond it the group is behind and read later by its index. */
  readonly groupReadAheadMax: number;
  /**
   * Records between the floor and the scan position (262,144): a group whose head lies further back is marked as behind in its row, held
   * or not, and the floor passes it. What a new leader scans again is bounded by it.
   */
  readonly floorDistanceMax: number;
  /** Messages of one group with its holder, not settled (1,024); at it the holder gets no more of that group. */
  readonly groupInFlightMax: number;
  /** Bytes of one delivery (256 KiB), and of one read of a group that is behind. */
  readonly deliveryBytesMax: number;
  /** Groups being read by their index at a time (4); others wait in a queue of group numbers, bounded by groups. */
  readonly catchUpReadsMax: number;
  /**
   * Rows that are gathered before a progress command is proposed (4,096), or the time after the first (5 ms). Also the most that one command
   * has: with reasons of `reasonBytesMax` 4.5 MiB, well below what a peer takes in one frame.
   */
  readonly progressRowsMax: number;
  readonly progressMilliseconds: number;
  /** Progress commands under way (4); above it rows gather, one per group, so that they are bounded by groups. */
  readonly progressInFlightMax: number;
  /** Rows of settlements not yet answered, of one attachment (65,536); above it rows are refused with OVERLOADED. */
  readonly unansweredRowsMax: number;
  /** After a leader change or a broken stream holders may come back (2,000 ms). */
  readonly comeBackMilliseconds: number;
  /** Actions kept (1,000); the oldest goes first. */
  readonly actionsMax: number;
  /** Bytes of replacements kept of a subscription (16 MiB); above it OVERLOADED. */
  readonly replacementBytesMax: number;
  /** Bytes of a failure's reason (1,024); longer ones are cut. Kept only for groups with failures. */
  readonly reasonBytesMax: number;
}
