/** The gRPC service, from the embedded descriptor. One definition serves clients and servers. */
import { Buffer } from 'node:buffer';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { fromJSON, type PackageDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';
import { RefusalError } from './errors.ts';
import { DESCRIPTOR_JSON } from './generated/descriptor.ts';
import { checkStrict } from './strict-decode.ts';
import type * as types from './types.ts';

const PACKAGE = 'seriatim.v1';
const descriptor: protobuf.INamespace = JSON.parse(DESCRIPTOR_JSON);
const root = protobuf.Root.fromJSON(descriptor);
root.resolveAll();

/** For gRPC reflection: the whole package as proto-loader gives it. */
export const brokerPackage: PackageDefinition = fromJSON(descriptor, {
  longs: Number,
  defaults: true,
  arrays: true,
});

/** Fully qualified name of the service, as health checks ask for it. */
export const BROKER_SERVICE_NAME: string = `${PACKAGE}.Broker`;

/** A request as a server gets it: decoded, or why it could not be. It never throws, so that the answer is typed as well. */
export type Decoded<T> = T | RefusalError;

/** Any RPC of the API by its proto name. */
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

const identity = (bytes: Buffer): Buffer => bytes;

/** Proto-loader's definition of one method, with this API's strictness laid over it. */
function method<Request, Response>(name: MethodName): MethodDefinition<Request, Response> {
  const service = brokerPackage[BROKER_SERVICE_NAME] as ServiceDefinition;
  const loaded = service[name] as MethodDefinition<Request, Response>;
  return { ...loaded, responseDeserialize: safe(loaded.responseDeserialize) };
}

/** A method whose request is small: servers get `Decoded<Request>`. */
function small<Request, Response>(name: MethodName): MethodDefinition<Request, Response> {
  const loaded = method<Request, Response>(name);
  const type = root.lookupType(`${PACKAGE}.${name}Request`);
  const requestDeserialize = (bytes: Buffer): Request => {
    try {
      checkStrict(type, bytes);
      return loaded.requestDeserialize(bytes);
    } catch (error) {
      const refusal =
        error instanceof RefusalError
          ? error
          : new RefusalError('INVALID_REQUEST', `${type.name}: broken encoding`, { cause: error });
      // Carried to the handler as the request: unaryHandler and streamHandler answer it (see Decoded).
      return refusal as unknown as Request;
    }
  };
  return { ...loaded, requestDeserialize };
}

/** A method whose request and response stay bytes on both sides: the walker and the codecs read and write them. */
function opaque(name: MethodName): MethodDefinition<Buffer, Buffer> {
  return {
    ...method<Buffer, Buffer>(name),
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}

/** Refuses numbers that lost digits: a 64-bit value above 2^53 must never pass for another one. */
function safe<T>(decode: (bytes: Buffer) => T): (bytes: Buffer) => T {
  return (bytes) => {
    const value = decode(bytes);
    requireSafeNumbers(value, 'response');
    return value;
  };
}

function requireSafeNumbers(value: unknown, path: string): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${path}: ${value} passes 2^53`);
  } else if (typeof value === 'object' && value !== null && !Buffer.isBuffer(value)) {
    for (const [name, inner] of Object.entries(value)) requireSafeNumbers(inner, `${path}.${name}`);
  }
}

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
