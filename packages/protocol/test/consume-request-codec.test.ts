import { Buffer } from 'node:buffer';
import type { ServiceDefinition } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CONSUME_ROWS_MAX,
  type ConsumeRequest,
  decodeConsumeRequest,
  encodeConsumeRequest,
  NACK_BACKOFF,
} from '../src/consume-request-codec.ts';
import { RefusalError } from '../src/errors.ts';
import { brokerPackage } from '../src/service.ts';

const NOTHING: ConsumeRequest = {
  open: null,
  creditMessages: 0,
  creditBytes: 0,
  settleKinds: [],
  settlePartitions: [],
  settleTokenEpochs: [],
  settleTokenCounters: [],
  settleSequences: [],
  settleMilliseconds: [],
  settleReasons: [],
  leave: false,
};

const natural = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const small = fc.nat({ max: 0xffff_ffff });
const text = fc.string({ maxLength: 20, unit: 'grapheme' });
const row = fc.record({
  kind: fc.nat({ max: 3 }),
  partition: small,
  epoch: natural,
  counter: natural,
  sequence: natural,
  delay: fc.constantFrom(0, 1, 86_400_000, NACK_BACKOFF),
  reason: text,
});
const hold = fc.record({
  group: text,
  partition: small,
  life: natural,
  epoch: natural,
  counter: natural,
  sequence: natural,
  headOffset: natural,
  headAttempt: small,
  settled: natural,
});
const anyRequest: fc.Arbitrary<ConsumeRequest> = fc
  .record({
    names: fc.option(fc.tuple(text, text, text, text)),
    holds: fc.array(hold, { maxLength: 8 }),
    rows: fc.array(row, { maxLength: 12 }),
    messages: fc.nat({ max: 1_000_000 }),
    bytes: fc.nat({ max: 256 * 1024 * 1024 }),
    leave: fc.boolean(),
  })
  .map(({ names, holds, rows, messages, bytes, leave }) => ({
    open:
      names === null
        ? null
        : {
            topic: names[0],
            subscription: names[1],
            consumer: names[2],
            session: names[3],
            resumeGroups: holds.map(({ group }) => group),
            resumePartitions: holds.map(({ partition }) => partition),
            resumeLives: holds.map(({ life }) => life),
            resumeTokenEpochs: holds.map(({ epoch }) => epoch),
            resumeTokenCounters: holds.map(({ counter }) => counter),
            resumeSequences: holds.map(({ sequence }) => sequence),
            resumeHeadOffsets: holds.map(({ headOffset }) => headOffset),
            resumeHeadAttempts: holds.map(({ headAttempt }) => headAttempt),
            resumeSettledSequences: holds.map(({ settled }) => settled),
          },
    creditMessages: messages,
    creditBytes: bytes,
    settleKinds: rows.map(({ kind }) => kind),
    settlePartitions: rows.map(({ partition }) => partition),
    settleTokenEpochs: rows.map(({ epoch }) => epoch),
    settleTokenCounters: rows.map(({ counter }) => counter),
    settleSequences: rows.map(({ sequence }) => sequence),
    settleMilliseconds: rows.map(({ kind, delay }) => (kind === 1 ? delay : 0)),
    settleReasons: rows.filter(({ kind }) => kind === 1 || kind === 2).map(({ reason }) => reason),
    leave,
  }));

