import { describe, expect, test } from 'vitest';
import type { Index, Restored, Term } from '../src/index.ts';
import { initialRestored } from '../src/index.ts';
import { RaftLog } from '../src/log.ts';
import { PendingWrites } from '../src/writes.ts';
import { configurationOf } from './replica.ts';
import { entriesOf } from './words.ts';

const i = (value: number): Index => value as Index;
const t = (value: number): Term => value as Term;

function restored(terms: readonly number[], commit: number): Restored {
  return { ...initialRestored(configurationOf([1])), entries: entriesOf(terms), commit: i(commit) };
}

describe('the log in memory', () => {
  test('starts with what was restored, all of it durable, nothing of it applied', () => {
    const log = new RaftLog(restored([1, 1, 2], 2), 1_000);
    expect([log.first, log.last, log.durable, log.commit, log.handed, log.applied]).toEqual([
      1, 3, 3, 2, 0, 0,
    ]);
    expect(log.term(i(3))).toBe(2);
    expect(log.term(i(4))).toBeUndefined();
  });

  test('lets applied entries beyond the cache leave, and still knows their terms', () => {
    const log = new RaftLog(restored([1, 2, 3, 4], 4), 140);
    log.handed = i(3);
    log.appliedTo(i(3));
    expect(log.cacheFirst).toBe(3);
    expect(log.term(i(1))).toBe(1);
    expect(log.slice(i(3), i(4))).toHaveLength(2);
    expect(() => log.entry(i(1))).toThrow(/not in memory/);
  });

  test('never lets an entry leave that is not applied or not durable', () => {
    const log = new RaftLog(restored([1, 1], 2), 1);
    log.evict();
    expect(log.cacheFirst).toBe(1);
    log.append(t(1), 'noop', new Uint8Array(100));
    log.commit = i(3);
    log.handed = i(3);
    log.appliedTo(i(3));
    expect(log.cacheFirst).toBe(3);
  });

  test('cuts by bytes, but gives at least one entry', () => {
    const log = new RaftLog(restored([1, 1, 1, 1], 0), 1_000);
    expect(log.sliceBytes(i(1), 1)).toHaveLength(1);
    expect(log.sliceBytes(i(1), 6)).toHaveLength(2);
    expect(log.sliceBytes(i(2), 1_000)).toHaveLength(3);
  });

  test('refuses to drop what is committed', () => {
    const log = new RaftLog(restored([1, 1, 1], 2), 1_000);
    expect(() => log.truncateFrom(i(2))).toThrow(/commit index/);
    log.truncateFrom(i(3));
    expect([log.last, log.durable, log.unwritten]).toEqual([2, 2, 3]);
  });
});

describe('writes on their way', () => {
  const state = { term: t(1), vote: 0 as never };

  test('vouch only for what still stands there when they complete', () => {
    const writes = new PendingWrites(state);
    writes.begin(i(5), state);
    writes.truncatedTo(i(2));
    writes.begin(i(4), { ...state, term: t(2) });
    expect(writes.complete(1)).toBe(2);
    expect(writes.hardState.term).toBe(1);
    expect(writes.complete(2)).toBe(4);
    expect(writes.hardState.term).toBe(2);
    expect(writes.busy).toBe(false);
  });

  test('complete together when a later one is reported', () => {
    const writes = new PendingWrites(state);
    writes.begin(i(1), state);
    writes.begin(i(2), state);
    expect(writes.complete(2)).toBe(2);
    expect(writes.complete(2)).toBeNull();
    expect(() => writes.complete(3)).toThrow(/never given out/);
  });
});
