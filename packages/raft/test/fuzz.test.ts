import fc from 'fast-check';
import { test } from 'vitest';
import type { Message } from '../src/index.ts';
import { encodeConfiguration } from '../src/index.ts';
import { exchange } from './mistakes.ts';
import { Network } from './network.ts';
import { bytes, configurationOf, type Replica } from './replica.ts';
import { diskOf, granted } from './words.ts';

const three = configurationOf([1, 2, 3]);
const small = fc.nat({ max: 8 });
const entry = fc.record({
  index: small,
  term: fc.nat({ max: 5 }),
  type: fc.constantFrom('noop', 'command', 'configuration'),
  data: fc.constantFrom(bytes('x'), encodeConfiguration(configurationOf([1, 2]))),
});
const envelope = { from: fc.nat({ max: 4 }), to: fc.constant(1), term: fc.nat({ max: 6 }) };
/** Messages as a broken or lying peer might send them: right in type, arbitrary in sense. */
const message = fc.oneof(
  fc.record({
    ...envelope,
    type: fc.constant('voteRequest'),
    preVote: fc.boolean(),
    transfer: fc.boolean(),
    lastIndex: small,
    lastTerm: small,
  }),
  fc.record({ ...envelope, type: fc.constant('voteResponse'), preVote: fc.boolean(), granted: fc.boolean() }),
  fc.record({
    ...envelope,
    type: fc.constant('appendRequest'),
    previousIndex: small,
    previousTerm: fc.nat({ max: 5 }),
    commit: small,
    entries: fc.array(entry, { maxLength: 4 }),
  }),
  fc
    .record({
      ...envelope,
      previousIndex: fc.nat({ max: 4 }),
      commit: small,
      terms: fc.array(fc.nat({ max: 5 })),
    })
    .map(({ terms, ...rest }) => ({
      ...rest,
      type: 'appendRequest',
      previousTerm: 0,
      entries: terms.sort().map((term, i) => ({
        index: rest.previousIndex + 1 + i,
        term,
        type: 'command',
        data: bytes('y'),
      })),
    })),
  fc.record({
    ...envelope,
    type: fc.constant('appendResponse'),
    success: fc.boolean(),
    index: small,
    hintIndex: small,
    hintTerm: small,
  }),
  fc.record({ ...envelope, type: fc.constant('heartbeatRequest'), commit: small, round: small }),
  fc.record({ ...envelope, type: fc.constant('heartbeatResponse'), round: small }),
  fc.record({
    ...envelope,
    type: fc.constant('snapshotRequest'),
    meta: fc.record({ index: small, term: fc.nat({ max: 6 }), configuration: fc.constant(three) }),
  }),
  fc.record({ ...envelope, type: fc.constant('timeoutNow') }),
);
const input = fc.oneof(
  { weight: 4, arbitrary: message },
  { weight: 1, arbitrary: fc.constantFrom('tick', 'campaign', 'propose', 'read', 'write') },
);

test('no message of a peer, however senseless, makes the core throw', () => {
  fc.assert(
    fc.property(
      fc.array(input, { maxLength: 40 }),
      fc.array(fc.nat({ max: 3 }), { maxLength: 5 }),
      (inputs, terms) => {
        const network = new Network(0);
        const replica = network.add(1, diskOf(terms.sort(), three, 3));
        replica.holdWrites = true;
        for (const next of inputs) {
          if (typeof next !== 'string') {
            exchange(network, replica, next as Message);
          } else if (next === 'tick') {
            for (let i = 0; i < 5; i++) {
              replica.raft.tick();
            }
          } else if (next === 'campaign') {
            campaign(network, replica);
          } else if (next === 'propose') {
            replica.raft.propose(bytes('z'));
          } else if (next === 'read') {
            replica.raft.read(1);
          } else {
            replica.completeWrites();
          }
          replica.work();
        }
      },
    ),
    { numRuns: 3_000 },
  );
});

/** Campaigns and is granted everything, so that senseless messages also meet candidates and leaders. */
function campaign(network: Network, replica: Replica): void {
  replica.raft.campaign();
  for (const preVote of [true, false]) {
    replica.work();
    replica.completeWrites();
    const { term, role } = replica.raft.status();
    const voted = role === 'preCandidate' ? term + 1 : term;
    exchange(network, replica, granted({ from: 2, to: 1, term: voted }, preVote));
  }
}
