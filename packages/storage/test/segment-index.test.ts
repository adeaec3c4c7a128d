import type { EntryDescription } from '@seriatim/multiraft';
import type { Index, Term } from '@seriatim/raft';
import { describe, expect, it } from 'vitest';
import { groupPositionsIn, SegmentIndex } from '../src/segment-index.ts';
import { entry, SHARD } from './support/fixture.ts';

/** An index of one entry for each list of groups, 100 bytes each. */
function indexOf(groupsOfEntries: readonly (readonly number[])[]): SegmentIndex {
  const index = new SegmentIndex({ shard: SHARD, first: 1 as Index, previousTerm: 0 as Term }, 1_000);
  groupsOfEntries.forEach((groups, number) => {
    const description: EntryDescription = { offset: number, count: groups.length, timestamp: 0, groups };
    index.add({ entry: entry(number + 1), description }, index.bytes + 100);
  });
  return index;
}

describe('the group index of a closed segment', () => {
  it.each([
    ['few groups', [5, 0, 7, 65_535]],
    ['groups that differ in their upper bits only', [1, 0x1_0001, 0x2_0001, 0x8000_0001, 0xffff_0001]],
    ['the highest numbers', [0xffff_ffff, 0xffff_fffe, 0xffff, 0x1_0000, 0]],
  ])('gives the positions that the growing one gave: %s', (_, groups) => {
    const entriesOf = Array.from({ length: 300 }, (_, number) =>
      groups.filter((_, place) => (number * 7) % (place + 2) === 0),
    );
    const index = indexOf(entriesOf);
    const file = index.encode();
    for (const group of groups) {
      const positions = index.positionsOfGroup(group);
      expect(positions.length, `${group}`).toBeGreaterThan(0);
      expect(groupPositionsIn(file, group), `${group}`).toEqual(positions);
    }
    expect(groupPositionsIn(file, 3)).toEqual([]);
  });

  it('has nothing when no entry had records', () => {
    const file = indexOf([[], []]).encode();
    expect(groupPositionsIn(file, 0)).toEqual([]);
  });

  it('is refused when a byte of it changed', () => {
    const file = indexOf([[1, 2], [2]]).encode();
    const damaged = Uint8Array.from(file);
    damaged[file.length - 10] = (damaged[file.length - 10] ?? 0) ^ 1;
    expect(groupPositionsIn(damaged, 2)).toBeNull();
  });
});
