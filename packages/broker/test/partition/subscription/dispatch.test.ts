import { describe, expect, it } from 'vitest';
import { consumer, produce, progress, subscribed } from './subscribed.ts';

describe('dispatch', () => {
  it('gives a group to one consumer, in order, several messages together', async () => {
    const setup = await subscribed();
    const first = await consumer(setup, 'one');
    await produce(setup, 'a1 a2 b1 a3');
    expect(first.contents()).toEqual(['a:1', 'a:2', 'a:3', 'b:1']);
    expect(new Set(first.all.map((message) => message.counter)).size).toBe(2);
    first.ackAll();
    await progress(setup);
    expect(first.unanswered).toBe(0);
    expect(setup.partition.state.subscriptions.get(1)).toMatchObject({ floor: 4, done: 4, lost: 0 });
  });

  it('shares ready groups among consumers with credit', async () => {
    const setup = await subscribed();
    const first = await consumer(setup, 'one');
    const second = await consumer(setup, 'two');
    await produce(setup, 'a1 b1 c1 d1');
    expect([first.all.length, second.all.length]).toEqual([2, 2]);
  });
});
