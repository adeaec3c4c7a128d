import type { NodeId } from '@seriatim/multiraft';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../testkit/src/simulation/random.ts';
import { RaftPartition } from './raft-partition.ts';

const NODES = [1, 2, 3] as NodeId[];
const GROUPS = ['a', 'b', 'c', 'd'];

describe('a partition over Raft', () => {
  it.each([1, 2, 3, 4, 5, 6])(
    'loses, doubles and reorders nothing while nodes fall and rise (seed %d)',
    async (seed) => {
      const world = new RaftPartition(seed);
      const random = new Random(`faults ${seed}`);
      for (const node of NODES) await world.start(node);
      await world.run(3_000);
      const until = world.scheduler.now + 20_000;
      for (let producer = 1; producer <= 8; producer++) {
        world.produce(producer, GROUPS[producer % GROUPS.length] as string, until);
      }
      while (world.scheduler.now < until) {
        await world.run(200 + random.below(1_500));
        const victim = random.chance(0.6) ? world.leader : NODES[random.below(3)];
        if (victim === undefined) continue;
        if (random.chance(0.5) && world.nodes.size === 3) {
          world.kill(victim);
          await world.run(random.below(2_500));
          await world.start(victim);
        } else {
          for (const other of NODES) if (other !== victim) world.network.cut(victim, other);
          if (random.chance(0.5)) for (const other of NODES) world.network.cut(other, victim);
          await world.run(random.below(3_000));
          world.network.heal();
        }
      }
      await world.run(6_000);
      expect(world.violations).toEqual([]);
      expect(world.acknowledged).toBeGreaterThan(200);
      expect(world.duplicates).toBeGreaterThan(0);
      check(world);
    },
  );
});

function check(world: RaftPartition): void {
  const states = [...world.nodes.values()].map(({ partition }) => partition.state);
  expect(states).toHaveLength(3);
  expect(new Set(states.map((state) => state.appliedIndex)).size).toBe(1);
  expect(new Set(states.map((state) => state.hash())).size).toBe(1);
  expect(states[0]?.nextOffset).toBe(world.stored.length);
  const contents = world.stored.map((record) => record.content);
  expect(new Set(contents).size).toBe(contents.length);
  for (const group of GROUPS) {
    const sequences = world.stored.filter(({ content }) => content.startsWith(group)).map((r) => r.sequence);
    expect(sequences).toEqual(sequences.map((_, at) => at + 1));
  }
  // Each producer's messages in the order of its own numbers, none left out.
  for (let producer = 1; producer <= 8; producer++) {
    const own = contents.filter((content) => content.split(':')[1] === `${producer}`);
    expect(own.map((content) => Number(content.split(':')[2]))).toEqual(own.map((_, at) => at + 1));
  }
}
