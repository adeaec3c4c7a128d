import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Configuration, ReplicaId } from '../src/index.ts';
import { majorityValue, quorumHolds, quorumValue, voteResult } from '../src/quorum.ts';
import { replicaId } from './replica.ts';

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }).map(replicaId), { minLength: 1, maxLength: 7 });
const outgoing = fc.uniqueArray(fc.integer({ min: 1, max: 9 }).map(replicaId), { maxLength: 7 });
const values = fc.array(fc.nat({ max: 12 }), { minLength: 10, maxLength: 10 });

function configurationOf(voters: ReplicaId[], old: ReplicaId[]): Configuration {
  return { voters, outgoing: old, learners: [], learnersNext: [] };
}

/** By counting sets: true when those that fulfil `holds` are more than half of each non-empty half. */
function bruteForce(configuration: Configuration, holds: (replica: ReplicaId) => boolean): boolean {
  const halves = [configuration.voters, configuration.outgoing].filter((half) => half.length > 0);
  return halves.length > 0 && halves.every((half) => half.filter(holds).length * 2 > half.length);
}

describe('quorums, against brute force', () => {
  test('the quorum value is the largest one that a majority of each half has reached', () => {
    fc.assert(
      fc.property(ids, outgoing, values, (voters, old, reached) => {
        const configuration = configurationOf(voters, old);
        const value = (replica: ReplicaId): number => reached[replica] ?? 0;
        const candidates = Array.from({ length: 13 }, (_, i) => i);
        const expected = candidates.filter((c) => bruteForce(configuration, (id) => value(id) >= c)).at(-1);
        expect(quorumValue(configuration, value)).toBe(expected);
      }),
    );
  });

  test('a condition holds exactly when more than half of each half fulfils it', () => {
    fc.assert(
      fc.property(ids, outgoing, values, (voters, old, reached) => {
        const configuration = configurationOf(voters, old);
        const holds = (replica: ReplicaId): boolean => (reached[replica] ?? 0) > 6;
        expect(quorumHolds(configuration, holds)).toBe(bruteForce(configuration, holds));
      }),
    );
  });

  test('an election is won by a quorum, lost when none is possible any more, else pending', () => {
    fc.assert(
      fc.property(ids, outgoing, values, (voters, old, reached) => {
        const configuration = configurationOf(voters, old);
        const votes = new Map<ReplicaId, boolean>();
        for (let id = 1; id <= 9; id++) {
          const vote = (reached[id] ?? 0) % 3;
          if (vote < 2) {
            votes.set(replicaId(id), vote === 1);
          }
        }
        const won = bruteForce(configuration, (id) => votes.get(id) === true);
        const possible = bruteForce(configuration, (id) => votes.get(id) !== false);
        expect(voteResult(configuration, votes)).toBe(won ? 'won' : possible ? 'pending' : 'lost');
      }),
    );
  });

  test('two quorums of one configuration always share a voter', () => {
    fc.assert(
      fc.property(ids, outgoing, values, values, (voters, old, a, b) => {
        const configuration = configurationOf(voters, old);
        const inA = (id: ReplicaId): boolean => (a[id] ?? 0) > 4;
        const inB = (id: ReplicaId): boolean => (b[id] ?? 0) > 4;
        if (quorumHolds(configuration, inA) && quorumHolds(configuration, inB)) {
          expect(voters.some((id) => inA(id) && inB(id))).toBe(true);
        }
      }),
    );
  });
});

test('without voters nothing is ever decided', () => {
  const empty = configurationOf([], []);
  expect(majorityValue([], () => 5)).toBe(Number.POSITIVE_INFINITY);
  expect(quorumValue(empty, () => 5)).toBe(0);
  expect(quorumHolds(empty, () => true)).toBe(false);
  expect(voteResult(empty, new Map([[replicaId(1), true]]))).toBe('lost');
});
