import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import { beforeEach, describe, expect, test } from 'vitest';
import type { PartitionView } from '../../src/contracts.ts';
import { LeaderBalancer, type LeaderTransfer } from '../../src/meta/leader-balancer.ts';
import { FakeLeaders } from './fakes.ts';

let leaders: FakeLeaders;
let down: Set<number>;
let balancer: LeaderBalancer;
let partitions: PartitionView[];
let now: number;

/** Partition n has shard 10 + n and prefers node n % 3 + 1. */
beforeEach(() => {
  leaders = new FakeLeaders();
  down = new Set();
  balancer = new LeaderBalancer();
  now = 0;
  partitions = Array.from({ length: 6 }, (_, partition) => ({
    partition,
    shard: (10 + partition) as ShardId,
    replicas: [0, 1, 2].map((at) => {
      const node = (((partition + at) % 3) + 1) as NodeId;
      return { node, replica: (1_000 + partition * 10 + node) as ReplicaId };
    }),
  }));
});

function pass(milliseconds: number, answer: (transfer: LeaderTransfer) => void = () => {}): LeaderTransfer[] {
  const all: LeaderTransfer[] = [];
  for (const end = now + milliseconds; now < end; now += 200) {
    const round = balancer.round(now, partitions, leaders, (node) => !down.has(node));
    expect(round.length).toBeLessThanOrEqual(2);
    for (const transfer of round) answer(transfer);
    all.push(...round);
  }
  return all;
}
const allLedBy = (node: number): void => {
  for (const { shard } of partitions) leaders.set(shard, node);
};
const obey = ({ shard, to }: LeaderTransfer): void => leaders.set(shard, to);

describe('leader balancer', () => {
  test('moves leaders to their preferred nodes, each once, and then rests', () => {
    allLedBy(1);
    const transfers = pass(10_000, obey);
    expect(transfers).toHaveLength(4);
    for (const { shard, from, to, replica } of transfers) {
      expect(from).toBe(1);
      expect(partitions.find((partition) => partition.shard === shard)?.replicas[0]).toEqual({
        node: to,
        replica,
      });
    }
    expect(pass(60_000, obey)).toHaveLength(0);
  });

  test('waits until a node has been up for a while and a leader has led for a while', () => {
    allLedBy(1);
    expect(pass(2_000)).toHaveLength(0);
    down.add(2);
    down.add(3);
    pass(200);
    down.clear();
    expect(pass(2_800)).toHaveLength(0);
    expect(pass(1_000).length).toBeGreaterThan(0);
  });

  test('asks nothing of a node that is down, and gives a restarted node its leaders again', () => {
    allLedBy(1);
    pass(10_000, obey);
    down.add(2);
    for (const { shard } of partitions) if (leaders.leader(shard)?.node === 2) leaders.set(shard, 3);
    expect(pass(20_000, obey)).toHaveLength(0);
    down.delete(2);
    expect(pass(10_000, obey)).toHaveLength(2);
    expect(partitions.filter(({ shard }) => leaders.leader(shard)?.node === 2)).toHaveLength(2);
  });

  test('asks ever more rarely when a hand-over does not succeed or does not last', () => {
    allLedBy(1);
    const refused = pass(120_000);
    expect(refused.length).toBeLessThanOrEqual(4 * 7);
    const pingPong = pass(120_000, ({ shard, to }) => {
      leaders.set(shard, to);
      leaders.set(shard, 1);
    });
    expect(pingPong.length).toBeLessThanOrEqual(4 * 3);
  });

  test('is quick again after a calm time with the preferred leader', () => {
    allLedBy(1);
    pass(60_000);
    for (const { shard, replicas } of partitions) leaders.set(shard, replicas[0]?.node ?? 0);
    pass(120_000);
    allLedBy(1);
    expect(pass(5_000, obey).length).toBe(4);
  });
});
