import { describe, expect, it } from 'vitest';
import { losses, setUp, take } from './consumer-setup.ts';

describe('Consumer.close', () => {
  it('settles all that was acknowledged, also what is more than may be unanswered', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(20, 20);
    subscriptions.answerMilliseconds = 20;
    const member = consumer({ unansweredRowsMax: 3 });
    await clock.until(take(member, 20, (message) => message.ack()));
    await clock.until(member.close());
    const settled = Array.from({ length: 20 }, (_, group) => subscriptions.settled(0, `g${group}`));
    expect(settled).toEqual(Array.from({ length: 20 }, () => 1));
  });

  it('sends again what a node had too much of', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    let refused = 0;
    subscriptions.refuse = () => (refused++ === 0 ? 'OVERLOADED' : '');
    const member = consumer();
    await clock.until(take(member, 1, (message) => message.ack()));
    await clock.until(member.close());
    expect(subscriptions.settled(0, 'g0')).toBe(1);
  });

  it('settles at the next leader what the one before did not answer', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(4, 2);
    const member = consumer();
    await clock.until(take(member, 4, (message) => message.ack()));
    subscriptions.breakNode('n:1');
    await clock.pass(2);
    await clock.until(member.close());
    expect([0, 1].map((group) => subscriptions.settled(0, `g${group}`))).toEqual([2, 2]);
  });

  it('ends by its deadline where nobody answers any more, and tells what is not known to be settled before a flush ends', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    subscriptions.answerMilliseconds = 'never';
    const member = consumer();
    const lost = losses(member);
    await clock.until(take(member, 1, (message) => message.ack()));
    const told = member.flush().then(() => lost.length);
    const from = clock.now();
    await clock.until(member.close({ timeoutMilliseconds: 700 }));
    expect(clock.now() - from).toBe(700);
    expect(await told).toBe(1);
    expect(lost).toEqual(['g0 HOLD_LOST']);
  });
});
