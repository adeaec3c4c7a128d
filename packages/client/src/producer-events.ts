/** What a producer tells of itself: events for its owner, and diagnostics channels for whoever watches the process. */
import { type Channel, channel } from 'node:diagnostics_channel';
import type { SeriatimError } from './error.ts';

/** Events of {@link OrderedProducer.events}, with their arguments. */
export interface ProducerEvents {
  /** It got an identity: the first one, or another one in its place. */
  identity: [{ readonly producerId: number; readonly epoch: number }];
  /** A run could not be settled and is sent again. */
  retry: [RetryEvent];
  /** A message failed for good: its group takes no more until it is resumed. */
  halted: [{ readonly topic: string; readonly group: string; readonly error: SeriatimError }];
  resumed: [{ readonly topic: string; readonly group: string }];
  /** A newer instance of this named producer was opened; this one is over. */
  fenced: [{ readonly error: SeriatimError }];
}

/** A run that is sent again. */
export interface RetryEvent {
  readonly topic: string;
  readonly group: string;
  /** -1: not known yet. */
  readonly partition: number;
  /** So far. */
  readonly attempts: number;
  readonly code: string;
  readonly message: string;
}

/** `seriatim:producer:request`: a request was sent: { topic, address, runs, messages, bytes }. */
export const requestChannel: Channel = channel('seriatim:producer:request');
/** `seriatim:producer:answer`: it was answered or failed: { topic, address, messages, milliseconds, error }. */
export const answerChannel: Channel = channel('seriatim:producer:answer');
/** `seriatim:producer:retry`: a {@link RetryEvent}. */
export const retryChannel: Channel = channel('seriatim:producer:retry');
/** `seriatim:producer:halted`: { topic, group, error }. */
export const haltedChannel: Channel = channel('seriatim:producer:halted');
