/** From what the log store found to what a core starts with. */
import { type Index, initialRestored, type Restored } from '@seriatim/raft';
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
    entries: recovered.entries,
    first: recovered.first,
    commit: Math.max(recovered.commit, snapshot.index) as Index,
  };
}
