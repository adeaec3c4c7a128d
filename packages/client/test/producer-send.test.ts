import { channel } from 'node:diagnostics_channel';
import { describe, expect, it } from 'vitest';
import { GroupHaltedError } from '../src/error.ts';
import type { Receipt } from '../src/message.ts';
import { OrderedProducer, type ProducerOptions } from '../src/producer.ts';
import type { Fate } from './fake-transport.ts';
import { failure, messagesOf, setUp } from './producer-setup.ts';

describe('OrderedProducer.send', () => {
  it('puts the single messages of one turn into one request, in the order of the calls', async () => {
    const { broker, clock, producer } = setUp();
    const receipts = await clock.until(
      Promise.all(messagesOf(90, 9).map((message) => producer.send('t', message))),
    );
    expect(broker.requests).toHaveLength(1);
    expect(receipts[80]).toEqual({ partition: 2, offset: 28, sequence: 9, duplicate: false });
    expect(broker.group('t', 'g4')).toEqual(['4', '13', '22', '31', '40', '49', '58', '67', '76', '85']);
  });

  it('keeps the order of a group between single messages and batches', async () => {
    const { broker, clock, producer } = setUp({ lingerMilliseconds: 50 });
    const calls: Promise<unknown>[] = [
      producer.send('t', { messageGroup: 'a', value: '1' }),
      producer.sendMessageGroupBatch('t', 'a', [{ value: '2' }, { value: '3' }]),
      producer.send('t', { messageGroup: 'a', value: '4' }),
      producer.send('t', { messageGroup: 'a', value: '5' }, { timeoutMilliseconds: 9000 }),
    ];
    await clock.until(Promise.all(calls));
    expect(broker.group('t', 'a')).toEqual(['1', '2', '3', '4', '5']);
  });

  it('lingers until its time, its count or its bytes, whichever comes first', async () => {
    const limits = { lingerMilliseconds: 100, lingerMessagesMax: 5, lingerBytesMax: 1000 };
    const { broker, clock, producer } = setUp(limits);
    await clock.until(producer.sendOrderedMessages('t', messagesOf(3, 3)));
    const sent = async (...values: string[]): Promise<number> => {
      const started = clock.now();
      await clock.until(
        Promise.all(values.map((value) => producer.send('t', { messageGroup: 'g0', value }))),
      );
      return clock.now() - started;
    };
    expect(await sent('a', 'b')).toBeGreaterThanOrEqual(100);
    expect(await sent('1', '2', '3', '4', '5')).toBeLessThan(50);
    expect(await sent('x'.repeat(1000))).toBeLessThan(50);
    const gathered = producer.send('t', { messageGroup: 'g0', value: 'flushed' });
    const started = clock.now();
    await clock.until(producer.flush());
    expect(clock.now() - started).toBeLessThan(50);
    expect(await clock.until(gathered)).toMatchObject({ sequence: 10 });
    expect(broker.group('t', 'g0')).toHaveLength(10);
  });

  it('rejects a message that no broker would take, and only that', async () => {
    const { clock, producer } = setUp();
    const good = producer.send('t', { messageGroup: 'a', value: 'x' });
    const bad = failure(producer.send('t', { messageGroup: '', value: 'x' }));
    expect(await clock.until(bad)).toMatchObject({ code: 'INVALID_GROUP' });
    expect(await clock.until(good)).toMatchObject({ sequence: 1 });
  });

  it('says of each message what became of it', async () => {
    const { broker, clock, producer } = setUp({ timeoutMilliseconds: 500 });
    await clock.until(producer.sendOrderedMessages('t', messagesOf(3, 3)));
    broker.partition('t', 1).leader = -1;
    const sent = await clock.until(
      Promise.allSettled(messagesOf(6, 3).map((message) => producer.send('t', message))),
    );
    expect(sent.map(({ status }) => status)).toEqual(
      [0, 1, 2, 3, 4, 5].map((index) => (index % 3 === 1 ? 'rejected' : 'fulfilled')),
    );
  });
});

