import type { Entry, EntryType, Index, Term } from '@seriatim/raft';
import { describe, expect, it } from 'vitest';
import { Proposals } from '../src/proposals.ts';
import type { Fate } from '../src/types.ts';

const entry = (index: number, term: number, type: EntryType = 'command'): Entry => ({
  index: index as Index,
  term: term as Term,
  type,
  data: new Uint8Array(0),
});

function track(): {
  proposals: Proposals;
  add: (name: string, index: number, term: number) => void;
  fates: string[];
} {
  const proposals = new Proposals();
  const fates: string[] = [];
  const add = (name: string, index: number, term: number): void =>
    proposals.add(index as Index, term as Term, (fate: Fate) => fates.push(`${name} ${fate.type}`));
  return { proposals, add, fates };
}

describe('Proposals', () => {
  it('settle as applied when the entry of their index and term is applied', () => {
    const { proposals, add, fates } = track();
    add('a', 5, 2);
    add('b', 6, 2);
    proposals.applied([entry(4, 2), entry(5, 2)]);
    expect(fates).toEqual(['a applied']);
    proposals.applied([entry(6, 2)]);
    expect(fates).toEqual(['a applied', 'b applied']);
    expect(proposals.pending).toBe(0);
  });

  it('stay open while another entry at their index is not committed (paper, figure 8)', () => {
    const { proposals, add, fates } = track();
    add('a', 5, 2);
    proposals.applied([entry(4, 2)]);
    expect(fates).toEqual([]);
  });

  it('settle as overwritten once an entry of a later term is applied at or before their index', () => {
    const { proposals, add, fates } = track();
    add('a', 5, 2);
    add('b', 9, 2);
    proposals.applied([entry(5, 3, 'noop')]);
    expect(fates).toEqual(['a overwritten', 'b overwritten']);
  });

  it('keep their order over two leaderships of the same replica', () => {
    const { proposals, add, fates } = track();
    add('old', 10, 1);
    add('new', 8, 3);
    proposals.applied([entry(7, 3, 'noop'), entry(8, 3)]);
    expect(fates).toEqual(['old overwritten', 'new applied']);
  });

  it('are unknown when an image jumped over them, or when the replica closes', () => {
    const { proposals, add, fates } = track();
    add('a', 5, 2);
    add('b', 9, 2);
    proposals.jumped(7 as Index);
    expect(fates).toEqual(['a unknown']);
    proposals.abandon();
    expect(fates).toEqual(['a unknown', 'b unknown']);
  });

  it('settle a change of members only with the final configuration', () => {
    const proposals = new Proposals();
    const fates: Fate[] = [];
    proposals.addChange(3 as Index, 1 as Term, (fate) => fates.push(fate));
    proposals.applied([entry(3, 1, 'configuration')]);
    expect(fates).toEqual([]);
    proposals.configurationFinal(4 as Index);
    expect(fates).toEqual([{ type: 'applied', index: 4 }]);
  });
});
