/** Definitions of single methods, from the embedded descriptor, with this API's strictness laid over proto-loader's. */
import { Buffer } from 'node:buffer';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { fromJSON, type PackageDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';
import { RefusalError } from './errors.ts';
import { DESCRIPTOR_JSON } from './generated/descriptor.ts';
import { checkStrict } from './strict-decode.ts';

/** Name of the protobuf package. */
export const PACKAGE = 'seriatim.v1';
const descriptor: protobuf.INamespace = JSON.parse(DESCRIPTOR_JSON);
const root = protobuf.Root.fromJSON(descriptor);
root.resolveAll();

/** For gRPC reflection: the whole package as proto-loader gives it. */
export const brokerPackage: PackageDefinition = fromJSON(descriptor, {
  longs: Number,
  defaults: true,
  arrays: true,
});

/** For methods whose messages stay bytes. */
export const identity = (bytes: Buffer): Buffer => bytes;

/** Proto-loader's definition of one method, with this API's strictness laid over it. */
function method<Request, Response>(serviceName: string, name: string): MethodDefinition<Request, Response> {
  const service = brokerPackage[serviceName] as ServiceDefinition;
  const loaded = service[name] as MethodDefinition<Request, Response>;
  return { ...loaded, responseDeserialize: safe(loaded.responseDeserialize) };
}

/** A method whose request is small: servers get `Decoded<Request>`. */
export function smallMethod<Request, Response>(
  service: string,
  name: string,
): MethodDefinition<Request, Response> {
  const loaded = method<Request, Response>(service, name);
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
export function opaqueMethod(service: string, name: string): MethodDefinition<Buffer, Buffer> {
  return {
    ...method<Buffer, Buffer>(service, name),
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
