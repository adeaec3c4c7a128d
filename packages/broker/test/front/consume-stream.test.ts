import { EventEmitter } from 'node:events';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import {
  type ConsumeRequest,
  decodeConsumeResponse,
  encodeConsumeRequest,
  RefusalError,
} from '@seriatim/protocol';
import { expect, test } from 'vitest';
import type { LastAnswers } from '../../src/consume-contracts.ts';
import { serveConsumeStream } from '../../src/front/consume-stream.ts';
import { definition } from '../partition/fake-definitions.ts';
import { FakeCluster } from './fakes.ts';

/** The server's end of a stream, by hand. */
class Duplex extends EventEmitter {
  readonly written: Buffer[] = [];
  paused = false;
  full = false;
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

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

const request = (changes: Partial<ConsumeRequest>): Buffer =>
  encodeConsumeRequest({
    open: null,
    creditMessages: 0,
    creditBytes: 0,
    settleKinds: [],
    settlePartitions: [],
    settleTokenEpochs: [],
    settleTokenCounters: [],
    settleSequences: [],
    settleMilliseconds: [],
    settleReasons: [],
    leave: false,
    ...changes,
  });

const OPEN = request({
  open: {
    topic: 'orders',
    subscription: 's1',
    consumer: 'c',
    session: 'session-1',
    resumeGroups: [],
    resumePartitions: [],
    resumeLives: [],
    resumeTokenEpochs: [],
    resumeTokenCounters: [],
    resumeSequences: [],
    resumeHeadOffsets: [],
    resumeHeadAttempts: [],
    resumeSettledSequences: [],
  },
});
const ACK = {
  settleKinds: [0],
  settlePartitions: [0],
  settleTokenEpochs: [4],
  settleTokenCounters: [1],
  settleSequences: [1],
  settleMilliseconds: [0],
};

async function served() {
  const cluster = new FakeCluster(1, 1);
  cluster.definitions.set(definition(1));
  const duplex = new Duplex();
  const controller = new AbortController();
  const ended = serveConsumeStream({
    stream: duplex as unknown as ServerDuplexStream<Buffer, Buffer>,
    signal: controller.signal,
    open: (wire) => cluster.door.consume(wire),
  }).then(
    () => 'in order',
    (error: unknown) => (error instanceof RefusalError ? error.code : error),
  );
  duplex.emit('data', OPEN);
  await turn();
  const attachment = cluster.partitions[0]?.dispatch.attachment;
  if (attachment === undefined) throw new Error('not attached');
  const last = () => decodeConsumeResponse(duplex.written.at(-1) ?? Buffer.alloc(0));
  return { duplex, attachment, controller, ended, last };
}

test('a client that leaves and sends no more still gets its answers', async () => {
  const { duplex, attachment, ended, last } = await served();
  const detached: { resolve: (answers: LastAnswers) => void } = { resolve: () => {} };
  attachment.detach = () =>
    new Promise((resolve) => {
      detached.resolve = resolve;
    });
  duplex.emit('data', request({ ...ACK, leave: true }));
  duplex.emit('end');
  await turn();
  detached.resolve({ durable: true, refused: [], codes: [] });
  expect(await ended).toBe('in order');
  expect(last()).toMatchObject({ settledRows: 1, refusedRows: [] });
});

test('a client that ends the stream without leaving may come back', async () => {
  const { duplex, attachment, ended } = await served();
  duplex.emit('end');
  expect(await ended).toBe('in order');
  expect(attachment.detached).toBe('broken');
});

test('a client that does not read is not listened to until it does', async () => {
  const { duplex, attachment } = await served();
  duplex.full = true;
  duplex.emit('data', request({ ...ACK, settlePartitions: [9] }));
  await turn();
  expect(duplex.paused).toBe(true);
  duplex.full = false;
  duplex.emit('drain');
  expect(duplex.paused).toBe(false);
  expect(attachment.granted).toBeGreaterThan(0);
});

test('a node that shuts down says so, and ends what does not leave', async () => {
  const { controller, ended } = await served();
  controller.abort(new RefusalError('SHUTTING_DOWN', 'this node is shutting down'));
  expect(await ended).toBe('SHUTTING_DOWN');
});
