import {
  CONSUME_EVENT_KIND_DRAINING,
  RefusalError,
  SETTLEMENT_KIND_ACK,
  SETTLEMENT_KIND_NACK,
} from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import type { ConsumedMessage } from '../../src/consumer/consumed-message.ts';
import { failure } from '../producer-setup.ts';
import { ADDRESSES, losses, setUp, take } from './consumer-setup.ts';

describe('Consumer, after a broken stream', () => {
  it('comes back with what it holds, sends unanswered acknowledgements again, and goes on behind what it has', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(4, 1);
    subscriptions.answerMilliseconds = 'never';
    const member = consumer();
    const [, second, third] = (await clock.until(take(member, 4))) as ConsumedMessage[];
    const { signal, token } = third as ConsumedMessage;
    second?.ack();
    await clock.pass(10);
    subscriptions.answerMilliseconds = 2;
    subscriptions.breakNode('n:1');
    await clock.pass(300);
    const { open } = subscriptions.opens[1] as (typeof subscriptions.opens)[0];
    expect(open).toMatchObject({
      resumeGroups: ['g0'],
      resumePartitions: [0],
      resumeLives: [7],
      resumeTokenEpochs: [token.epoch],
      resumeTokenCounters: [token.counter],
      resumeSequences: [4],
      resumeHeadOffsets: [(third as ConsumedMessage).offset + 1],
      resumeHeadAttempts: [1],
      resumeSettledSequences: [0],
    });
    expect(signal.aborted).toBe(false);
    expect(third?.token.counter).toBeGreaterThan(token.counter);
    const acks = subscriptions.rows.map(({ kind, sequence, counter, code }) => [
      kind,
      sequence,
      counter,
      code,
    ]);
    expect(acks).toEqual([
      [SETTLEMENT_KIND_ACK, 2, token.counter, ''],
      [SETTLEMENT_KIND_ACK, 2, third?.token.counter, ''],
    ]);
    expect(third?.ack()).toBe(true);
    await clock.until(member.flush());
    expect(subscriptions.settled(0, 'g0')).toBe(3);
    subscriptions.publish(0, 'g0', 'next');
    const [next] = await clock.until(take(member, 1));
    expect(next?.sequence).toBe(5);
    await clock.until(member.close());
  });

  it('says of each hold how far it is: what is answered, and the first message that it has not acknowledged', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(3, 1);
    const member = consumer();
    const [first, second, third] = (await clock.until(take(member, 3))) as ConsumedMessage[];
    first?.ack();
    await clock.until(member.flush());
    subscriptions.publish(0, 'g0', 'more');
    const [fourth] = (await clock.until(take(member, 1))) as ConsumedMessage[];
    const named = async () => {
      subscriptions.breakNode('n:1');
      await clock.pass(300);
      const open = subscriptions.opens.at(-1)?.open;
      return [open?.resumeHeadOffsets, open?.resumeHeadAttempts, open?.resumeSettledSequences];
    };
    expect(await named()).toEqual([[(second as ConsumedMessage).offset + 1], [1], [1]]);
    third?.ack();
    await clock.until(member.flush());
    expect(await named()).toEqual([[(fourth as ConsumedMessage).offset + 1], [1], [3]]);
    subscriptions.answerMilliseconds = 'never';
    fourth?.ack();
    expect(await named()).toEqual([[0], [0], [3]]);
    subscriptions.answerMilliseconds = 2;
    await clock.until(member.close());
  });

  it('names the attempt of a message that failed before', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(2, 1);
    const member = consumer();
    const [first] = (await clock.until(take(member, 2))) as ConsumedMessage[];
    first?.nack({ delay: 0 });
    const again = (await clock.until(take(member, 2))) as ConsumedMessage[];
    expect(again.map(({ attempt }) => attempt)).toEqual([2, 1]);
    subscriptions.breakNode('n:1');
    await clock.pass(300);
    expect(subscriptions.opens.at(-1)?.open).toMatchObject({ resumeHeadAttempts: [2] });
    again[0]?.ack();
    await clock.until(member.flush());
    subscriptions.breakNode('n:1');
    await clock.pass(300);
    expect(subscriptions.opens.at(-1)?.open).toMatchObject({ resumeHeadAttempts: [1] });
    await clock.until(member.close({ timeoutMilliseconds: 100 }));
  });

  it('settles what was settled while it had no stream when it is back', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(6, 3);
    const member = consumer();
    const messages = await clock.until(take(member, 6));
    const of = (group: string): ConsumedMessage[] => messages.filter((message) => message.group === group);
    subscriptions.breakNode('n:1');
    await clock.pass(2);
    for (const message of of('g0')) expect(message.ack()).toBe(true);
    expect(of('g1')[0]?.nack({ reason: 'late' })).toBe(true);
    await clock.until(member.flush());
    expect(subscriptions.settled(0, 'g0')).toBe(2);
    expect(subscriptions.group(0, 'g1')).toMatchObject({ settled: 0, failures: 1 });
    expect(of('g2')[0]?.signal.aborted).toBe(false);
    await clock.until(member.close());
  });

  it('does not tell a failure twice whose answer was lost', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    subscriptions.answerMilliseconds = 'never';
    const member = consumer();
    const [message] = await clock.until(take(member, 1));
    message?.nack({ delay: 0 });
    await clock.pass(10);
    subscriptions.breakNode('n:1');
    subscriptions.answerMilliseconds = 2;
    await clock.until(member.flush());
    const [again] = await clock.until(take(member, 1, (one) => one.ack()));
    expect(again?.attempt).toBe(2);
    expect(subscriptions.rows.filter(({ kind }) => kind === SETTLEMENT_KIND_NACK)).toHaveLength(1);
    await clock.until(member.close());
  });

  it('aborts what it did not get back', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(2, 2);
    const member = consumer();
    const messages = await clock.until(take(member, 2));
    const codes = losses(member);
    const signals = messages.map(({ signal }) => signal);
    subscriptions.breakNode('n:1');
    subscriptions.group(0, 'g0').awaited = null;
    await clock.pass(300);
    expect(codes).toEqual(['g0 HOLD_EXPIRED']);
    expect(signals.filter(({ aborted }) => aborted)).toHaveLength(1);
    await clock.until(member.close());
  });

  it('lets go of what it could not ask for in time', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    subscriptions.holdMilliseconds = 4000;
    publish(1, 1);
    const member = consumer();
    const [message] = await clock.until(take(member, 1));
    const signal = message?.signal as AbortSignal;
    subscriptions.down.add('n:1');
    subscriptions.breakNode('n:1');
    await clock.pass(3000);
    expect(signal.aborted).toBe(false);
    await clock.pass(3000);
    expect(signal.aborted).toBe(true);
    await clock.until(member.flush());
    await clock.until(member.close());
  });

  it('tries again after a refusal that passes, and not after one that does not', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    let refusals = 5;
    subscriptions.refuseOpen = () =>
      refusals-- > 0 ? new RefusalError('SUBSCRIPTION_NOT_READY', 'changing') : null;
    const member = consumer();
    expect(await clock.until(take(member, 1))).toHaveLength(1);
    const other = consumer();
    subscriptions.refuseOpen = () => new RefusalError('INVALID_REQUEST', 'nonsense');
    expect((await clock.until(failure(take(other, 1)))).code).toBe('INVALID_REQUEST');
    await clock.until(member.close());
  });
});

