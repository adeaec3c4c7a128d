import { describe, expect, test } from 'vitest';
import { exchange, work } from './mistakes.ts';
import { Network } from './network.ts';
import { seededRandom } from './random.ts';
import { bytes, configurationOf, type Replica, replicaId } from './replica.ts';
import { append, diskOf, granted, heartbeat, image, voteRequest } from './words.ts';

const three = configurationOf([1, 2, 3]);
const five = configurationOf([1, 2, 3, 4, 5]);

function termsOf(replica: Replica): number[] {
  return replica.disk.entries.map((entry) => entry.term);
}

describe('5.1 Raft basics', () => {
  test('a replica that sees a newer term adopts it, and a leader or candidate becomes follower', () => {
    const network = new Network(3);
    const leader = network.elect(1);
    const { term } = leader.raft.status();
    exchange(network, leader, append({ from: 2, to: 1, term: term + 5 }, [0, 0], []));
    expect(leader.raft.status()).toMatchObject({ role: 'follower', term: term + 5, leader: 2 });
  });

  test('a message of an old term is refused, and its sender learns the new one', () => {
    const network = new Network(0);
    const follower = network.add(1, diskOf([1], three, 7));
    const answers = exchange(network, follower, append({ from: 2, to: 1, term: 3 }, [1, 1], [3]));
    expect(answers).toMatchObject([{ type: 'appendResponse', success: false, term: 7 }]);
    expect(follower.raft.status()).toMatchObject({ term: 7, last: 1, leader: 0 });
  });
});

describe('5.2 leader election', () => {
  test('a follower that hears no leader campaigns after its timeout, drawn from [T, 2T)', () => {
    const early = new Network(3).get(1);
    const late = new Network(3, { random: () => 0.999 }).get(1);
    for (let tick = 1; tick < 20; tick++) {
      early.raft.tick();
      late.raft.tick();
      expect(early.raft.status().role).toBe(tick < 10 ? 'follower' : 'preCandidate');
      expect(late.raft.status().role).toBe(tick < 19 ? 'follower' : 'preCandidate');
    }
  });

  test('a voter gives at most one vote in a term, first come first served', () => {
    const network = new Network(3);
    const voter = network.get(3);
    const first = exchange(network, voter, voteRequest({ from: 1, to: 3, term: 1 }, [0, 0]));
    const second = exchange(network, voter, voteRequest({ from: 2, to: 3, term: 1 }, [0, 0]));
    const again = exchange(network, voter, voteRequest({ from: 1, to: 3, term: 1 }, [0, 0]));
    expect([first, second, again]).toMatchObject([
      [{ granted: true }],
      [{ granted: false }],
      [{ granted: true }],
    ]);
    // Also after a crash.
    voter.restart();
    const later = exchange(network, voter, voteRequest({ from: 2, to: 3, term: 1 }, [0, 0]));
    expect(later).toMatchObject([{ granted: false }]);
  });

  test('a candidate that hears a leader of its term gives up', () => {
    const network = new Network(5);
    network.drops = (message) => message.type === 'voteResponse' && !message.preVote;
    const candidate = network.get(1);
    candidate.raft.campaign();
    network.settle();
    expect(candidate.raft.status()).toMatchObject({ role: 'candidate', term: 1 });
    exchange(network, candidate, heartbeat({ from: 2, to: 1, term: 1 }, 0));
    expect(candidate.raft.status()).toMatchObject({ role: 'follower', leader: 2, vote: 1 });
  });

  test('a split vote ends without a leader, and a later timeout decides', () => {
    const network = new Network(2);
    for (const [id, other] of [
      [1, 2],
      [2, 1],
    ] as const) {
      const candidate = network.get(id);
      candidate.raft.campaign();
      exchange(network, candidate, granted({ from: other, to: id, term: 1 }, true));
      expect(candidate.raft.status()).toMatchObject({ role: 'candidate', term: 1, vote: id });
    }
    network.settle();
    expect([1, 2].map((id) => network.get(id).raft.status().role)).toEqual(['follower', 'follower']);
    network.tick(10, [1]);
    expect(network.get(1).raft.status()).toMatchObject({ role: 'leader', term: 2 });
  });

  test('a minority elects nobody', () => {
    const network = new Network(5);
    network.cut([1, 2]);
    network.tick(100, [1, 2]);
    expect([1, 2].map((id) => network.get(id).raft.status().term)).toEqual([0, 0]);
    expect(network.leader()).toBeUndefined();
  });
});

