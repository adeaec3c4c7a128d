/** What is wrong is answered with its typed error, says that nothing was applied, and harms nobody else. */
import { status } from '@grpc/grpc-js';
import { OrderedProducer } from '@seriatim/client';
import { ERRORS, type ErrorCode } from '@seriatim/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.ts';
import { bytesField, numberField, RawClient, varint } from '../support/raw-client.ts';

const topic = 'orders';
const messagesField = 15;
let cluster: ProcessCluster;
let raw: RawClient;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  await cluster.admin.createTopic({ name: topic, partitions: 4, replicas: 3 });
  raw = new RawClient(cluster.endpoints[0] ?? '');
});

afterAll(async () => {
  raw?.close();
  await cluster?.destroy();
});

const message = (...fields: readonly Uint8Array[]): Buffer =>
  bytesField(messagesField, Buffer.concat(fields));
const key = bytesField(1, 'k');
const value = bytesField(2, 'v');
const group = bytesField(3, 'group');
const good = message(key, value, group);
const ordered = (...messages: readonly Uint8Array[]): Buffer =>
  Buffer.concat([bytesField(1, topic), ...messages]);
const plain = (partition: number, ...messages: readonly Uint8Array[]): Buffer =>
  Buffer.concat([bytesField(1, topic), numberField(2, partition), ...messages]);
const newTopic = (name: string, partitions: number, replicas: number): Buffer =>
  Buffer.concat([bytesField(1, name), numberField(2, partitions), numberField(3, replicas)]);

interface WrongCall {
  readonly what: string;
  readonly method: string;
  readonly request: () => Uint8Array;
  readonly code: ErrorCode;
  /** Texts that the message must hold: the value and the limit. */
  readonly says?: readonly string[];
}

const wrong: readonly WrongCall[] = [
  {
    what: 'an unknown topic',
    method: 'OrderedProduce',
    request: () => Buffer.concat([bytesField(1, 'nowhere'), good]),
    code: 'UNKNOWN_TOPIC',
    says: ['nowhere'],
  },
  {
    what: 'an unknown partition',
    method: 'Produce',
    request: () => plain(4, message(value)),
    code: 'UNKNOWN_PARTITION',
    says: ['4'],
  },
  {
    what: 'an empty group',
    method: 'OrderedProduce',
    request: () => ordered(message(value, bytesField(3, ''))),
    code: 'INVALID_GROUP',
  },
  {
    what: 'no group',
    method: 'OrderedProduce',
    request: () => ordered(message(value)),
    code: 'INVALID_GROUP',
  },
  {
    what: 'a group that is too long',
    method: 'OrderedProduce',
    request: () => ordered(message(value, bytesField(3, 'g'.repeat(257)))),
    code: 'INVALID_GROUP',
    says: ['257', '256'],
  },
  {
    what: 'a group that is not UTF-8',
    method: 'OrderedProduce',
    request: () => ordered(message(value, bytesField(3, Buffer.from([0x67, 0xff, 0xfe])))),
    code: 'INVALID_GROUP',
  },
  {
    what: 'a singular field twice',
    method: 'OrderedProduce',
    request: () => ordered(message(value, value, group)),
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'an unknown field of a message',
    method: 'OrderedProduce',
    request: () => ordered(message(value, group, numberField(99, 1))),
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'an unknown field of the request',
    method: 'OrderedProduce',
    request: () => ordered(good, numberField(99, 1)),
    code: 'INVALID_REQUEST',
  },
  {
    what: 'a wrong wire type',
    method: 'OrderedProduce',
    request: () => ordered(message(numberField(2, 5), group)),
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'a length that runs over its message',
    method: 'OrderedProduce',
    request: () => ordered(message(group, bytesField(2, 'short', 500))),
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'a request that stops in the middle',
    method: 'OrderedProduce',
    request: () => ordered(good).subarray(0, ordered(good).length - 3),
    code: 'INVALID_MESSAGE',
  },
  {
    what: 'random bytes',
    method: 'OrderedProduce',
    request: () => Buffer.from(Array.from({ length: 300 }, (_, index) => (index * 7919) % 256)),
    code: 'INVALID_REQUEST',
  },
  {
    what: 'Produce with a group',
    method: 'Produce',
    request: () => plain(0, good),
    code: 'GROUP_NOT_ALLOWED',
  },
  {
    what: 'a message over the limit',
    method: 'OrderedProduce',
    request: () => ordered(message(bytesField(2, Buffer.alloc(1_048_600)), group)),
    code: 'MESSAGE_TOO_LARGE',
    says: ['1048576'],
  },
  {
    what: 'a batch over the limit',
    method: 'OrderedProduce',
    request: () => {
      const large = bytesField(2, Buffer.alloc(1_000_000));
      return ordered(...Array.from({ length: 5 }, () => message(large, group)));
    },
    code: 'BATCH_TOO_LARGE',
    says: ['4194304'],
  },
  {
    what: 'a batch of too many messages',
    method: 'OrderedProduce',
    request: () => ordered(...Array.from({ length: 65_537 }, () => good)),
    code: 'BATCH_TOO_LARGE',
    says: ['65537', '65536'],
  },
  {
    what: 'a topic that exists',
    method: 'CreateTopic',
    request: () => newTopic(topic, 4, 3),
    code: 'TOPIC_EXISTS',
    says: [topic],
  },
  {
    what: 'zero partitions',
    method: 'CreateTopic',
    request: () => newTopic('zero', 0, 3),
    code: 'INVALID_PARTITION_COUNT',
    says: ['0', '1024'],
  },
  {
    what: 'more replicas than nodes',
    method: 'CreateTopic',
    request: () => newTopic('wide', 1, 4),
    code: 'INVALID_REPLICA_COUNT',
    says: ['4', '3'],
  },
  {
    what: 'a topic name with a slash',
    method: 'CreateTopic',
    request: () => newTopic('a/b', 1, 1),
    code: 'INVALID_TOPIC_NAME',
    says: ['a/b'],
  },
  {
    what: 'a topic to delete that is not there',
    method: 'DeleteTopic',
    request: () => bytesField(1, 'nowhere'),
    code: 'UNKNOWN_TOPIC',
    says: ['nowhere'],
  },
];