describe('Consumer, whose cluster is closed', () => {
  it('ends its loops and opens nothing more', async () => {
    const { clock, subscriptions, consumer, cluster } = setUp(1);
    const member = consumer({ pollMilliseconds: 1000 });
    const waiting = failure(take(member, 1));
    await clock.pass(500);
    cluster.close();
    expect((await clock.until(waiting, 5000)).code).toBe('CLOSED');
    const { length } = subscriptions.opens;
    await clock.until(clock.sleep(3000));
    expect(subscriptions.opens).toHaveLength(length);
    await clock.until(member.close());
  });
});

describe('Consumer, after a change of leader', () => {
  it('opens the stream to the next leader anew, naming all that both held', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(2);
    publish(8, 4);
    const member = consumer();
    const places: string[] = [];
    member.events.on('attached', ({ partition, address }) => places.push(`+${partition} ${address}`));
    member.events.on('detached', ({ partition, address }) => places.push(`-${partition} ${address}`));
    const messages = await clock.until(take(member, 8));
    const signals = messages.map(({ signal }) => signal);
    const from = clock.now();
    subscriptions.changeLeader(0, 1);
    await clock.pass(20);
    const { address, open } = subscriptions.opens.at(-1) as (typeof subscriptions.opens)[0];
    expect(address).toBe('n:2');
    expect([...open.resumeGroups].sort()).toEqual(['g0', 'g1', 'g2', 'g3']);
    expect(clock.now() - from).toBeLessThan(100);
    expect(signals.some(({ aborted }) => aborted)).toBe(false);
    for (const message of messages) expect(message.ack()).toBe(true);
    await clock.until(member.flush());
    for (let group = 0; group < 4; group++) expect(subscriptions.settled(group % 2, `g${group}`)).toBe(2);
    expect(places.filter((place) => place.startsWith('+')).slice(0, 2)).toEqual(['+0 n:1', '+1 n:2']);
    expect(places).toContain('-0 n:1');
    expect(places).toContain('+0 n:2');
    await clock.until(member.close());
  });

  it('says to the next leader that it holds nothing, so that this one need not wait for it', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(2);
    publish(2, 2);
    const member = consumer();
    await clock.until(take(member, 2, (message) => message.ack()));
    await clock.until(member.flush());
    subscriptions.changeLeader(0, 1);
    await clock.pass(500);
    expect(subscriptions.opens).toHaveLength(3);
    expect(subscriptions.opens[2]).toMatchObject({ address: 'n:2', open: { resumeGroups: [] } });
    subscriptions.publish(0, 'g0', 'more');
    expect(await clock.until(take(member, 1))).toHaveLength(1);
    await clock.until(member.close());
  });

  it('asks the cluster where the leader is unknown, within the time for coming back', async () => {
    const { clock, subscriptions, consumer, publish, broker } = setUp(1);
    publish(4, 2);
    const member = consumer();
    const messages = await clock.until(take(member, 4));
    const signals = messages.map(({ signal }) => signal);
    // The leader dies without a word.
    subscriptions.down.add('n:1');
    subscriptions.breakNode('n:1');
    await clock.pass(800);
    const place = broker.partition('t', 0);
    place.leader = 2;
    subscriptions.pump();
    await clock.pass(1000);
    expect(subscriptions.opens.at(-1)).toMatchObject({ address: 'n:3', open: { resumeSequences: [2, 2] } });
    expect(signals.some(({ aborted }) => aborted)).toBe(false);
    for (const message of messages) message.ack();
    await clock.until(member.flush());
    expect(subscriptions.settled(0, 'g0')).toBe(2);
    await clock.until(member.close());
  });

  it('names a hold at the leader when the node that it asked is not', async () => {
    const { clock, subscriptions, consumer, publish, cluster } = setUp(1);
    publish(2, 1);
    const member = consumer();
    const messages = await clock.until(take(member, 2));
    subscriptions.changeLeader(0, 1);
    cluster.view.learnLeader('t', 0, 'n:3');
    await clock.pass(3);
    cluster.view.learnLeader('t', 0, 'n:3');
    await clock.pass(600);
    expect(messages[0]?.signal.aborted).toBe(false);
    for (const message of messages) expect(message.ack()).toBe(true);
    await clock.until(member.flush());
    expect(subscriptions.settled(0, 'g0')).toBe(2);
    await clock.until(member.close());
  });

  it('names its holds again where the same node leads again', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(2, 1);
    const member = consumer();
    const messages = await clock.until(take(member, 2));
    subscriptions.changeLeader(0, 0);
    await clock.pass(500);
    expect(messages[0]?.token.epoch).toBe(2);
    for (const message of messages) expect(message.ack()).toBe(true);
    await clock.until(member.flush());
    expect(subscriptions.settled(0, 'g0')).toBe(2);
    await clock.until(member.close());
  });

  it('finds partitions that were added, and their nodes', async () => {
    const { clock, subscriptions, consumer, publish, broker } = setUp(1);
    publish(1, 1);
    const member = consumer({ pollMilliseconds: 1000 });
    await clock.until(take(member, 1, (message) => message.ack()));
    broker.topic('t').partitions.push({ leader: 1, records: [] });
    subscriptions.publish(1, 'new', 'v');
    const [message] = await clock.until(take(member, 1), 3000);
    expect(message).toMatchObject({ partition: 1, group: 'new' });
    await clock.until(member.close());
  });

  it('settles at once when a node shuts down', async () => {
    const { clock, subscriptions, consumer, publish } = setUp(1);
    publish(1, 1);
    const member = consumer({ lingerMilliseconds: 10_000 });
    await clock.until(take(member, 1, (message) => message.ack()));
    expect(subscriptions.rows).toEqual([]);
    const nothing = { partition: 0, group: '', life: 0, tokenEpoch: 0, tokenCounter: 0, firstSequence: 0 };
    const event = { ...nothing, lastSequence: 0, leaderAddress: '', code: '' };
    subscriptions.streams[0]?.tell({ ...event, kind: CONSUME_EVENT_KIND_DRAINING });
    await clock.pass(5);
    expect(subscriptions.settled(0, 'g0')).toBe(1);
    await clock.until(member.close());
  });

  it.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'loses nothing and keeps the order through moves and breaks (%i)',
    async (seed) => {
      const { clock, subscriptions, consumer } = setUp(4);
      for (let skip = 0; skip < seed; skip++) clock.random();
      const total = 400;
      const done = new Map<string, number>();
      const violations: string[] = [];
      const members = [consumer(), consumer()];
      const ends = members.map((member) =>
        member.run(async ({ group, sequence, signal }) => {
          await clock.sleep(Math.floor(clock.random() * 20));
          if (signal.aborted) return;
          const last = done.get(group) ?? 0;
          // Repeated, perhaps, but nothing is left out.
          if (sequence > last + 1) violations.push(`${group}: ${sequence} after ${last}`);
          done.set(group, Math.max(last, sequence));
        }),
      );
      for (let sent = 0; sent < total; sent++) {
        const group = Math.floor(clock.random() * 12);
        subscriptions.publish(group % 4, `g${group}`, `${sent}`);
        if (sent % 20 > 0) continue;
        await clock.pass(clock.random() * 100);
        const partition = Math.floor(clock.random() * 4);
        const fate = clock.random();
        if (fate < 0.4) subscriptions.changeLeader(partition, Math.floor(clock.random() * 3));
        else if (fate < 0.6) subscriptions.breakNode(ADDRESSES[partition % 3] as string);
      }
      await clock.pass(10_000);
      for (const member of members) await clock.until(member.close());
      await clock.until(Promise.all(ends));
      let settled = 0;
      for (let group = 0; group < 12; group++) settled += subscriptions.settled(group % 4, `g${group}`);
      expect(violations).toEqual([]);
      expect(settled).toBe(total);
      expect([...done.values()].reduce((sum, last) => sum + last, 0)).toBe(total);
    },
  );
});
