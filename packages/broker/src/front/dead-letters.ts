/**
 * Writes dead letters through this node's own produce path: the message as it was with headers behind it, under the subscription's own
 * producer. The bytes come from what is replicated, so a repetition is the same run, and is answered as a duplicate.
 */
import {
  decodeOrderedProduceResponse,
  ERRORS,
  type ErrorCode,
  encodeOrderedProduceHead,
  lengthTag,
  RefusalError,
  WireWriter,
} from '@seriatim/protocol';
import type { DeadLetter, DeadLetterResult, DeadLetterWriter } from '../consume-contracts.ts';
import type { MetaView } from '../contracts.ts';
import type { SubscriptionDefinitions } from '../subscription-contracts.ts';

/** First part of the names of the headers of dead letters. */
export const DEAD_LETTER_HEADER = 'seriatim-dead-letter-';
/** A message without group gets this and its partition's number as group: a dead-letter topic is ordered by groups. */
export const UNGROUPED_DEAD_LETTERS = 'seriatim-ungrouped-';
/** The producers of dead letters are never taken over. */
const EPOCH = 1;

/** What writing needs. */
export interface DeadLettersOptions {
  /** FrontDoor.orderedProduce. */
  readonly produce: (request: Buffer, deadline: number) => Promise<Buffer>;
  readonly view: MetaView;
  readonly definitions: SubscriptionDefinitions;
}

/** See the head of this file. */
export class FrontDeadLetters implements DeadLetterWriter {
  readonly #options: DeadLettersOptions;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  async write(letter: DeadLetter, deadline: number): Promise<DeadLetterResult> {
    const { view, definitions, produce } = this.#options;
    const target = view.topicById(letter.topic);
    const origin = view.topicById(letter.origin.topic);
    const subscription = definitions.subscriptionById(letter.origin.subscription);
    // The names are part of the bytes: without them the letter would be another one.
    if (origin === undefined || subscription === undefined) return { type: 'retry' };
    if (target === undefined) return { type: 'refused', code: 'UNKNOWN_TOPIC' };
    try {
      const request = encodeLetter(letter, target.name, origin.name, subscription.name);
      return verdict(await produce(request, deadline));
    } catch (error) {
      return error instanceof RefusalError ? refusal(error.code) : { type: 'retry' };
    }
  }
}

function encodeLetter(letter: DeadLetter, target: string, topic: string, subscription: string): Buffer {
  const { origin } = letter;
  const message = new WireWriter(letter.message.length + 512);
  message.raw(letter.message);
  if (letter.group === '') message.stringField(3, `${UNGROUPED_DEAD_LETTERS}${origin.partition}`);
  const headers: readonly (readonly [string, string])[] = [
    ['topic', topic],
    ['subscription', subscription],
    ['partition', `${origin.partition}`],
    ['offset', `${origin.offset}`],
    ['life', `${origin.life}`],
    ['sequence', `${origin.sequence}`],
    ['attempts', `${letter.failures}`],
    ['reason', letter.reason],
  ];
  for (const [name, value] of headers) {
    const header = new WireWriter(64 + value.length * 3);
    header.stringField(1, `${DEAD_LETTER_HEADER}${name}`);
    header.stringField(2, value);
    message.varint(lengthTag(5));
    message.varint(header.length);
    message.raw(header.take());
  }
  const request = new WireWriter(message.length + 256);
  encodeOrderedProduceHead(request, {
    topic: target,
    producerId: letter.producerId,
    producerEpoch: EPOCH,
    runLengths: [1],
    runSequences: [letter.producerSequence],
  });
  request.varint(lengthTag(15));
  request.varint(message.length);
  request.raw(message.take());
  return request.take();
}

function verdict(response: Buffer): DeadLetterResult {
  const { successfulMessages, partitionErrors } = decodeOrderedProduceResponse(response);
  if (successfulMessages === 1) return { type: 'stored' };
  const code = partitionErrors[0]?.code ?? '';
  return Object.hasOwn(ERRORS, code) ? refusal(code as ErrorCode) : { type: 'retry' };
}

/** What a producer may send again may still be stored; the rest never will be. */
function refusal(code: ErrorCode): DeadLetterResult {
  const mayBeStored = ERRORS[code].retryable || code === 'INTERNAL';
  return mayBeStored ? { type: 'retry', code } : { type: 'refused', code };
}
