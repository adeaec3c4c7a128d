import { SETTLEMENT_KIND_ACK, SETTLEMENT_KIND_EXTEND } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import type { ConsumedMessage } from '../../src/consumer/consumed-message.ts';
import { RejectMessage } from '../../src/consumer/handler-pool.ts';
import { losses, setUp, take } from './consumer-setup.ts';

const INVALID: Error = expect.objectContaining({ code: 'INVALID_ARGUMENT' });

describe('what an application says of a message', () => {
  it.each([-1, 0.5, 86_400_001, Number.NaN, '5', null])(
    'refuses %s as delay of a nack, and the consumer goes on',
    async (delay) => {
      const { clock, subscriptions, consumer, publish } = setUp(1);
      publish(2, 1);
      const member = consumer();
      const codes: unknown[] = [];
      await clock.until(
        take(member, 2, (message) => {
          try {
            message.nack({ delay: delay as number });
          } catch (error) {
            codes.push((error as { code?: unknown }).code);
          }
          message.ack();
        }),
      );
      await clock.until(member.close());
      expect(codes).toEqual(['INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
      expect(subscriptions.settled(0, 'g0')).toBe(2);
    },
  );

  it.each([-1, 1.5, 3_600_001, Number.POSITIVE_INFINITY])('refuses to extend by %s', async (milliseconds) => {
    const { clock, consumer, publish } = setUp(1);
    publish(1, 1);
    const member = consumer();
    const [message] = await clock.until(take(member, 1));
    expect(() => message?.extend(milliseconds)).toThrow(INVALID);
    await clock.until(member.close());
  });

  it('takes anything as a reason, and cuts it between characters', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(4, 4);
    const thrown: unknown[] = [
      new Error('é'.repeat(600)),
      {
        toString: () => {
          throw new Error('no text');
        },
      },
      new RejectMessage('for good'),
      Object.create(null),
    ];
    const member = consumer();
    const end = member.run(({ group }) => {
      throw thrown[Number(group.slice(1))];
    });
    await clock.pass(20);
    await clock.until(member.close());
    await clock.until(end);
    const reason = (group: string) => subscriptions.rows.find((row) => row.group === group)?.reason;
    expect(reason('g0')).toBe('é'.repeat(512));
    expect(reason('g1')).toBe('a value that has no text');
    expect(reason('g2')).toBe('for good');
    expect(reason('g3')).toBe('a value that has no text');
  });
});

describe('holds', () => {
  it('of what waits are kept while one delivery is taken slowly, message by message', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 1_000;
    subscriptions.runMax = 40;
    publish(80, 2);
    const member = consumer({ takeWithinMilliseconds: 2_000 });
    const seen: number[] = [];
    await clock.until(
      take(member, 80, async (message) => {
        seen.push(message.attempt);
        await clock.sleep(100);
        message.ack();
      }),
    );
    expect(seen.every((attempt) => attempt === 1)).toBe(true);
    expect(subscriptions.group(0, 'g1').failures).toBe(0);
    await clock.until(member.close());
  });

  it('under a running handler are kept also while more of their groups comes, which renews nothing', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 1_000;
    subscriptions.runMax = 100;
    publish(1, 1);
    const member = consumer();
    const attempts: number[] = [];
    const end = member.run(async ({ attempt, sequence }) => {
      attempts.push(attempt);
      if (sequence === 1) await clock.sleep(4_000);
    });
    for (let more = 0; more < 45; more++) {
      await clock.pass(100);
      publish(1, 1);
    }
    await clock.pass(100);
    await clock.until(member.close());
    await clock.until(end);
    expect(attempts).toEqual(Array.from({ length: 46 }, () => 1));
  });

  it('keep an extension that was asked for while no stream had them', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    const member = consumer();
    const [message] = await clock.until(take(member, 1));
    subscriptions.breakNode('n:1');
    expect(message?.extend(3_000_000)).toBe(true);
    await clock.pass(1_000);
    const rows = subscriptions.rows.map(({ kind, milliseconds, code }) => [kind, milliseconds, code]);
    expect(rows).toEqual([[SETTLEMENT_KIND_EXTEND, 3_000_000, '']]);
    message?.ack();
    await clock.until(member.close());
  });

  it('that the application extended are not shortened, and go on as long at the next leader', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 1_000;
    publish(2, 1);
    const member = consumer();
    const messages: ConsumedMessage[] = [];
    void clock.until(
      member.run(async (message) => {
        messages.push(message);
        message.extend(60_000);
        await clock.sleep(5_000);
      }),
    );
    await clock.pass(4_000);
    const extensions = () => subscriptions.rows.filter(({ kind }) => kind === SETTLEMENT_KIND_EXTEND);
    expect(extensions().map(({ milliseconds }) => milliseconds)).toEqual([60_000]);
    subscriptions.changeLeader(0, 1);
    await clock.pass(500);
    expect(extensions().length).toBe(2);
    expect(extensions()[1]?.milliseconds).toBeGreaterThan(50_000);
    expect(extensions()[1]?.code).toBe('');
    await clock.until(member.close());
  });

  it('whose time is over by the clock here are not worked on, though no broker said so yet', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 1_000;
    publish(3, 1);
    const member = consumer();
    const lost = losses(member);
    const seen: string[] = [];
    let stood = false;
    const end = member.run((message) => {
      seen.push(`${message.sequence}.${message.attempt}`);
      if (stood) return;
      stood = true;
      // The process stands still behind its first message.
      clock.standStill(2_500);
    });
    await clock.pass(10);
    expect(seen).toEqual(['1.1']);
    expect(lost).toEqual(['g0 HOLD_EXPIRED']);
    await clock.pass(3_000);
    expect(seen.slice(1).map((one) => one.split('.')[0])).toEqual(['1', '2', '3'].slice(4 - seen.length));
    await clock.until(member.close());
    await clock.until(end);
    expect(subscriptions.settled(0, 'g0')).toBe(3);
  });

  it('are kept under a running handler although it extends them by less than they last', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 1_000;
    publish(1, 1);
    const member = consumer();
    const lost = losses(member);
    const attempts: number[] = [];
    const end = member.run(async (message) => {
      attempts.push(message.attempt);
      for (let beat = 0; beat < 60; beat++) {
        message.extend(10);
        await clock.sleep(50);
      }
    });
    await clock.pass(3_500);
    await clock.until(member.close());
    await clock.until(end);
    expect({ attempts, lost }).toEqual({ attempts: [1], lost: [] });
    expect(subscriptions.settled(0, 'g0')).toBe(1);
  });

  it('whose time is over by the clock here are not worked on either when their stream broke meanwhile', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 1_000;
    publish(6, 1);
    const member = consumer();
    const lost = losses(member);
    const seen: string[] = [];
    const end = member.run(async ({ sequence, attempt }) => {
      seen.push(`${sequence}.${attempt}`);
      await clock.sleep(50);
    });
    await clock.pass(10);
    subscriptions.breakNode('n:1');
    clock.standStill(20_000);
    await clock.pass(0);
    await clock.pass(0);
    expect({ seen, lost }).toEqual({ seen: ['1.1'], lost: ['g0 HOLD_EXPIRED'] });
    await clock.pass(5_000);
    await clock.until(member.close());
    await clock.until(end);
    expect(subscriptions.settled(0, 'g0')).toBe(6);
    expect(lost.length).toBe(1);
  });

  it('are not told lost when everything in them was acknowledged in time', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 1_000;
    subscriptions.answerMilliseconds = 3_000;
    publish(1, 1);
    const member = consumer();
    const lost = losses(member);
    const loop = member[Symbol.asyncIterator]();
    const first = await clock.until(loop.next());
    first.value?.ack();
    await clock.pass(1_500);
    const second = loop.next();
    await clock.pass(100);
    publish(1, 1);
    (await clock.until(second)).value?.ack();
    await clock.until(member.close());
    expect(lost).toEqual([]);
    expect(subscriptions.settled(0, 'g0')).toBe(2);
  });

  it('keep an extension that was asked for although the stream that took them up broke before it was sent', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    const member = consumer();
    const [message] = await clock.until(take(member, 1));
    subscriptions.breakNode('n:1');
    message?.extend(3_000_000);
    while (subscriptions.opens.length < 2) await clock.pass(1);
    // HELD is on its way, and nothing can be sent on the stream any more.
    subscriptions.breakNode('n:1');
    await clock.pass(1_000);
    const rows = subscriptions.rows.map(({ kind, milliseconds, code }) => [kind, milliseconds, code]);
    expect(rows).toEqual([[SETTLEMENT_KIND_EXTEND, 3_000_000, '']]);
    message?.ack();
    await clock.until(member.close());
  });
});