describe('OrderedProducer: what it holds', () => {
  const full = { pendingMessagesMax: 10, timeoutMilliseconds: 60_000 } as const;

  it('refuses what passes its limits, when it is told so, and takes more once there is room', async () => {
    const { clock, transport, broker, producer } = setUp({ ...full, whenFull: 'refuse' });
    transport.down.add('n:1').add('n:2').add('n:3');
    const sent: Promise<unknown>[] = [];
    for (let call = 0; call < 5; call++) {
      sent.push(producer.sendMessageGroupBatch('t', 'a', messagesOf(4, 1)).catch((error: unknown) => error));
    }
    await clock.pass(1000);
    expect(producer.pendingMessages).toBe(8);
    transport.down.clear();
    const results = await clock.until(Promise.all(sent));
    expect(results.slice(2)).toMatchObject(
      [2, 3, 4].map(() => ({ code: 'BUFFER_FULL', retryable: true, outcome: 'not-applied' })),
    );
    expect(broker.group('t', 'a')).toHaveLength(8);
    expect(await clock.until(producer.send('t', { messageGroup: 'a', value: 'x' }))).toMatchObject({
      sequence: 9,
    });
  });

  it('lets no more wait than its second limits, and says when there is room', async () => {
    const { clock, transport, producer } = setUp({ ...full, waitingMessagesMax: 20 });
    transport.down.add('n:1').add('n:2').add('n:3');
    const outcomes = Array.from({ length: 12 }, () =>
      producer.sendMessageGroupBatch('t', 'a', messagesOf(4, 1)).then(
        () => 'stored',
        ({ code }: { code: string }) => code,
      ),
    );
    let room = false;
    const waiting = producer.whenRoom().then(() => {
      room = true;
    });
    await clock.pass(5000);
    expect(producer.pendingMessages).toBe(28);
    expect(room).toBe(false);
    transport.down.clear();
    const settled = await clock.until(Promise.all(outcomes));
    expect(settled.filter((outcome) => outcome === 'stored')).toHaveLength(7);
    expect(settled.filter((outcome) => outcome === 'BUFFER_FULL')).toHaveLength(5);
    await clock.until(waiting);
    expect(producer.pendingMessages).toBe(0);
    expect(producer.pendingBytes).toBe(0);
  });

  it('stays within its bounds while the cluster is away and single messages keep coming', async () => {
    const bounds = { pendingMessagesMax: 500, waitingMessagesMax: 500, timeoutMilliseconds: 120_000 };
    const { broker, clock, transport, producer } = setUp(bounds);
    await clock.until(producer.sendOrderedMessages('t', messagesOf(10, 10)));
    transport.down.add('n:1').add('n:2').add('n:3');
    const stored: string[] = [];
    let refused = 0;
    let most = 0;
    for (let at = 0; at < 3000; at++) {
      const [message] = messagesOf(1, 1);
      producer.send('t', { ...message, messageGroup: `g${at % 10}`, value: `${at}` }).then(
        () => stored.push(`${at}`),
        () => refused++,
      );
      if (at % 100 === 99) await clock.pass(2000);
      most = Math.max(most, producer.pendingMessages);
    }
    expect(most).toBeLessThanOrEqual(1100);
    transport.down.clear();
    await clock.until(producer.flush());
    expect(stored.length + refused).toBe(3000);
    expect(stored.length).toBeGreaterThan(900);
    for (let group = 0; group < 10; group++) {
      const values = broker.group('t', `g${group}`).slice(1).map(Number);
      expect(values).toEqual([...values].sort((a, b) => a - b));
    }
  });
});

