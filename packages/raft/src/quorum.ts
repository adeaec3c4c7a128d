import type { Configuration, ReplicaId } from './types.ts';

/** What an election has come to so far. */
export type VoteResult = 'won' | 'lost' | 'pending';

/**
 * Largest value that a majority of `voters` has reached. Infinity for no voters: an absent half of a joint
 * configuration decides nothing (paper 6).
 */
export function majorityValue(voters: readonly ReplicaId[], reached: (replica: ReplicaId) => number): number {
  if (voters.length === 0) {
    return Number.POSITIVE_INFINITY;
  }
  const values = voters.map(reached).sort((a, b) => b - a);
  return values[voters.length >> 1] ?? 0;
}

/** Largest value that is reached by a majority of each half of the configuration; 0 when it has no voters at all. */
export function quorumValue(configuration: Configuration, reached: (replica: ReplicaId) => number): number {
  const value = Math.min(
    majorityValue(configuration.voters, reached),
    majorityValue(configuration.outgoing, reached),
  );
  return Number.isFinite(value) ? value : 0;
}

/** True when a majority of each half of the configuration fulfils `holds`; false when it has no voters at all. */
export function quorumHolds(configuration: Configuration, holds: (replica: ReplicaId) => boolean): boolean {
  return quorumValue(configuration, (replica) => (holds(replica) ? 1 : 0)) === 1;
}

/** Result of an election among the configuration's voters; votes of others do not count. */
export function voteResult(configuration: Configuration, votes: ReadonlyMap<ReplicaId, boolean>): VoteResult {
  if (quorumHolds(configuration, (replica) => votes.get(replica) === true)) {
    return 'won';
  }
  return quorumHolds(configuration, (replica) => votes.get(replica) !== false) ? 'pending' : 'lost';
}
