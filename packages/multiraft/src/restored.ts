/** From what the log store found to what a core starts with. */
import { type Entry, type Index, initialRestored, type Restored, type SnapshotMeta } from '@seriatim/raft';
import type { ShardSpec } from './types.ts';

/** What the core of this replica starts from. */
export function restoredFrom(spec: ShardSpec): Restored {
  const initial = initialRestored(spec.initial);
  const { recovered } = spec;
  if (recovered === null) return initial;
  const snapshot = recovered.image ?? initial.snapshot;
  return {
    hardState: recovered.hardState,
    snapshot,
    entries: follows(recovered.entries, snapshot) ? recovered.entries : [],
    first: recovered.first,
    commit: Math.max(recovered.commit, snapshot.index) as Index,
  };
}

/**
 * After a crash between "the image is complete" and "the log was reset to it" the log may still hold entries of leaders that did
 * not have the image's last entry. Their terms are below its term: terms never fall along a log (paper 5.3).
 */
function follows(entries: readonly Entry[], image: SnapshotMeta): boolean {
  const [first] = entries;
  return first === undefined || first.term >= image.term;
}
