import { RefusalError } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { SeriatimError } from '../src/error.ts';
import type { Fate } from './fake-transport.ts';
import { failure, messagesOf, setUp } from './producer-setup.ts';

describe('OrderedProducer: what fails, and how', () => {
  it('gives up at the deadline and says what was wrong and that nothing is stored', async () => {
    const { clock, broker, producer } = setUp({ timeoutMilliseconds: 1000 });
    await clock.until(producer.sendOrderedMessages('t', messagesOf(3, 3)));
    broker.partition('t', 0).leader = -1;
    const started = clock.now();
    const first = failure(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'x'));
    const second = failure(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'y'));
    const error = await clock.until(first);
    expect(error).toMatchObject({ code: 'NO_LEADER', outcome: 'not-applied', retryable: true });
    expect(clock.now() - started).toBeLessThan(1010);
    expect(await clock.until(second)).toMatchObject({ outcome: 'not-applied' });
    broker.partition('t', 0).leader = 0;
    // The lane's number is used again: nothing was stored under it.
    expect(await clock.until(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'z'))).toMatchObject({
      sequence: 2,
    });
    expect(broker.group('t', 'g0')).toEqual(['0', 'z']);
    expect(broker.initProducerCalls).toBe(1);
  });

  it.each([1, 2, 3, 4, 5])(
    'tries again after each pause, also where timers fire early and a round takes time (seed %i)',
    async (seed) => {
      const { clock, broker, producer } = setUp({ seed });
      await clock.until(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'w'));
      const now = clock.now.bind(clock);
      const schedule = clock.schedule.bind(clock);
      clock.schedule = (milliseconds, task) => schedule(Math.max(0, milliseconds - 0.3), task);
      clock.now = () => {
        clock.standStill(0.1);
        return now();
      };
      broker.partition('t', 0).leader = -1;
      const sent = producer.sendSingleOrderedMessage('t', 'g0', undefined, 'x');
      await clock.pass(5_000);
      broker.partition('t', 0).leader = 0;
      const from = now();
      await clock.until(sent);
      expect(now() - from).toBeLessThan(1_000);
    },
  );

  it('says what kept it from getting a producer id', async () => {
    const { clock, transport, producer } = setUp({ timeoutMilliseconds: 500 });
    transport.onCall = (_address, name) => {
      if (name === 'InitProducer') throw new RefusalError('NO_META_LEADER', 'meta has no leader');
    };
    const error = await clock.until(failure(producer.sendSingleOrderedMessage('t', 'a', undefined, 'x')));
    expect(error).toMatchObject({ code: 'NO_META_LEADER', outcome: 'not-applied' });
    transport.onCall = () => {};
    expect(await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, 'x'))).toMatchObject({
      sequence: 1,
    });
  });

  it('says unknown when an attempt may have been done, and never lets a later message overtake it', async () => {
    const { clock, broker, transport, producer } = setUp({
      timeoutMilliseconds: 1000,
      attemptTimeoutMilliseconds: 400,
    });
    await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, '0'));
    const fates: Fate[] = ['late'];
    transport.fate = () => fates.shift() ?? 'request lost';
    const error = await clock.until(failure(producer.sendSingleOrderedMessage('t', 'a', undefined, '1')));
    expect(error.outcome).toBe('unknown');
    transport.fate = () => 'ok';
    await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, '2'));
    await clock.pass(60_000);
    expect(broker.group('t', 'a')).toEqual(['0', '1', '2']);
  });

  it('fails what waits behind a message that failed for good, and only that', async () => {
    const { clock, broker, transport, producer } = setUp();
    await clock.until(producer.sendOrderedMessages('t', messagesOf(6, 6)));
    let attempts = 0;
    transport.beforeProduce = (_address, bytes) => {
      attempts++;
      if (bytes.includes('poison')) throw new RefusalError('MESSAGE_TOO_LARGE', 'too large');
    };
    const poisoned = failure(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'poison'));
    const neighbours = producer.sendOrderedMessages('t', messagesOf(6, 6).slice(1));
    await clock.pass(2);
    const behind = failure(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'behind'));
    expect(await clock.until(poisoned)).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      outcome: 'not-applied',
      retryable: false,
    });
    expect(await clock.until(behind)).toMatchObject({ code: 'EARLIER_FAILED', outcome: 'not-applied' });
    expect(await clock.until(neighbours)).toHaveLength(5);
    expect(producer.resumeGroup('t', 'g0')).toBe(true);
    expect(await clock.until(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'next'))).toMatchObject({
      sequence: 2,
    });
    expect(broker.group('t', 'g0')).toEqual(['0', 'next']);
    expect(broker.initProducerCalls).toBe(1);
    // Each run of the refused request was tried once more, alone.
    expect(attempts).toBeLessThanOrEqual(1 + 6 + 3);
  });

  it('takes a new identity when the broker has forgotten the writer, and stores nothing twice', async () => {
    const { clock, broker, producer } = setUp();
    await clock.until(producer.sendOrderedMessages('t', messagesOf(4, 2)));
    broker.topic('t').groups.get('g0')?.writers.clear();
    const receipts = await clock.until(producer.sendOrderedMessages('t', messagesOf(4, 2)));
    expect(receipts.map(({ sequence }) => sequence)).toEqual([3, 3, 4, 4]);
    expect(broker.initProducerCalls).toBe(2);
    expect(broker.group('t', 'g0')).toEqual(['0', '2', '0', '2']);
  });

  it('refuses to guess when the writer is forgotten after an unknown attempt', async () => {
    const { clock, broker, transport, producer } = setUp();
    await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, '0'));
    const fates: Fate[] = ['answer lost'];
    transport.fate = () => {
      const fate = fates.shift();
      if (fate === undefined) broker.topic('t').groups.get('a')?.writers.clear();
      return fate ?? 'ok';
    };
    const error = await clock.until(failure(producer.sendSingleOrderedMessage('t', 'a', undefined, '1')));
    expect(error).toMatchObject({ code: 'WRITER_UNKNOWN', outcome: 'unknown' });
    transport.fate = () => 'ok';
    producer.resumeGroup('t', 'a');
    await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, '2'));
    expect(broker.group('t', 'a')).toEqual(['0', '1', '2']);
  });

  it('settles a mixed bulk call message by message', async () => {
    const { clock, broker, producer } = setUp({ timeoutMilliseconds: 500 });
    await clock.until(producer.sendOrderedMessages('t', messagesOf(3, 3)));
    broker.partition('t', 2).leader = -1;
    const result = await clock.until(producer.sendSettled('t', messagesOf(6, 3)));
    expect(result.length).toBe(6);
    expect(result.stored).toBe(4);
    expect(result.failures.map(({ index }) => index)).toEqual([2, 5]);
    expect(result.at(5)).toBeInstanceOf(SeriatimError);
    expect(result.receipt(4)).toMatchObject({ sequence: 3 });
    const error = await clock.until(failure(producer.sendOrderedMessages('t', messagesOf(6, 3))));
    expect(error).toMatchObject({ code: 'NO_LEADER', outcome: 'not-applied' });
    expect(error.details).toMatchObject({ index: 2, failed: 2 });
  });

  it('asks again after an unknown outcome, whatever its code: only a retry tells', async () => {
    const { clock, broker, transport, producer } = setUp();
    let refusals = 2;
    transport.beforeProduce = () => {
      if (refusals-- > 0) throw new RefusalError('INTERNAL', 'a bug', { outcome: 'unknown' });
    };
    expect(await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, 'x'))).toMatchObject({
      sequence: 1,
    });
    expect(broker.group('t', 'a')).toEqual(['x']);
  });

  it('uses a number again that a given-up run did not use', async () => {
    const { clock, broker, transport, producer } = setUp({ timeoutMilliseconds: 1000 });
    await clock.until(producer.sendSingleOrderedMessage('t', 'g0', undefined, '0'));
    broker.partition('t', 0).leader = -1;
    transport.latency = () => 100;
    const controller = new AbortController();
    const sent = failure(
      producer.sendSingleOrderedMessage('t', 'g0', undefined, 'x', { signal: controller.signal }),
    );
    await clock.pass(20);
    // Given up while it is under way; then the answer says that it is not stored.
    controller.abort();
    expect(await clock.until(sent)).toMatchObject({ outcome: 'unknown' });
    await clock.pass(1000);
    broker.partition('t', 0).leader = 1;
    expect(await clock.until(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'y'))).toMatchObject({
      sequence: 2,
    });
    expect(broker.group('t', 'g0')).toEqual(['0', 'y']);
    expect(broker.initProducerCalls).toBe(1);
  });

  it('says UNKNOWN_TOPIC after a few quick attempts', async () => {
    const { clock, producer } = setUp();
    const error = await clock.until(
      failure(producer.sendSingleOrderedMessage('nowhere', 'a', undefined, 'x')),
    );
    expect(error).toMatchObject({ code: 'UNKNOWN_TOPIC', outcome: 'not-applied' });
    expect(clock.now()).toBeLessThan(1000);
  });

  it('gives up on its signal: unsent for certain, sent with unknown outcome', async () => {
    const { clock, broker, producer, transport } = setUp();
    await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, '0'));
    transport.latency = () => 100;
    const controller = new AbortController();
    const sent = failure(
      producer.sendSingleOrderedMessage('t', 'a', undefined, '1', { signal: controller.signal }),
    );
    await clock.pass(5);
    const unsent = failure(
      producer.sendSingleOrderedMessage('t', 'a', undefined, '2', { signal: controller.signal }),
    );
    controller.abort();
    expect(await clock.until(sent)).toMatchObject({ code: 'CANCELLED', outcome: 'unknown' });
    expect(await clock.until(unsent)).toMatchObject({ code: 'CANCELLED', outcome: 'not-applied' });
    await clock.until(producer.sendSingleOrderedMessage('t', 'a', undefined, '3'));
    expect(broker.group('t', 'a')).toEqual(['0', '1', '3']);
  });

  it('does not retry an unknown outcome when it is not idempotent', async () => {
    const { clock, broker, transport, producer } = setUp({ idempotent: false });
    expect(await clock.until(producer.sendOrderedMessages('t', messagesOf(4, 2)))).toHaveLength(4);
    const fates: Fate[] = ['refused', 'answer lost'];
    transport.fate = () => fates.shift() ?? 'ok';
    const error = await clock.until(failure(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'x')));
    expect(error.outcome).toBe('unknown');
    await clock.until(producer.sendSingleOrderedMessage('t', 'g0', undefined, 'y'));
    expect(broker.group('t', 'g0')).toEqual(['0', '2', 'x', 'y']);
    expect(broker.initProducerCalls).toBe(0);
  });
});
