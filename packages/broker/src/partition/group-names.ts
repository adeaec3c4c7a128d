/**
 * Names of a partition's groups, by dense number. What the partition needs of the group table of `storage`; a seam, because
 * removals (the end of a life) are not part of it yet and the table's columns are not used.
 */
import { GroupTable } from '@seriatim/storage';

/** See the head of this file. */
export interface GroupNames {
  readonly count: number;
  /** Number of the name `bytes[start, end)`, or -1. Does not allocate. */
  find(bytes: Uint8Array, start: number, end: number): number;
  /** Adds a name and returns its number, {@link count} as it was before; for one that is there the number it has. */
  add(bytes: Uint8Array, start: number, end: number): number;
  /** The bytes of a name; not to be changed. */
  name(group: number): Uint8Array;
}

/** {@link GroupNames} in a group table. `seed` varies its hash from process to process. */
export function groupNames(seed = 0): GroupNames {
  const table = new GroupTable({ columns: {}, seed });
  return {
    get count(): number {
      return table.size;
    },
    find: (bytes, start, end) => table.find(bytes, start, end),
    add: (bytes, start, end) => table.insert(bytes, start, end),
    name: (group) => table.keyBytes(group),
  };
}
