import type { ConsumeEvent, ConsumeOpen } from '@seriatim/protocol';
import type { Backoff } from '../backoff.ts';
import type { SeriatimError } from '../error.ts';
import type { CreditAccount } from './credit.ts';
import type { Delivery } from './delivery.ts';
import type { Hold } from './hold.ts';
import type { NodeStream } from './node-stream.ts';
import type { SentRow } from './settlement-ledger.ts';

/** Who the consumer is. */
export interface ConsumerIdentity {
  readonly topic: string;
  readonly subscription: string;
  readonly consumer: string;
  readonly session: string;
}

/** What the streams tell. */
export interface ConsumerStreamsListener {
  delivered(delivery: Delivery): void;
  attached(partition: number, address: string): void;
  detached(partition: number, address: string): void;
  fellBehind(event: ConsumeEvent): void;
  /** The hold is over; `code` says why. */
  lost(hold: Hold, code: string): void;
  /** The hold's time is over by the clock here; the broker may not have ended it yet. */
  expired(hold: Hold): void;
  refused(sent: SentRow, code: string): void;
  streamError(address: string, error: SeriatimError): void;
  /** The consumer can not go on. */
  failed(error: SeriatimError): void;
}

/** A node, over all streams to it. */
export interface StreamNode {
  readonly address: string;
  readonly account: CreditAccount;
  readonly backoff: Backoff;
  stream: NodeStream | null;
  /** Monotonic milliseconds before which no stream is opened. */
  retryAt: number;
  /** Something came from its stream. */
  heard: boolean;
}

/** The first request's `open`, which names holds. */
export function openOf(identity: ConsumerIdentity, named: readonly Hold[]): ConsumeOpen {
  const heads = named.map(({ head }) => head);
  return {
    ...identity,
    resumeGroups: named.map(({ group }) => group),
    resumePartitions: named.map(({ partition }) => partition),
    resumeLives: named.map(({ life }) => life),
    resumeTokenEpochs: named.map(({ tokenEpoch }) => tokenEpoch),
    resumeTokenCounters: named.map(({ tokenCounter }) => tokenCounter),
    resumeSequences: named.map(({ last }) => last),
    resumeHeadOffsets: heads.map((head) => (head === null ? 0 : head.offset + 1)),
    resumeHeadAttempts: heads.map((head) => head?.attempt ?? 0),
    resumeSettledSequences: named.map(({ durableTo }) => durableTo),
  };
}