describe('OrderedProducer: halted groups', () => {
  it('takes no message behind one that failed for good until the group is resumed', async () => {
    const { broker, clock, transport, producer } = setUp();
    await clock.until(producer.sendOrderedMessages('t', messagesOf(4, 2)));
    const events: string[] = [];
    producer.events.on('halted', ({ group, error }) => events.push(`halted ${group} ${error.code}`));
    producer.events.on('resumed', ({ group }) => events.push(`resumed ${group}`));
    broker.topic('t').groups.get('g0')?.writers.clear();
    const fates: Fate[] = ['request lost'];
    transport.fate = () => fates.shift() ?? 'ok';
    const lost = await clock.until(failure(producer.send('t', { messageGroup: 'g0', value: 'lost' })));
    expect(lost).toMatchObject({ code: 'WRITER_UNKNOWN', outcome: 'unknown' });
    const late = await clock.until(failure(producer.send('t', { messageGroup: 'g0', value: 'late' })));
    expect(late).toBeInstanceOf(GroupHaltedError);
    expect(late).toMatchObject({
      code: 'EARLIER_FAILED',
      outcome: 'not-applied',
      cause: { code: 'WRITER_UNKNOWN' },
    });
    expect(await clock.until(producer.send('t', { messageGroup: 'g1', value: 'x' }))).toMatchObject({
      sequence: 3,
    });
    expect(producer.resumeGroup('t', 'g0')).toBe(true);
    expect(producer.resumeGroup('t', 'g0')).toBe(false);
    expect(await clock.until(producer.send('t', { messageGroup: 'g0', value: 'on' }))).toMatchObject({
      sequence: 3,
    });
    expect(events).toEqual(['halted g0 WRITER_UNKNOWN', 'resumed g0']);
  });

  it('answers any number of calls that wait for a halted group', async () => {
    const { broker, clock, producer } = setUp({ pendingMessagesMax: 1 });
    await clock.until(producer.sendOrderedMessages('t', messagesOf(1, 1)));
    broker.topic('t').groups.clear();
    broker.topics.delete('t');
    const calls = Array.from({ length: 20_000 }, () =>
      producer
        .sendSingleOrderedMessage('t', 'g0', undefined, 'x')
        .catch(({ code }: { code: string }) => code),
    );
    const codes = await clock.until(Promise.all(calls));
    expect(codes.slice(0, 2)).toEqual(['UNKNOWN_TOPIC', 'EARLIER_FAILED']);
  });

  it("repeats no run longer than half of the groups' time to live", async () => {
    const hour = 60 * 60 * 1000;
    const limits = { groupTtlMilliseconds: 2 * hour, timeoutMilliseconds: 24 * hour };
    const { broker, clock, transport, producer } = setUp({ ...limits, attemptTimeoutMilliseconds: hour / 4 });
    await clock.until(producer.send('t', { messageGroup: 'a', value: '1' }));
    transport.fate = () => 'request lost';
    const started = clock.now();
    const error = await clock.until(
      failure(producer.send('t', { messageGroup: 'a', value: '2' })),
      20 * hour,
    );
    expect(error.outcome).toBe('unknown');
    expect(clock.now() - started).toBeGreaterThan(hour * 0.9);
    expect(clock.now() - started).toBeLessThan(hour * 1.3);
    transport.fate = () => 'ok';
    await clock.pass(hour);
    expect(broker.group('t', 'a')).toEqual(['1']);
  });
});

