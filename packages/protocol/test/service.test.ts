import { Buffer } from 'node:buffer';
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SUPPORTED_REQUEST_TYPES } from '../src/capabilities.ts';
import { ERRORS, RefusalError } from '../src/errors.ts';
import { fromServiceError, isServiceError, toServiceError } from '../src/grpc-errors.ts';
import { streamHandler, unaryHandler } from '../src/server-handlers.ts';
import { brokerService } from '../src/service.ts';
import type { FetchRequest, GetRouteRequest, GetRouteResponse } from '../src/types.ts';
import { bytesOf, field } from './request-bytes.ts';

const server = new Server();
let client: Client;

const call = (path: string, bytes: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const identity = (value: Buffer): Buffer => value;
    client.makeUnaryRequest(path, identity, identity, bytes, (error, value) =>
      error === null ? resolve(value ?? Buffer.alloc(0)) : reject(error),
    );
  });

async function refusal(path: string, bytes: Buffer): Promise<RefusalError & { readonly status: status }> {
  try {
    await call(path, bytes);
  } catch (error) {
    if (!isServiceError(error)) throw error;
    return Object.assign(fromServiceError(error), { status: error.code });
  }
  throw new Error('was answered');
}

beforeAll(async () => {
  const unused = unaryHandler<never, never>(() => Promise.reject(new Error('a secret of the server')));
  const handlers = Object.fromEntries(Object.keys(brokerService).map((name) => [name, unused]));
  server.addService(brokerService, {
    ...handlers,
    GetRoute: unaryHandler<GetRouteRequest, GetRouteResponse>(async ({ topic, group }) => {
      throw new RefusalError('UNKNOWN_GROUP', `no route for ${group} in ${topic}: ü`, {
        leaderAddress: '127.0.0.1:7102',
      });
    }),
    OrderedProduce: unaryHandler<Buffer, Buffer>(async (bytes) => bytes),
    Fetch: streamHandler<FetchRequest, Buffer>(async (request, stream) => {
      stream.write(Buffer.from([8, request.partition]));
      if (request.group === 'fail') throw new RefusalError('NOT_LEADER', 'elsewhere');
    }),
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
});
afterAll(() => {
  client.close();
  server.forceShutdown();
});

describe('brokerService', () => {
  it('passes hot requests and answers through as bytes', async () => {
    const bytes = Buffer.from([1, 2, 3, 255]);
    expect(await call(brokerService.OrderedProduce.path, bytes)).toEqual(bytes);
  });

  it('carries a refusal with code, outcome and leader', async () => {
    const error = await refusal(brokerService.GetRoute.path, bytesOf(field(0x0a, 't'), field(0x12, 'g')));
    expect(error).toMatchObject({
      code: 'UNKNOWN_GROUP',
      outcome: 'not-applied',
      leaderAddress: '127.0.0.1:7102',
      message: 'no route for g in t: ü',
      status: status.NOT_FOUND,
    });
  });

  it('hides what is not a refusal behind INTERNAL with an unknown outcome', async () => {
    const error = await refusal(brokerService.CreateTopic.path, Buffer.alloc(0));
    expect(error).toMatchObject({ code: 'INTERNAL', outcome: 'unknown', status: status.INTERNAL });
    expect(error.message).not.toContain('secret');
  });

  it.each([
    ['an unknown field', Buffer.from([0x30, 1]), /unknown field 6/],
    ['a field twice', bytesOf(field(0x0a, 'a'), field(0x0a, 'b')), /topic is given twice/],
    ['a wrong wire type', Buffer.from([0x08, 1]), /topic has wire type 0, not 2/],
    ['a length over the end', Buffer.from([0x0a, 9, 65]), /runs over the end/],
    ['a request that stops', Buffer.from([0x0a]), /does not end/],
    ['broken UTF-8', field(0x0a, Buffer.from([0xff])), /topic is not UTF-8/],
  ])('refuses small requests with %s as INVALID_REQUEST', async (_name, bytes, text) => {
    const error = await refusal(brokerService.GetRoute.path, bytes);
    expect(error).toMatchObject({
      code: 'INVALID_REQUEST',
      outcome: 'not-applied',
      status: status.INVALID_ARGUMENT,
    });
    expect(error.message).toMatch(text);
  });

  it('refuses a 64-bit number above 2^53', async () => {
    const wide = Buffer.from([0x20, 255, 255, 255, 255, 255, 255, 255, 127]);
    const error = await refusal(brokerService.CreateTopic.path, wide);
    expect(error.code).toBe('INVALID_REQUEST');
    expect(error.message).toMatch(/2\^53/);
  });

  it('streams bytes and ends a stream with a typed error', async () => {
    const fetch = (group: string): Promise<{ readonly got: Buffer[]; readonly error: ServiceError | null }> =>
      new Promise((resolve) => {
        const got: Buffer[] = [];
        const request = {
          topic: 't',
          partition: 3,
          offset: 0,
          from: 1,
          untilEnd: true,
          group,
          responseBytes: 0,
        };
        const { requestSerialize, responseDeserialize, path } = brokerService.Fetch;
        const stream = client.makeServerStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          new Metadata(),
        );
        stream.on('data', (bytes: Buffer) => got.push(bytes));
        stream.on('error', (error: ServiceError) => resolve({ got, error }));
        stream.on('end', () => resolve({ got, error: null }));
      });
    expect(await fetch('ok')).toEqual({ got: [Buffer.from([8, 3])], error: null });
    const { error } = await fetch('fail');
    expect(error !== null && fromServiceError(error).code).toBe('NOT_LEADER');
  });
});

describe('error table', () => {
  it('survives the translation to gRPC and back, code by code', () => {
    for (const code of Object.keys(ERRORS) as (keyof typeof ERRORS)[]) {
      const sent = toServiceError(new RefusalError(code, 'text', { outcome: 'unknown' }));
      expect(sent.code).toBe(ERRORS[code].status);
      expect(fromServiceError(sent)).toMatchObject({ code, outcome: 'unknown', message: 'text' });
    }
  });

  it.each([
    [status.UNAVAILABLE, 'PEER_UNREACHABLE', 'unknown'],
    [status.CANCELLED, 'SHUTTING_DOWN', 'unknown'],
    [status.DEADLINE_EXCEEDED, 'DEADLINE', 'unknown'],
    [status.RESOURCE_EXHAUSTED, 'BATCH_TOO_LARGE', 'not-applied'],
    [status.UNIMPLEMENTED, 'UNSUPPORTED', 'not-applied'],
    [status.DATA_LOSS, 'INTERNAL', 'unknown'],
  ])('reads a bare status %i as %s, %s', (code, named, outcome) => {
    const bare = Object.assign(new Error('x'), { code, details: 'x', metadata: new Metadata() });
    expect(fromServiceError(bare)).toMatchObject({ code: named, outcome });
  });
});

describe('capabilities', () => {
  it('keep their numbers', () => {
    const numbers = Array.from({ length: 26 }, (_, at) => at + 1);
    expect(SUPPORTED_REQUEST_TYPES).toEqual([...numbers, 40]);
  });
});
