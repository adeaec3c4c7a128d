import type { Index, Term } from './types.ts';

/** The index before the first entry. */
export const ZERO_INDEX: Index = 0 as Index;
/** The term before the first election. */
export const ZERO_TERM: Term = 0 as Term;

/** Index `count` entries behind `index` (before it, when negative). */
export function shift(index: Index, count: number): Index {
  return (index + count) as Index;
}

/** The lower of two indexes. */
export function lower(a: Index, b: Index): Index {
  return a < b ? a : b;
}

/** The higher of two indexes. */
export function higher(a: Index, b: Index): Index {
  return a > b ? a : b;
}
