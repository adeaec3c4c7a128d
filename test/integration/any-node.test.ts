/** A client that knows one node and nothing of leaders: whichever node it is, it answers every request. */
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js';
import {
  brokerService,
  decodeFetchResponse,
  decodeOrderedProduceResponse,
  decodeProduceResponse,
  MESSAGE_STORED,
} from '@seriatim/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.ts';
import { bytesField, numberField } from '../support/raw-client.ts';

const PARTITIONS = 6;
let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
});
afterAll(() => cluster?.destroy());

class OneNode {
  readonly #client: Client;

  constructor(endpoint: string) {
    this.#client = new Client(endpoint, credentials.createInsecure());
  }

  call<Request, Response>(method: MethodDefinition<Request, Response>, request: Request): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = method;
    const options = { deadline: Date.now() + 10_000 };
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options,
        (error, response) => {
          if (response !== undefined) resolve(response);
          else reject(error);
        },
      );
    });
  }

  async stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
  ): Promise<Response[]> {
    const { path, requestSerialize, responseDeserialize } = method;
    const responses: Response[] = [];
    const options = { deadline: Date.now() + 10_000 };
    const stream = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      options,
    );
    for await (const response of stream) responses.push(response);
    return responses;
  }

  close(): void {
    this.#client.close();
  }
}

const message = (value: string, group?: string): Buffer =>
  bytesField(
    15,
    Buffer.concat([bytesField(2, value), ...(group === undefined ? [] : [bytesField(3, group)])]),
  );
const fetch = (topic: string, partition: number) => ({
  topic,
  partition,
  offset: 0,
  from: 1,
  untilEnd: true,
  group: '',
  responseBytes: 0,
});

describe.each([1, 2, 3])('node %i alone', (id) => {
  const topic = `by-node-${id}`;
  let node: OneNode;
  beforeAll(() => {
    node = new OneNode(cluster.endpoints[id - 1] ?? '');
  });
  afterAll(() => node.close());

  it('creates a topic, writes to and reads from partitions that any node leads, tells routes, and deletes it', async () => {
    const created = await node.call(brokerService.CreateTopic, {
      name: topic,
      partitions: PARTITIONS,
      replicas: 3,
      retentionMs: 0,
      retentionBytes: 0,
    });
    expect(created.topic).toMatchObject({ name: topic, partitions: PARTITIONS });
    const described = await node.call(brokerService.DescribeTopic, { name: topic });
    expect(new Set(described.partitions.map(({ leader }) => leader)).size).toBe(3);

    for (let partition = 0; partition < PARTITIONS; partition++) {
      const request = Buffer.concat([
        bytesField(1, topic),
        numberField(2, partition),
        message(`plain-${partition}`),
      ]);
      const stored = decodeProduceResponse(await node.call(brokerService.Produce, request));
      expect(stored).toMatchObject({ partition, baseOffset: 0, messages: 1 });
    }
    const groups = Array.from({ length: 30 }, (_, n) => `group-${n}`);
    const ordered = Buffer.concat([
      bytesField(1, topic),
      ...groups.map((group) => message(`of ${group}`, group)),
    ]);
    const answer = decodeOrderedProduceResponse(await node.call(brokerService.OrderedProduce, ordered));
    expect(answer.statuses).toEqual(groups.map(() => MESSAGE_STORED));
    expect(new Set(answer.partitions).size).toBe(PARTITIONS);

    let read = 0;
    for (let partition = 0; partition < PARTITIONS; partition++) {
      for (const bytes of await node.stream(brokerService.Fetch, fetch(topic, partition))) {
        read += decodeFetchResponse(bytes).messageStarts.length;
      }
    }
    expect(read).toBe(PARTITIONS + groups.length);

    for (const [index, group] of groups.entries()) {
      const { route } = await node.call(brokerService.GetRoute, { topic, group });
      expect(route).toMatchObject({ group, partition: answer.partitions[index], lastSequence: 1 });
    }
    const listed = await node.stream(brokerService.ListRoutes, {
      topic,
      partition: 0,
      anyPartition: true,
      prefix: 'group-',
    });
    expect(listed.flatMap(({ routes }) => routes)).toHaveLength(groups.length);
    expect((await node.call(brokerService.InitProducer, {})).producerId).toBeGreaterThan(0);
    await node.call(brokerService.DeleteTopic, { name: topic });
    const { topics } = await node.call(brokerService.ListTopics, {});
    expect(topics.map(({ name }) => name)).not.toContain(topic);
  });
});
