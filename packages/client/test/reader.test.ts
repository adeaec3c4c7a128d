import { describe, expect, it } from 'vitest';
import { Cluster } from '../src/cluster.ts';
import { SeriatimError } from '../src/error.ts';
import { OrderedProducer } from '../src/producer.ts';
import { Reader, type ReadOptions } from '../src/reader.ts';
import type { StoredMessage } from '../src/record.ts';
import { FakeBroker } from './fake-broker.ts';
import { FakeTransport } from './fake-transport.ts';
import { TestClock } from './test-clock.ts';

const ADDRESSES = ['n:1', 'n:2', 'n:3'];

async function setUp(messages = 60, groups = 6) {
  const clock = new TestClock(3);
  const broker = new FakeBroker(ADDRESSES);
  broker.createTopic('t', 3);
  const transport = new FakeTransport(broker, clock);
  const cluster = new Cluster({ endpoints: ADDRESSES, transport, clock });
  const producer = new OrderedProducer({ cluster });
  const list = Array.from({ length: messages }, (_, index) => ({
    messageGroup: `g${index % groups}`,
    value: `${index}`,
    key: 'k',
  }));
  if (messages > 0) await clock.until(producer.sendOrderedMessages('t', list));
  const reader = new Reader({ cluster });
  const all = (options: Partial<ReadOptions>): Promise<StoredMessage[]> =>
    clock.until(collect(reader.read({ topic: 't', untilEnd: true, ...options })));
  return { clock, broker, transport, producer, reader, all };
}

async function collect(messages: AsyncIterable<StoredMessage>): Promise<StoredMessage[]> {
  const list: StoredMessage[] = [];
  for await (const message of messages) list.push(message);
  return list;
}

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'read',
    (error: unknown) => error,
  );

describe('Reader', () => {
  it('merges all partitions, each in its order, with everything a message has', async () => {
    const { all } = await setUp();
    const messages = await all({});
    expect(messages).toHaveLength(60);
    const next = [0, 0, 0];
    const sequences = new Map<string, number>();
    for (const message of messages) {
      expect(message.offset).toBe(next[message.partition]);
      next[message.partition] = message.offset + 1;
      expect(message.sequence).toBe((sequences.get(message.group) ?? 0) + 1);
      sequences.set(message.group, message.sequence);
      expect(message).toMatchObject({ topic: 't', life: 7, timestamp: 1_700_000_000_000 + message.offset });
      expect(message.key.toString()).toBe('k');
    }
  });

  it('goes on behind the last message when streams break, again and again', async () => {
    const { all, transport } = await setUp();
    transport.breakFetchAfter = () => 3;
    const messages = await all({});
    expect(messages.map(({ value }) => Number(value.toString())).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 60 }, (_, index) => index),
    );
    expect(transport.fetches.length).toBeGreaterThan(9);
    expect(transport.fetches.some(({ request }) => request.from === 0 && request.offset > 0)).toBe(true);
  });

  it('goes to another node when one is down', async () => {
    const { all, transport } = await setUp();
    transport.down.add('n:2');
    expect(await all({})).toHaveLength(60);
  });

  it('reads one partition from an offset, and one group where its route says', async () => {
    const { all, broker, transport } = await setUp();
    expect((await all({ partition: 1, from: 15 })).map(({ offset }) => offset)).toEqual([15, 16, 17, 18, 19]);
    transport.fetches.length = 0;
    const group = await all({ group: 'g4' });
    expect(group.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(group.every((message) => message.group === 'g4')).toBe(true);
    expect(new Set(transport.fetches.map(({ request }) => request.partition))).toEqual(
      new Set([broker.route('t', 'g4').partition]),
    );
    expect(await all({ group: 'nobody' })).toEqual([]);
  });

  it('waits at the end for what is stored later, until it is told to stop', async () => {
    const { clock, reader, producer } = await setUp();
    const controller = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { value } of reader.read({ topic: 't', from: 'latest', signal: controller.signal })) {
        seen.push(value.toString());
      }
    })();
    reading.catch(() => {});
    await clock.pass(100);
    await clock.until(producer.sendSingleOrderedMessage('t', 'g1', undefined, 'later'));
    await clock.pass(100);
    expect(seen).toEqual(['later']);
    controller.abort();
    expect(await clock.until(failure(reading))).toMatchObject({ code: 'CANCELLED' });
  });

  it('skips nothing from "latest" on when its streams break before the first message', async () => {
    const { clock, reader, producer, transport } = await setUp();
    const controller = new AbortController();
    const seen: string[] = [];
    // Each stream says where it begins and breaks with the next response.
    transport.breakFetchAfter = () => 1;
    const reading = (async () => {
      for await (const { value } of reader.read({ topic: 't', from: 'latest', signal: controller.signal })) {
        seen.push(value.toString());
      }
    })();
    reading.catch(() => {});
    await clock.pass(250);
    // Now none gives anything: the message is stored while no stream is open.
    transport.breakFetchAfter = () => 0;
    await clock.pass(300);
    await clock.until(producer.sendSingleOrderedMessage('t', 'g1', undefined, 'between'));
    await clock.pass(300);
    transport.breakFetchAfter = () => 100;
    await clock.pass(2000);
    expect(seen).toEqual(['between']);
    expect(transport.fetches.filter(({ request }) => request.from === 2)).toHaveLength(3);
    controller.abort();
    await clock.until(failure(reading));
  });

  it('finds a topic that the nodes learn of a moment later', async () => {
    const { clock, broker, reader } = await setUp(0);
    const reading = clock.until(collect(reader.read({ topic: 'new', partition: 0, untilEnd: true })));
    clock.schedule(15, () => broker.createTopic('new', 1));
    expect(await reading).toEqual([]);
  });

  it('takes no more from the broker than its reader takes', async () => {
    const { clock, reader, transport } = await setUp(600, 6);
    const messages = reader.readBatches({ topic: 't', untilEnd: true });
    const first = await clock.until(messages.next());
    await clock.pass(5000);
    expect(first.done).toBe(false);
    // Each of the three partitions waits with one batch in its hand.
    expect(transport.fetches).toHaveLength(3);
    expect(transport.fetched).toBeLessThanOrEqual(5);
    await clock.until(messages.return());
  });

  it('does not wait for ever for a broker that says nothing', async () => {
    const { clock, all, transport } = await setUp(3, 3);
    transport.silent = true;
    const started = clock.now();
    expect(await failure(all({ partition: 0, timeoutMilliseconds: 1000 }))).toMatchObject({
      code: 'DEADLINE',
    });
    expect(clock.now() - started).toBeLessThan(2500);
  });

  it('refuses at once what no retry changes, and in time what does not get better', async () => {
    const { clock, all, transport, reader } = await setUp(3, 3);
    expect(await failure(all({ topic: 'nowhere' }))).toMatchObject({ code: 'UNKNOWN_TOPIC' });
    expect(await failure(all({ partition: 9 }))).toMatchObject({ code: 'UNKNOWN_PARTITION' });
    expect(await failure(all({ partition: 0, from: 99 }))).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    expect(await failure(all({ from: 5 }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await failure(all({ partition: 0, from: -1 }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    for (const address of ADDRESSES) transport.down.add(address);
    const started = clock.now();
    const error = await clock.until(
      failure(collect(reader.read({ topic: 't', partition: 0, timeoutMilliseconds: 2000 }))),
    );
    expect(error).toBeInstanceOf(SeriatimError);
    expect(error).toMatchObject({ code: 'PEER_UNREACHABLE' });
    expect(clock.now() - started).toBeLessThan(2500);
  });
});
