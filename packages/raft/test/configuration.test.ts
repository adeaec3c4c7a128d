import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  beginChange,
  changeFault,
  decodeConfiguration,
  encodeConfiguration,
  endChange,
  isJoint,
  membersOf,
  readConfiguration,
} from '../src/configuration.ts';
import type { Configuration, ReplicaId } from '../src/index.ts';
import { quorumHolds } from '../src/quorum.ts';
import { configurationOf, replicaId } from './replica.ts';

const anyId = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }).map(replicaId);
const list = fc.array(anyId, { maxLength: 6 });
const members = fc
  .uniqueArray(fc.integer({ min: 1, max: 8 }).map(replicaId), { minLength: 1, maxLength: 6 })
  .chain((all) =>
    fc.integer({ min: 1, max: all.length }).map((n) => ({ voters: all.slice(0, n), learners: all.slice(n) })),
  );

describe('the bytes of a configuration', () => {
  test('read back as they were written', () => {
    fc.assert(
      fc.property(list, list, list, list, (voters, outgoing, learners, learnersNext) => {
        const configuration: Configuration = { voters, outgoing, learners, learnersNext };
        expect(decodeConfiguration(encodeConfiguration(configuration))).toEqual(configuration);
      }),
    );
  });

  test('any other bytes are refused, not misread', () => {
    const whole = encodeConfiguration(configurationOf([1, 200, 70_000], [9]));
    for (let length = 0; length < whole.length; length++) {
      expect(readConfiguration(whole.slice(0, length))).toBeNull();
    }
    expect(readConfiguration(Uint8Array.of(...whole, 0))).toBeNull();
    expect(readConfiguration(Uint8Array.of(2, ...whole.slice(1)))).toBeNull();
    expect(() => decodeConfiguration(Uint8Array.of(7))).toThrow(/version 1/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (data) => {
        readConfiguration(data);
      }),
    );
  });
});

describe('a change of members (paper 6)', () => {
  test('ends with exactly the members asked for', () => {
    fc.assert(
      fc.property(members, members, (from, to) => {
        const begun = beginChange(asConfiguration(from), to);
        const ended = isJoint(begun) ? endChange(begun) : begun;
        expect(new Set(ended.voters)).toEqual(new Set(to.voters));
        expect(new Set(ended.learners)).toEqual(new Set(to.learners));
        expect(ended.outgoing).toEqual([]);
        expect(ended.learnersNext).toEqual([]);
      }),
    );
  });

  test('never lets the old and the new members decide apart', () => {
    const subsets = fc.array(fc.boolean(), { minLength: 9, maxLength: 9 });
    fc.assert(
      fc.property(members, members, subsets, (from, to, inside) => {
        const old = asConfiguration(from);
        const begun = beginChange(old, to);
        const holds = (id: ReplicaId): boolean => inside[id] === true;
        const others = (id: ReplicaId): boolean => inside[id] !== true;
        if (isJoint(begun)) {
          expect(quorumHolds(old, holds) && quorumHolds(begun, others)).toBe(false);
          expect(quorumHolds(endChange(begun), holds) && quorumHolds(begun, others)).toBe(false);
        }
      }),
    );
  });

  test('keeps everyone in the joint state that either side needs, and no voter a learner', () => {
    fc.assert(
      fc.property(members, members, (from, to) => {
        const begun = beginChange(asConfiguration(from), to);
        for (const id of [...to.voters, ...to.learners, ...(isJoint(begun) ? from.voters : [])]) {
          expect(membersOf(begun)).toContain(id);
        }
        for (const id of begun.learners) {
          expect([...begun.voters, ...begun.outgoing]).not.toContain(id);
        }
      }),
    );
  });

  test('needs no joint state when only learners change', () => {
    const change = { voters: [3, 1, 2].map(replicaId), learners: [replicaId(4)] };
    expect(beginChange(configurationOf([1, 2, 3]), change)).toEqual(configurationOf([1, 2, 3], [4]));
  });

  test('is refused when it names nobody, someone twice, or no id', () => {
    expect(changeFault({ voters: [], learners: [] })).toMatch(/no voter/);
    expect(changeFault({ voters: [replicaId(1)], learners: [replicaId(1)] })).toMatch(/twice/);
    expect(changeFault({ voters: [replicaId(0)], learners: [] })).toMatch(/positive/);
    expect(changeFault({ voters: [replicaId(1.5)], learners: [] })).toMatch(/whole/);
    expect(changeFault({ voters: [replicaId(1)], learners: [replicaId(2)] })).toBeNull();
  });
});

function asConfiguration(parts: { voters: ReplicaId[]; learners: ReplicaId[] }): Configuration {
  return { ...parts, outgoing: [], learnersNext: [] };
}
