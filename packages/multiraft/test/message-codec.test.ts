import type { Entry, Index, Message, ReplicaId, Term } from '@seriatim/raft';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../src/byte-writer.ts';
import { beginRaftFrame, decodeRaftFrame, encodeMessage, type ShardMessage } from '../src/message-codec.ts';
import type { ShardId } from '../src/ports.ts';

const number = fc.maxSafeNat();
const index = number.map((n) => n as Index);
const term = number.map((n) => n as Term);
const envelope = { from: number.map((n) => n as ReplicaId), to: number.map((n) => n as ReplicaId), term };
const entryFields = fc.record({
  term,
  type: fc.constantFrom('noop' as const, 'command' as const, 'configuration' as const),
  data: fc.uint8Array({ maxLength: 1_500 }),
});
const append = fc
  .record({
    type: fc.constant('appendRequest' as const),
    ...envelope,
    previousIndex: fc.nat().map((n) => n as Index),
    previousTerm: term,
    commit: index,
    fields: fc.array(entryFields, { maxLength: 6 }),
  })
  .map(({ fields, ...rest }) => ({
    ...rest,
    entries: fields.map((entry, n): Entry => ({ ...entry, index: (rest.previousIndex + 1 + n) as Index })),
  }));
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    type: fc.constant('voteRequest' as const),
    ...envelope,
    preVote: fc.boolean(),
    transfer: fc.boolean(),
    lastIndex: index,
    lastTerm: term,
  }),
  fc.record({
    type: fc.constant('voteResponse' as const),
    ...envelope,
    preVote: fc.boolean(),
    granted: fc.boolean(),
  }),
  append,
  fc.record({
    type: fc.constant('appendResponse' as const),
    ...envelope,
    success: fc.boolean(),
    index,
    hintIndex: index,
    hintTerm: term,
  }),
  fc.record({ type: fc.constant('heartbeatRequest' as const), ...envelope, commit: index, round: number }),
  fc.record({ type: fc.constant('heartbeatResponse' as const), ...envelope, round: number }),
  fc.record({ type: fc.constant('timeoutNow' as const), ...envelope }),
);
const items = fc.array(fc.record({ shard: number.map((n) => n as ShardId), message }), { maxLength: 8 });

function encode(list: readonly ShardMessage[], flushMilliseconds = 3): Uint8Array {
  const writer = new ByteWriter();
  beginRaftFrame(writer, flushMilliseconds);
  for (const item of list) encodeMessage(writer, item.shard, item.message);
  const { length } = writer;
  const frame = Buffer.concat(writer.take());
  expect(frame.length).toBe(length);
  return new Uint8Array(frame);
}

describe('the frame of raft messages', () => {
  it('gives back what was written, whatever it is', () => {
    fc.assert(
      fc.property(items, number, (list, flush) => {
        expect(decodeRaftFrame(encode(list, flush))).toEqual({
          type: 'messages',
          flushMilliseconds: flush,
          items: list,
        });
      }),
    );
  });

  it('never throws for garbage, and refuses a frame cut anywhere inside a message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const frame = Uint8Array.from([1, 1, ...bytes]);
        expect(['messages', 'garbage']).toContain(decodeRaftFrame(frame).type);
      }),
    );
    const one: ShardMessage = {
      shard: 300 as ShardId,
      message: {
        type: 'appendResponse',
        from: 1 as ReplicaId,
        to: 2 as ReplicaId,
        term: 9 as Term,
        success: true,
        index: 5_000 as Index,
        hintIndex: 7 as Index,
        hintTerm: 8 as Term,
      },
    };
    const frame = encode([one]);
    for (let length = 4; length < frame.length; length += 1) {
      expect(decodeRaftFrame(frame.subarray(0, length)).type).toBe('garbage');
    }
  });

  it('refuses another version, unknown types, unknown flags and numbers above 2^53 - 1', () => {
    const refused = (...bytes: number[]): string => {
      const decoded = decodeRaftFrame(Uint8Array.from(bytes));
      return decoded.type === 'garbage' ? decoded.reason : 'taken';
    };
    expect(refused(1, 2, 0)).toMatch(/version 2/);
    expect(refused(1, 1, 0, 15, 1, 1, 1, 1)).toMatch(/type 15/);
    expect(refused(1, 1, 0, 0x47, 1, 1, 1, 1)).toMatch(/flags/);
    expect(refused(1, 1, 255, 255, 255, 255, 255, 255, 255, 127)).toMatch(/2\^53/);
    expect(refused(1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 1)).toMatch(/longer than 8/);
  });

  it('does not copy the data of large entries', () => {
    const data = new Uint8Array(4_096);
    const writer = new ByteWriter();
    beginRaftFrame(writer, 0);
    encodeMessage(writer, 1 as ShardId, {
      type: 'appendRequest',
      from: 1 as ReplicaId,
      to: 2 as ReplicaId,
      term: 1 as Term,
      previousIndex: 0 as Index,
      previousTerm: 0 as Term,
      commit: 0 as Index,
      entries: [{ index: 1 as Index, term: 1 as Term, type: 'command', data }],
    });
    expect(writer.take()).toContain(data);
  });
});