describe('a wrong request', () => {
  it.each(wrong)('$what is refused with $code', async ({ method, request, code, says = [] }) => {
    const outcome = await raw.unary(method, request());
    expect(outcome).toMatchObject({ status: status[ERRORS[code].status], code, outcome: 'not-applied' });
    // Thousands separators are a matter of taste; the numbers are not.
    const digits = outcome.message.replaceAll(/(?<=\d),(?=\d{3})/g, '');
    for (const text of says) expect(digits).toContain(text);
  });

  it('keeps the whole request out, good messages included', async () => {
    await raw.unary('OrderedProduce', ordered(message(value, bytesField(3, 'innocent')), message(value)));
    await expect(cluster.admin.getRoute(topic, 'innocent')).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' });
  });

  it('leaves nothing behind in the topic', async () => {
    const { partitions } = await cluster.admin.describeTopic(topic);
    expect(partitions.map((partition) => partition.highWatermark)).toEqual([0, 0, 0, 0]);
  });
});

describe('the cluster afterwards', () => {
  it('goes on: all nodes run and a good request is stored', async () => {
    expect(cluster.unexpectedEnds).toEqual([]);
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    const receipt = await producer.sendSingleOrderedMessage(topic, 'group', 'k', 'v');
    expect(receipt.sequence).toBe(1);
    await producer.close();
  });

  it('takes a good request as bare bytes', async () => {
    const outcome = await raw.unary('OrderedProduce', ordered(good, good));
    expect(outcome.status).toBe('OK');
    // total_messages 2, successful_messages 2
    expect(
      Buffer.from(outcome.response).includes(Buffer.concat([numberField(3, 2), numberField(4, 2)])),
    ).toBe(true);
  });

  it('answers a run that says how many messages it has and has fewer', async () => {
    const lengths = Buffer.concat([bytesField(4, varint(3)), bytesField(5, varint(1))]);
    const request = Buffer.concat([
      bytesField(1, topic),
      numberField(2, 99),
      numberField(3, 1),
      lengths,
      good,
    ]);
    expect(await raw.unary('OrderedProduce', request)).toMatchObject({
      code: 'INVALID_REQUEST',
      outcome: 'not-applied',
    });
  });
});
