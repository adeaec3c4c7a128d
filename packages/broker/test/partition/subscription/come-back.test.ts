import { describe, expect, it } from 'vitest';
import { consumer, nextLeader, pass, produce, subscribed, turn } from './subscribed.ts';

describe('a holder after a change of leader', () => {
  it('keeps its groups when its open stream is there first and says only then what it holds', async () => {
    const setup = await subscribed();
    const first = await consumer(setup, 'one');
    await produce(setup, 'a1 a2 b1');
    const other = await consumer(setup, 'two');
    const holds = first.holds();
    await nextLeader(setup);
    // The streams were open before: they are attached, and have not said what they hold.
    for (const one of [first, other]) void one.attach(setup.partition, 1, null);
    await turn(setup);
    first.creditMessages = 1000;
    await pass(setup, 100);
    expect(other.contents()).toEqual([]);
    void first.attach(setup.partition, 1, holds);
    void other.attach(setup.partition, 1, []);
    await pass(setup, 20);
    const kinds = first.events.map(({ type }) => type);
    expect(kinds.filter((type) => type === 'held')).toHaveLength(2);
    expect(kinds).not.toContain('hold-lost');
    expect(other.contents()).toEqual([]);
  });

  it('is given them again after its time, when it says nothing, and stays attached', async () => {
    const setup = await subscribed();
    const first = await consumer(setup, 'one');
    await produce(setup, 'a1');
    await nextLeader(setup);
    void first.attach(setup.partition, 1, null);
    await pass(setup, 1000);
    expect(first.contents()).toEqual(['a:1']);
    await pass(setup, 1500);
    await pass(setup, 20);
    expect(first.contents()).toEqual(['a:1', 'a:1']);
    const { subscriptions } = setup.partition.state;
    expect(subscriptions.get(1)?.sessions.has(first.session)).toBe(true);
  });
});