describe('a loop', () => {
  it('gives each of several calls of next its message, or its end', async () => {
    const { clock, consumer, publish } = setUp(1);
    const member = consumer();
    const loop = member[Symbol.asyncIterator]();
    const calls = Array.from({ length: 4 }, () => loop.next());
    await clock.pass(20);
    publish(2, 2);
    const first = await clock.until(Promise.all(calls.slice(0, 2)));
    expect(first.map(({ value }) => value?.group)).toEqual(['g0', 'g1']);
    for (const { value } of first) value?.ack();
    await loop.return?.();
    const rest = await clock.until(Promise.all(calls.slice(2)));
    expect(rest.map(({ done }) => done)).toEqual([true, true]);
    await clock.until(member.close());
  });
});

describe('what a listener throws', () => {
  it('is an uncaught exception, and neither ends the stream nor keeps the consumer from closing', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(4, 2);
    const uncaught: string[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const note = (error: Error): void => void uncaught.push(error.message);
    process.on('uncaughtException', note);
    try {
      const member = consumer();
      for (const name of ['attached', 'holdLost', 'refused'] as const) {
        member.events.on(name, () => {
          throw new RangeError(name);
        });
      }
      subscriptions.refuse = ({ kind, group }) =>
        kind === SETTLEMENT_KIND_ACK && group === 'g1' ? 'HOLD_LOST' : '';
      await clock.until(take(member, 4, (message) => message.ack()));
      await clock.until(member.flush());
      await clock.until(member.close());
      await new Promise((resolve) => setImmediate(resolve));
      expect(subscriptions.settled(0, 'g0')).toBe(2);
      expect(subscriptions.opens).toHaveLength(1);
      expect(uncaught).toContain('attached');
      expect(uncaught).toContain('holdLost');
    } finally {
      process.off('uncaughtException', note);
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });
});

describe('times', () => {
  it.each([Number.NaN, -1, '10'])(
    'refuses %s as the limit of close, which may then be called again',
    async (limit) => {
      const { clock, consumer } = setUp(1);
      const member = consumer();
      const refused = member.close({ timeoutMilliseconds: limit as number });
      await expect(refused).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      await clock.until(member.close());
    },
  );

  it('waits without limit where it is told to', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    subscriptions.answerMilliseconds = 50_000;
    const member = consumer();
    await clock.until(take(member, 1, (message) => message.ack()));
    await clock.until(member.close({ timeoutMilliseconds: Number.POSITIVE_INFINITY }));
    expect(clock.now()).toBeGreaterThan(50_000);
  });

  it('takes no configuration that a timer would not', () => {
    const { consumer } = setUp(1);
    expect(() => consumer({ pollMilliseconds: 2 ** 31 })).toThrow(INVALID);
  });
});
