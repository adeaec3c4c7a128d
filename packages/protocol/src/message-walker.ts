/**
 * Strict validator of produce requests. What passes is stored byte for byte and served to every consumer, so a single message
 * that a strict parser refuses would make whole responses unreadable: known fields only, singular fields once, right wire types,
 * shortest tags and lengths, lengths inside the message, UTF-8. It allocates per request, not per message.
 */
import { type Buffer, isUtf8 } from 'node:buffer';
import { DEFAULT_LIMITS, type ProduceLimits } from './limits.ts';
import { WalkCursor } from './walk-cursor.ts';
import type { WalkedMessages, WalkedOrderedProduce, WalkedProduce } from './walked-request.ts';

// Tag bytes: field number << 3 | wire type (0 varint, 2 length-delimited).
const TAG_FIELD_1 = 0x0a;
const TAG_FIELD_2 = 0x12;
const TAG_FIELD_3 = 0x1a;
const TAG_FIELD_5 = 0x2a;
const TAG_TIMESTAMP = 0x20;
const TAG_MESSAGES = 0x7a;

const ORDERED_PRODUCE_FIELDS: readonly number[] = [1, 2, 3, 4, 5, 6, 15];
const PRODUCE_FIELDS: readonly number[] = [1, 2, 15];
const MESSAGE_FIELDS: readonly number[] = [1, 2, 3, 4, 5];
const HEADER_FIELDS: readonly number[] = [1, 2];

const UINT32_MAX = 0xffff_ffff;
/** Numbers of a row: start, end, group start, group end. */
const COLUMNS = 4;
const ROWS_AT_FIRST = 1024;

/** Walks one request after the other; keep one per front door. Not re-entrant, and it never awaits. */
export class MessageWalker {
  readonly #limits: ProduceLimits;
  readonly #at: WalkCursor = new WalkCursor();
  #count = 0;
  #groupWanted = false;
  #rows: Uint32Array = new Uint32Array(ROWS_AT_FIRST * COLUMNS);

  constructor(limits: ProduceLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  /** Checks an OrderedProduceRequest. Throws a WalkError that names the message, the value and the limit. */
  orderedProduce(bytes: Buffer): WalkedOrderedProduce {
    this.#begin(bytes, true);
    const at = this.#at;
    const countMax = this.#limits.requestMessagesMax;
    const runLengths: number[] = [];
    const runSequences: number[] = [];
    const runExpectedSequences: number[] = [];
    let topic = '';
    let producerId = 0;
    let producerEpoch = 0;
    let seen = 0;
    while (at.position < bytes.length) {
      const start = at.position;
      const tag = bytes[start] as number;
      if (tag === TAG_MESSAGES) {
        this.#messages(bytes);
        continue;
      }
      at.position++;
      if (tag === 0x0a) {
        seen = at.once(seen, 1, 'topic');
        topic = at.string('topic');
      } else if (tag === 0x10) {
        seen = at.once(seen, 2, 'producer_id');
        producerId = at.number('producer_id', Number.MAX_SAFE_INTEGER);
      } else if (tag === 0x18) {
        seen = at.once(seen, 4, 'producer_epoch');
        producerEpoch = at.number('producer_epoch', UINT32_MAX);
      } else if (tag === 0x22 || tag === 0x20) {
        at.repeated(tag === 0x22, 'run_lengths', UINT32_MAX, countMax, runLengths);
      } else if (tag === 0x2a || tag === 0x28) {
        at.repeated(tag === 0x2a, 'run_sequences', Number.MAX_SAFE_INTEGER, countMax, runSequences);
      } else if (tag === 0x32 || tag === 0x30) {
        const name = 'run_expected_sequences';
        at.repeated(tag === 0x32, name, Number.MAX_SAFE_INTEGER, countMax, runExpectedSequences);
      } else throw at.unexpected(start, ORDERED_PRODUCE_FIELDS);
    }
    const messages = this.#finish(bytes);
    const runs = { runLengths, runSequences, runExpectedSequences };
    const walked = { ...messages, topic, producerId, producerEpoch, ...runs };
    this.#checkRuns(walked);
    return walked;
  }

  /** Checks a ProduceRequest. Throws a WalkError that names the message, the value and the limit. */
  produce(bytes: Buffer): WalkedProduce {
    this.#begin(bytes, false);
    const at = this.#at;
    let topic = '';
    let partition = 0;
    let seen = 0;
    while (at.position < bytes.length) {
      const start = at.position;
      const tag = bytes[start] as number;
      if (tag === TAG_MESSAGES) {
        this.#messages(bytes);
        continue;
      }
      at.position++;
      if (tag === 0x0a) {
        seen = at.once(seen, 1, 'topic');
        topic = at.string('topic');
      } else if (tag === 0x10) {
        seen = at.once(seen, 2, 'partition');
        partition = at.number('partition', UINT32_MAX);
      } else throw at.unexpected(start, PRODUCE_FIELDS);
    }
    return { ...this.#finish(bytes), topic, partition };
  }

  #begin(bytes: Buffer, groupWanted: boolean): void {
    this.#at.bytes = bytes;
    this.#at.position = 0;
    this.#at.messageIndex = -1;
    this.#count = 0;
    this.#groupWanted = groupWanted;
    const limit = this.#limits.requestBytesMax;
    if (bytes.length > limit) throw this.#at.fail('too many bytes', bytes.length, limit, 'BATCH_TOO_LARGE');
  }

  /** The columns, in memory of their own: the caller keeps them while the walker goes on. */
  #finish(bytes: Buffer): WalkedMessages {
    const count = this.#count;
    if (count === 0) throw this.#at.fail('no messages; at least 1 is needed');
    const columns = new Uint32Array(count * COLUMNS);
    const rows = this.#rows;
    for (let index = 0, row = 0; index < count; index++, row += COLUMNS) {
      columns[index] = rows[row] as number;
      columns[index + count] = rows[row + 1] as number;
      columns[index + count * 2] = rows[row + 2] as number;
      columns[index + count * 3] = rows[row + 3] as number;
    }
    return {
      buffer: bytes,
      count,
      starts: columns.subarray(0, count),
      ends: columns.subarray(count, count * 2),
      groupStarts: columns.subarray(count * 2, count * 3),
      groupEnds: columns.subarray(count * 3),
    };
  }

