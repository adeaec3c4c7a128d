/** The gRPC service Broker, from the embedded descriptor. One definition serves clients and servers. */
import type { Buffer } from 'node:buffer';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { RefusalError } from './errors.ts';
import { identity, opaqueMethod, PACKAGE, smallMethod } from './method-definition.ts';
import type * as types from './types.ts';

export { brokerPackage } from './method-definition.ts';

/** Fully qualified name of the service, as health checks ask for it. */
export const BROKER_SERVICE_NAME: string = `${PACKAGE}.Broker`;

/** A request as a server gets it: decoded, or why it could not be. It never throws, so that the answer is typed as well. */
export type Decoded<T> = T | RefusalError;

/** Any RPC of the service by its proto name. */
export type MethodName =
  | 'GetCapabilities'
  | 'DescribeCluster'
  | 'CreateTopic'
  | 'ListTopics'
  | 'DescribeTopic'
  | 'DeleteTopic'
  | 'InitProducer'
  | 'OpenWriter'
  | 'OrderedProduce'
  | 'OrderedProduceStream'
  | 'Produce'
  | 'Fetch'
  | 'GetRoute'
  | 'ListRoutes';

const small = <Request, Response>(name: MethodName): MethodDefinition<Request, Response> =>
  smallMethod(BROKER_SERVICE_NAME, name);
const opaque = (name: MethodName): MethodDefinition<Buffer, Buffer> =>
  opaqueMethod(BROKER_SERVICE_NAME, name);

/** The service with each RPC's types. Fetch takes a decoded request and answers bytes; the produce RPCs are bytes both ways. */
export interface BrokerService extends ServiceDefinition {
  readonly GetCapabilities: MethodDefinition<types.GetCapabilitiesRequest, types.GetCapabilitiesResponse>;
  readonly DescribeCluster: MethodDefinition<types.DescribeClusterRequest, types.DescribeClusterResponse>;
  readonly CreateTopic: MethodDefinition<types.CreateTopicRequest, types.CreateTopicResponse>;
  readonly ListTopics: MethodDefinition<types.ListTopicsRequest, types.ListTopicsResponse>;
  readonly DescribeTopic: MethodDefinition<types.DescribeTopicRequest, types.DescribeTopicResponse>;
  readonly DeleteTopic: MethodDefinition<types.DeleteTopicRequest, types.DeleteTopicResponse>;
  readonly InitProducer: MethodDefinition<types.InitProducerRequest, types.InitProducerResponse>;
  readonly OpenWriter: MethodDefinition<types.OpenWriterRequest, types.OpenWriterResponse>;
  readonly OrderedProduce: MethodDefinition<Buffer, Buffer>;
  readonly OrderedProduceStream: MethodDefinition<Buffer, Buffer>;
  readonly Produce: MethodDefinition<Buffer, Buffer>;
  readonly Fetch: MethodDefinition<types.FetchRequest, Buffer>;
  readonly GetRoute: MethodDefinition<types.GetRouteRequest, types.GetRouteResponse>;
  readonly ListRoutes: MethodDefinition<types.ListRoutesRequest, types.ListRoutesResponse>;
}

/** The broker's RPCs. Servers: `server.addService(brokerService, handlers)` with handlers made by unaryHandler and streamHandler. */
export const brokerService: BrokerService = {
  GetCapabilities: small('GetCapabilities'),
  DescribeCluster: small('DescribeCluster'),
  CreateTopic: small('CreateTopic'),
  ListTopics: small('ListTopics'),
  DescribeTopic: small('DescribeTopic'),
  DeleteTopic: small('DeleteTopic'),
  InitProducer: small('InitProducer'),
  OpenWriter: small('OpenWriter'),
  OrderedProduce: opaque('OrderedProduce'),
  OrderedProduceStream: opaque('OrderedProduceStream'),
  Produce: opaque('Produce'),
  Fetch: {
    ...small<types.FetchRequest, Buffer>('Fetch'),
    responseSerialize: identity,
    responseDeserialize: identity,
  },
  GetRoute: small('GetRoute'),
  ListRoutes: small('ListRoutes'),
};
