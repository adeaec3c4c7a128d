import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeFetchResponse, encodeFetchResponse } from '../src/fetch-codec.ts';
import { decodeMessage, encodeGroupField, encodeMessage, messageSize } from '../src/message-codec.ts';
import { MessageWalker } from '../src/message-walker.ts';
import {
  decodeOrderedProduceResponse,
  decodeProduceResponse,
  encodeOrderedProduceHead,
  encodeOrderedProduceResponse,
  encodeProduceHead,
  encodeProduceResponse,
} from '../src/produce-codec.ts';
import { WireReader, WireWriter } from '../src/wire.ts';
import { bytesOf, decodeRequest, decodeResponse, encodeRequest, encodeResponse } from './request-bytes.ts';

const natural = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const columns = fc.array(natural, { maxLength: 50 });

describe('wire', () => {
  it('round-trips every safe integer that is not negative (fuzz)', () => {
    fc.assert(
      fc.property(natural, (value) => {
        const writer = new WireWriter(1);
        writer.varint(value);
        expect(new WireReader(writer.take()).varint()).toBe(value);
      }),
    );
  });

  it('round-trips negative int64 and refuses what passes 2^53', () => {
    const writer = new WireWriter(1);
    writer.int64Field(4, -1_234_567);
    const reader = new WireReader(writer.take());
    expect(reader.varint()).toBe(0x20);
    expect(reader.varint(true)).toBe(-1_234_567);
    const wide = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
    expect(() => new WireReader(wide).varint()).toThrow(/passes 2\^53/);
    expect(() => new WireReader(Buffer.from([0x80])).varint()).toThrow(/does not end/);
    expect(() => new WireReader(Buffer.from([5, 1])).delimitedEnd()).toThrow(/runs over/);
  });
});

describe('message codec', () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  const content = fc.oneof(bytes, fc.string({ maxLength: 80, unit: 'grapheme' }));
  const anyMessage = fc.record(
    {
      key: content,
      value: content,
      timestamp: fc.maxSafeInteger(),
      headers: fc.array(fc.record({ name: fc.string({ minLength: 1 }), value: content }), { maxLength: 3 }),
    },
    { requiredKeys: ['value'] },
  );

  it('writes what protobufjs and the own decoder read alike, in exactly the announced size (fuzz)', () => {
    fc.assert(
      fc.property(anyMessage, fc.string({ minLength: 1, maxLength: 200 }), (message, group) => {
        const groupField = encodeGroupField(group);
        const size = messageSize(message, groupField.length);
        const writer = new WireWriter(1);
        encodeMessage(writer, message, groupField, size);
        const request = writer.take();
        const decoded = decodeRequest('OrderedProduce', request);
        const [read] = decoded['messages'] as {
          messageGroup: string;
          value: Buffer;
          producerTimestampMs: number;
        }[];
        expect(read?.messageGroup).toBe(group);
        expect(read?.value).toEqual(Buffer.from(message.value));
        expect(read?.producerTimestampMs).toBe(message.timestamp ?? 0);
        const own = decodeMessage(request, request.length - size, request.length);
        expect(own.group).toBe(group);
        expect(own.key).toEqual(Buffer.from(message.key ?? ''));
        expect(own.value).toEqual(Buffer.from(message.value));
        expect(own.producerTimestamp).toBe(message.timestamp ?? 0);
        const headers = (message.headers ?? []).map(({ name, value }) => ({
          name,
          value: Buffer.from(value),
        }));
        expect(own.headers).toEqual(headers);
      }),
    );
  });

  it('writes requests that the walker takes, with the head behind the messages', () => {
    const writer = new WireWriter(16);
    const groupField = encodeGroupField('x'.repeat(200));
    for (const value of ['a', 'b']) {
      encodeMessage(writer, { value }, groupField, messageSize({ value }, groupField.length));
    }
    const runs = { runLengths: [2], runSequences: [1000], runExpectedSequences: [7] };
    const head = { topic: 't', producerId: 9, producerEpoch: 1, ...runs };
    encodeOrderedProduceHead(writer, head);
    expect(new MessageWalker().orderedProduce(writer.take())).toMatchObject({ ...head, count: 2 });
  });

  it('skips fields of later versions when reading', () => {
    const later = bytesOf(Buffer.from([0x12, 1, 65, 0x30, 5, 0x3a, 2, 1, 2, 0x45, 0, 0, 0, 0]));
    expect(decodeMessage(later, 0, later.length).value.toString()).toBe('A');
  });
});

