import { describe, expect, it } from 'vitest';
import { commandKind } from '../../../src/partition/command.ts';
import {
  COMMAND_PROGRESS,
  readHead,
  readTotals,
  subscriptionReader,
} from '../../../src/partition/subscription/subscription-command.ts';
import type { Setup } from '../setup.ts';
import { consumer, pass, produce, subscribed, turn } from './subscribed.ts';

/** Floor, messages done, and number of rows of each progress command in the log. */
function commands({ shard }: Setup) {
  return shard.log.flatMap(({ type, data }) => {
    if (type !== 'command' || commandKind(data) !== COMMAND_PROGRESS) return [];
    const reader = subscriptionReader();
    reader.open(data, 2);
    readHead(reader);
    const { floor, done } = readTotals(reader);
    return [{ floor, done, rows: reader.varint() }];
  });
}

/** All but y1 are acknowledged, which is told with rows of a, b, c and d; nothing of that is committed. */
async function acknowledged(progressInFlightMax: number): Promise<Setup> {
  const setup = await subscribed({}, { progressRowsMax: 2, progressInFlightMax });
  await produce(setup, 'z1 y1 a1 b1 c1 d1');
  const one = await consumer(setup, 'one');
  for (const message of one.open.filter(({ content }) => content !== 'y:1')) one.ack(message);
  setup.clock.advance(10);
  setup.clock.turn();
  return setup;
}

describe('progress that is too much for one command', () => {
  it('goes out in several, of which the last one has the floor and what is done', async () => {
    const setup = await acknowledged(4);
    expect(commands(setup)).toEqual([
      { floor: 0, done: 0, rows: 2 },
      { floor: 1, done: 5, rows: 2 },
    ]);
    await turn(setup);
    expect(setup.partition.state.subscriptions.get(1)).toMatchObject({ floor: 1, done: 5 });
  });

  it('waits for those under way', async () => {
    const setup = await acknowledged(1);
    expect(commands(setup)).toHaveLength(1);
    await turn(setup);
    expect(commands(setup).map(({ rows }) => rows)).toEqual([2, 2]);
    expect(setup.partition.state.subscriptions.get(1)).toMatchObject({ floor: 1, done: 5 });
  });

  it('loses nothing when the leader falls between two', async () => {
    const setup = await acknowledged(4);
    setup.shard.lose(setup.shard.committed + 1);
    await turn(setup);
    setup.shard.leadConfirmed();
    const two = await consumer(setup, 'two');
    await pass(setup, 2_100);
    expect(two.contents().sort()).toEqual(['c:1', 'd:1', 'y:1', 'z:1']);
  });
});
