import { Buffer } from 'node:buffer';
import type { ServiceDefinition } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ConsumeColumns, decodeConsumeResponse, encodeConsumeResponse } from '../src/consume-codec.ts';
import { brokerPackage } from '../src/service.ts';
import { field } from './request-bytes.ts';

const natural = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const small = fc.nat({ max: 0xffff_ffff });
const wide = fc.array(natural, { maxLength: 20 });
const narrow = fc.array(small, { maxLength: 20 });
const text = fc.string({ maxLength: 40, unit: 'grapheme' });

const anyColumns: fc.Arbitrary<ConsumeColumns> = fc.record({
  partition: small,
  runLengths: narrow,
  runOffsets: wide,
  runSequences: wide,
  runLives: wide,
  runTimestampsMs: wide,
  runAttempts: narrow,
  runTokenCounters: wide,
  tokenEpoch: natural,
  holdMilliseconds: small,
  settledRows: natural,
  refusedRows: wide,
  refusedCodes: fc.array(fc.constantFrom('HOLD_LOST', 'NOT_LEADER'), { maxLength: 5 }),
  events: fc.array(
    fc.record({
      kind: fc.nat({ max: 6 }),
      partition: small,
      group: text,
      life: natural,
      tokenEpoch: natural,
      tokenCounter: natural,
      firstSequence: natural,
      lastSequence: natural,
      leaderAddress: text,
      code: text,
    }),
    { maxLength: 4 },
  ),
});

const bodies = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 });

describe('consume response codec', () => {
  const service = brokerPackage['seriatim.v1.Subscriptions'] as ServiceDefinition;
  const reference = service['Consume'];
  if (reference === undefined) throw new Error('Consume');

  it('reads what it wrote, and finds the messages as slices of the same memory (fuzz)', () => {
    fc.assert(
      fc.property(anyColumns, bodies, (columns, messages) => {
        const bytes = encodeConsumeResponse(
          columns,
          messages.map((message) => field(0x7a, message)),
        );
        const { bytes: memory, messageStarts, messageEnds, ...read } = decodeConsumeResponse(bytes);
        expect(read).toEqual(columns);
        expect(memory).toBe(bytes);
        const found = messageStarts.map((start, index) => bytes.subarray(start, messageEnds[index]));
        expect(found).toEqual(messages.map((message) => Buffer.from(message)));
      }),
    );
  });

  it('reads what protobufjs writes (fuzz)', () => {
    fc.assert(
      fc.property(anyColumns, (columns) => {
        const {
          bytes: _bytes,
          messageStarts,
          messageEnds,
          ...read
        } = decodeConsumeResponse(reference.responseSerialize(columns));
        expect(read).toEqual(columns);
        expect([messageStarts, messageEnds]).toEqual([[], []]);
      }),
    );
  });

  it('refuses bytes that end early', () => {
    expect(() => decodeConsumeResponse(Buffer.from([0x7a, 5, 1]))).toThrow(RangeError);
    expect(() => decodeConsumeResponse(Buffer.from([0x72, 2, 0x1a, 5]))).toThrow(RangeError);
  });
});