describe('produce codec', () => {
  it('writes ordered produce answers that protobufjs reads, and reads what protobufjs writes (fuzz)', () => {
    const response = fc.record({
      partitionResponses: fc.array(
        fc.record({
          partition: fc.nat(),
          messages: fc.nat(),
          baseOffset: natural,
          timestampMs: natural,
          leader: fc.nat(),
        }),
        { maxLength: 4 },
      ),
      partitionErrors: fc.array(
        fc.record({
          partition: fc.nat(),
          code: fc.string(),
          message: fc.string({ unit: 'grapheme' }),
          notApplied: fc.boolean(),
          messageIndexes: fc.array(fc.nat()),
          leaderAddress: fc.string(),
          currentSequence: natural,
        }),
        { maxLength: 3 },
      ),
      totalMessages: fc.nat(),
      successfulMessages: fc.nat(),
      statuses: fc.array(fc.integer({ min: 0, max: 3 })),
      partitions: fc.array(fc.nat()),
      offsets: columns,
      sequences: columns,
    });
    fc.assert(
      fc.property(response, (plain) => {
        const bytes = encodeOrderedProduceResponse(plain);
        expect(decodeOrderedProduceResponse(bytes)).toEqual(plain);
        expect(decodeOrderedProduceResponse(encodeResponse('OrderedProduce', plain))).toEqual(plain);
        expect(decodeResponse('OrderedProduce', bytes)).toEqual(plain);
      }),
    );
  });

  it('writes and reads plain produce requests and answers', () => {
    const answer = { partition: 3, baseOffset: 2 ** 50, messages: 2, timestampMs: 1_700_000_000_000 };
    expect(decodeProduceResponse(encodeProduceResponse(answer))).toEqual(answer);
    expect(decodeProduceResponse(encodeResponse('Produce', answer))).toEqual(answer);
    const writer = new WireWriter(8);
    encodeMessage(writer, { value: 'v' }, Buffer.alloc(0), 3);
    encodeProduceHead(writer, 't', 5);
    expect(new MessageWalker().produce(writer.take())).toMatchObject({ topic: 't', partition: 5, count: 1 });
  });
});

describe('fetch codec', () => {
  it('splices stored bytes behind the columns as protobufjs would have written them', () => {
    const stored = encodeRequest('OrderedProduce', {
      messages: [{ value: Buffer.from('one'), messageGroup: 'a' }, { value: Buffer.from('two') }],
    });
    const head = {
      partition: 1,
      baseOffset: 5000,
      highWatermark: 6000,
      runLengths: [1, 1],
      runSequences: [300, 0],
      runLives: [70_000, 0],
      runTimestampsMs: [1_700_000_000_000, 1_700_000_000_001],
      runOffsets: [],
    };
    const bytes = encodeFetchResponse(head, [stored.subarray(0, 7), stored.subarray(7)]);
    const reference = decodeResponse('Fetch', bytes);
    expect(reference).toMatchObject(head);
    expect(reference['messages']).toHaveLength(2);
    const decoded = decodeFetchResponse(bytes);
    expect(decoded).toMatchObject(head);
    const values = decoded.messageStarts.map((start, index) =>
      decodeMessage(bytes, start, decoded.messageEnds[index] ?? 0).value.toString(),
    );
    expect(values).toEqual(['one', 'two']);
  });

  it('round-trips any columns (fuzz)', () => {
    const plain = fc.record({
      partition: fc.nat(),
      baseOffset: natural,
      highWatermark: natural,
      runLengths: fc.array(fc.nat()),
      runSequences: columns,
      runLives: columns,
      runTimestampsMs: columns,
      runOffsets: columns,
    });
    fc.assert(
      fc.property(plain, (head) => {
        expect(decodeFetchResponse(encodeFetchResponse(head, []))).toMatchObject(head);
        expect(decodeFetchResponse(encodeResponse('Fetch', head))).toMatchObject(head);
      }),
    );
  });
});

describe('embedded descriptor', () => {
  it('is generated from the proto files as they are', () => {
    const script = fileURLToPath(new URL('../scripts/generate-descriptor.mjs', import.meta.url));
    expect(() => execFileSync(process.execPath, [script, '--check'])).not.toThrow();
  });
});
