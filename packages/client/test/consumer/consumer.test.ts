import {
  CONSUME_EVENT_KIND_FELL_BEHIND,
  RefusalError,
  SETTLEMENT_KIND_ACK,
  SETTLEMENT_KIND_EXTEND,
  SETTLEMENT_KIND_NACK,
  SETTLEMENT_KIND_REJECT,
} from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import type { ConsumedMessage } from '../../src/consumer/consumed-message.ts';
import type { HoldLostEvent, RefusedEvent } from '../../src/consumer/consumer-events.ts';
import { failure } from '../producer-setup.ts';
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

  it('gives messages without group, each partition being one group of its own', async () => {
    const { clock, subscriptions, consumer } = setUp();
    for (const partition of [0, 1, 0]) subscriptions.publish(partition, '', 'v');
    const member = consumer();
    const messages = await clock.until(take(member, 3, (message) => message.ack()));
    expect(messages.map(({ partition, group, life }) => [partition, group, life]).sort()).toEqual([
      [0, '', 0],
      [0, '', 0],
      [1, '', 0],
    ]);
    await clock.until(member.flush());
    expect(subscriptions.settled(0, '')).toBe(2);
    await clock.until(member.close());
  });

  it('gathers acknowledgements: one row says all that a group has done since the last', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.runMax = 50;
    publish(100, 2);
    const member = consumer();
    await clock.until(take(member, 100, (message) => message.ack()));
    await clock.until(member.flush());
    expect(subscriptions.settled(0, 'g0')).toBe(50);
    expect(subscriptions.rows.length).toBeLessThan(6);
    await clock.until(member.close());
  });

  it('flush waits for the answers of what was settled, and for nothing that is not', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(4, 2);
    subscriptions.answerMilliseconds = 500;
    const member = consumer();
    const messages = await clock.until(take(member, 4));
    await clock.until(member.flush());
    for (const message of messages.filter(({ group }) => group === 'g0')) message.ack();
    const from = clock.now();
    await clock.until(member.flush());
    expect(clock.now() - from).toBeGreaterThanOrEqual(500);
    expect(subscriptions.settled(0, 'g0')).toBe(2);
    expect(subscriptions.settled(0, 'g1')).toBe(0);
    await clock.until(member.close());
  });

  it('acknowledges all before a message in its group, and fails nothing but the head', async () => {
    const { clock, subscriptions, consumer } = setUp(1);
    for (const value of ['a', 'b', 'c']) subscriptions.publish(0, 'g', value);
    const member = consumer();
    const [, second] = (await clock.until(take(member, 3))) as [ConsumedMessage, ConsumedMessage];
    expect(() => second.nack()).toThrow('is not its head, 1 is');
    expect(second.settled).toBe(false);
    second.ack();
    expect(() => second.reject()).toThrow('is not its head, 3 is');
    subscriptions.publish(0, 'g', 'd');
    const [later] = await clock.until(take(member, 1));
    expect(later?.sequence).toBe(4);
    await clock.until(member.flush());
    expect(subscriptions.settled(0, 'g')).toBe(2);
    await clock.until(member.close());
  });

  it('nack and reject end the hold here at once, and their reasons arrive', async () => {
    const { clock, subscriptions, consumer } = setUp(1);
    for (const value of ['a', 'b', 'c']) subscriptions.publish(0, 'g', value);
    subscriptions.publish(0, 'bad', 'x');
    const member = consumer();
    const messages = await clock.until(take(member, 4));
    const [first, second, third] = messages.filter(({ group }) => group === 'g') as ConsumedMessage[];
    const bad = messages.find(({ group }) => group === 'bad') as ConsumedMessage;
    const signal = third?.signal as AbortSignal;
    first?.ack();
    expect(second?.nack({ delay: 5000, reason: 'busy' })).toBe(true);
    expect(bad.reject('broken')).toBe(true);
    expect(signal.aborted).toBe(true);
    expect(third?.ack()).toBe(false);
    expect(third?.settled).toBe(true);
    const from = clock.now();
    const again = await clock.until(take(member, 2, (message) => message.ack()));
    expect(clock.now() - from).toBeGreaterThanOrEqual(5000);
    expect(again.map(({ sequence, attempt }) => [sequence, attempt])).toEqual([
      [2, 2],
      [3, 1],
    ]);
    expect(subscriptions.rows.map(({ kind, reason, code }) => [kind, reason, code])).toContainEqual([
      SETTLEMENT_KIND_REJECT,
      'broken',
      '',
    ]);
    const kinds = subscriptions.rows.filter(({ group }) => group === 'g').map(({ kind }) => kind);
    expect(kinds.slice(0, 2)).toEqual([SETTLEMENT_KIND_ACK, SETTLEMENT_KIND_NACK]);
    expect(subscriptions.group(0, 'bad').parked).toBe(true);
    await clock.until(member.close());
  });

  it('aborts what is lost, settles nothing of it, and tells', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(4, 2);
    const member = consumer();
    const lost: HoldLostEvent[] = [];
    member.events.on('holdLost', (event) => lost.push(event));
    const messages = await clock.until(take(member, 4));
    const first = messages.find(({ group }) => group === 'g0') as ConsumedMessage;
    const other = messages.find(({ group }) => group === 'g1') as ConsumedMessage;
    const { signal } = first;
    subscriptions.take(0, 'g0', 'GROUP_REWOUND');
    await clock.pass(5);
    expect(signal.aborted).toBe(true);
    expect(other.signal.aborted).toBe(false);
    expect(first.ack()).toBe(false);
    expect(lost).toEqual([{ topic: 't', partition: 0, group: 'g0', life: 7, code: 'GROUP_REWOUND' }]);
    await clock.until(member.close());
  });

  it('does not give what waits of a group that is lost', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(8, 2);
    const member = consumer();
    const loop = member[Symbol.asyncIterator]();
    const first = await clock.until(loop.next());
    const group = (first.value as ConsumedMessage).group;
    await clock.pass(5);
    subscriptions.take(0, group, 'GROUP_PARKED');
    subscriptions.group(0, group).parked = true;
    await clock.pass(5);
    const rest: string[] = [];
    for (let index = 0; index < 4; index++) {
      rest.push(((await clock.until(loop.next())).value as ConsumedMessage).group);
    }
    expect(rest).not.toContain(group);
    await clock.until(member.close());
  });

  it('tells of refused settlements, and sends those again that were too many', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(2, 2);
    let overloaded = 1;
    subscriptions.refuse = ({ group }) => {
      if (group === 'g0') return overloaded-- > 0 ? 'OVERLOADED' : '';
      return 'SETTLEMENT_OUT_OF_ORDER';
    };
    const member = consumer();
    const refused: RefusedEvent[] = [];
    member.events.on('refused', (event) => refused.push(event));
    await clock.until(take(member, 2, (message) => message.ack()));
    await clock.until(member.flush());
    expect(subscriptions.settled(0, 'g0')).toBe(1);
    expect(refused).toEqual([
      { topic: 't', partition: 0, group: 'g1', sequence: 1, kind: 'ack', code: 'SETTLEMENT_OUT_OF_ORDER' },
    ]);
    await clock.until(member.close());
  });

  it('gives out nothing behind a head whose failure was refused, though the node goes on with the hold', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 3000;
    publish(2, 1);
    subscriptions.refuse = ({ kind }) => (kind === SETTLEMENT_KIND_NACK ? 'SETTLEMENT_OUT_OF_ORDER' : '');
    const member = consumer();
    const [first] = (await clock.until(take(member, 2))) as [ConsumedMessage];
    first.nack();
    await clock.until(member.flush());
    subscriptions.publish(0, 'g0', 'later');
    const [next] = (await clock.until(take(member, 1))) as [ConsumedMessage];
    expect(next.sequence).toBe(1);
    expect(clock.now()).toBeGreaterThanOrEqual(3000);
    await clock.until(member.close());
  });

  it('tells of messages that retention took', async () => {
    const { clock, subscriptions, consumer } = setUp(1);
    const member = consumer();
    const told: unknown[] = [];
    member.events.on('fellBehind', (event) => told.push(event));
    const loop = member[Symbol.asyncIterator]();
    void loop.next();
    await clock.pass(200);
    const numbers = { partition: 0, life: 7, firstSequence: 3, lastSequence: 9 };
    const nothing = { tokenEpoch: 0, tokenCounter: 0, leaderAddress: '', code: '' };
    subscriptions.streams[0]?.tell({
      kind: CONSUME_EVENT_KIND_FELL_BEHIND,
      group: 'g',
      ...nothing,
      ...numbers,
    });
    await clock.pass(5);
    expect(told).toEqual([{ topic: 't', group: 'g', ...numbers }]);
    await clock.until(member.close());
  });

  it('extends by hand, and what it does not take in time is given to others', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 3000;
    publish(1, 1);
    const member = consumer();
    const [message] = (await clock.until(take(member, 1))) as [ConsumedMessage];
    const { signal } = message;
    for (let second = 0; second < 6; second++) {
      expect(message.extend(2000)).toBe(true);
      await clock.pass(1000);
    }
    expect(signal.aborted).toBe(false);
    expect(subscriptions.rows.every(({ kind }) => kind === SETTLEMENT_KIND_EXTEND)).toBe(true);
    await clock.pass(2500);
    expect(signal.aborted).toBe(true);
    expect(message.extend()).toBe(false);
    await clock.until(member.close());
  });

  it('keeps the groups whose messages wait for a slow loop, as long as it takes some', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 3000;
    publish(20, 20);
    const member = consumer({ takeWithinMilliseconds: 20_000 });
    const lost: string[] = [];
    member.events.on('holdLost', ({ group }) => lost.push(group));
    const slow = take(member, 19, async (message) => {
      message.ack();
      await clock.sleep(1000);
    });
    await clock.until(slow);
    expect(lost).toEqual([]);
    // Nobody takes the last one: after a while it is free.
    await clock.pass(15_000);
    expect(lost).toEqual([]);
    await clock.pass(15_000);
    expect(lost).toHaveLength(1);
    await clock.until(member.close());
  });

  it('gives batches that are settled in one step a group', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(40, 5);
    const member = consumer();
    let count = 0;
    const all = async (): Promise<void> => {
      for await (const batch of member.batches()) {
        for (const message of batch) expect(message.partition).toBe(batch.partition);
        count += batch.messages.length;
        batch.ack();
        if (count === 40) break;
      }
    };
    await clock.until(all());
    await clock.until(member.close());
    for (let group = 0; group < 5; group++) expect(subscriptions.settled(0, `g${group}`)).toBe(8);
  });
});

