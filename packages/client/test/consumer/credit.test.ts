import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { CreditAccount } from '../../src/consumer/credit.ts';
import { setUp, take } from './consumer-setup.ts';

describe('CreditAccount', () => {
  const shares = (messages: number, bytes: number, streams: number) => ({
    config: { creditMessages: messages, creditBytes: bytes },
    streams,
  });

  it('grants the share of one stream, and again when a quarter of it is free', () => {
    const account = new CreditAccount(shares(300, 9000, 3));
    expect(account.grant()).toEqual({ messages: 100, bytes: 3000 });
    expect(account.due).toBe(false);
    account.received(40, 600);
    account.released(24, 100);
    expect(account.due).toBe(false);
    account.released(1, 1);
    expect(account.due).toBe(true);
    expect(account.grant()).toEqual({ messages: 25, bytes: 101 });
  });

  it('grants nothing for what waits, also over a new stream', () => {
    const account = new CreditAccount(shares(100, 1000, 1));
    account.grant();
    account.received(60, 600);
    account.reset();
    expect(account.grant()).toEqual({ messages: 40, bytes: 400 });
  });

  it('is below zero after a message that is larger than what is left', () => {
    const account = new CreditAccount(shares(100, 1000, 1));
    account.grant();
    account.received(1, 5000);
    account.released(1, 5000);
    expect(account.grant()).toEqual({ messages: 1, bytes: 5000 });
  });

  it('gives less when more streams share, without taking back', () => {
    const divided = { config: { creditMessages: 100, creditBytes: 1000 }, streams: 1 };
    const account = new CreditAccount(divided);
    account.grant();
    divided.streams = 2;
    account.received(60, 600);
    account.released(60, 600);
    expect(account.grant()).toEqual({ messages: 10, bytes: 100 });
  });
});

describe('Consumer', () => {
  it('is sent no more than its credit over all nodes before it takes, and all of it when it does', async () => {
    const { clock, subscriptions, consumer, publish } = setUp();
    publish(600, 60);
    const member = consumer({ creditMessages: 30, creditBytes: 100_000 });
    const loop = member[Symbol.asyncIterator]();
    await clock.until(loop.next());
    await clock.pass(1000);
    const given = (): number => {
      let sum = 0;
      for (let group = 0; group < 60; group++) {
        const { hold, settled } = subscriptions.group(group % 3, `g${group}`);
        sum += hold === null ? 0 : hold.delivered - settled;
      }
      return sum;
    };
    expect(given()).toBeLessThanOrEqual(31);
    expect(given()).toBeGreaterThan(20);
    await loop.return?.();
    await clock.until(take(member, 599, (message) => message.ack()));
    for (const stream of subscriptions.streams) expect(stream.creditMax).toBeLessThanOrEqual(30);
    await clock.until(member.close());
  });

  it('takes a message that is larger than its bytes', async () => {
    const { clock, subscriptions, consumer } = setUp(1);
    for (let index = 0; index < 5; index++) subscriptions.publish(0, `g${index}`, Buffer.alloc(5000));
    const member = consumer({ creditMessages: 10, creditBytes: 100 });
    const messages = await clock.until(take(member, 5, (message) => message.ack()));
    expect(messages.map(({ value }) => value.length)).toEqual([5000, 5000, 5000, 5000, 5000]);
    await clock.until(member.close());
  });
});
