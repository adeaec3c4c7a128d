import { describe, expect, it } from 'vitest';
import { setUp, take } from './consumer-setup.ts';

describe('Consumer, message by message', () => {
  it('gives each group in order with everything a message has, settles it and leaves', async () => {
    const { clock, subscriptions, consumer, publish } = setUp();
    publish(60, 6);
    const member = consumer({ name: 'me' });
    const messages = await clock.until(take(member, 60, (message) => message.ack()));
    const next = new Map<string, number>();
    for (const message of messages) {
      expect(message.sequence).toBe((next.get(message.group) ?? 0) + 1);
      next.set(message.group, message.sequence);
      const value = (message.sequence - 1) * 6 + Number(message.group.slice(1));
      expect(message.value.toString()).toBe(`${value}`);
      expect(message).toMatchObject({ topic: 't', life: 7, attempt: 1, timestamp: 1_700_000_000_000 });
      expect(message.key.toString()).toBe('k');
      expect(message.token.epoch).toBe(1);
      expect(message.headers).toEqual([]);
    }
    await clock.until(member.close());
    for (let group = 0; group < 6; group++) {
      expect(subscriptions.settled(group % 3, `g${group}`)).toBe(10);
    }
    expect(subscriptions.streams).toEqual([]);
    expect(subscriptions.opens.map(({ open }) => open.consumer)).toEqual(['me', 'me', 'me']);
    expect(new Set(subscriptions.opens.map(({ open }) => open.session)).size).toBe(1);
  });
});
