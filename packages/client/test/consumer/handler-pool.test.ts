import { runInNewContext } from 'node:vm';
import { SETTLEMENT_KIND_EXTEND, SETTLEMENT_KIND_NACK } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import type { ConsumedMessage } from '../../src/consumer/consumed-message.ts';
import { RejectMessage } from '../../src/consumer/handler-pool.ts';
import { failure } from '../producer-setup.ts';
import { setUp } from './consumer-setup.ts';

describe('Consumer.run', () => {
  it('works on groups in parallel, and on the messages of a group one after the other', async () => {
    const { clock, subscriptions, consumer, publish } = setUp();
    publish(60, 6);
    const member = consumer();
    const busy = new Set<string>();
    let most = 0;
    const next = new Map<string, number>();
    const end = member.run(
      async (message) => {
        expect(busy.has(message.group)).toBe(false);
        expect(message.sequence).toBe((next.get(message.group) ?? 0) + 1);
        next.set(message.group, message.sequence);
        busy.add(message.group);
        most = Math.max(most, busy.size);
        await clock.sleep(10);
        busy.delete(message.group);
      },
      { concurrency: 4 },
    );
    await clock.pass(400);
    expect(most).toBe(4);
    await clock.until(member.close());
    await clock.until(end);
    for (let group = 0; group < 6; group++) expect(subscriptions.settled(group % 3, `g${group}`)).toBe(10);
  });

  it('needs no promise of a handler', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(500, 5);
    const member = consumer();
    let count = 0;
    const end = member.run(() => {
      if (++count === 500) void member.close();
    });
    await clock.until(end);
    for (let group = 0; group < 5; group++) expect(subscriptions.settled(0, `g${group}`)).toBe(100);
  });

  it('takes a promise that can not be looked at for a failure', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    const member = consumer();
    let calls = 0;
    const end = member.run(() => {
      if (calls++ > 0) return;
      return Object.defineProperty({}, 'then', {
        get: () => {
          throw new Error('no promise');
        },
      }) as Promise<void>;
    });
    await clock.pass(500);
    await clock.until(member.close());
    await clock.until(end);
    expect(calls).toBe(2);
    expect(subscriptions.rows.find(({ reason }) => reason !== '')?.reason).toBe('no promise');
    expect(subscriptions.settled(0, 'g0')).toBe(1);
  });

  it('waits for the promise of another realm or of a library too', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(2, 1);
    const member = consumer();
    const seen: number[] = [];
    const Foreign = runInNewContext('Promise') as typeof Promise<void>;
    const end = member.run(({ sequence }) => {
      seen.push(sequence);
      return new Foreign((resolve) => void clock.schedule(50, resolve));
    });
    await clock.pass(40);
    expect(seen).toEqual([1]);
    expect(subscriptions.settled(0, 'g0')).toBe(0);
    await clock.pass(200);
    expect(seen).toEqual([1, 2]);
    expect(subscriptions.settled(0, 'g0')).toBe(2);
    await clock.until(member.close());
    await clock.until(end);
  });

  it('fails a message that throws, with the back-off of the subscription, and goes on with it', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(3, 1);
    const attempts: string[] = [];
    const member = consumer();
    const end = member.run(async ({ sequence, attempt }) => {
      attempts.push(`${sequence}.${attempt}`);
      if (sequence === 2 && attempt < 3) throw new Error(`not now ${attempt}`);
    });
    await clock.pass(1000);
    expect(attempts).toEqual(['1.1', '2.1', '2.2', '2.3', '3.1']);
    const failed = subscriptions.rows.filter(({ kind }) => kind === SETTLEMENT_KIND_NACK);
    expect(failed.map(({ reason, milliseconds }) => [reason, milliseconds])).toEqual([
      ['not now 1', 0xffff_ffff],
      ['not now 2', 0xffff_ffff],
    ]);
    await clock.until(member.close());
    await clock.until(end);
  });

  it('rejects a message for good when its handler says so, also without a promise', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(4, 2);
    const member = consumer();
    const end = member.run((message) => {
      if (message.group === 'g1') throw new RejectMessage('poison');
    });
    await clock.pass(500);
    expect(subscriptions.group(0, 'g1')).toMatchObject({ parked: true, settled: 0 });
    expect(subscriptions.settled(0, 'g0')).toBe(2);
    expect(subscriptions.rows.find(({ reason }) => reason === 'poison')).toBeDefined();
    await clock.until(member.close());
    await clock.until(end);
  });

  it('leaves a message alone that its handler settled itself', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(2, 1);
    const member = consumer();
    const end = member.run((message) => {
      message.ack();
      throw new Error('after the fact');
    });
    await clock.pass(500);
    expect(subscriptions.settled(0, 'g0')).toBe(2);
    expect(subscriptions.rows.every(({ kind }) => kind !== SETTLEMENT_KIND_NACK)).toBe(true);
    await clock.until(member.close());
    await clock.until(end);
  });

  it('extends the hold while a handler runs, and what waits behind it', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 3000;
    publish(4, 2);
    const member = consumer();
    const lost: unknown[] = [];
    member.events.on('holdLost', (event) => lost.push(event));
    const end = member.run(() => clock.sleep(20_000), { concurrency: 2 });
    await clock.pass(19_000);
    expect(lost).toEqual([]);
    const extensions = subscriptions.rows.filter(({ kind }) => kind === SETTLEMENT_KIND_EXTEND);
    expect(extensions.length).toBeGreaterThanOrEqual(2 * 6);
    expect(extensions.length).toBeLessThanOrEqual(2 * 20);
    await clock.pass(30_000);
    expect(subscriptions.settled(0, 'g0') + subscriptions.settled(0, 'g1')).toBe(4);
    await clock.until(member.close());
    await clock.until(end);
  });

  it('aborts the signal of a handler whose hold is lost, and starts none of that group beside it', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(3, 1);
    const member = consumer();
    const running: number[] = [];
    let most = 0;
    let aborted = 0;
    const seen: string[] = [];
    const end = member.run(async (message: ConsumedMessage) => {
      running.push(message.sequence);
      most = Math.max(most, running.length);
      seen.push(`${message.sequence}`);
      message.signal.addEventListener('abort', () => aborted++);
      await clock.sleep(100);
      running.pop();
    });
    await clock.pass(100);
    subscriptions.take(0, 'g0', 'GROUP_REWOUND');
    await clock.pass(1000);
    expect(aborted).toBe(1);
    expect(most).toBe(1);
    expect(seen).toEqual(['1', '1', '2', '3']);
    expect(subscriptions.settled(0, 'g0')).toBe(3);
    await clock.until(member.close());
    await clock.until(end);
  });

  it('does not let a slow group stop others, as far as credit goes', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(200, 10);
    const member = consumer();
    const end = member.run((message) => (message.group === 'g0' ? clock.sleep(5000) : clock.sleep(1)), {
      concurrency: 2,
    });
    await clock.pass(2000);
    for (let group = 1; group < 10; group++) expect(subscriptions.settled(0, `g${group}`)).toBe(20);
    expect(subscriptions.settled(0, 'g0')).toBe(0);
    const closing = member.close();
    await clock.until(closing);
    await clock.until(end);
    expect(subscriptions.settled(0, 'g0')).toBe(1);
  });

  it('closes when its signal aborts, after the handlers under way', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(10, 2);
    const member = consumer();
    const controller = new AbortController();
    let done = 0;
    const end = member.run(
      async () => {
        await clock.sleep(50);
        done++;
      },
      { signal: controller.signal },
    );
    await clock.pass(180);
    controller.abort();
    await clock.until(end);
    expect(subscriptions.settled(0, 'g0') + subscriptions.settled(0, 'g1')).toBe(done);
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(10);
    expect(subscriptions.streams).toEqual([]);
  });

  it('throws when the consumer can not go on, and for a wrong concurrency', async () => {
    const { clock, cluster, consumer } = setUp(1);
    const member = cluster.consumer({ topic: 'other', subscription: 's' });
    expect((await clock.until(failure(member.run(() => {})))).code).toBe('UNKNOWN_TOPIC');
    const wrong = await clock.until(failure(consumer().run(() => {}, { concurrency: 0 })));
    expect(wrong.code).toBe('INVALID_ARGUMENT');
  });
});