  /** Messages that follow each other directly, which is all of them in almost every request. */
  #messages(bytes: Buffer): void {
    const at = this.#at;
    const total = bytes.length;
    const { messageBytesMax, requestMessagesMax } = this.#limits;
    let position = at.position;
    while (position < total && bytes[position] === TAG_MESSAGES) {
      if (this.#count === requestMessagesMax) {
        at.messageIndex = -1;
        // It stops here: one more than allowed is all it knows.
        throw at.fail(
          'too many messages, at least',
          requestMessagesMax + 1,
          requestMessagesMax,
          'BATCH_TOO_LARGE',
        );
      }
      at.messageIndex = this.#count;
      const start = position;
      const length = at.length(position + 1);
      position = at.position;
      // Before the check for the end: of an over-long message the length is the better thing to say.
      if (length > messageBytesMax) {
        throw at.fail('too many bytes', length, messageBytesMax, 'MESSAGE_TOO_LARGE');
      }
      if (position + length > total) throw at.cut();
      this.#message(bytes, start, position, position + length);
      position += length;
    }
    at.messageIndex = -1;
    at.position = position;
  }

  #message(bytes: Buffer, start: number, from: number, end: number): void {
    const at = this.#at;
    let position = from;
    let seen = 0;
    let headers = 0;
    let groupStart = 0;
    let groupEnd = 0;
    while (position < end) {
      const tag = bytes[position] as number;
      if (tag === TAG_TIMESTAMP) {
        seen = at.once(seen, 8, 'producer_timestamp_ms');
        position = at.skipInt64(position + 1, end, 'producer_timestamp_ms');
        continue;
      }
      if (tag !== TAG_FIELD_2 && tag !== TAG_FIELD_3 && tag !== TAG_FIELD_1 && tag !== TAG_FIELD_5) {
        throw at.unexpected(position, MESSAGE_FIELDS);
      }
      const length = at.length(position + 1);
      position = at.position;
      const fieldEnd = position + length;
      if (fieldEnd > end) throw at.fail('a field runs over the end of its message by bytes', fieldEnd - end);
      if (tag === TAG_FIELD_2) seen = at.once(seen, 2, 'value');
      else if (tag === TAG_FIELD_3) {
        seen = at.once(seen, 4, 'message_group');
        groupStart = position;
        groupEnd = fieldEnd;
      } else if (tag === TAG_FIELD_1) seen = at.once(seen, 1, 'key');
      else this.#header(bytes, position, fieldEnd, ++headers);
      position = fieldEnd;
    }
    if (this.#groupWanted) this.#checkGroup(bytes, groupStart, groupEnd);
    else if (groupEnd > groupStart) {
      const bytesOfGroup = groupEnd - groupStart;
      throw at.fail(
        'Produce takes no message group; use OrderedProduce. Bytes of the group',
        bytesOfGroup,
        0,
        'GROUP_NOT_ALLOWED',
      );
    }
    this.#push(start, end, groupStart, groupEnd);
  }

  #push(start: number, end: number, groupStart: number, groupEnd: number): void {
    const row = this.#count++ * COLUMNS;
    if (row === this.#rows.length) {
      const grown = new Uint32Array(row * 2);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    const rows = this.#rows;
    rows[row] = start;
    rows[row + 1] = end;
    rows[row + 2] = groupStart;
    rows[row + 3] = groupEnd;
  }

  #checkGroup(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    const limit = this.#limits.groupBytesMax;
    if (length === 0) {
      throw this.#at.fail('the message group is empty; it needs 1 byte or more', 0, limit, 'INVALID_GROUP');
    }
    if (length > limit) {
      throw this.#at.fail('the message group has too many bytes', length, limit, 'INVALID_GROUP');
    }
    // Most names are ASCII: the loop is quicker than the call that checks the rest.
    for (let position = start; position < end; position++) {
      if ((bytes[position] as number) > 0x7f) {
        if (isUtf8(bytes.subarray(start, end))) return;
        throw this.#at.fail('the message group is not UTF-8', undefined, undefined, 'INVALID_GROUP');
      }
    }
  }

  #header(bytes: Buffer, from: number, end: number, number: number): void {
    const at = this.#at;
    const { headersMax, headerNameBytesMax } = this.#limits;
    if (number > headersMax) throw at.fail('too many headers', number, headersMax);
    let position = from;
    let seen = 0;
    let nameBytes = 0;
    while (position < end) {
      const tag = bytes[position] as number;
      if (tag !== TAG_FIELD_1 && tag !== TAG_FIELD_2) throw at.unexpected(position, HEADER_FIELDS);
      const length = at.length(position + 1);
      position = at.position;
      const fieldEnd = position + length;
      if (fieldEnd > end) throw at.fail('a header field runs over its header by bytes', fieldEnd - end);
      if (tag === TAG_FIELD_2) seen = at.once(seen, 2, 'headers.value');
      else {
        seen = at.once(seen, 1, 'headers.name');
        nameBytes = length;
        if (!isUtf8(bytes.subarray(position, fieldEnd))) throw at.fail('a header name is not UTF-8');
      }
      position = fieldEnd;
    }
    if (nameBytes === 0) throw at.fail('a header name is empty; it needs 1 byte or more');
    if (nameBytes > headerNameBytesMax) {
      throw at.fail('a header name has too many bytes', nameBytes, headerNameBytesMax);
    }
  }

  /** An idempotent request's runs cover the messages exactly, and each has one group. That no group has two runs is the router's to see. */
  #checkRuns(walked: WalkedOrderedProduce): void {
    const at = this.#at;
    const { count, producerId, runLengths, runSequences, runExpectedSequences } = walked;
    const runs = runLengths.length;
    if (runSequences.length !== runs) {
      throw at.fail(`run_sequences has ${runSequences.length} values, run_lengths`, runs);
    }
    if (runExpectedSequences.length > 0 && runExpectedSequences.length !== runs) {
      const expected = runExpectedSequences.length;
      throw at.fail(`run_expected_sequences has ${expected} values, run_lengths`, runs);
    }
    if (producerId === 0) {
      if (runs > 0) throw at.fail('runs need a producer_id; runs given', runs);
      return;
    }
    if (walked.producerEpoch === 0) throw at.fail('producer_epoch is 0; InitProducer gives one from 1 on');
    let first = 0;
    for (let run = 0; run < runs; run++) {
      const length = runLengths[run] as number;
      if (length === 0) throw at.fail('a run has no messages; its index', run);
      if (runSequences[run] === 0) throw at.fail('run_sequences start at 1; 0 is at index', run);
      if (first + length > count)
        throw at.fail('run_lengths are more than the messages', first + length, count);
      for (let index = first + 1; index < first + length; index++) {
        if (sameGroup(walked, first, index)) continue;
        at.messageIndex = index;
        throw at.fail(
          'its group differs from the one of its run, whose index is',
          run,
          undefined,
          'INVALID_REQUEST',
        );
      }
      first += length;
    }
    if (first !== count) throw at.fail('run_lengths are fewer than the messages', first, count);
  }
}

function sameGroup(walked: WalkedMessages, one: number, other: number): boolean {
  const { buffer, groupStarts, groupEnds } = walked;
  const first = groupStarts[one] as number;
  const second = groupStarts[other] as number;
  const length = (groupEnds[one] as number) - first;
  if (length !== (groupEnds[other] as number) - second) return false;
  for (let index = 0; index < length; index++) {
    if (buffer[first + index] !== buffer[second + index]) return false;
  }
  return true;
}
