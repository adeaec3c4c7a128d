/** Lets the preferred leader of a new shard campaign first: leaders are spread from the start, within milliseconds. */
import type { Clock, Shard, ShardId } from '@seriatim/multiraft';
import type { LeaderDirectory } from '../contracts.ts';

/**
 * Milliseconds after opening at which to campaign while nobody leads: other nodes hear of the placement with the next heartbeat of
 * the meta shard and open their replicas then; an attempt that comes before finds no voters and is made again.
 */
const ATTEMPTS_MILLISECONDS: readonly number[] = [15, 60, 130, 250, 450];

/** Campaigns with the replica of `shard`, which was opened just now for the first time, until it has a leader or attempts end. */
export function campaignFirst(
  clock: Clock,
  leaders: LeaderDirectory,
  shard: ShardId,
  replica: () => Shard | undefined,
): void {
  for (const milliseconds of ATTEMPTS_MILLISECONDS) {
    clock.after(milliseconds, () => {
      if (leaders.leader(shard) === undefined) replica()?.campaign?.();
    });
  }
}
