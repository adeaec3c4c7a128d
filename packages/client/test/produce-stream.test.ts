import { EventEmitter } from 'node:events';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { decodeProduceCall, encodeProduceReply, RefusalError } from '@seriatim/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ProduceStream } from '../src/produce-stream.ts';

class Duplex extends EventEmitter {
  readonly calls: { readonly call: number; readonly timeoutMs: number; readonly text: string }[] = [];
  cancelled = false;
  write(bytes: Buffer): boolean {
    const { call, timeoutMs, request } = decodeProduceCall(bytes);
    this.calls.push({ call, timeoutMs, text: request.toString() });
    return true;
  }
  end(): void {}
  cancel(): void {
    this.cancelled = true;
  }
  answer(call: number, answer: Buffer | RefusalError): void {
    this.emit('data', encodeProduceReply({ call, answer }));
  }
}

function opened() {
  const streams: Duplex[] = [];
  const stream = new ProduceStream({
    open: () => {
      const duplex = new Duplex();
      streams.push(duplex);
      return duplex as unknown as ClientDuplexStream<Buffer, Buffer>;
    },
    translate: (error) =>
      error instanceof RefusalError
        ? error
        : new RefusalError('PEER_UNREACHABLE', 'gone', { outcome: 'unknown' }),
  });
  const outcome = (promise: Promise<Buffer>): Promise<unknown> =>
    promise.then(
      (answer) => answer.toString(),
      ({ code, outcome }: RefusalError) => `${code} ${outcome}`,
    );
  const send = (text: string, timeout = 1_000) => outcome(stream.call(Buffer.from(text), timeout));
  return { stream, streams, send };
}

describe('a produce stream', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('carries many calls at a time and gives each its own answer', async () => {
    const { streams, send } = opened();
    const [one, two] = [send('one'), send('two')];
    expect(streams).toHaveLength(1);
    expect(streams[0]?.calls).toEqual([
      { call: 1, timeoutMs: 1_000, text: 'one' },
      { call: 2, timeoutMs: 1_000, text: 'two' },
    ]);
    streams[0]?.answer(2, Buffer.from('second'));
    streams[0]?.answer(1, new RefusalError('UNKNOWN_TOPIC', 'no such topic'));
    expect(await one).toBe('UNKNOWN_TOPIC not-applied');
    expect(await two).toBe('second');
  });

  it('leaves what was not answered unknown when it breaks, whatever the reason, and opens again for the next call', async () => {
    const { streams, send } = opened();
    const one = send('one');
    streams[0]?.emit('error', new RefusalError('SHUTTING_DOWN', 'stopping'));
    expect(await one).toBe('SHUTTING_DOWN unknown');
    const two = send('two');
    expect(streams).toHaveLength(2);
    streams[0]?.emit('error', new Error('late'));
    streams[1]?.answer(2, Buffer.from('second'));
    expect(await two).toBe('second');
  });

  it('knows that a node without this call has not seen the request', async () => {
    const { streams, send } = opened();
    const one = send('one');
    streams[0]?.emit('error', new RefusalError('UNSUPPORTED', 'unknown method'));
    expect(await one).toBe('UNSUPPORTED not-applied');
  });

  it('gives up a call that gets no answer in time, and only that one', async () => {
    const { streams, send } = opened();
    const [one, two] = [send('one', 200), send('two', 10_000)];
    await vi.advanceTimersByTimeAsync(400);
    expect(await one).toBe('DEADLINE unknown');
    streams[0]?.answer(1, Buffer.from('too late'));
    streams[0]?.answer(2, Buffer.from('second'));
    expect(await two).toBe('second');
    await vi.advanceTimersByTimeAsync(400);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('breaks off when an answer cannot be read', async () => {
    const { streams, send } = opened();
    const one = send('one');
    streams[0]?.emit('data', Buffer.from([0x12, 0x7f]));
    expect(await one).toBe('PEER_UNREACHABLE unknown');
    expect(streams[0]?.cancelled).toBe(true);
  });
});