describe('Consumer, beginning and end', () => {
  it('opens nothing before messages are wanted', async () => {
    const { clock, subscriptions, consumer } = setUp();
    const member = consumer();
    await clock.pass(1000);
    expect(subscriptions.opens).toEqual([]);
    await clock.until(member.close());
  });

  it('ends a loop by stop, whose last message may still be settled before close', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(10, 1);
    const member = consumer();
    const taken: number[] = [];
    const loop = async (): Promise<void> => {
      for await (const message of member) {
        taken.push(message.sequence);
        if (message.sequence === 3) member.stop();
        await clock.sleep(10);
        message.ack();
      }
    };
    await clock.until(loop());
    await clock.until(member.close());
    await clock.until(member.close());
    expect(taken).toEqual([1, 2, 3]);
    expect(subscriptions.settled(0, 'g0')).toBe(3);
    expect(subscriptions.group(0, 'g0').hold).toBeNull();
    expect(() => member[Symbol.asyncIterator]()).toThrow('closed');
  });

  it('closes by its deadline where a node does not end the stream', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    const member = consumer();
    await clock.until(take(member, 1));
    for (const stream of subscriptions.streams) stream.silent = true;
    const from = clock.now();
    await clock.until(member.close({ timeoutMilliseconds: 700 }));
    expect(clock.now() - from).toBe(700);
  });

  it('goes on with another loop where the one before left, and refuses two at a time', async () => {
    const { clock, consumer, publish } = setUp(1);
    publish(6, 1);
    const member = consumer();
    const first = await clock.until(take(member, 2));
    const second = take(member, 2);
    expect(() => member.batches()).toThrow('one at a time');
    const sequences = [...first, ...(await clock.until(second))].map(({ sequence }) => sequence);
    expect(sequences).toEqual([1, 2, 3, 4]);
    await clock.until(member.close());
  });

  it('fails where there is no such topic or subscription, after asking more than once', async () => {
    const { clock, subscriptions, cluster, consumer } = setUp(1);
    const other = cluster.consumer({ topic: 'other', subscription: 's' });
    expect((await clock.until(failure(take(other, 1)))).code).toBe('UNKNOWN_TOPIC');
    let asked = 0;
    subscriptions.refuseOpen = () => {
      asked++;
      return new RefusalError('UNKNOWN_SUBSCRIPTION', 'there is none');
    };
    const member = consumer();
    expect((await clock.until(failure(take(member, 1)))).code).toBe('UNKNOWN_SUBSCRIPTION');
    expect(asked).toBe(4);
    expect(() => member.batches()).toThrow('there is none');
    await clock.until(member.close());
  });

  it('ends its loops when the subscription is deleted', async () => {
    const { clock, subscriptions, consumer } = setUp(1);
    const member = consumer();
    const waiting = failure(take(member, 1));
    await clock.pass(500);
    subscriptions.refuseOpen = () => new RefusalError('UNKNOWN_SUBSCRIPTION', 'deleted');
    subscriptions.endAll(new RefusalError('UNKNOWN_SUBSCRIPTION', 'deleted'));
    expect((await clock.until(waiting)).code).toBe('UNKNOWN_SUBSCRIPTION');
    await clock.until(member.close());
  });

  it('fails after its time limit when no node can be had, and only then', async () => {
    const { clock, transport, subscriptions, consumer } = setUp(1);
    for (const address of ['n:1', 'n:2', 'n:3']) subscriptions.down.add(address);
    const patient = consumer();
    const errors: string[] = [];
    patient.events.on('streamError', ({ error }) => errors.push(error.code));
    void take(patient, 1);
    const member = consumer({ timeoutMilliseconds: 4000 });
    const error = await clock.until(failure(take(member, 1)));
    expect(error.code).toBe('PEER_UNREACHABLE');
    expect(error.message).toContain('no stream for 4000 ms');
    expect(clock.now()).toBeGreaterThanOrEqual(4000);
    await clock.pass(60_000);
    expect(errors.length).toBeGreaterThan(10);
    expect(transport).toBeDefined();
    await clock.until(patient.close());
  });

  it.each([
    [{ creditMessages: 0 }, 'creditMessages'],
    [{ creditBytes: 1.5 }, 'creditBytes'],
    [{ creditMessages: 2_000_000 }, 'creditMessages'],
    [{ unansweredRowsMax: 524_289 }, 'unansweredRowsMax'],
    [{ name: 'a b' }, 'name'],
    [{ subscription: '' }, 'subscription'],
  ])('refuses %j by name', (options, name) => {
    const { consumer } = setUp(1);
    expect(() => consumer(options)).toThrow(name);
  });
});
