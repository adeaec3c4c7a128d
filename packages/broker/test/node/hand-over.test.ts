import type { Shard, ShardHost } from '@seriatim/multiraft';
import { describe, expect, test } from 'vitest';
import { handOverLeaderships } from '../../src/node/hand-over.ts';
import { StopList } from '../../src/node/stop-list.ts';
import { ManualClock } from './manual-clock.ts';

type Progress = { replica: number; match: number; active: boolean };
interface FakeShard {
  role: string;
  readonly asked: number[];
  readonly shard: Shard;
}

function led(progress: readonly Progress[], voters: readonly number[], accepts = true): FakeShard {
  const fake: FakeShard = { role: 'leader', asked: [], shard: {} as Shard };
  const status = () => ({ role: fake.role, replica: 1, configuration: { voters }, progress });
  const transfer = (to: number): null => {
    fake.asked.push(to);
    if (accepts) fake.role = 'follower';
    return null;
  };
  Object.assign(fake.shard, { status, transfer });
  return fake;
}

const hostOf = (...shards: FakeShard[]): ShardHost =>
  ({ shards: () => shards.map((fake) => fake.shard) }) as unknown as ShardHost;

async function run(host: ShardHost, milliseconds: number): Promise<{ left: number; took: number }> {
  const clock = new ManualClock();
  let left = -1;
  const done = handOverLeaderships(host, clock, milliseconds).then((count) => {
    left = count;
  });
  for (let i = 0; left < 0 && i < 1_000; i++) {
    await Promise.resolve();
    await Promise.resolve();
    if (left < 0) clock.advance(10);
  }
  await done;
  return { left, took: clock.now() };
}

describe('a node that stops', () => {
  test('hands each leadership to the voter that is farthest and answers', async () => {
    const first = led(
      [
        { replica: 2, match: 5, active: true },
        { replica: 3, match: 9, active: false },
        { replica: 4, match: 7, active: true },
        { replica: 5, match: 9, active: true },
      ],
      [1, 2, 3, 4],
    );
    const { left, took } = await run(hostOf(first), 1_000);
    expect({ left, asked: first.asked }).toEqual({ left: 0, asked: [4] });
    expect(took).toBeLessThan(100);
  });

  test('asks again, and gives up in time', async () => {
    const stubborn = led([{ replica: 2, match: 5, active: true }], [1, 2], false);
    const { left, took } = await run(hostOf(stubborn), 1_200);
    expect(left).toBe(1);
    expect(stubborn.asked).toEqual([2, 2, 2]);
    expect(took).toBeLessThan(1_300);
  });

  test('does not wait for a shard that nobody else could lead', async () => {
    expect((await run(hostOf(led([], [1])), 1_000)).took).toBe(0);
  });

  test('stops its parts in reverse, also when one fails', async () => {
    const order: string[] = [];
    const failures: string[] = [];
    const stops = new StopList((name) => failures.push(name));
    for (const name of ['disk', 'links', 'front']) {
      stops.add(name, async () => {
        order.push(name);
        if (name === 'links') throw new Error('broken');
      });
    }
    await Promise.all([stops.stop(), stops.stop()]);
    expect(order).toEqual(['front', 'links', 'disk']);
    expect(failures).toEqual(['links']);
  });
});
