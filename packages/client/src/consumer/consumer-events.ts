/** What a consumer tells of itself: events for its owner, and diagnostics channels for whoever watches the process. */
import { type Channel, channel } from 'node:diagnostics_channel';
import type { SeriatimError } from '../error.ts';

/** Events of {@link Consumer.events}, with their arguments. */
export interface ConsumerEvents {
  /** The leader of a partition serves this consumer. */
  attached: [{ readonly topic: string; readonly partition: number; readonly address: string }];
  /** It no longer does; the consumer looks for the next leader. */
  detached: [{ readonly topic: string; readonly partition: number; readonly address: string }];
  /** Retention removed messages of a group that this subscription had not been given. */
  fellBehind: [FellBehindEvent];
  /** A group was taken away with messages that were not settled: they are delivered again, here or elsewhere. */
  holdLost: [HoldLostEvent];
  /** A settlement does not stand. */
  refused: [RefusedEvent];
  /** A stream to a node ended, or could not be opened; it is opened again. */
  streamError: [{ readonly topic: string; readonly address: string; readonly error: SeriatimError }];
}

/** Messages that nobody got. */
export interface FellBehindEvent {
  readonly topic: string;
  readonly partition: number;
  readonly group: string;
  readonly life: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
}

/** A hold that ended against the consumer's will. */
export interface HoldLostEvent {
  readonly topic: string;
  readonly partition: number;
  readonly group: string;
  readonly life: number;
  /** HOLD_EXPIRED, HOLD_TAKEN, GROUP_PARKED, GENERATION_CHANGED, GROUP_REWOUND or HOLD_LOST. */
  readonly code: string;
}

/** A settlement that was refused. */
export interface RefusedEvent {
  readonly topic: string;
  readonly partition: number;
  readonly group: string;
  readonly sequence: number;
  readonly kind: 'ack' | 'nack' | 'reject' | 'extend';
  /** HOLD_LOST (also when its outcome is not known), SETTLEMENT_OUT_OF_ORDER or INVALID_REQUEST. */
  readonly code: string;
}

/** `seriatim:consumer:lost`: a {@link HoldLostEvent}. */
export const lostChannel: Channel = channel('seriatim:consumer:lost');
/** `seriatim:consumer:refused`: a {@link RefusedEvent}. */
export const refusedChannel: Channel = channel('seriatim:consumer:refused');
/** `seriatim:consumer:stream-error`: { topic, address, error }. */
export const streamErrorChannel: Channel = channel('seriatim:consumer:stream-error');
