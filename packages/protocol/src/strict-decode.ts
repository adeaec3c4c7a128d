/**
 * Strict check of a small request against its protobuf type, before it is decoded: what a lenient decoder would skip or
 * repair (unknown fields, a singular field twice, wrong wire types, broken UTF-8) is a client's mistake and is said so.
 */
import { type Buffer, isUtf8 } from 'node:buffer';
import type protobuf from 'protobufjs';
import { RefusalError } from './errors.ts';
import { WireReader } from './wire.ts';

const WIRE_TYPES: Readonly<Record<string, number>> = {
  uint32: 0,
  uint64: 0,
  int32: 0,
  int64: 0,
  bool: 0,
  string: 2,
  bytes: 2,
};

/** Throws a RefusalError INVALID_REQUEST that names the type, the field and the byte where `bytes` is not a strict `type`. */
export function checkStrict(type: protobuf.Type, bytes: Buffer): void {
  const reader = new WireReader(bytes);
  const seen = new Set<number>();
  try {
    while (!reader.done) checkField(type, reader, seen);
    if (reader.position > reader.end) throw new RangeError('the last field runs over the end');
  } catch (error) {
    if (error instanceof RefusalError) throw error;
    const reason = error instanceof RangeError ? error.message : 'broken encoding';
    throw new RefusalError('INVALID_REQUEST', `${type.name}: ${reason}`, { cause: error });
  }
}

function checkField(type: protobuf.Type, reader: WireReader, seen: Set<number>): void {
  const at = reader.position;
  const tag = reader.varint();
  const number = Math.floor(tag / 8);
  const wireType = tag % 8;
  const field = type.fieldsById[number];
  const refuse = (what: string): RefusalError =>
    new RefusalError('INVALID_REQUEST', `${type.name}, byte ${at}: ${what}`);
  if (field === undefined) throw refuse(`unknown field ${number}`);
  const expected = WIRE_TYPES[field.type] ?? (field.resolvedType === null ? undefined : enumOrMessage(field));
  if (wireType !== expected) throw refuse(`field ${field.name} has wire type ${wireType}, not ${expected}`);
  if (!field.repeated) {
    if (seen.has(number)) throw refuse(`field ${field.name} is given twice`);
    seen.add(number);
  }
  if (wireType === 0) {
    reader.varint(field.type.startsWith('int'));
    return;
  }
  const end = reader.delimitedEnd();
  const content = reader.bytes.subarray(reader.position, end);
  if (field.type === 'string' && !isUtf8(content)) throw refuse(`field ${field.name} is not UTF-8`);
  const inner = field.resolvedType;
  if (inner !== null && 'fieldsById' in inner) checkStrict(inner, content);
  reader.position = end;
}

/** Wire type of a field that is an enum or a message. */
const enumOrMessage = (field: protobuf.Field): number => ('values' in (field.resolvedType ?? {}) ? 0 : 2);
