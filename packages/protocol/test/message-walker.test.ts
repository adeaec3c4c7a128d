import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../src/limits.ts';
import { MessageWalker } from '../src/message-walker.ts';
import { WalkError } from '../src/walk-error.ts';
import { bytesOf, decodeRequest, encodeRequest, field } from './request-bytes.ts';

const walker = new MessageWalker();
const group = field(0x1a, 'g');
const message = (...fields: readonly Uint8Array[]): Buffer => field(0x7a, bytesOf(...fields));
const good = message(field(0x12, 'value'), group);

function refusal(
  bytes: Buffer,
  call: 'orderedProduce' | 'produce' = 'orderedProduce',
  walk = walker,
): WalkError {
  try {
    walk[call](bytes);
  } catch (error) {
    if (error instanceof WalkError) return error;
    throw error;
  }
  throw new Error('was taken');
}

describe('MessageWalker', () => {
  it('gives the head, the runs and the place of each message and group', () => {
    const bytes = encodeRequest('OrderedProduce', {
      topic: 'orders',
      producerId: 2 ** 40,
      producerEpoch: 3,
      runLengths: [2, 1],
      runSequences: [7, 300],
      messages: [
        { value: Buffer.from('one'), messageGroup: 'a' },
        { value: Buffer.from('two'), messageGroup: 'a' },
        { key: Buffer.from('k'), value: Buffer.alloc(300), messageGroup: 'größe' },
      ],
    });
    const walked = walker.orderedProduce(bytes);
    expect(walked).toMatchObject({ topic: 'orders', producerId: 2 ** 40, producerEpoch: 3, count: 3 });
    expect(walked.runLengths).toEqual([2, 1]);
    expect(walked.runSequences).toEqual([7, 300]);
    const names = [0, 1, 2].map((index) =>
      bytes.toString('utf8', walked.groupStarts[index], walked.groupEnds[index]),
    );
    expect(names).toEqual(['a', 'a', 'größe']);
    expect([...walked.starts].map((start) => bytes[start])).toEqual([0x7a, 0x7a, 0x7a]);
    expect([...walked.starts].slice(1)).toEqual([...walked.ends].slice(0, 2));
    expect(walked.ends[2]).toBe(bytes.length);
  });

  it('takes fields in any order, and repeated numbers packed, unpacked and in pieces', () => {
    const bytes = bytesOf(
      good,
      field(0x0a, 't'),
      good,
      Buffer.from([0x20, 1]),
      field(0x22, Buffer.from([1])),
      Buffer.from([0x28, 9]),
      field(0x2a, Buffer.from([9])),
      Buffer.from([0x10, 5, 0x18, 1]),
    );
    const other = bytesOf(message(group), message(field(0x1a, 'h')));
    expect(walker.orderedProduce(bytes)).toMatchObject({
      runLengths: [1, 1],
      runSequences: [9, 9],
      count: 2,
    });
    expect(walker.orderedProduce(other).count).toBe(2);
  });

  it('takes a plain Produce without groups and says its partition', () => {
    const bytes = encodeRequest('Produce', {
      topic: 't',
      partition: 7,
      messages: [{ value: Buffer.from('x') }, {}],
    });
    expect(walker.produce(bytes)).toMatchObject({ topic: 't', partition: 7, count: 2 });
  });

  it('keeps the columns of one request while it walks the next', () => {
    const first = walker.orderedProduce(bytesOf(good, good));
    const starts = [...first.starts];
    walker.orderedProduce(bytesOf(field(0x0a, 'a longer topic'), good, good));
    expect([...first.starts]).toEqual(starts);
  });

  const wrong: readonly (readonly [string, Buffer, string, RegExp, number?])[] = [
    [
      'an unknown field of the request',
      bytesOf(good, Buffer.from([0x38, 1])),
      'INVALID_REQUEST',
      /unknown field: 7/,
    ],
    [
      'expected sequences that are not as many as the runs',
      bytesOf(good, Buffer.from([0x30, 1])),
      'INVALID_REQUEST',
      /run_expected_sequences has 1 values, run_lengths: 0/,
    ],
    [
      'an unknown field of a message',
      bytesOf(good, message(group, Buffer.from([0x30, 1]))),
      'INVALID_MESSAGE',
      /message 1: unknown field: 6/,
      1,
    ],
    [
      'an unknown field with a long tag',
      message(group, Buffer.from([0x82, 0x01, 0])),
      'INVALID_MESSAGE',
      /unknown field: 16/,
      0,
    ],
    [
      'a known field behind a long tag',
      message(group, Buffer.from([0x92, 0x00, 0])),
      'INVALID_MESSAGE',
      /shortest form; field: 2/,
      0,
    ],
    ['a singular field twice', message(group, group), 'INVALID_MESSAGE', /message_group is given twice/, 0],
    [
      'the topic twice',
      bytesOf(field(0x0a, 't'), field(0x0a, 't'), good),
      'INVALID_REQUEST',
      /topic is given twice/,
    ],
    [
      'a wrong wire type',
      message(Buffer.from([0x10, 1]), group),
      'INVALID_MESSAGE',
      /wire type 0 is wrong for field: 2/,
      0,
    ],
    [
      'a wrong wire type of messages',
      Buffer.from([0x78, 1]),
      'INVALID_REQUEST',
      /wire type 0 is wrong for field: 15/,
    ],
    ['a length over its message', message(Buffer.from([0x12, 9, 1])), 'INVALID_MESSAGE', /by bytes: 8/, 0],
    [
      'a length that is not the shortest',
      message(Buffer.from([0x12, 0x80, 0])),
      'INVALID_MESSAGE',
      /length is not in its shortest/,
      0,
    ],
    [
      'a request that stops in a message',
      good.subarray(0, -1),
      'INVALID_MESSAGE',
      /stops in the middle.*: 11/,
      0,
    ],
    ['a request that stops in a length', Buffer.from([0x7a]), 'INVALID_MESSAGE', /stops in the middle/, 0],
    [
      'a request that stops in a number',
      bytesOf(good, Buffer.from([0x10, 0x80])),
      'INVALID_REQUEST',
      /stops in the middle/,
    ],
    [
      'a request that stops in the topic',
      Buffer.from([0x0a, 3, 65]),
      'INVALID_REQUEST',
      /stops in the middle/,
    ],
    [
      'a group that is not UTF-8',
      message(field(0x1a, Buffer.from([0xc3, 0x28]))),
      'INVALID_GROUP',
      /not UTF-8/,
      0,
    ],
    [
      'a group with half a surrogate pair',
      message(field(0x1a, Buffer.from([0xed, 0xa0, 0x80]))),
      'INVALID_GROUP',
      /not UTF-8/,
      0,
    ],
    [
      'a topic that is not UTF-8',
      bytesOf(field(0x0a, Buffer.from([0xff])), good),
      'INVALID_REQUEST',
      /topic is not UTF-8/,
    ],
    [
      'a header name that is not UTF-8',
      message(group, field(0x2a, field(0x0a, Buffer.from([0xff])))),
      'INVALID_MESSAGE',
      /header name is not UTF-8/,
      0,
    ],
    [
      'a header without a name',
      message(group, field(0x2a, field(0x12, 'v'))),
      'INVALID_MESSAGE',
      /header name is empty/,
      0,
    ],
    ['a missing group', message(field(0x12, 'v')), 'INVALID_GROUP', /empty.*: 0 \(limit 256\)/, 0],
    ['an empty group', message(field(0x1a, '')), 'INVALID_GROUP', /empty/, 0],
    [
      'a group of 257 bytes',
      message(field(0x1a, 'x'.repeat(257))),
      'INVALID_GROUP',
      /: 257 \(limit 256\)/,
      0,
    ],
    [
      '65 headers',
      message(group, ...Array.from({ length: 65 }, () => field(0x2a, field(0x0a, 'n')))),
      'INVALID_MESSAGE',
      /headers: 65 \(limit 64\)/,
      0,
    ],
    [
      'a message over its limit',
      message(group, field(0x12, Buffer.alloc(1024 * 1024))),
      'MESSAGE_TOO_LARGE',
      /\(limit 1048576\)/,
      0,
    ],
    [
      'a request over its limit',
      Buffer.alloc(DEFAULT_LIMITS.requestBytesMax + 1),
      'BATCH_TOO_LARGE',
      /: 4194305 \(limit 4194304\)/,
    ],
    [
      'a time stamp of more than 64 bits',
      message(group, Buffer.from([0x20, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2])),
      'INVALID_MESSAGE',
      /64 bits/,
      0,
    ],
    [
      'a time stamp that runs out of the message',
      message(group, Buffer.from([0x20, 255])),
      'INVALID_MESSAGE',
      /runs over the end/,
      0,
    ],
    ['no messages', field(0x0a, 't'), 'INVALID_REQUEST', /no messages/],
    ['nothing at all', Buffer.alloc(0), 'INVALID_REQUEST', /no messages/],
    [
      'runs without a producer',
      bytesOf(good, field(0x22, Buffer.from([1])), field(0x2a, Buffer.from([1]))),
      'INVALID_REQUEST',
      /need a producer_id/,
    ],
    [
      'a producer without runs',
      bytesOf(good, Buffer.from([0x10, 1, 0x18, 1])),
      'INVALID_REQUEST',
      /fewer than the messages: 0/,
    ],
    [
      'a producer without an epoch',
      bytesOf(good, Buffer.from([0x10, 1])),
      'INVALID_REQUEST',
      /producer_epoch is 0/,
    ],
    [
      'a producer id above 2^53',
      bytesOf(good, Buffer.from([0x10, 255, 255, 255, 255, 255, 255, 255, 127])),
      'INVALID_REQUEST',
      /producer_id is too large/,
    ],
  ];
  for (const [name, bytes, code, text, index] of wrong) {
    it(`refuses ${name}`, () => {
      const error = refusal(bytes);
      expect(error.code).toBe(code);
      expect(error.message).toMatch(text);
      expect(error.messageIndex).toBe(index);
      expect(error.outcome).toBe('not-applied');
    });
  }

  const runs = (lengths: readonly number[], sequences: readonly number[]): Buffer =>
    encodeRequest('OrderedProduce', {
      producerId: 1,
      producerEpoch: 1,
      runLengths: lengths,
      runSequences: sequences,
      messages: [{ messageGroup: 'a' }, { messageGroup: 'a' }, { messageGroup: 'b' }],
    });
  it.each([
    [[2], [1], /fewer than the messages: 2 \(limit 3\)/],
    [[2, 2], [1, 1], /more than the messages: 4 \(limit 3\)/],
    [[2, 1], [1], /run_sequences has 1 values, run_lengths: 2/],
    [[2, 0, 1], [1, 1, 1], /no messages; its index: 1/],
    [[2, 1], [1, 0], /start at 1; 0 is at index: 1/],
    [[3], [1], /message 2: its group differs from the one of its run/],
  ])('refuses runs %j with sequences %j', (lengths, sequences, text) => {
    const error = refusal(runs(lengths, sequences));
    expect(error.code).toBe('INVALID_REQUEST');
    expect(error.message).toMatch(text);
  });

  it('refuses a group in a plain Produce, and more messages than the limit', () => {
    expect(refusal(good, 'produce').code).toBe('GROUP_NOT_ALLOWED');
    const narrow = new MessageWalker({ ...DEFAULT_LIMITS, requestMessagesMax: 2 });
    expect(refusal(bytesOf(good, good, good), 'orderedProduce', narrow)).toMatchObject({
      code: 'BATCH_TOO_LARGE',
      limit: 2,
    });
  });

  it('takes values, groups and requests of exactly the limit', () => {
    const limited = new MessageWalker({
      ...DEFAULT_LIMITS,
      messageBytesMax: good.length - 2,
      requestBytesMax: good.length,
      requestMessagesMax: 1,
    });
    expect(limited.orderedProduce(good).count).toBe(1);
    expect(walker.orderedProduce(message(field(0x1a, 'x'.repeat(256)))).count).toBe(1);
  });

  const anyMessage = fc.record(
    {
      key: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      value: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      messageGroup: fc
        .string({ minLength: 1, maxLength: 60, unit: 'grapheme' })
        .filter((name) => Buffer.byteLength(name) <= 256),
      producerTimestampMs: fc.maxSafeInteger(),
      headers: fc.array(
        fc.record({
          name: fc.string({ minLength: 1, maxLength: 20 }),
          value: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        }),
        { maxLength: 4 },
      ),
    },
    { requiredKeys: ['messageGroup'] },
  );
  const anyRequest = fc.record({
    topic: fc.string(),
    messages: fc.array(anyMessage, { minLength: 1, maxLength: 12 }),
  });

  it('takes whatever protobufjs encodes and finds the same groups (fuzz)', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const bytes = encodeRequest('OrderedProduce', request);
        const walked = walker.orderedProduce(bytes);
        expect(walked.topic).toBe(request.topic);
        const groups = request.messages.map((_, index) =>
          bytes.toString('utf8', walked.groupStarts[index], walked.groupEnds[index]),
        );
        expect(groups).toEqual(request.messages.map((one) => one.messageGroup));
      }),
      { numRuns: 300 },
    );
  });

  it('refuses with a WalkError or takes what re-encodes to the same bytes, whatever is flipped or cut (fuzz)', () => {
    const damage = fc.record({
      request: anyRequest,
      at: fc.nat(),
      bits: fc.integer({ min: 1, max: 255 }),
      cut: fc.nat(5),
    });
    let taken = 0;
    fc.assert(
      fc.property(damage, ({ request, at, bits, cut }) => {
        const bytes = Buffer.from(encodeRequest('OrderedProduce', request));
        const place = at % bytes.length;
        bytes[place] = (bytes[place] as number) ^ bits;
        const damaged = cut === 0 ? bytes : bytes.subarray(0, Math.max(0, bytes.length - cut));
        let walked: ReturnType<typeof walker.orderedProduce>;
        try {
          walked = walker.orderedProduce(damaged);
        } catch (error) {
          if (error instanceof WalkError) return;
          throw error;
        }
        taken++;
        // A lenient decoder sees exactly as many messages: nothing hides between them.
        const decoded = decodeRequest('OrderedProduce', damaged);
        expect(decoded['messages']).toHaveLength(walked.count);
      }),
      { numRuns: 1500 },
    );
    expect(taken).toBeGreaterThan(50);
  });
});
