/**
 * Keys and values of state images in the key-value store. Keys order by shard, generation, chunk. Each value carries a checksum
 * over its key and its bytes, so a chunk in a wrong place is damage too.
 */

import { crc32 } from 'node:zlib';
import type { ShardId } from '@seriatim/multiraft';
import {
  type Configuration,
  decodeConfiguration,
  encodeConfiguration,
  type Index,
  type ReplicaId,
  type SnapshotMeta,
  type Term,
} from '@seriatim/raft';
import { ByteReader, ByteWriter } from './byte-writer.ts';
import type { KeyRange } from './ports.ts';

/** Most bytes of a chunk. */
export const CHUNK_BYTES_MAX: number = 64 * 1024;
const IMAGE_VERSION = 1;
const CHUNK = 0x63; // c
const FOOTER = 0x66; // f

/** Where a shard's segments end in an image. */
export interface SegmentPosition {
  /** First index kept in segments; index + 1 of the image when there are none. */
  readonly first: Index;
  /** Offset behind the last record, -1: none. */
  readonly endOffset: number;
}

/** What closes an image. Without it there is none. */
export interface ImageFooter {
  readonly shard: ShardId;
  readonly generation: number;
  readonly replica: ReplicaId;
  readonly meta: SnapshotMeta;
  readonly segments: SegmentPosition;
  readonly chunkCount: number;
  /** Checksum over the checksums of all chunks. */
  readonly checksum: number;
}

/** Key of a chunk. */
export function chunkKey(shard: ShardId, generation: number, chunk: number): Uint8Array {
  const key = Buffer.alloc(13);
  key[0] = CHUNK;
  key.writeUInt32BE(shard, 1);
  key.writeUInt32BE(generation, 5);
  key.writeUInt32BE(chunk, 9);
  return key;
}

/** Key of a footer. */
export function footerKey(shard: ShardId, generation: number): Uint8Array {
  const key = Buffer.alloc(9);
  key[0] = FOOTER;
  key.writeUInt32BE(shard, 1);
  key.writeUInt32BE(generation, 5);
  return key;
}

/** Shard and generation in a key of either kind. */
export function ownerOfKey(key: Uint8Array): { readonly shard: ShardId; readonly generation: number } {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return { shard: view.getUint32(1) as ShardId, generation: view.getUint32(5) };
}

/** All footers; all chunks. */
export const FOOTER_RANGE: KeyRange = { from: Uint8Array.of(FOOTER), to: Uint8Array.of(FOOTER + 1) };
export const CHUNK_RANGE: KeyRange = { from: Uint8Array.of(CHUNK), to: Uint8Array.of(CHUNK + 1) };

/** Chunks of the generations in [from, to) of a shard. */
export function chunkRange(shard: ShardId, from: number, to: number): KeyRange {
  return { from: chunkKey(shard, from, 0), to: chunkKey(shard, to, 0) };
}

/** A chunk's value; its checksum is the first four bytes. */
export function encodeChunk(key: Uint8Array, chunk: Uint8Array): Uint8Array {
  return new ByteWriter(chunk.length + 4)
    .u32(crc32(chunk, crc32(key)))
    .bytes(chunk)
    .view();
}

/** A chunk's bytes (a view) and checksum; null: damaged. */
export function decodeChunk(
  key: Uint8Array,
  value: Uint8Array | undefined,
): { readonly bytes: Uint8Array; readonly checksum: number } | null {
  if (value === undefined || value.length < 4) return null;
  const checksum = new ByteReader(value).u32();
  const bytes = value.subarray(4);
  return crc32(bytes, crc32(key)) === checksum ? { bytes, checksum } : null;
}

/** Adds a chunk's checksum to that of the image. */
export function addChecksum(checksum: number, chunkChecksum: number): number {
  return crc32(new ByteWriter(4).u32(chunkChecksum).view(), checksum);
}

/** A footer's value. */
export function encodeFooter(footer: ImageFooter): Uint8Array {
  const { meta, segments } = footer;
  const configuration = encodeConfiguration(meta.configuration);
  const writer = new ByteWriter(128 + configuration.length).u32(0).u32(IMAGE_VERSION);
  writer.u32(footer.shard).u32(footer.generation).f64(footer.replica).f64(meta.index).f64(meta.term);
  writer.f64(segments.first).f64(segments.endOffset).u32(footer.chunkCount).u32(footer.checksum);
  writer.u32(configuration.length).bytes(configuration);
  writer.setU32(0, crc32(writer.view(4)));
  return writer.view();
}

/** Reads a footer; null: damaged. Throws for an unknown version. */
export function decodeFooter(value: Uint8Array): ImageFooter | null {
  if (value.length < 8) return null;
  const reader = new ByteReader(value);
  if (reader.u32() !== crc32(value.subarray(4))) return null;
  const version = reader.u32();
  if (version !== IMAGE_VERSION) throw new Error(`image of version ${version}, known is ${IMAGE_VERSION}`);
  const shard = reader.u32() as ShardId;
  const generation = reader.u32();
  const replica = reader.f64() as ReplicaId;
  const index = reader.f64() as Index;
  const term = reader.f64() as Term;
  const segments = { first: reader.f64() as Index, endOffset: reader.f64() };
  const chunkCount = reader.u32();
  const checksum = reader.u32();
  const configuration: Configuration = decodeConfiguration(reader.bytes(reader.u32()));
  return { shard, generation, replica, meta: { index, term, configuration }, segments, chunkCount, checksum };
}
