import { describe, expect, test } from 'vitest';
import { Raft } from '../src/index.ts';
import { initialRestored } from '../src/raft-config.ts';
import { exchange, work } from './mistakes.ts';
import { Network } from './network.ts';
import { seededRandom } from './random.ts';
import { bytes, config, configurationOf, replicaId } from './replica.ts';
import { append, diskOf, heartbeat, voteRequest } from './words.ts';

const three = configurationOf([1, 2, 3]);

describe('a leader whose node refuses connections', () => {
  test('is replaced long before the election timeout, whatever the seed', () => {
    const ticks: number[] = [];
    for (let seed = 1; seed <= 200; seed++) {
      const network = new Network(3, {
        random: seededRandom(seed),
        electionTimeoutTicks: 40,
        heartbeatTicks: 4,
        refusedCampaignTicks: { min: 2, max: 6 },
      });
      network.elect(1);
      network.tick(4);
      network.cut([1]);
      network.get(2).raft.nodeRefused(replicaId(1), true);
      network.get(3).raft.nodeRefused(replicaId(1), true);
      let count = 0;
      while (
        network.get(2).raft.status().role !== 'leader' &&
        network.get(3).raft.status().role !== 'leader'
      ) {
        network.tick(1, [2, 3]);
        count++;
      }
      ticks.push(count);
    }
    ticks.sort((a, b) => a - b);
    expect(ticks[100]).toBeLessThanOrEqual(6);
    expect(ticks[199]).toBeLessThan(40);
  });

  test('is left alone when it is heard again before the campaign', () => {
    const network = new Network(3, { refusedCampaignTicks: { min: 3, max: 3 } });
    network.elect(1);
    network.tick(2);
    network.get(2).raft.nodeRefused(replicaId(1), true);
    network.tick(2);
    network.get(2).raft.nodeRefused(replicaId(1), false);
    network.tick(6);
    expect(network.get(1).raft.status().role).toBe('leader');
  });

  test('a voter that still reaches the leader does not join in', () => {
    const network = new Network(3);
    network.elect(1);
    network.tick(2);
    const voter = network.get(3);
    const asked = voteRequest({ from: 2, to: 3, term: 2 }, [9, 1], { preVote: true });
    expect(exchange(network, voter, asked)).toEqual([]);
    voter.raft.nodeRefused(replicaId(1), true);
    expect(exchange(network, voter, asked)).toMatchObject([{ type: 'voteResponse', granted: true }]);
  });
});

describe('time', () => {
  test('a replica that comes back from a cut does not disturb the leader', () => {
    const network = new Network(3, { random: seededRandom(2) });
    network.elect(1);
    const { term } = network.get(1).raft.status();
    network.cut([3]);
    network.tick(100);
    network.heal();
    network.tick(20);
    expect(network.get(1).raft.status()).toMatchObject({ role: 'leader', term });
    expect(network.get(3).raft.status()).toMatchObject({ role: 'follower', leader: 1, term });
  });

  test('check-quorum deposes a leader that hears no majority, within 2 T', () => {
    const network = new Network(5);
    network.elect(1);
    network.cut([1, 2]);
    network.tick(20, [1, 2]);
    expect(network.get(1).raft.status().role).not.toBe('leader');
  });

  test('a leader cut off from its learners only stays', () => {
    const network = new Network(0);
    const members = configurationOf([1], [2, 3]);
    for (const id of [1, 2, 3]) {
      network.add(id, diskOf([], members));
    }
    network.tick(1);
    network.cut([1]);
    network.tick(50, [1]);
    expect(network.get(1).raft.status().role).toBe('leader');
  });

  test('confirmation is as old as the round that a quorum answered', () => {
    const network = new Network(3);
    const leader = network.elect(1);
    network.tick(2);
    expect(leader.raft.confirmedWithin(0)).toBe(true);
    network.cut([1]);
    network.tick(3, [1]);
    expect(leader.raft.confirmedWithin(2)).toBe(false);
    expect(leader.raft.confirmedWithin(3)).toBe(true);
    network.heal();
    network.tick(2);
    expect(leader.raft.confirmedWithin(1)).toBe(true);
  });

  test('a pause restarts a follower’s timer and a leader’s review of its members', () => {
    const network = new Network(3);
    network.elect(1);
    network.tick(2);
    for (let tick = 0; tick < 9; tick++) {
      network.get(2).raft.tick();
    }
    network.get(2).raft.paused();
    for (let tick = 0; tick < 9; tick++) {
      network.get(2).raft.tick();
    }
    expect(network.get(2).raft.status().role).toBe('follower');
  });

  test('ticks of an idle follower are cheap: a million in well under a second', () => {
    const network = new Network(3);
    network.elect(1);
    network.tick(2);
    const { raft } = network.get(2);
    const beat = heartbeat({ from: 1, to: 2, term: 1 }, 1);
    let ready = 0;
    for (let tick = 0; tick < 1_000_000; tick++) {
      raft.tick();
      ready += raft.hasReady() ? 1 : 0;
      if (tick % 8 === 7) {
        raft.step(beat);
        raft.ready();
      }
    }
    expect(ready).toBe(0);
  });
});

