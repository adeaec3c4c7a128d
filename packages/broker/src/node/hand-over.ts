/** Hands the leaderships of a node that stops over to others, so that nobody waits for an election. */
import type { Clock, Shard, ShardHost } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';

const LOOK_MILLISECONDS = 20;
/** A transfer that led to nothing is asked for again after this long. */
const AGAIN_MILLISECONDS = 500;

/** Resolves with the number of shards still led here when all are handed over, or `milliseconds` passed. */
export async function handOverLeaderships(
  host: ShardHost,
  clock: Clock,
  milliseconds: number,
): Promise<number> {
  const end = clock.now() + milliseconds;
  const asked = new Map<Shard, number>();
  for (;;) {
    const led = [...host.shards()].filter((shard) => isLed(shard));
    if (led.length === 0 || clock.now() >= end) return led.length;
    for (const shard of led) {
      if (clock.now() - (asked.get(shard) ?? Number.NEGATIVE_INFINITY) < AGAIN_MILLISECONDS) continue;
      const successor = mostAdvancedVoter(shard);
      if (successor === null) continue;
      asked.set(shard, clock.now());
      shard.transfer(successor);
    }
    await new Promise<void>((resolve) => clock.after(LOOK_MILLISECONDS, resolve));
  }
}

/** Led, and somebody else could. */
function isLed(shard: Shard): boolean {
  const { role, configuration } = shard.status();
  return role === 'leader' && configuration.voters.length > 1;
}

function mostAdvancedVoter(shard: Shard): ReplicaId | null {
  const { progress, replica, configuration } = shard.status();
  const candidates = progress
    .filter((one) => one.active && one.replica !== replica && configuration.voters.includes(one.replica))
    .sort((left, right) => right.match - left.match);
  return candidates[0]?.replica ?? null;
}
