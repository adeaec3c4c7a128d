import type { Buffer } from 'node:buffer';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  brokerService,
  type CreateTopicRequest,
  type DescribeTopicRequest,
  type FetchRequest,
  type GetRouteRequest,
  GRPC_MESSAGE_BYTES_MAX,
  type ListRoutesRequest,
  type ListRoutesResponse,
  type OpenWriterRequest,
  SUPPORTED_REQUEST_TYPES,
  streamHandler,
  unaryHandler,
} from '@seriatim/protocol';
import type { FakeBroker } from './fake-broker.ts';

/** A FakeBroker behind real gRPC, for one of its nodes. */
export async function serveFake(
  broker: FakeBroker,
  node: number,
): Promise<{ readonly port: number; readonly server: Server }> {
  const server = new Server({ 'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX });
  const topicPartitions = (name: string) => broker.describe().partitions.filter((one) => one.topic === name);
  server.addService(brokerService, {
    GetCapabilities: unaryHandler(async () => ({ requestTypes: SUPPORTED_REQUEST_TYPES, version: 'fake' })),
    DescribeCluster: unaryHandler(async () => broker.describe()),
    ListTopics: unaryHandler(async () => {
      if (broker.stalled) await new Promise(() => {});
      return { topics: [...broker.topics.values()].map(({ info }) => info) };
    }),
    CreateTopic: unaryHandler(async ({ name, partitions, replicas }: CreateTopicRequest) => ({
      topic: broker.createTopic(name, partitions, replicas),
    })),
    DescribeTopic: unaryHandler(async ({ name }: DescribeTopicRequest) => ({
      topic: broker.topic(name).info,
      partitions: topicPartitions(name),
    })),
    DeleteTopic: unaryHandler(async ({ name }: DescribeTopicRequest) => {
      broker.topic(name);
      broker.topics.delete(name);
      return {};
    }),
    OpenWriter: unaryHandler(async (request: OpenWriterRequest) => broker.openWriter(request)),
    InitProducer: unaryHandler(async () => broker.initProducer()),
    OrderedProduce: unaryHandler(async (bytes: Buffer) => broker.orderedProduce(node, bytes)),
    GetRoute: unaryHandler(async ({ topic, group }: GetRouteRequest) => ({
      route: broker.route(topic, group),
    })),
    ListRoutes: streamHandler(async (request: ListRoutesRequest, stream) => {
      const groups = [...broker.topic(request.topic).groups.keys()].filter((group) =>
        group.startsWith(request.prefix),
      );
      const routes = groups.map((group) => broker.route(request.topic, group));
      const response: ListRoutesResponse = {
        routes: routes.filter((route) => request.anyPartition || route.partition === request.partition),
      };
      stream.write(response);
    }),
    Fetch: streamHandler(async (request: FetchRequest, stream) => {
      let offset = request.from === 0 ? request.offset : 0;
      while (!stream.cancelled) {
        const response = broker.fetch(request, offset);
        if (response !== null) {
          offset = response.next;
          stream.write(response.bytes);
        } else if (request.untilEnd) return;
        else await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }),
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { port, server };
}
