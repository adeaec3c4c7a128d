import { describe, expect, test } from 'vitest';
import { Network } from './network.ts';
import { seededRandom } from './random.ts';

describe('a shard of three', () => {
  test('elects a leader, replicates, and applies on every replica', () => {
    const network = new Network(3);
    network.elect(1);
    network.propose(1, 'a', 'b', 'c');
    network.tick(2);
    for (const replica of network.replicas.values()) {
      expect(replica.state).toEqual(['a', 'b', 'c']);
    }
  });

  test('elects by itself when time passes, and again when the leader is gone', () => {
    const network = new Network(3, { random: seededRandom(7) });
    network.tick(40);
    const first = network.leader();
    expect(first).toBeDefined();
    network.cut([first?.id ?? 0]);
    network.tick(60);
    const second = network.leader();
    expect(second?.id).not.toBe(first?.id);
    expect(first?.raft.status().role).not.toBe('leader');
    network.heal();
    network.tick(10);
    expect(network.leader()?.id).toBe(second?.id);
  });

  test('a restarted replica catches up', () => {
    const network = new Network(3);
    network.elect(1);
    network.propose(1, 'a');
    network.get(3).restart();
    network.propose(1, 'b');
    network.tick(4);
    expect(network.get(3).state).toEqual(['a', 'b']);
  });

  test('a replica behind the compacted log gets an image', () => {
    const network = new Network(3, { cacheBytesMax: 1 });
    network.elect(1);
    network.cut([3]);
    network.propose(1, 'a', 'b', 'c');
    network.tick(25, [1, 2]);
    network.get(1).checkpoint();
    network.propose(1, 'd');
    network.heal();
    network.tick(8);
    expect(network.get(3).state).toEqual(['a', 'b', 'c', 'd']);
    expect(network.sent.some((message) => message.type === 'snapshotRequest')).toBe(true);
  });

  test('a replica behind the cache is served from the log store', () => {
    const network = new Network(3, { cacheBytesMax: 1 });
    network.elect(1);
    network.cut([3]);
    for (let i = 0; i < 30; i++) {
      network.propose(1, `command ${i}`);
    }
    network.heal();
    network.tick(8);
    expect(network.get(3).state).toHaveLength(30);
    expect(network.sent.some((message) => message.type === 'snapshotRequest')).toBe(false);
  });
});

test('a shard of one leads after its vote is durable and commits by its own disk', () => {
  const network = new Network(1);
  const only = network.get(1);
  only.holdWrites = true;
  network.tick(1);
  expect(only.raft.status().role).toBe('candidate');
  only.holdWrites = false;
  only.completeWrites();
  network.settle();
  expect(only.raft.status().role).toBe('leader');
  network.propose(1, 'a');
  expect(only.state).toEqual(['a']);
});
