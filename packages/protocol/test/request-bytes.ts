import { Buffer } from 'node:buffer';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { brokerPackage } from '../src/service.ts';

const service = brokerPackage['seriatim.v1.Broker'] as ServiceDefinition;
const codec = (name: string) => {
  const method = service[name];
  if (method === undefined) throw new Error(name);
  return method;
};

/** protobufjs' own encoding, as the reference. */
export const encodeRequest = (name: string, request: object): Buffer => codec(name).requestSerialize(request);
export const decodeRequest = (name: string, bytes: Buffer): Record<string, unknown> =>
  codec(name).requestDeserialize(bytes) as Record<string, unknown>;
export const decodeResponse = (name: string, bytes: Buffer): Record<string, unknown> =>
  codec(name).responseDeserialize(bytes) as Record<string, unknown>;
export const encodeResponse = (name: string, response: object): Buffer =>
  codec(name).responseSerialize(response);

/** Bytes from numbers, strings and other bytes. */
export const bytesOf = (...parts: readonly (number | string | Uint8Array)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))));

/** A length-delimited field with a one-byte tag. */
export function field(tag: number, content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content);
  const length: number[] = [];
  let rest = bytes.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  length.push(rest);
  return Buffer.concat([Buffer.from([tag, ...length]), bytes]);
}