describe('transfer of leadership (dissertation 3.10)', () => {
  test('goes to a voter that is up to date, within a round trip, though the leader was just heard', () => {
    const network = new Network(5);
    const leader = network.elect(1);
    network.tick(2);
    expect(leader.raft.transfer(replicaId(4))).toBeNull();
    network.settle();
    expect(network.get(4).raft.status().role).toBe('leader');
    expect(leader.raft.status()).toMatchObject({ role: 'follower', leader: 4 });
  });

  test('a lagging target is caught up first', () => {
    const network = new Network(3);
    const leader = network.elect(1);
    network.tick(2);
    network.cut([2]);
    network.propose(1, 'a', 'b');
    network.heal();
    leader.raft.transfer(replicaId(2));
    network.tick(4);
    expect(network.get(2).raft.status().role).toBe('leader');
    expect(network.get(2).state).toEqual(['a', 'b']);
  });

  test('refuses learners, strangers and a second target', () => {
    const network = new Network(0);
    for (const id of [1, 2, 3, 4]) {
      network.add(id, diskOf([], configurationOf([1, 2, 3], [4])));
    }
    const leader = network.elect(1);
    network.tick(2);
    expect(leader.raft.transfer(replicaId(4))).toBe('invalidChange');
    expect(leader.raft.transfer(replicaId(9))).toBe('invalidChange');
    expect(leader.raft.transfer(replicaId(1))).toBeNull();
    network.cut([2]);
    expect(leader.raft.transfer(replicaId(2))).toBeNull();
    expect(leader.raft.transfer(replicaId(2))).toBeNull();
    expect(leader.raft.transfer(replicaId(3))).toBe('transferring');
    expect(network.get(2).raft.transfer(replicaId(3))).toBe('notLeader');
  });

  test('an order of a replica that does not lead is not followed', () => {
    const network = new Network(3);
    network.elect(1);
    const follower = network.get(2);
    const order = { type: 'timeoutNow', from: replicaId(3), to: follower.id, term: 1 as never } as const;
    expect(exchange(network, follower, order)).toEqual([]);
    expect(follower.raft.status().role).toBe('follower');
  });
});

describe('what a peer or a caller may get wrong', () => {
  test('appends that no correct leader sends are dropped', () => {
    const network = new Network(0);
    const follower = network.add(2, diskOf([1, 1], three, 1));
    const good = append({ from: 1, to: 2, term: 1 }, [2, 1], [1]);
    const entry = good.entries[0];
    const bad = [
      { ...good, entries: [{ ...entry, index: 9 }] },
      { ...good, entries: [{ ...entry, term: 5 }] },
      { ...good, entries: [{ ...entry, type: 'configuration', data: bytes('?') }] },
      { ...good, to: 7 },
      { ...good, from: 2 },
    ] as never[];
    expect(exchange(network, follower, ...bad)).toEqual([]);
    expect(follower.raft.status().last).toBe(2);
  });

  test('a setting that makes no sense is refused by name', () => {
    const make = (settings: object): Raft =>
      new Raft({ ...config, replica: replicaId(1), random: () => 0, ...settings }, initialRestored(three));
    expect(() => make({ heartbeatTicks: 10 })).toThrow(/heartbeatTicks is 10/);
    expect(() => make({ appendBytesMax: 0 })).toThrow(/appendBytesMax is 0/);
    expect(() => make({ replica: 0 })).toThrow(/replica is 0/);
    expect(() => make({ refusedCampaignTicks: { min: 4, max: 3 } })).toThrow(/refusedCampaignTicks/);
  });

  test('reports that nobody waits for change nothing', () => {
    const network = new Network(3);
    const leader = network.elect(1);
    network.tick(2);
    leader.raft.snapshotReport(replicaId(2), false);
    leader.raft.snapshotReport(replicaId(9), true);
    leader.raft.entriesRead(5 as never, 1 as never, []);
    leader.raft.nodeRefused(replicaId(9), true);
    leader.raft.nodeRefused(replicaId(9), true);
    work(leader);
    network.propose(1, 'a');
    expect(network.get(2).state).toEqual(['a']);
  });
});
