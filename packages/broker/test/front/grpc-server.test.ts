import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
  brokerService,
  DEFAULT_LIMITS,
  decodeOrderedProduceResponse,
  fromServiceError,
} from '@seriatim/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultGrpcLimits, GrpcServer } from '../../src/front/grpc-server.ts';
import { FakeCluster } from './fakes.ts';

const limits = { ...DEFAULT_LIMITS, messageBytesMax: 2_000, requestBytesMax: 10_000 };
const cluster = new FakeCluster(2, 1, limits);
const server = new GrpcServer({
  door: cluster.door,
  clock: cluster.clock,
  listen: '127.0.0.1:0',
  limits: defaultGrpcLimits,
  onFailure: () => undefined,
});
let port = 0;
let client: Client;
beforeAll(async () => {
  port = await server.listen();
  server.serve(true);
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
  });
});
afterAll(async () => {
  client.close();
  await server.drain(1_000);
  await server.close();
});

type Answer = { readonly error: ServiceError | null; readonly bytes: Buffer };
const same = (bytes: Buffer): Buffer => bytes;
function call(method: string, bytes: Buffer): Promise<Answer> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      `/seriatim.v1.Broker/${method}`,
      same,
      same,
      bytes,
      new Metadata(),
      { deadline: Date.now() + 5_000 },
      (error, response) => resolve({ error, bytes: response ?? Buffer.alloc(0) }),
    );
  });
}

// Protobuf by hand: what a library would not write.
const field = (tag: number, bytes: Buffer | string): Buffer => {
  const content = Buffer.from(bytes);
  const length: number[] = [];
  let rest = content.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(tag << 3) | 2, ...length, rest]), content]);
};
const varint = (tag: number, value: number): Buffer => Buffer.from([tag << 3, value]);
const orders = field(1, 'orders');
const group = (name: Buffer | string): Buffer => field(3, name);
const value = field(2, 'v');
const message = (...parts: Buffer[]): Buffer => field(15, Buffer.concat(parts));
const request = (...parts: Buffer[]): Buffer => Buffer.concat([orders, ...parts]);
const cut = request(message(value, group('g')));

const INVALID = status.INVALID_ARGUMENT;
const wrong: readonly (readonly [
  what: string,
  method: string,
  bytes: Buffer,
  code: string,
  status: status,
  text: RegExp,
])[] = [
  [
    'an unknown topic',
    'OrderedProduce',
    Buffer.concat([field(1, 'none'), message(value, group('g'))]),
    'UNKNOWN_TOPIC',
    status.NOT_FOUND,
    /"none"/,
  ],
  [
    'an unknown partition',
    'Produce',
    request(varint(2, 9), message(value)),
    'UNKNOWN_PARTITION',
    status.NOT_FOUND,
    /partition 9/,
  ],
  [
    'an empty group',
    'OrderedProduce',
    request(message(value, group(''))),
    'INVALID_GROUP',
    INVALID,
    /message 0/,
  ],
  ['no group', 'OrderedProduce', request(message(value)), 'INVALID_GROUP', INVALID, /empty/],
  [
    'an over-long group',
    'OrderedProduce',
    request(message(value, group('x'.repeat(257)))),
    'INVALID_GROUP',
    INVALID,
    /257.*256/,
  ],
  [
    'a group that is not UTF-8',
    'OrderedProduce',
    request(message(value, group(Buffer.from([0xff])))),
    'INVALID_GROUP',
    INVALID,
    /UTF-8/,
  ],
  [
    'a topic that is not UTF-8',
    'OrderedProduce',
    Buffer.concat([field(1, Buffer.from([0xc0])), message(value, group('g'))]),
    'INVALID_REQUEST',
    INVALID,
    /UTF-8/,
  ],
  [
    'a header name that is not UTF-8',
    'OrderedProduce',
    request(message(value, group('g'), field(5, field(1, Buffer.from([0xfe]))))),
    'INVALID_MESSAGE',
    INVALID,
    /UTF-8/,
  ],
  [
    'a singular field twice',
    'OrderedProduce',
    request(message(value, value, group('g'))),
    'INVALID_MESSAGE',
    INVALID,
    /value/,
  ],
  [
    'a topic twice',
    'OrderedProduce',
    Buffer.concat([orders, orders, message(value, group('g'))]),
    'INVALID_REQUEST',
    INVALID,
    /topic/,
  ],
  [
    'an unknown field',
    'OrderedProduce',
    request(message(value, group('g'), field(9, 'x'))),
    'INVALID_MESSAGE',
    INVALID,
    /9/,
  ],
  [
    'an unknown field of the request',
    'OrderedProduce',
    request(field(9, 'x'), message(value, group('g'))),
    'INVALID_REQUEST',
    INVALID,
    /9/,
  ],
  [
    'a wrong wire type',
    'OrderedProduce',
    request(message(varint(2, 1), group('g'))),
    'INVALID_MESSAGE',
    INVALID,
    /message 0/,
  ],
  [
    'a length over its message',
    'OrderedProduce',
    request(message(Buffer.from([0x12, 100, 1]), group('g'))),
    'INVALID_MESSAGE',
    INVALID,
    /over/,
  ],
  [
    'a request that stops in the middle',
    'OrderedProduce',
    cut.subarray(0, cut.length - 2),
    'INVALID_MESSAGE',
    INVALID,
    /request|message/,
  ],
  [
    'Produce with a group',
    'Produce',
    request(message(value, group('g'))),
    'GROUP_NOT_ALLOWED',
    INVALID,
    /OrderedProduce/,
  ],
  [
    'a message over the limit',
    'OrderedProduce',
    request(message(field(2, 'x'.repeat(2_001)), group('g'))),
    'MESSAGE_TOO_LARGE',
    INVALID,
    /2000/,
  ],
  [
    'a batch over the limit',
    'OrderedProduce',
    request(...Array.from({ length: 11 }, () => message(field(2, 'x'.repeat(990)), group('g')))),
    'BATCH_TOO_LARGE',
    INVALID,
    /10000/,
  ],
  [
    'a batch over the limit of gRPC',
    'OrderedProduce',
    Buffer.alloc(9 << 20),
    'BATCH_TOO_LARGE',
    INVALID,
    /8388608/,
  ],
  ['no messages', 'OrderedProduce', request(), 'INVALID_REQUEST', INVALID, /no messages/],
  [
    'a topic that exists',
    'CreateTopic',
    Buffer.concat([orders, varint(2, 1), varint(3, 1)]),
    'TOPIC_EXISTS',
    status.ALREADY_EXISTS,
    /orders/,
  ],
  [
    'garbage for a small request',
    'CreateTopic',
    Buffer.from([0xff, 0xff, 0xff]),
    'INVALID_REQUEST',
    INVALID,
    /CreateTopicRequest/,
  ],
  [
    'an unknown field of a small request',
    'DescribeTopic',
    Buffer.concat([orders, field(7, 'x')]),
    'INVALID_REQUEST',
    INVALID,
    /unknown field 7/,
  ],
];

