import { expect } from 'vitest';
import type { Message } from '../src/index.ts';
import { exchange, type Mistake, networkOf, work } from './mistakes.ts';
import { seededRandom } from './random.ts';
import { bytes, configurationOf, replicaId } from './replica.ts';
import { append, diskOf, heartbeat, voteRequest } from './words.ts';

const three = configurationOf([1, 2, 3]);

function count(messages: readonly Message[], type: Message['type']): number {
  return messages.filter((message) => message.type === type).length;
}

/** Mistakes with terms, members, time and callers. */
export const timeMistakes: readonly Mistake[] = [
  {
    number: 4,
    title:
      'vote kept into a new term, cleared on a step-down within it, pre-vote with side effects, term going back',
    check: (library) => {
      const network = networkOf(library, 3);
      const voter = network.get(2);
      exchange(network, voter, voteRequest({ from: 1, to: 2, term: 1 }, [0, 0]));
      expect(voter.raft.status()).toMatchObject({ term: 1, vote: 1 });
      exchange(network, voter, voteRequest({ from: 3, to: 2, term: 1 }, [5, 1]));
      expect(voter.raft.status().vote).toBe(1);
      exchange(network, voter, voteRequest({ from: 3, to: 2, term: 2 }, [0, 0]));
      expect(voter.raft.status()).toMatchObject({ term: 2, vote: 3 });
      exchange(network, voter, voteRequest({ from: 1, to: 2, term: 9 }, [0, 0], { preVote: true }));
      expect(voter.raft.status()).toMatchObject({ term: 2, vote: 3 });
      exchange(network, voter, append({ from: 1, to: 2, term: 1 }, [0, 0], [1]));
      expect(voter.raft.status()).toMatchObject({ term: 2, vote: 3, last: 0 });

      // A leader that check-quorum deposes keeps the vote that it gave itself.
      const other = networkOf(library, 3);
      other.elect(1);
      const { term } = other.get(1).raft.status();
      other.cut([1]);
      other.tick(15, [1]);
      expect(other.get(1).raft.status()).toMatchObject({ role: 'follower', term, vote: 1 });
      other.get(1).restart();
      expect(other.get(1).raft.status()).toMatchObject({ term, vote: 1 });
    },
    mutants: [
      { file: 'roles.ts', find: '    core.vote = NO_REPLICA;\n', replace: '' },
      {
        file: 'roles.ts',
        find: '  core.leader = leader;',
        replace: '  core.leader = leader;\n  core.vote = NO_REPLICA;',
      },
      {
        file: 'raft.ts',
        find: 'if (message.preVote) {\n      return true;',
        replace: 'if (message.preVote && message.term < 0) {\n      return true;',
      },
      { file: 'raft.ts', find: 'if (message.term < core.term) {', replace: 'if (message.term < 0) {' },
    ],
  },
  {
    number: 7,
    title:
      'membership: too early, wrong one in effect after truncation, disturbed by the removed, joint for ever',
    check: (library) => {
      const network = networkOf(library, 3);
      network.drops = (message) => message.type === 'appendRequest';
      const leader = network.elect(1);
      const change = { voters: [1, 2].map(replicaId), learners: [] };
      // No entry of the own term is committed yet.
      expect(leader.raft.proposeChange(change)).toMatchObject({ type: 'refused', reason: 'notConfirmed' });
      network.heal();
      network.tick(4);
      expect(leader.raft.proposeChange(change)).toMatchObject({ type: 'accepted' });
      expect(leader.raft.proposeChange(change)).toMatchObject({ type: 'refused', reason: 'changePending' });
      network.settle();
      // The joint state ended by itself.
      expect(leader.raft.status().configuration).toEqual(configurationOf([1, 2]));
      // The removed replica campaigns in vain, and nobody's term moves.
      const { term } = leader.raft.status();
      for (let i = 0; i < 60; i++) {
        network.tick(1);
      }
      expect(leader.raft.status()).toMatchObject({ role: 'leader', term });
      expect(network.get(3).raft.status().term).toBe(term);
      // Even with a log that could win it is not heeded while the leader is heard.
      expect(
        exchange(network, network.get(2), voteRequest({ from: 3, to: 2, term: term + 1 }, [99, term])),
      ).toEqual([]);

      // A configuration that is truncated is no longer in effect.
      const cutOff = networkOf(library, 3);
      cutOff.elect(1);
      cutOff.propose(1, 'a');
      cutOff.cut([1]);
      cutOff.get(1).raft.proposeChange({ voters: [replicaId(1)], learners: [] });
      work(cutOff.get(1));
      expect(cutOff.get(1).raft.status().configuration.outgoing).toEqual(three.voters);
      cutOff.tick(15);
      cutOff.elect(2);
      cutOff.heal();
      cutOff.tick(8);
      expect(cutOff.get(1).raft.status().configuration).toEqual(three);
    },
    mutants: [
      { file: 'membership.ts', find: "return 'notConfirmed';", replace: '' },
      {
        file: 'membership.ts',
        find: 'isJoint(configurations.current) || configurations.index > log.commit',
        replace: 'false',
      },
      {
        file: 'membership.ts',
        find: 'if (isJoint(configurations.current)) {',
        replace: 'if (log.commit < 0) {',
      },
      { file: 'core.ts', find: 'this.configurations.truncateFrom(index);', replace: '' },
      {
        file: 'election.ts',
        find: 'return core.electionElapsed < core.config.electionTimeoutTicks && !core.refused.has(core.leader);',
        replace: 'return false;',
      },
      {
        file: 'election.ts',
        find: '  requestVotes(core, true);\n  tally(core);',
        replace: '  beginCampaign(core, false);',
      },
    ],
  },
  {
    number: 9,
    title: 'stale reads: before the no-op commits, with an old round, after a step-down, across a pause',
    check: (library) => {
      const network = networkOf(library, 0);
      for (const id of [1, 2, 3]) {
        network.add(id, diskOf([1, 1], three, 1));
      }
      network.drops = (message) => message.type === 'appendRequest';
      const leader = network.elect(1);
      expect(leader.raft.read(7)).toBeNull();
      network.settle();
      // The quorum has answered, but what an earlier leader acknowledged is not known to be committed.
      expect(leader.reads).toEqual([]);
      network.heal();
      network.tick(2);
      expect(leader.reads).toEqual([{ type: 'confirmed', id: 7, index: 3 }]);

      // An answer to an earlier round confirms no later read.
      network.drops = (message) => message.type === 'heartbeatRequest';
      const { term } = leader.raft.status();
      leader.raft.read(8);
      work(leader);
      const round = Math.max(
        ...network.sent.map((message) => (message.type === 'heartbeatRequest' ? message.round : 0)),
      );
      const answer = { type: 'heartbeatResponse', from: replicaId(2), to: leader.id, term } as const;
      exchange(network, leader, { ...answer, round: round - 1 });
      expect(leader.reads).toHaveLength(1);
      exchange(network, leader, { ...answer, round });
      expect(leader.reads).toHaveLength(2);

      // A pause voids what was confirmed; a step-down drops what waits.
      expect(leader.raft.confirmedWithin(5)).toBe(true);
      leader.raft.paused();
      expect(leader.raft.confirmedWithin(5)).toBe(false);
      leader.raft.read(9);
      exchange(network, leader, heartbeat({ from: 3, to: 1, term: term + 1 }, 0));
      expect(leader.reads.at(-1)).toEqual({ type: 'dropped', id: 9 });
      expect(leader.raft.read(10)).toBe('notLeader');
      expect(leader.raft.confirmedWithin(1_000)).toBe(false);
    },
    mutants: [
      {
        file: 'read-index.ts',
        find: 'index: higher(core.log.commit, leading.noop)',
        replace: 'index: core.log.commit',
      },
      { file: 'read-index.ts', find: 'read.round > leading.confirmedRound || ', replace: '' },
      { file: 'read-index.ts', find: '  leading.confirmedAt = Number.NEGATIVE_INFINITY;\n', replace: '' },
      { file: 'roles.ts', find: "core.readOutcomes.push({ type: 'dropped', id: read.id });", replace: '' },
    ],
  },
  {
    number: 10,
    title: 'storage that fails or hangs taken for success; a replica without a past taken for a voter',
    check: (library) => {
      const network = networkOf(library, 3);
      const leader = network.elect(1);
      for (const id of [2, 3]) {
        network.get(id).holdWrites = true;
      }
      network.propose(1, 'a');
      network.tick(9);
      expect(leader.raft.status()).toMatchObject({ commit: 1, last: 2 });

      // A new replica does not vote itself into being: it waits to be contacted.
      const empty = network.add(4, configurationOf([]));
      const learner = network.add(5, configurationOf([1, 2, 3], [5]));
      network.sent = [];
      network.tick(50, [4, 5]);
      expect(empty.raft.status()).toMatchObject({ role: 'learner', term: 0 });
      expect(learner.raft.status()).toMatchObject({ role: 'learner', term: 0 });
      expect(network.sent).toEqual([]);
    },
    mutants: [
      { file: 'follower.ts', find: 'core.sendAfterWrite({', replace: 'core.send({' },
      {
        file: 'election.ts',
        find: "core.role === 'leader' || !core.mayCampaign",
        replace: "core.role === 'leader'",
      },
    ],
  },
  {
    number: 11,
    title: 'timers reset by refused votes or stale leaders; no randomisation',
    check: (library) => {
      const follower = networkOf(library, 0).add(2, diskOf([1, 1], three, 5));
      for (let tick = 0; tick < 9; tick++) {
        follower.raft.tick();
        follower.raft.step(voteRequest({ from: 1, to: 2, term: 6 + tick }, [1, 1]));
        follower.raft.step(heartbeat({ from: 3, to: 2, term: 1 }, 0));
        work(follower);
      }
      follower.raft.tick();
      expect(follower.raft.status().role).toBe('preCandidate');

      const random = seededRandom(1);
      const timeouts = new Set<number>();
      for (let i = 0; i < 200; i++) {
        const { raft } = networkOf(library, 3, { random }).get(1);
        let ticks = 0;
        while (raft.status().role === 'follower') {
          raft.tick();
          ticks++;
        }
        timeouts.add(ticks);
      }
      expect([...timeouts].sort((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    },
    mutants: [
      {
        file: 'election.ts',
        find: '  if (!upToDate || !(free || repeated)) {',
        replace: '  if (!upToDate || !(free || repeated)) {\n    core.electionElapsed = 0;',
      },
      { file: 'raft.ts', find: 'answerStale(core, message);', replace: 'core.electionElapsed = 0;' },
      {
        file: 'core.ts',
        find: 'return config.electionTimeoutTicks + Math.floor(config.random() * config.electionTimeoutTicks);',
        replace: 'return config.electionTimeoutTicks;',
      },
    ],
  },
  {
    number: 13,
    title: 'callers: a refusal that leaves a trace, a fate that is never told',
    check: (library) => {
      const network = networkOf(library, 3, { uncommittedBytesMax: 10 });
      const leader = network.elect(1);
      network.tick(2);
      network.cut([1]);
      expect(leader.raft.propose(bytes('123456'))).toMatchObject({ type: 'accepted', index: 2, term: 1 });
      expect(leader.raft.propose(bytes('123456'))).toMatchObject({ reason: 'tooMuchUncommitted', leader: 1 });
      expect(leader.raft.status().last).toBe(2);
      leader.raft.read(5);
      network.tick(15, [1]);
      expect(leader.reads).toEqual([{ type: 'dropped', id: 5 }]);
      expect(leader.raft.propose(bytes('x'))).toMatchObject({ type: 'refused', reason: 'notLeader' });
      // The fate of the accepted one shows at its index: overwritten by an entry of another term.
      network.elect(2);
      network.propose(2, 'other');
      network.heal();
      network.tick(4);
      expect(leader.state).toEqual(['other']);
      // Committed bytes no longer count.
      for (let i = 0; i < 10; i++) {
        network.propose(2, '123456');
      }
      network.tick(2);
      expect(leader.state).toHaveLength(11);
    },
    mutants: [
      { file: 'roles.ts', find: "core.readOutcomes.push({ type: 'dropped', id: read.id });", replace: '' },
      { file: 'raft.ts', find: "return this.#refused('tooMuchUncommitted');", replace: '' },
      {
        file: 'commitment.ts',
        find: 'leading.uncommittedBytes -= log.bytes(shift(before, 1), index);',
        replace: '',
      },
    ],
  },
  {
    number: 14,
    title: 'gray leader: commits by a disk that hangs, or grows with a dead follower',
    check: (library) => {
      const network = networkOf(library, 3);
      const leader = network.elect(1);
      network.tick(2);
      leader.holdWrites = true;
      network.cut([3]);
      network.propose(1, 'a');
      // One follower has it, the own disk does not: that is one of three.
      expect(leader.raft.status().commit).toBe(1);
      leader.holdWrites = false;
      leader.completeWrites();
      network.settle();
      expect(leader.raft.status().commit).toBe(2);

      network.sent = [];
      for (let i = 0; i < 500; i++) {
        network.propose(1, `command ${i}`);
        network.tick(i % 5 === 0 ? 1 : 0);
      }
      const toDead = network.sent.filter((message) => message.to === 3 && message.type === 'appendRequest');
      // Never more than the limit in flight, plus the few that asked whether they arrived.
      expect(toDead.length).toBeLessThanOrEqual(10);
    },
    mutants: [
      { file: 'leading.ts', find: '? core.log.durable :', replace: '? core.log.last :' },
      {
        file: 'replication.ts',
        find: 'progress.inflightMessages < core.config.inflightMessagesMax &&',
        replace: 'progress.inflightMessages >= 0 &&',
      },
    ],
  },
  {
    number: 16,
    title:
      'liveness: transfer to a lagging or dead replica, an image never sent again, a learner never promoted',
    check: (library) => {
      const network = networkOf(library, 3);
      const leader = network.elect(1);
      network.cut([3]);
      network.propose(1, 'a', 'b');
      // To a lagging replica: it is caught up first.
      network.drops = (message) => message.to === 3 && message.type === 'appendRequest';
      expect(leader.raft.transfer(replicaId(3))).toBeNull();
      network.settle();
      expect(count(network.sent, 'timeoutNow')).toBe(0);
      expect(leader.raft.propose(bytes('x'))).toMatchObject({ reason: 'transferring' });
      // It does not get there within T: given up, proposals are taken again.
      network.tick(10);
      expect(leader.raft.propose(bytes('c'))).toMatchObject({ type: 'accepted' });
      network.heal();
      network.tick(4);
      expect(leader.raft.transfer(replicaId(3))).toBeNull();
      network.settle();
      expect(network.get(3).raft.status().role).toBe('leader');
      // To one that is known to be gone: refused at once.
      network.get(3).raft.nodeRefused(replicaId(2), true);
      expect(network.get(3).raft.transfer(replicaId(2))).toBe('notConfirmed');

      // An image that got lost is sent again.
      const other = networkOf(library, 3, { cacheBytesMax: 1 });
      other.elect(1);
      other.cut([3]);
      other.propose(1, 'a', 'b', 'c');
      other.get(1).checkpoint();
      other.drops = (message) => message.type === 'snapshotRequest';
      other.tick(6);
      expect(count(other.sent, 'snapshotRequest')).toBe(1);
      other.heal();
      other.tick(20);
      expect(other.get(3).state).toEqual(['a', 'b', 'c']);
    },
    mutants: [
      { file: 'transfer.ts', find: ' && progress.match === core.log.last', replace: '' },
      { file: 'transfer.ts', find: '    leading.transferee = NO_REPLICA;\n', replace: '' },
      { file: 'transfer.ts', find: ' || core.refused.has(to)', replace: '' },
      { file: 'raft.ts', find: 'progress.imageSentAt = now;', replace: '' },
    ],
  },
];
