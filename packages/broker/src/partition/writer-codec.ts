/**
 * Bodies of REQUEST_OPEN_WRITER between nodes. Request: u8 version, v shard, v producer id, v epoch, v groups, each (v life, v bytes, name).
 * Answer: u8 version, v groups, each (u8 known, v last producer sequence, v last group sequence).
 */
import type { ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { WriterOpening, WriterPosition } from '../contracts.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

const VERSION = 1;

const broken = (message: string): Error =>
  new RefusalError('INVALID_REQUEST', `opening of a writer between nodes: ${message}`);

/** The request's bytes. */
export function encodeWriterOpening(opening: WriterOpening): Uint8Array {
  const writer = new ByteWriter(64 + opening.groups.length * 32);
  writer.u8(VERSION);
  writer.varint(opening.shard);
  writer.varint(opening.producerId);
  writer.varint(opening.epoch);
  writer.varint(opening.groups.length);
  for (const { name, life } of opening.groups) {
    writer.varint(life);
    writer.varint(name.length);
    writer.bytes(name);
  }
  return writer.view();
}

/** The request, with views of `bytes`. Throws a RefusalError INVALID_REQUEST for bytes that are none. */
export function decodeWriterOpening(bytes: Uint8Array): WriterOpening {
  const reader = open(bytes);
  const shard = reader.varint() as ShardId;
  const producerId = reader.varint();
  const epoch = reader.varint();
  const count = reader.varint();
  if (count > reader.remaining) throw broken(`${count} groups are too many`);
  const groups: { name: Uint8Array; life: number }[] = [];
  for (let at = 0; at < count; at++) {
    const life = reader.varint();
    groups.push({ life, name: reader.view(reader.varint()) });
  }
  return { shard, producerId, epoch, groups };
}

/** The answer's bytes. */
export function encodeWriterPositions(positions: readonly WriterPosition[]): Uint8Array {
  const writer = new ByteWriter(16 + positions.length * 12);
  writer.u8(VERSION);
  writer.varint(positions.length);
  for (const position of positions) {
    writer.u8(position.known ? 1 : 0);
    writer.varint(position.lastProducerSequence);
    writer.varint(position.lastGroupSequence);
  }
  return writer.view();
}

/** The answer to {@link encodeWriterOpening}. */
export function decodeWriterPositions(bytes: Uint8Array): WriterPosition[] {
  const reader = open(bytes);
  const count = reader.varint();
  if (count > reader.remaining) throw broken(`${count} positions are too many`);
  const positions: WriterPosition[] = [];
  for (let at = 0; at < count; at++) {
    const known = reader.u8() === 1;
    positions.push({ known, lastProducerSequence: reader.varint(), lastGroupSequence: reader.varint() });
  }
  return positions;
}

function open(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(broken);
  reader.open(bytes);
  const version = reader.u8();
  if (version !== VERSION) throw broken(`version ${version} is not known here`);
  return reader;
}
