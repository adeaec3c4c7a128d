import { describe, expect, it } from 'vitest';
import { RefusalError } from '../src/errors.ts';
import {
  decodeProduceCall,
  decodeProduceReply,
  encodeProduceCall,
  encodeProduceReply,
} from '../src/produce-stream-codec.ts';

const request = Buffer.from('the bytes of a request');

describe('the frames of OrderedProduceStream', () => {
  it('carry a request and its answer as they are', () => {
    const sent = { call: 2 ** 40, timeoutMs: 30_000, request };
    expect(decodeProduceCall(encodeProduceCall(sent))).toEqual(sent);
    const answered = { call: 7, answer: Buffer.from('an answer') };
    expect(decodeProduceReply(encodeProduceReply(answered))).toEqual(answered);
    expect(decodeProduceReply(encodeProduceReply({ call: 8, answer: Buffer.alloc(0) }))).toEqual({
      call: 8,
      answer: Buffer.alloc(0),
    });
  });

  it('carry a refusal with all that its trailers would say', () => {
    const refusal = new RefusalError('NOT_COMMITTED', 'no majority', {
      outcome: 'unknown',
      leaderAddress: 'node-2:7101',
    });
    const { call, answer } = decodeProduceReply(encodeProduceReply({ call: 3, answer: refusal }));
    expect(call).toBe(3);
    expect(answer).toBeInstanceOf(RefusalError);
    const { code, message, outcome, leaderAddress } = answer as RefusalError;
    expect({ code, message, outcome, leaderAddress }).toEqual({
      code: 'NOT_COMMITTED',
      message: 'no majority',
      outcome: 'unknown',
      leaderAddress: 'node-2:7101',
    });
  });

  it('are refused when a field is unknown, given twice, of a wrong type, or runs over the end', () => {
    const good = encodeProduceCall({ call: 1, timeoutMs: 5, request });
    const wrong: readonly (readonly [RegExp, Buffer])[] = [
      [/unknown/, Buffer.concat([good, Buffer.from([0x18, 1])])],
      [/again/, Buffer.concat([good, Buffer.from([0x08, 1])])],
      [/wire type/, Buffer.concat([Buffer.from([0x0a, 0]), good.subarray(2)])],
      [/runs over/, good.subarray(0, good.length - 1)],
      [/missing/, Buffer.from([0x08, 1])],
    ];
    for (const [reason, bytes] of wrong) {
      expect(() => decodeProduceCall(bytes)).toThrow(reason);
      expect(() => decodeProduceCall(bytes)).toThrow(RefusalError);
    }
  });
});
