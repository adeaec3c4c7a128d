import { expect } from 'vitest';
import type { Message } from '../src/index.ts';
import { exchange, type Mistake, networkOf, work } from './mistakes.ts';
import { configurationOf } from './replica.ts';
import { append, appended, diskOf, heartbeat, image, voteRequest } from './words.ts';

const two = configurationOf([1, 2]);
const three = configurationOf([1, 2, 3]);
const five = configurationOf([1, 2, 3, 4, 5]);

function ofType<T extends Message['type']>(
  messages: readonly Message[],
  type: T,
): Extract<Message, { type: T }>[] {
  return messages.filter((message): message is Extract<Message, { type: T }> => message.type === type);
}

/** Mistakes with the log, its writes, and what is committed. */
export const logMistakes: readonly Mistake[] = [
  {
    number: 1,
    title: 'answering before the write that the answer depends on is durable',
    check: (library) => {
      const network = networkOf(library, 3);
      const follower = network.get(2);
      follower.holdWrites = true;
      const silent = exchange(
        network,
        follower,
        voteRequest({ from: 1, to: 2, term: 1 }, [0, 0]),
        append({ from: 1, to: 2, term: 1 }, [0, 0], [1, 1]),
      );
      expect(silent).toEqual([]);
      // Term and vote are one write, and it is the first.
      expect(follower.pendingWrites[0]?.hardState).toEqual({ term: 1, vote: 1 });
      follower.completeWrites();
      work(follower);
      expect(network.sent.map((message) => message.type)).toEqual(['voteResponse', 'appendResponse']);

      // Later entries, with nothing else to save; and a repetition, while the first write is still on its way.
      const next = append({ from: 1, to: 2, term: 1 }, [2, 1], [1]);
      expect(exchange(network, follower, next)).toEqual([]);
      expect(exchange(network, follower, next)).toEqual([]);
      follower.completeWrites();
      work(follower);
      expect(ofType(network.sent, 'appendResponse').map((message) => message.index)).toEqual([2, 3, 3]);

      const candidate = network.get(3);
      candidate.holdWrites = true;
      candidate.raft.campaign();
      const grant = { type: 'voteResponse', from: follower.id, to: candidate.id, granted: true } as const;
      const asked = exchange(network, candidate, { ...grant, preVote: true, term: 1 as never });
      expect(ofType(asked, 'voteRequest').filter((request) => !request.preVote)).toEqual([]);
    },
    mutants: [
      { file: 'follower.ts', find: 'core.sendAfterWrite({', replace: 'core.send({' },
      { file: 'election.ts', find: 'core.sendAfterWrite(response)', replace: 'core.outbox.send(response)' },
      { file: 'election.ts', find: 'core.sendAfterWrite(request)', replace: 'core.outbox.send(request)' },
      {
        file: 'ready.ts',
        find: 'outbox.holdFor(writes.busy ? writes.lastId : null)',
        replace: 'outbox.holdFor(null)',
      },
    ],
  },
  {
    number: 2,
    title: 'committing entries of earlier terms by counting replicas (paper 5.4.2, figure 8)',
    check: (library) => {
      const network = networkOf(library, 0);
      const leader = network.add(1, diskOf([1, 2], five, 3));
      for (const id of [2, 3, 4, 5]) {
        network.add(id, diskOf([1], five, 3));
      }
      network.drops = (message) => message.type === 'appendRequest';
      network.elect(1);
      // A majority has entry 2 of term 2, but nothing of term 4 yet: S5 of figure 8 could still win and overwrite it.
      for (const id of [2, 3]) {
        exchange(network, leader, appended({ from: id, to: 1, term: 4 }, 2));
      }
      expect(leader.raft.status().commit).toBe(0);
      for (const id of [2, 3]) {
        exchange(network, leader, appended({ from: id, to: 1, term: 4 }, 3));
      }
      expect(leader.raft.status().commit).toBe(3);
    },
    mutants: [{ file: 'commitment.ts', find: ' || log.term(index) !== core.term', replace: '' }],
  },
  {
    number: 3,
    title: 'truncating on an old or doubled append, or where entries match',
    check: (library) => {
      const network = networkOf(library, 3);
      const follower = network.get(2);
      const first = append({ from: 1, to: 2, term: 1 }, [0, 0], [1]);
      const second = append({ from: 1, to: 2, term: 1 }, [1, 1], [1, 1]);
      exchange(network, follower, first, second);
      const answers = exchange(network, follower, first);
      expect(follower.raft.status().last).toBe(3);
      expect(ofType(answers, 'appendResponse')).toMatchObject([{ success: true, index: 1 }]);
    },
    mutants: [
      {
        file: 'follower.ts',
        find: 'if (log.term(entry.index) === entry.term) {',
        replace: 'if (log.term(entry.index) === -1) {',
      },
    ],
  },
  {
    number: 5,
    title:
      'counting acknowledgements from a wrong term, from before a truncation, from learners, from nobody’s disk',
    check: (library) => {
      // A write of entries that were overwritten since must not vouch for what stands there now.
      const network = networkOf(library, 3);
      const follower = network.get(2);
      follower.holdWrites = true;
      exchange(network, follower, append({ from: 1, to: 2, term: 1 }, [0, 0], [1, 1, 1]));
      exchange(network, follower, append({ from: 3, to: 2, term: 2 }, [0, 0], [2, 2, 2], 3));
      follower.completeWrites(1);
      work(follower);
      expect(follower.raft.status().durable).toBe(0);
      expect(follower.state).toEqual([]);
      follower.completeWrites(1);
      work(follower);
      expect(follower.state).toEqual(['1.2', '2.2', '3.2']);

      // An answer of an earlier term, a learner's, and the own unwritten log count for nothing.
      const other = networkOf(library, 0);
      const leader = other.add(1, diskOf([1], configurationOf([1, 2, 3], [4]), 1));
      for (const id of [2, 3, 4]) {
        other.add(id, diskOf([1], configurationOf([1, 2, 3], [4]), 1));
      }
      other.drops = (message) => message.type === 'appendRequest';
      other.elect(1);
      const { term } = leader.raft.status();
      exchange(other, leader, appended({ from: 2, to: 1, term: term - 1 }, 2));
      exchange(other, leader, appended({ from: 4, to: 1, term }, 2));
      expect(leader.raft.status().commit).toBe(0);
      leader.holdWrites = true;
      leader.raft.propose(new Uint8Array(1));
      work(leader);
      exchange(other, leader, appended({ from: 2, to: 1, term }, 3));
      expect(leader.raft.status().commit).toBe(2);
      leader.completeWrites();
      expect(leader.raft.status().commit).toBe(3);
    },
    mutants: [
      { file: 'writes.ts', find: 'write.durable = lower(write.durable, last);', replace: '' },
      { file: 'raft.ts', find: 'if (message.term < core.term) {', replace: 'if (message.term < 0) {' },
      { file: 'leading.ts', find: '? core.log.durable :', replace: '? core.log.last :' },
      {
        file: 'commitment.ts',
        find: 'quorumValue(core.configuration, ',
        replace:
          'quorumValue({ ...core.configuration, voters: [...core.configuration.voters, ...core.configuration.learners].slice(-3) }, ',
      },
    ],
  },
  {
    number: 6,
    title: 'wrong quorum arithmetic; comparing last logs by parts',
    check: (library) => {
      const network = networkOf(library, 0);
      const leader = network.add(1, diskOf([1], two, 1));
      network.add(2, diskOf([1], two, 1));
      network.drops = (message) => message.type === 'appendRequest';
      network.elect(1);
      work(leader);
      expect(leader.raft.status().commit).toBe(0);

      // Term first, then index (paper 5.4.1).
      const voter = networkOf(library, 0).add(1, diskOf([1, 1, 3], three, 3));
      const ask = (last: readonly [number, number], term: number): boolean => {
        voter.raft.step(voteRequest({ from: 2, to: 1, term }, last));
        const { vote } = voter.raft.status();
        return vote === 2;
      };
      expect(ask([9, 2], 4)).toBe(false);
      expect(ask([2, 3], 5)).toBe(false);
      expect(ask([1, 4], 6)).toBe(true);
      expect(ask([3, 3], 7)).toBe(true);
    },
    mutants: [
      { file: 'quorum.ts', find: 'values[voters.length >> 1]', replace: 'values[(voters.length - 1) >> 1]' },
      {
        file: 'log.ts',
        find: 'return term > this.lastTerm || (term === this.lastTerm && index >= this.last);',
        replace: 'return term >= this.lastTerm && index >= this.last;',
      },
    ],
  },
  {
    number: 8,
    title: 'an image over a newer log; a compacted previous entry taken for a conflict',
    check: (library) => {
      const follower = networkOf(library, 0).add(2, diskOf([1, 1, 2, 2, 2], three));
      // The image ends where the log has the same entry: what was acknowledged behind it stays.
      follower.raft.step(image({ from: 1, to: 2, term: 2 }, [3, 2], three));
      work(follower);
      expect(follower.raft.status()).toMatchObject({ commit: 3, last: 5 });
      // An older image changes nothing.
      follower.raft.step(image({ from: 1, to: 2, term: 2 }, [2, 1], three));
      expect(follower.raft.status()).toMatchObject({ commit: 3, last: 5 });

      const network = networkOf(library, 3);
      const fresh = network.get(3);
      exchange(network, fresh, image({ from: 1, to: 3, term: 2 }, [10, 2], three));
      expect(fresh.raft.status()).toMatchObject({ commit: 10, applied: 10, last: 10, first: 11 });
      const answers = exchange(network, fresh, append({ from: 1, to: 3, term: 2 }, [7, 1], [1, 2, 2, 2]));
      expect(ofType(answers, 'appendResponse')).toMatchObject([{ success: true, index: 11 }]);
    },
    mutants: [
      { file: 'snapshot.ts', find: 'core.log.term(meta.index) === meta.term', replace: 'meta.index < 0' },
      { file: 'follower.ts', find: 'previousIndex > core.log.commit && ', replace: '' },
    ],
  },
  {
    number: 12,
    title: 'applying twice, out of order, or before the own disk has it',
    check: (library) => {
      const network = networkOf(library, 3);
      const follower = network.get(2);
      follower.holdWrites = true;
      exchange(network, follower, append({ from: 1, to: 2, term: 1 }, [0, 0], [1, 1], 2));
      expect(follower.raft.status()).toMatchObject({ commit: 2, durable: 0 });
      expect(follower.state).toEqual([]);
      follower.completeWrites();
      work(follower);
      exchange(network, follower, append({ from: 1, to: 2, term: 1 }, [0, 0], [1, 1, 1], 3));
      follower.completeWrites();
      work(follower);
      expect(follower.state).toEqual(['1.1', '2.1', '3.1']);
      // After a crash the state begins with the image and gets the rest once.
      follower.checkpoint();
      exchange(network, follower, append({ from: 1, to: 2, term: 1 }, [3, 1], [1], 4));
      follower.completeWrites();
      work(follower);
      follower.restart();
      exchange(network, follower, append({ from: 1, to: 2, term: 1 }, [4, 1], [], 4));
      expect(follower.state).toEqual(['1.1', '2.1', '3.1', '4.1']);
    },
    mutants: [
      {
        file: 'ready.ts',
        find: 'lower(this.#core.log.commit, this.#core.log.durable)',
        replace: 'this.#core.log.commit',
      },
      { file: 'ready.ts', find: 'log.handed = end;', replace: '' },
    ],
  },
  {
    number: 15,
    title: 'taking a commit index from a heartbeat that overtook the append which truncates',
    check: (library) => {
      const network = networkOf(library, 0);
      const follower = network.add(2, diskOf([1, 1, 1], three, 1));
      // The leader of term 2 has other entries at 2 and 3; its append is still on the way.
      exchange(network, follower, heartbeat({ from: 3, to: 2, term: 2 }, 3));
      expect(follower.raft.status().commit).toBe(0);
      expect(follower.state).toEqual([]);
      exchange(network, follower, append({ from: 3, to: 2, term: 2 }, [1, 1], [2, 2], 1));
      exchange(network, follower, heartbeat({ from: 3, to: 2, term: 2 }, 3));
      expect(follower.state).toEqual(['1.1', '2.2', '3.2']);

      // And the leader names no index that the follower has not confirmed.
      const pair = networkOf(library, 0);
      const leader = pair.add(1, diskOf([1, 1], three, 1));
      pair.add(2, diskOf([1, 1], three, 1));
      pair.add(3, diskOf([], three, 1));
      pair.drops = (message) => message.to === 3 && message.type === 'appendRequest';
      pair.elect(1);
      pair.tick(2);
      expect(leader.raft.status().commit).toBe(3);
      const told = ofType(pair.sent, 'heartbeatRequest').filter((message) => message.to === 3);
      expect(Math.max(...told.map((message) => message.commit))).toBe(0);
    },
    mutants: [
      {
        file: 'follower.ts',
        find: 'lower(message.commit, core.verified)',
        replace: 'lower(message.commit, core.log.last)',
      },
      {
        file: 'leading.ts',
        find: 'return lower(core.log.commit, progress.match);',
        replace: 'return core.log.commit;',
      },
      { file: 'roles.ts', find: 'core.verified = ZERO_INDEX;', replace: '' },
    ],
  },
];
