import type { Entry, Index, Term } from '@seriatim/raft';
import { describe, expect, it } from 'vitest';
import { ApplyBacklog } from '../src/apply-backlog.ts';

const entries = (from: number, to: number, bytes: number): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, n) => ({
    index: (from + n) as Index,
    term: 1 as Term,
    type: 'command',
    data: new Uint8Array(bytes),
  }));
const indexes = (slice: readonly Entry[]): number[] => slice.map(({ index }) => index);

describe('a backlog of committed entries', () => {
  it('gives few at once, and many small ones in slices, in order', () => {
    const backlog = new ApplyBacklog();
    backlog.add(entries(1, 3, 10));
    backlog.add(entries(4, 5, 10));
    expect(indexes(backlog.takeSlice())).toEqual([1, 2, 3, 4, 5]);
    expect(backlog.empty).toBe(true);
    backlog.add(entries(6, 10_005, 10));
    const taken: number[] = [];
    let slices = 0;
    for (; !backlog.empty; slices++) taken.push(...indexes(backlog.takeSlice()));
    expect(taken).toEqual(indexes(entries(6, 10_005, 0)));
    expect(slices).toBe(5);
  });

  it('gives an entry that is larger than a slice by itself, and nothing when it is empty', () => {
    const backlog = new ApplyBacklog();
    backlog.add(entries(1, 2, 4 * 1024 * 1024));
    expect(indexes(backlog.takeSlice())).toEqual([1]);
    expect(indexes(backlog.takeSlice())).toEqual([2]);
    expect(backlog.takeSlice()).toEqual([]);
    backlog.add(entries(3, 4, 1));
    backlog.clear();
    expect(backlog.empty).toBe(true);
  });
});
