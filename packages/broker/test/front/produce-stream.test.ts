import { EventEmitter } from 'node:events';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { decodeProduceReply, encodeProduceCall, RefusalError } from '@seriatim/protocol';
import { expect, test } from 'vitest';
import { serveProduceStream } from '../../src/front/produce-stream.ts';

/** The server's end of a stream, by hand. */
class Duplex extends EventEmitter {
  readonly written: Buffer[] = [];
  paused = false;
  full = false;
  isPaused(): boolean {
    return this.paused;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  write(bytes: Buffer): boolean {
    this.written.push(bytes);
    return !this.full;
  }
}

interface Waiting {
  readonly request: string;
  readonly timeout: number;
  readonly resolve: (answer: Buffer) => void;
  readonly reject: (error: unknown) => void;
}

function served() {
  const duplex = new Duplex();
  const controller = new AbortController();
  const waiting: Waiting[] = [];
  const failures: unknown[] = [];
  const done = serveProduceStream({
    stream: duplex as unknown as ServerDuplexStream<Buffer, Buffer>,
    signal: controller.signal,
    answer: (request, timeout) =>
      new Promise((resolve, reject) =>
        waiting.push({ request: request.toString(), timeout, resolve, reject }),
      ),
    onFailure: (error) => failures.push(error),
  });
  const ended = done.then(
    () => 'ended',
    (error: unknown) => error,
  );
  const send = (call: number, text: string): void => {
    duplex.emit('data', encodeProduceCall({ call, timeoutMs: 500, request: Buffer.from(text) }));
  };
  const answers = () =>
    duplex.written.map((bytes) => {
      const { call, answer } = decodeProduceReply(bytes);
      return [call, answer instanceof RefusalError ? answer.code : answer.toString()];
    });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { duplex, controller, waiting, failures, ended, send, answers, turn };
}

test('answers each request by itself, in the order they are done, and ends when the client has', async () => {
  const { duplex, waiting, ended, send, answers, turn } = served();
  send(1, 'one');
  send(2, 'two');
  expect(waiting.map(({ request, timeout }) => [request, timeout])).toEqual([
    ['one', 500],
    ['two', 500],
  ]);
  waiting[1]?.resolve(Buffer.from('second'));
  await turn();
  duplex.emit('end');
  waiting[0]?.resolve(Buffer.from('first'));
  expect(await ended).toBe('ended');
  expect(answers()).toEqual([
    [2, 'second'],
    [1, 'first'],
  ]);
});

test('a refusal, or a bug, is the answer of its request only', async () => {
  const { waiting, failures, send, answers, turn } = served();
  send(1, 'one');
  send(2, 'two');
  waiting[0]?.reject(new RefusalError('UNKNOWN_TOPIC', 'no such topic'));
  waiting[1]?.reject(new TypeError('a bug'));
  await turn();
  expect(answers()).toEqual([
    [1, 'UNKNOWN_TOPIC'],
    [2, 'INTERNAL'],
  ]);
  expect(failures).toHaveLength(2);
});

test('a frame that cannot be read ends the stream, after what was taken is answered', async () => {
  const { duplex, waiting, ended, send, answers } = served();
  send(1, 'one');
  duplex.emit('data', Buffer.from([0xff]));
  send(2, 'two');
  expect(waiting).toHaveLength(1);
  waiting[0]?.resolve(Buffer.from('first'));
  expect(await ended).toMatchObject({ code: 'INVALID_REQUEST' });
  expect(answers()).toEqual([[1, 'first']]);
});

test('a node that shuts down answers what it took, takes no more, and says why', async () => {
  const { controller, waiting, ended, send, answers } = served();
  send(1, 'one');
  controller.abort(new RefusalError('SHUTTING_DOWN', 'this node is shutting down'));
  send(2, 'two');
  expect(waiting).toHaveLength(1);
  waiting[0]?.resolve(Buffer.from('first'));
  expect(await ended).toMatchObject({ code: 'SHUTTING_DOWN' });
  expect(answers()).toEqual([[1, 'first']]);
});

test('a client that does not read its answers, or has 1,024 requests under way, is not read from', async () => {
  const { duplex, waiting, send, turn } = served();
  duplex.full = true;
  send(1, 'one');
  waiting[0]?.resolve(Buffer.from('first'));
  await turn();
  expect(duplex.paused).toBe(true);
  duplex.full = false;
  duplex.emit('drain');
  expect(duplex.paused).toBe(false);
  for (let call = 2; call <= 1_025; call++) send(call, 'more');
  expect(duplex.paused).toBe(true);
  waiting[1]?.resolve(Buffer.from('second'));
  await turn();
  expect(duplex.paused).toBe(false);
});

test('a client that is gone costs no answer and leaves nothing behind', async () => {
  const { duplex, waiting, ended, send, answers } = served();
  send(1, 'one');
  duplex.emit('cancelled');
  waiting[0]?.resolve(Buffer.from('first'));
  expect(await ended).toBe('ended');
  expect(answers()).toEqual([]);
});
