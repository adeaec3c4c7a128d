/**
 * Commands in a partition's log. All values are absolute, time comes with the command, and a replica that applies one looks
 * at nothing else. First byte: {@link COMMAND_VERSION}, second: kind. A version or kind that a node does not know stops
 * that shard. `v` is a varint (LEB128, at most 2^53 - 1), `u32` little endian, `bytes` a length v and that many bytes.
 *
 * | Kind | Layout behind version and kind |
 * |---|---|
 * | 1 append | u32 header length (from byte 0 to the body); v timestamp (ms since 1970), v base offset, v records; v producers, each (v id, v epoch); v new groups, each (v group number, bytes name); v runs, each (v group number + 1 or 0, v producer's place in the table + 1 or 0, v records, [v life, v first sequence when it has a group], [v producer's first sequence when it has a producer], u32 CRC-32, v body bytes); then the body: field-15 messages, run after run |
 * | 2 removeBefore | v timestamp, v low watermark (offset), v first index kept |
 * | 3 openWriter | v timestamp, v producer id, v epoch: appends of this producer with a lower epoch never come behind it |
 * | 4 forget | reserved: conditional end of a group's life |
 * | 5 seal | reserved: a group stops taking appends here because it moves |
 * | 6 install | reserved: a group with its record (intervals, writers) arrives from another partition |
 *
 * Runs of one entry lie in the order of their offsets; the first run's first offset is the base offset.
 */
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { mustHold, ShardFault } from './shard-fault.ts';

/** First byte of each command. */
export const COMMAND_VERSION = 1;
/** Kind: records, see the head of this file. */
export const COMMAND_APPEND = 1;
/** Kind: retention, see {@link RemoveBefore}. */
export const COMMAND_REMOVE_BEFORE = 2;

/** Kind: a named producer's newest instance, see {@link OpenWriter}. */
export const COMMAND_OPEN_WRITER = 3;

/** Fences the lower epochs of a named producer. */
export interface OpenWriter {
  readonly timestamp: number;
  readonly producerId: number;
  readonly epoch: number;
}

/** Retention: everything below `lowWatermark` is gone for readers; log entries below `firstIndex` may be dropped. */
export interface RemoveBefore {
  readonly timestamp: number;
  readonly lowWatermark: number;
  readonly firstIndex: number;
}

/** The kind of a command. Throws {@link ShardFault} for a version that this node does not know. */
export function commandKind(data: Uint8Array): number {
  mustHold(data.length >= 2, `command of ${data.length} bytes is too short`);
  const version = data[0] as number;
  mustHold(
    version === COMMAND_VERSION,
    `command version ${version} is not known here (known: ${COMMAND_VERSION}); upgrade this node`,
  );
  return data[1] as number;
}

/** The command's bytes. */
export function encodeRemoveBefore(command: RemoveBefore): Uint8Array {
  const writer = new ByteWriter(32);
  writer.u8(COMMAND_VERSION);
  writer.u8(COMMAND_REMOVE_BEFORE);
  writer.varint(command.timestamp);
  writer.varint(command.lowWatermark);
  writer.varint(command.firstIndex);
  return writer.copy();
}

/** Throws {@link ShardFault} for bytes that end early. */
export function decodeRemoveBefore(data: Uint8Array): RemoveBefore {
  const reader = new ByteReader((message) => new ShardFault(`removeBefore command: ${message}`));
  reader.open(data, 2);
  return { timestamp: reader.varint(), lowWatermark: reader.varint(), firstIndex: reader.varint() };
}

/** The command's bytes. */
export function encodeOpenWriter(command: OpenWriter): Uint8Array {
  const writer = new ByteWriter(32);
  writer.u8(COMMAND_VERSION);
  writer.u8(COMMAND_OPEN_WRITER);
  writer.varint(command.timestamp);
  writer.varint(command.producerId);
  writer.varint(command.epoch);
  return writer.copy();
}

/** Throws {@link ShardFault} for bytes that end early. */
export function decodeOpenWriter(data: Uint8Array): OpenWriter {
  const reader = new ByteReader((message) => new ShardFault(`openWriter command: ${message}`));
  reader.open(data, 2);
  return { timestamp: reader.varint(), producerId: reader.varint(), epoch: reader.varint() };
}
