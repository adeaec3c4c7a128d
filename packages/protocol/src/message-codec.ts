/** Message: written by hand straight into a request, and read leniently (as any protobuf client does) from a response. */
import { Buffer } from 'node:buffer';
import type { Header } from './types.ts';
import { varintSize, WireReader, type WireWriter } from './wire.ts';

/** What a producer says about one message, apart from its group. Strings are sent as UTF-8. */
export interface MessageContent {
  readonly key?: string | Uint8Array | undefined;
  readonly value: string | Uint8Array;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly timestamp?: number | undefined;
  readonly headers?: readonly { readonly name: string; readonly value: string | Uint8Array }[] | undefined;
}

/** A message as read. */
export interface DecodedMessage {
  /** Empty when the producer gave none: the wire does not tell these apart. */
  readonly key: Buffer;
  readonly value: Buffer;
  readonly group: string;
  /** The producer's time stamp; 0: not given. */
  readonly producerTimestamp: number;
  readonly headers: readonly Header[];
}

const NONE: Buffer = Buffer.alloc(0);
const NO_HEADERS: readonly Header[] = [];
const TAG_MESSAGES = 0x7a;

/** The bytes of field `message_group` with tag and length, made once per group: most of a small message's encoding. */
export function encodeGroupField(group: string): Buffer {
  const name = Buffer.from(group, 'utf8');
  const size = name.length;
  const head = size < 128 ? [0x1a, size] : [0x1a, (size & 0x7f) | 0x80, size >>> 7];
  return Buffer.concat([Buffer.from(head), name]);
}

const contentSize = (content: string | Uint8Array): number =>
  typeof content === 'string' ? Buffer.byteLength(content) : content.length;

const fieldSize = (size: number): number => (size === 0 ? 0 : 1 + varintSize(size) + size);

function headerSize(header: { readonly name: string; readonly value: string | Uint8Array }): number {
  return fieldSize(Buffer.byteLength(header.name)) + fieldSize(contentSize(header.value));
}

function timestampSize(timestamp: number | undefined): number {
  if (timestamp === undefined || timestamp === 0) return 0;
  return 1 + (timestamp < 0 ? 10 : varintSize(timestamp));
}

/** Bytes of the encoded Message, without the tag and length before it. */
export function messageSize(content: MessageContent, groupFieldBytes: number): number {
  let size = groupFieldBytes + fieldSize(contentSize(content.value)) + timestampSize(content.timestamp);
  if (content.key !== undefined) size += fieldSize(contentSize(content.key));
  if (content.headers !== undefined) {
    for (const header of content.headers) {
      const inner = headerSize(header);
      size += 1 + varintSize(inner) + inner;
    }
  }
  return size;
}

/**
 * Appends one message as field 15 of a produce request. `groupField` is {@link encodeGroupField}'s, empty for no group; `size`
 * is {@link messageSize}'s.
 */
export function encodeMessage(
  writer: WireWriter,
  content: MessageContent,
  groupField: Uint8Array,
  size: number,
): void {
  writer.reserve(size + 16);
  writer.bytes[writer.length++] = TAG_MESSAGES;
  writeSize(writer, size);
  if (content.key !== undefined) writeContent(writer, 0x0a, content.key);
  writeContent(writer, 0x12, content.value);
  copySmall(writer, groupField);
  if (content.timestamp !== undefined && content.timestamp !== 0) writer.int64Field(4, content.timestamp);
  if (content.headers === undefined) return;
  for (const header of content.headers) {
    writer.bytes[writer.length++] = 0x2a;
    writeSize(writer, headerSize(header));
    writeContent(writer, 0x0a, header.name);
    writeContent(writer, 0x12, header.value);
  }
}

function writeSize(writer: WireWriter, size: number): void {
  if (size < 128) writer.bytes[writer.length++] = size;
  else writer.varint(size);
}

function writeContent(writer: WireWriter, tag: number, content: string | Uint8Array): void {
  const size = contentSize(content);
  if (size === 0) return;
  writer.bytes[writer.length++] = tag;
  writeSize(writer, size);
  if (typeof content === 'string') writer.length += writer.bytes.write(content, writer.length, 'utf8');
  else copySmall(writer, content);
}

/** Below some 48 bytes a loop beats the call into the runtime. */
function copySmall(writer: WireWriter, from: Uint8Array): void {
  const { bytes } = writer;
  const to = writer.length;
  if (from.length > 48) bytes.set(from, to);
  else for (let index = 0; index < from.length; index++) bytes[to + index] = from[index] as number;
  writer.length = to + from.length;
}

/** Reads the Message in `bytes[start, end)`; key, value and header values share memory with `bytes`. */
export function decodeMessage(bytes: Buffer, start: number, end: number): DecodedMessage {
  const reader = new WireReader(bytes, start, end);
  let key = NONE;
  let value = NONE;
  let group = '';
  let producerTimestamp = 0;
  let headers = NO_HEADERS;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 0x0a) key = contentOf(reader);
    else if (tag === 0x12) value = contentOf(reader);
    else if (tag === 0x1a) group = reader.string();
    else if (tag === 0x20) producerTimestamp = reader.varint(true);
    else if (tag === 0x2a) headers = [...headers, decodeHeader(reader)];
    else reader.skip(tag & 7);
  }
  return { key, value, group, producerTimestamp, headers };
}

function contentOf(reader: WireReader): Buffer {
  const end = reader.delimitedEnd();
  const content = reader.bytes.subarray(reader.position, end);
  reader.position = end;
  return content;
}

function decodeHeader(outer: WireReader): Header {
  const end = outer.delimitedEnd();
  const reader = new WireReader(outer.bytes, outer.position, end);
  outer.position = end;
  let name = '';
  let value = NONE;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 0x0a) name = reader.string();
    else if (tag === 0x12) value = contentOf(reader);
    else reader.skip(tag & 7);
  }
  return { name, value };
}