describe('5.3 log replication', () => {
  test('an entry is committed once a majority has it, with two of five away', () => {
    const network = new Network(5);
    network.elect(1);
    network.cut([4, 5]);
    network.propose(1, 'a');
    expect([1, 2, 3].map((id) => network.get(id).state)).toEqual([['a'], ['a'], ['a']]);
    network.cut([3, 4, 5]);
    network.propose(1, 'b');
    expect(network.get(1).state).toEqual(['a']);
    network.heal();
    network.tick(4);
    expect([1, 2, 3, 4, 5].map((id) => network.get(id).state.join())).toEqual(Array(5).fill('a,b'));
  });

  test('figure 7: a new leader brings every follower (a) to (f) to its own log', () => {
    const members = configurationOf([1, 2, 3, 4, 5, 6, 7]);
    const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    const followers: Record<string, number[]> = {
      a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
      b: [1, 1, 1, 4],
      c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
      d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
      e: [1, 1, 1, 4, 4, 4, 4],
      f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    };
    const network = new Network(0);
    network.add(1, diskOf(leader, members, 7));
    Object.values(followers).forEach((terms, i) => {
      network.add(i + 2, diskOf(terms, members, 7));
    });
    network.elect(1);
    network.tick(4);
    for (const replica of network.replicas.values()) {
      expect(termsOf(replica)).toEqual([...leader, 8]);
      expect(replica.raft.status().commit).toBe(11);
    }
    // Back-off goes by terms, not by entries: each follower refuses at most once per conflicting term.
    for (let id = 2; id <= 7; id++) {
      const refusals = network.sent.filter((m) => m.type === 'appendResponse' && m.from === id && !m.success);
      expect(refusals.length).toBeLessThanOrEqual(2);
    }
  });

  test('a conflict over thousands of entries is found in as many steps as it has terms', () => {
    const network = new Network(0);
    const common = Array<number>(10).fill(1);
    network.add(1, diskOf([...common, ...Array<number>(3_000).fill(4)], three, 5));
    network.add(
      2,
      diskOf([...common, ...Array<number>(2_000).fill(2), ...Array<number>(500).fill(3)], three, 5),
    );
    network.add(3, diskOf([...common], three, 5));
    network.elect(1);
    network.tick(6);
    const refusals = network.sent.filter((m) => m.type === 'appendResponse' && m.from === 2 && !m.success);
    expect(refusals.length).toBeLessThanOrEqual(2);
    expect(termsOf(network.get(2))).toEqual(termsOf(network.get(1)));
  });
});

describe('5.4 safety', () => {
  test('5.4.1: a replica whose log lacks a committed entry is not elected', () => {
    const network = new Network(3);
    network.elect(1);
    network.cut([3]);
    network.propose(1, 'a');
    network.heal();
    network.cut([1]);
    network.tick(40, [2, 3]);
    expect(network.leader()?.id === 3).toBe(false);
    expect(network.get(2).raft.status().role).toBe('leader');
    network.heal();
    network.tick(4);
    expect(network.get(3).state).toEqual(['a']);
  });

  test('5.4.2, figure 8 (c) and (d): an entry of term 2 on a majority may still be overwritten, so it was not applied', () => {
    const network = new Network(0);
    [[1, 2], [1, 2], [1, 2], [1], [1, 3]].forEach((terms, i) => {
      network.add(i + 1, diskOf(terms, five, 4));
    });
    network.elect(5);
    network.tick(4);
    for (const replica of network.replicas.values()) {
      expect(termsOf(replica).slice(0, 2)).toEqual([1, 3]);
      expect(replica.state).toEqual(['1.1', '2.3']);
    }
  });

  test('5.4.2, figure 8 (e): with an entry of term 4 on a majority, S5 can no longer win', () => {
    const network = new Network(0);
    [[1, 2, 4], [1, 2, 4], [1, 2, 4], [1], [1, 3]].forEach((terms, i) => {
      network.add(i + 1, diskOf(terms, five, 4));
    });
    expect(() => network.elect(5)).toThrow(/not elected/);
  });
});

