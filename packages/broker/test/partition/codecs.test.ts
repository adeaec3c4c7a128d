import type { ShardId } from '@seriatim/multiraft';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AppendAnswer } from '../../src/contracts.ts';
import { AppendBuilder } from '../../src/partition/append-builder.ts';
import {
  decodeAppendAnswer,
  decodeAppendBatch,
  encodeAppendAnswer,
  encodeAppendBatch,
} from '../../src/partition/append-codec.ts';
import { AppendHeader } from '../../src/partition/append-header.ts';
import { ByteReader } from '../../src/partition/byte-reader.ts';
import { ByteWriter } from '../../src/partition/byte-writer.ts';
import { ShardFault } from '../../src/partition/shard-fault.ts';
import {
  decodeGroupStatuses,
  decodeGroupStatusRequest,
  decodePartitionStatus,
  decodePartitionStatusRequest,
  encodeGroupStatuses,
  encodeGroupStatusRequest,
  encodePartitionStatus,
  encodePartitionStatusRequest,
  type PartitionStatus,
} from '../../src/partition/status-codec.ts';
import { batch } from './batches.ts';

const fault = (message: string): Error => new Error(message);

describe('varints', () => {
  it('carry every whole number up to 2^53 - 1', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat()), fc.nat(2 ** 32 - 1), (numbers, word) => {
        const writer = new ByteWriter(1);
        for (const number of [0, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 53 - 1, ...numbers])
          writer.varint(number);
        writer.u32(word);
        const reader = new ByteReader(fault);
        reader.open(writer.copy());
        for (const number of [0, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 53 - 1, ...numbers]) {
          expect(reader.varint()).toBe(number);
        }
        expect(reader.u32()).toBe(word);
        expect(reader.remaining).toBe(0);
      }),
    );
  });

  it('are refused above it, below 0, and when they end early', () => {
    const reader = new ByteReader(fault);
    reader.open(Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 31));
    expect(() => reader.varint()).toThrow(/2\^53/);
    reader.open(Uint8Array.of(255, 255));
    expect(() => reader.varint()).toThrow(/early/);
    expect(() => reader.view(5)).toThrow(/early/);
    expect(() => new ByteWriter().varint(-1)).toThrow(RangeError);
    expect(() => new ByteWriter().varint(2 ** 53)).toThrow(RangeError);
  });
});

describe('an append command', () => {
  it('that is cut or changed in its header is refused or read as another, never read past its end', () => {
    const builder = new AppendBuilder();
    builder.begin(5, 10);
    const name = Buffer.from('group');
    builder.newGroup(0, name, 0, 5);
    builder.run(0, builder.producer(9, 1), 2, 3, 1, 1, 0xffffffff, 6);
    builder.body(Uint8Array.of(0x7a, 1, 65, 0x7a, 1, 66));
    const data = builder.finish();
    const header = new AppendHeader();
    header.read(data);
    expect([header.timestamp, header.baseOffset, header.records, header.checksum[0]]).toEqual([
      5, 10, 2, 0xffffffff,
    ]);
    for (let length = 0; length < data.length; length++) {
      expect(() => header.read(data.subarray(0, length))).toThrow(ShardFault);
    }
    fc.assert(
      fc.property(fc.nat(data.length - 1), fc.nat(255), (at, byte) => {
        const changed = Uint8Array.from(data);
        changed[at] = byte;
        try {
          header.read(changed);
          expect(header.bodyEnd[header.runs - 1] ?? header.bodyStart).toBe(data.length);
        } catch (error) {
          expect(error).toBeInstanceOf(ShardFault);
        }
      }),
    );
  });
});

describe('appends between nodes', () => {
  const sent = batch(
    [
      { group: 'a', life: 2 ** 40, sequence: 2 ** 50, values: ['1', '2'] },
      { values: ['plain'] },
      { group: 'grüße', sequence: 1, values: ['x'.repeat(200)] },
    ],
    { id: 2 ** 45, epoch: 3 },
  );

  it('arrive as they were sent', () => {
    const received = decodeAppendBatch(Buffer.concat(encodeAppendBatch(sent)));
    expect({ ...received, body: Buffer.from(received.body) }).toEqual({
      ...sent,
      body: Buffer.from(sent.body),
    });
  });

  it('are refused when they are broken', () => {
    const bytes = Buffer.concat(encodeAppendBatch(sent));
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeAppendBatch(bytes.subarray(0, length))).toThrow(/append between nodes/);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (garbage) => {
        try {
          decodeAppendBatch(Buffer.concat([Uint8Array.of(1), garbage]));
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_REQUEST' });
        }
      }),
    );
  });

  it('are answered alike on both sides', () => {
    const answers: AppendAnswer[] = [
      { type: 'refusal', code: 'NOT_LEADER', message: 'elsewhere', notApplied: true },
      { type: 'refusal', code: 'NOT_COMMITTED', message: 'who knows', notApplied: false },
      {
        type: 'receipt',
        timestamp: 1_700_000_000_000,
        status: [0, 1, 2, 3],
        firstOffset: [2 ** 40, 5, 0, 0],
        firstSequence: [1, 2, 0, 0],
        errors: [
          { run: 2, code: 'SEQUENCE_GAP', message: 'ä' },
          { run: 3, code: 'NOT_COMMITTED', message: '' },
        ],
      },
    ];
    for (const answer of answers) expect(decodeAppendAnswer(encodeAppendAnswer(answer))).toEqual(answer);
    expect(() => decodeAppendAnswer(Uint8Array.of(1, 7))).toThrow(/type 7/);
    expect(() => decodeAppendAnswer(Uint8Array.of(3))).toThrow(/version 3/);
  });
});

describe('status between nodes', () => {
  it('arrives as it was sent', () => {
    const status: PartitionStatus = {
      leads: true,
      term: 4,
      highWatermark: 100,
      lowWatermark: 3,
      lastIndex: 12,
      groups: 2,
      members: [
        { replica: 5, state: 'snapshot', match: 2, active: false, learner: true },
        { replica: 6, state: 'replicate', match: 12, active: true, learner: false },
      ] as unknown as PartitionStatus['members'],
    };
    expect(decodePartitionStatus(encodePartitionStatus(status))).toEqual(status);
    expect(decodePartitionStatusRequest(encodePartitionStatusRequest(9 as ShardId))).toBe(9);
    const asked = { shard: 9 as ShardId, groups: ['a', 'ö'] };
    expect(decodeGroupStatusRequest(encodeGroupStatusRequest(asked.shard, asked.groups))).toEqual(asked);
    const groups = [null, { life: 1, lastSequence: 0, lastOffset: -1, lastTimestamp: 0 }];
    expect(decodeGroupStatuses(encodeGroupStatuses(groups))).toEqual(groups);
    expect(() => decodePartitionStatus(Uint8Array.of(5))).toThrow(/version 5/);
  });
});