describe('OrderedProducer: its end, and watching it', () => {
  it('closes when everything is settled, at the latest at its deadline', async () => {
    const { clock, transport, producer } = setUp();
    const stored = producer.send('t', { messageGroup: 'a', value: 'x' });
    await clock.until(producer.close());
    expect(await clock.until(stored)).toMatchObject({ sequence: 1 });
    expect(await clock.until(failure(producer.send('t', { messageGroup: 'a', value: 'y' })))).toMatchObject({
      code: 'CLOSED',
    });
    const other = new OrderedProducer({ endpoints: ['n:1'], clock, transport } as ProducerOptions);
    transport.down.add('n:1').add('n:2').add('n:3');
    const lost = failure(other.send('t', { messageGroup: 'a', value: 'z' }));
    const started = clock.now();
    await clock.until(other.close({ timeoutMilliseconds: 700 }));
    expect(clock.now() - started).toBe(700);
    expect(await clock.until(lost)).toMatchObject({ code: 'CLOSED', outcome: 'not-applied' });
  });

  it('closes at the end of its block', async () => {
    const { clock, producer } = setUp();
    const run = async (): Promise<Receipt> => {
      await using mine = producer;
      return mine.send('t', { messageGroup: 'a', value: 'x' });
    };
    expect(await clock.until(run())).toMatchObject({ sequence: 1 });
    expect(await clock.until(failure(producer.send('t', { messageGroup: 'a', value: 'y' })))).toMatchObject({
      code: 'CLOSED',
    });
  });

  it('tells of requests, answers, retries and halts on diagnostics channels', async () => {
    const { clock, broker, transport, producer } = setUp();
    const seen: string[] = [];
    const names = ['request', 'answer', 'retry', 'halted'].map((name) => `seriatim:producer:${name}`);
    const listener = (_message: unknown, name: string | symbol): void => {
      seen.push(String(name).replace('seriatim:producer:', ''));
    };
    for (const name of names) channel(name).subscribe(listener);
    await clock.until(producer.send('t', { messageGroup: 'a', value: 'x' }));
    broker.topic('t').groups.get('a')?.writers.clear();
    const fates: Fate[] = ['request lost'];
    transport.fate = () => fates.shift() ?? 'ok';
    await clock.until(failure(producer.send('t', { messageGroup: 'a', value: 'y' })));
    for (const name of names) channel(name).unsubscribe(listener);
    expect(seen).toEqual(['request', 'answer', 'request', 'answer', 'retry', 'request', 'answer', 'halted']);
  });
});

describe('OrderedProducer and servers without ordered produce', () => {
  it('says what they lack, in one clear error', async () => {
    const { broker, clock, producer } = setUp();
    broker.requestTypes = [1, 2, 3, 4, 5];
    const error = await clock.until(failure(producer.send('t', { messageGroup: 'a', value: 'x' })));
    expect(error).toMatchObject({ code: 'UNSUPPORTED', retryable: false, outcome: 'not-applied' });
    expect(error.message).toMatch(/ORDERED_PRODUCE \(22\)/);
    // It was upgraded meanwhile.
    broker.requestTypes = [1, 2, 3, 22];
    expect(await clock.until(producer.send('t', { messageGroup: 'a', value: 'x' }))).toMatchObject({
      sequence: 1,
    });
  });

  it('sends by plain Produce when it is told so: a group to one partition, in order, with the group as key', async () => {
    const { broker, clock, producer } = setUp({ withoutOrdered: 'plain', partitions: 4 });
    broker.requestTypes = [1, 2, 3, 4, 5, 6];
    const receipts = await clock.until(
      Promise.all(messagesOf(60, 6).map((message) => producer.send('t', message))),
    );
    expect(broker.requests).toHaveLength(0);
    for (let group = 0; group < 6; group++) {
      const stored = broker
        .topic('t')
        .partitions.flatMap(({ records }, partition) =>
          records
            .filter(({ message }) => message.key.toString() === `g${group}`)
            .map(({ message }) => [partition, message.value.toString()]),
        );
      const partition = receipts[group]?.partition;
      expect(stored).toEqual(Array.from({ length: 10 }, (_, step) => [partition, `${group + step * 6}`]));
    }
    expect(receipts[0]).toMatchObject({ sequence: 0, duplicate: false });
  });

  it('uses ordered produce where it is, also when plain would do', async () => {
    const { broker, clock, producer } = setUp({ withoutOrdered: 'plain' });
    expect(await clock.until(producer.send('t', { messageGroup: 'a', value: 'x' }))).toMatchObject({
      sequence: 1,
    });
    expect(broker.requests).toHaveLength(1);
  });
});