describe('wrong input over gRPC', () => {
  test.each(wrong)(
    '%s is refused with a typed error, and nothing is applied',
    async (_what, method, bytes, code, grpc, text) => {
      const stored = cluster.partitions.map((partition) => partition.records.length);
      const { error } = await call(method, bytes);
      if (error === null) throw new Error('it was taken');
      expect(error.code).toBe(grpc);
      const refusal = fromServiceError(error);
      expect({ code: refusal.code, outcome: refusal.outcome }).toEqual({ code, outcome: 'not-applied' });
      expect(refusal.message).toMatch(text);
      expect(cluster.partitions.map((partition) => partition.records.length)).toEqual(stored);
    },
  );

  test('the node goes on', async () => {
    const { error, bytes } = await call('OrderedProduce', request(message(value, group('after all this'))));
    expect(error).toBeNull();
    expect(decodeOrderedProduceResponse(bytes)).toMatchObject({ successfulMessages: 1, sequences: [1] });
  });

  test('an unknown method is UNIMPLEMENTED', async () => {
    const { error } = await call('Nothing', Buffer.alloc(0));
    expect(error?.code).toBe(status.UNIMPLEMENTED);
  });

  test('a stream that ends inside a gRPC message, and one that is torn, hurt nobody', async () => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    const headers = {
      ':method': 'POST',
      ':path': '/seriatim.v1.Broker/OrderedProduce',
      'content-type': 'application/grpc',
      te: 'trailers',
    };
    const half = session.request(headers);
    half.on('error', () => undefined);
    const answered = new Promise<Record<string, unknown>>((resolve) =>
      half.on('response', (given) => resolve(given)),
    );
    half.end(Buffer.from([0, 0, 0, 0, 100, 1, 2, 3]));
    expect((await answered)['grpc-status']).not.toBe('0');
    const torn = session.request(headers);
    torn.on('error', () => undefined);
    torn.write(Buffer.from([0, 0, 0, 1, 0, 1, 2, 3]));
    await new Promise((resolve) => setTimeout(resolve, 20));
    session.destroy();
    const { error } = await call('OrderedProduce', request(message(value, group('still there'))));
    expect(error).toBeNull();
  });

  test('bytes that are no HTTP/2 close their own connection only', async () => {
    const closed = new Promise<void>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
      socket.on('data', () => undefined);
      socket.write(Buffer.from(`GET / HTTP/1.1\r\n\r\n${'\0'.repeat(2_000)}`));
    });
    await closed;
    const { error } = await call('OrderedProduce', request(message(value, group('still there'))));
    expect(error).toBeNull();
  });
});

describe('the gRPC server', () => {
  test('answers health checks, and reflection lists the service', async () => {
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      client.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        same,
        same,
        Buffer.alloc(0),
        (error, response) => (error === null && response !== undefined ? resolve(response) : reject(error)),
      );
    });
    expect([...bytes]).toEqual([8, 1]);
    const listed = await new Promise<string>((resolve, reject) => {
      const stream = client.makeBidiStreamRequest(
        '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
        same,
        same,
      );
      stream.on('data', (response: Buffer) => {
        resolve(response.toString('latin1'));
        stream.end();
      });
      stream.on('error', reject);
      stream.write(field(7, '*'));
    });
    expect(listed).toContain('seriatim.v1.Broker');
  });

  test('ends a reading stream with SHUTTING_DOWN when it drains', async () => {
    const stream = client.makeServerStreamRequest(
      '/seriatim.v1.Broker/Fetch',
      brokerService.Fetch.requestSerialize,
      same,
      { topic: 'orders', partition: 0, offset: 0, from: 0, untilEnd: false, group: '', responseBytes: 0 },
    );
    const ended = new Promise<ServiceError>((resolve) =>
      stream.on('error', (error) => resolve(error as ServiceError)),
    );
    await new Promise((resolve) => stream.once('data', resolve));
    await server.drain(1_000);
    expect(fromServiceError(await ended).code).toBe('SHUTTING_DOWN');
    expect(server.callsInFlight).toBe(0);
  });
});