function refusal(bytes: Buffer): string {
  try {
    decodeConsumeRequest(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(RefusalError);
    expect(error).toMatchObject({ code: 'INVALID_REQUEST' });
    return (error as Error).message;
  }
  return 'accepted';
}

const refused = (change: Partial<ConsumeRequest>): string =>
  refusal(encodeConsumeRequest({ ...NOTHING, ...change }));
const oneRow = (kind: number, milliseconds: number, reasons: string[] = []): Partial<ConsumeRequest> => ({
  settleKinds: [kind],
  settlePartitions: [1],
  settleTokenEpochs: [1],
  settleTokenCounters: [1],
  settleSequences: [1],
  settleMilliseconds: [milliseconds],
  settleReasons: reasons,
});

describe('consume request codec', () => {
  const service = brokerPackage['seriatim.v1.Subscriptions'] as ServiceDefinition;
  const reference = service['Consume'];

  it('reads what it wrote, and what protobufjs wrote', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const bytes = encodeConsumeRequest(request);
        expect(decodeConsumeRequest(bytes)).toEqual(request);
        const again = reference?.requestSerialize(reference.requestDeserialize(bytes)) as Buffer;
        expect(decodeConsumeRequest(again)).toEqual(request);
      }),
    );
  });

  it('answers garbage with INVALID_REQUEST and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), anyRequest, fc.nat(), (noise, request, at) => {
        refusal(Buffer.from(noise));
        const bytes = encodeConsumeRequest(request);
        const cut = bytes.length === 0 ? 0 : at % bytes.length;
        refusal(Buffer.concat([bytes.subarray(0, cut), noise, bytes.subarray(cut)]));
      }),
    );
  });

  it('refuses columns that are not parallel', () => {
    expect(refused({ settleKinds: [0] })).toContain('settle_* columns have 0 and 1 values');
    expect(refused({ ...oneRow(1, 0) })).toContain('0 settle_reasons for 1 NACK');
    expect(refused({ ...oneRow(0, 0, ['why']) })).toContain('1 settle_reasons for 0 NACK');
    const open = { topic: 't', subscription: 's', consumer: 'c', session: 'session-1' };
    const columns = {
      resumeLives: [1],
      resumeTokenEpochs: [1],
      resumeTokenCounters: [1],
      resumeSequences: [1],
      resumeHeadOffsets: [1],
      resumeHeadAttempts: [1],
      resumeSettledSequences: [1],
    };
    const whole = { ...columns, resumeGroups: ['a'], resumePartitions: [1] };
    expect(refused({ open: { ...open, ...whole } })).toBe('accepted');
    for (const column of Object.keys(whole)) {
      expect(refused({ open: { ...open, ...whole, [column]: [] } }), column).toContain('resume_* columns');
    }
  });

  it('refuses numbers out of their range', () => {
    expect(refused({ creditMessages: 1_000_001 })).toContain(
      'credit_messages is 1000001, the limit is 1000000',
    );
    expect(refused({ creditBytes: 268_435_457 })).toContain('credit_bytes');
    expect(refused({ ...oneRow(4, 0) })).toContain('settle_kinds');
    expect(refused({ ...oneRow(1, 86_400_001, ['']) })).toContain('delay of a NACK');
    expect(refused({ ...oneRow(3, 3_600_001) })).toContain('length of an EXTEND');
    expect(refused({ ...oneRow(0, 1) })).toContain('ACK or REJECT');
    expect(refused({ ...oneRow(1, NACK_BACKOFF, ['']) })).toBe('accepted');
  });

  it('refuses more rows than the limit, fields it does not know, and fields given twice', () => {
    const many = new Array<number>(CONSUME_ROWS_MAX + 1).fill(0);
    expect(refused({ settleKinds: many })).toContain('more than 65536 values');
    expect(refused({ settleKinds: new Array<number>(CONSUME_ROWS_MAX * 10 + 1).fill(0) })).toContain('65536');
    expect(refusal(Buffer.from([0x22, 1, 0x80, 0x10, 5]))).toContain("runs over its field's end");
    expect(refusal(Buffer.from([0x60, 1]))).toContain('field 12');
    expect(refusal(Buffer.from([0x10, 1, 0x10, 1]))).toContain('field 2 is given twice');
    expect(refusal(Buffer.from([0x15, 1, 0, 0, 0]))).toContain('field 2');
    expect(refusal(Buffer.from([0x52, 2, 0xff, 0xfe]))).toContain('not UTF-8');
  });
});
