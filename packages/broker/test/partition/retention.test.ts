import { describe, expect, it } from 'vitest';
import { decideRetention } from '../../src/partition/retention.ts';

const segments = [1, 2, 3, 4].map((n) => ({
  lastIndex: n * 10,
  nextOffset: n * 100,
  lastTimestamp: n * 1_000,
  bytes: 50,
  closed: n < 4,
}));

describe('what retention removes', () => {
  it('is nothing without limits', () => {
    expect(decideRetention(segments, { retentionMilliseconds: 0, retentionBytes: 0 }, 1e9)).toBeNull();
    expect(decideRetention([], { retentionMilliseconds: 1, retentionBytes: 1 }, 1e9)).toBeNull();
  });

  it('is whole segments whose newest record is too old', () => {
    const limits = { retentionMilliseconds: 5_000, retentionBytes: 0 };
    expect(decideRetention(segments, limits, 6_000)).toBeNull();
    expect(decideRetention(segments, limits, 7_001)).toEqual({ lowWatermark: 200, firstIndex: 21 });
    expect(decideRetention(segments, limits, null)).toBeNull();
  });

  it('never is the segment that is written', () => {
    const limits = { retentionMilliseconds: 1, retentionBytes: 1 };
    expect(decideRetention(segments, limits, 1e9)).toEqual({ lowWatermark: 300, firstIndex: 31 });
  });

  it('leaves what a subscription still needs, by whole segments', () => {
    const limits = { retentionMilliseconds: 1, retentionBytes: 0 };
    const at = (neededFrom: number) => decideRetention(segments, limits, 1e9, neededFrom)?.lowWatermark;
    expect([at(99), at(100), at(299), at(300), at(1e9)]).toEqual([undefined, 100, 200, 300, 300]);
  });

  it('keeps at least the bytes of the limit', () => {
    const at = (retentionBytes: number) =>
      decideRetention(segments, { retentionMilliseconds: 0, retentionBytes }, null)?.lowWatermark;
    expect([at(50), at(51), at(100), at(150), at(151), at(1_000)]).toEqual([
      300,
      200,
      200,
      100,
      undefined,
      undefined,
    ]);
  });
});