describe('5.5 crashes', () => {
  test('appends may be repeated, and a follower that was away gets what it missed', () => {
    const network = new Network(3);
    network.elect(1);
    for (let i = 0; i < 40; i++) {
      if (i === 10) {
        network.cut([2]);
      }
      if (i === 30) {
        network.get(2).restart();
        network.heal();
      }
      network.propose(1, `c${i}`);
    }
    network.tick(6);
    expect(network.get(2).state).toEqual(network.get(1).state);
  });

  test('all three lose power: what was committed is there again', () => {
    const network = new Network(3);
    network.elect(1);
    network.propose(1, 'a', 'b');
    for (const replica of network.replicas.values()) {
      replica.restart();
    }
    network.queue = [];
    network.elect(2);
    network.tick(2);
    expect(network.get(3).state).toEqual(['a', 'b']);
  });
});

describe('6 cluster membership changes', () => {
  test('in the joint state a decision needs a majority of both sides', () => {
    const network = new Network(3);
    for (const id of [4, 5]) {
      network.add(id, configurationOf([]));
    }
    const leader = network.elect(1);
    // Of the new members {1, 4, 5} only 1 can be reached: the old majority alone must not commit.
    network.cut([4, 5]);
    leader.raft.proposeChange({ voters: [1, 4, 5].map(replicaId), learners: [] });
    network.settle();
    expect(leader.raft.status()).toMatchObject({ commit: 1, last: 2 });
    network.heal();
    network.tick(6);
    expect(leader.raft.status().configuration).toEqual(configurationOf([1, 4, 5]));
    expect(leader.raft.status().commit).toBe(3);
  });

  test('a joint state begun by a leader that died is ended by the next', () => {
    const network = new Network(3, { random: seededRandom(3) });
    network.add(4, configurationOf([]));
    const leader = network.elect(1);
    network.drops = (message) => message.type === 'appendResponse' && message.to === 1;
    leader.raft.proposeChange({ voters: [2, 3, 4].map(replicaId), learners: [] });
    network.settle();
    network.cut([1]);
    network.tick(40, [2, 3, 4]);
    const next = network.leader();
    expect(next?.id).not.toBe(1);
    // The joint quorum needs the old half, of which 2 and 3 are a majority.
    expect(next?.raft.status().configuration).toEqual(configurationOf([2, 3, 4]));
  });

  test('learners get the log but decide nothing; a voter may become one', () => {
    const network = new Network(3);
    network.add(4, configurationOf([]));
    const leader = network.elect(1);
    leader.raft.proposeChange({ voters: [1, 2].map(replicaId), learners: [3, 4].map(replicaId) });
    network.settle();
    network.tick(4);
    expect(leader.raft.status().configuration).toEqual(configurationOf([1, 2], [3, 4]));
    expect([3, 4].map((id) => network.get(id).raft.status().role)).toEqual(['learner', 'learner']);
    network.cut([2]);
    network.propose(1, 'a');
    expect(leader.state).toEqual([]);
    network.heal();
    network.tick(4);
    expect(network.get(4).state).toEqual(['a']);
  });

  test('a removed leader leads until the final configuration is committed, then steps down', () => {
    const network = new Network(3);
    const leader = network.elect(1);
    leader.raft.proposeChange({ voters: [2, 3].map(replicaId), learners: [] });
    network.settle();
    network.tick(4);
    expect(leader.raft.status().role).toBe('learner');
    expect([2, 3]).toContain(network.leader()?.id);
  });

  test('a replica that only an uncommitted configuration removes can still win (dissertation 4.2.2)', () => {
    const network = new Network(3, { random: seededRandom(3) });
    const leader = network.elect(1);
    network.drops = (message) =>
      message.type === 'appendRequest' && message.entries.some((e) => e.index === 3);
    leader.raft.proposeChange({ voters: [2].map(replicaId), learners: [] });
    network.settle();
    // 1 has the final configuration on disk, alone, and the others need it for the joint majority.
    leader.restart();
    expect(leader.raft.status().configuration).toEqual(configurationOf([2]));
    network.heal();
    network.queue = [];
    network.tick(40);
    expect(network.leader()?.id).toBe(2);
    expect(network.leader()?.raft.status().configuration).toEqual(configurationOf([2]));
  });
});

describe('7 log compaction', () => {
  test('a far-behind follower gets an image and what follows it', () => {
    const network = new Network(3, { cacheBytesMax: 1 });
    network.elect(1);
    network.cut([3]);
    network.propose(1, 'a', 'b', 'c');
    network.get(1).checkpoint();
    network.propose(1, 'd');
    network.heal();
    network.tick(6);
    expect(network.get(3).state).toEqual(['a', 'b', 'c', 'd']);
    expect(network.get(3).disk.image.index).toBe(4);
  });

  test('an image that is complete after its leader was lost is taken, and the timer runs on', () => {
    const network = new Network(0);
    const follower = network.add(3, diskOf([1], three, 2));
    for (let tick = 0; tick < 9; tick++) {
      follower.raft.tick();
    }
    expect(exchange(network, follower, image({ from: 0, to: 3, term: 2 }, [5, 2], three))).toEqual([]);
    expect(follower.raft.status()).toMatchObject({ commit: 5, applied: 5, leader: 0 });
    follower.raft.tick();
    expect(follower.raft.status().role).toBe('preCandidate');
  });

  test('an image carries the members as of its index', () => {
    const network = new Network(3, { cacheBytesMax: 1 });
    network.add(4, configurationOf([]));
    network.elect(1);
    network.cut([4]);
    network.get(1).raft.proposeChange({ voters: [1, 2, 3].map(replicaId), learners: [replicaId(4)] });
    network.settle();
    network.propose(1, 'a');
    network.get(1).checkpoint();
    network.heal();
    network.tick(6);
    expect(network.get(4).raft.status().configuration).toEqual(configurationOf([1, 2, 3], [4]));
    expect(network.get(4).state).toEqual(['a']);
  });
});

describe('8 client interaction', () => {
  test('a new leader commits a no-op at once, and with it what came before', () => {
    const network = new Network(0);
    for (const id of [1, 2, 3]) {
      network.add(id, diskOf([1, 1, 1], three, 1));
    }
    const leader = network.elect(1);
    expect(leader.state).toEqual(['1.1', '2.1', '3.1']);
    expect(leader.raft.status()).toMatchObject({ commit: 4, applied: 4 });
  });

  test('a read on a deposed leader that does not know it is never confirmed', () => {
    const network = new Network(3, { random: seededRandom(3) });
    const old = network.elect(1);
    network.cut([1]);
    // Time stands still for the old leader.
    network.tick(40, [2, 3]);
    const next = network.leader();
    expect(next?.id).not.toBe(1);
    network.propose(next?.id ?? 0, 'new');
    expect(old.raft.read(1)).toBeNull();
    network.settle();
    expect(old.reads).toEqual([]);
    network.heal();
    network.tick(4);
    expect(old.reads).toEqual([{ type: 'dropped', id: 1 }]);
  });

  test('proposals are pipelined up to the limits in flight', () => {
    const network = new Network(2, { inflightMessagesMax: 3, appendBytesMax: 1 });
    const leader = network.elect(1);
    network.cut([2]);
    network.sent = [];
    for (let i = 0; i < 10; i++) {
      leader.raft.propose(bytes('x'));
      work(leader);
    }
    expect(network.sent.filter((message) => message.type === 'appendRequest')).toHaveLength(3);
    network.heal();
    network.tick(4);
    expect(network.get(2).state).toHaveLength(10);
  });
});
