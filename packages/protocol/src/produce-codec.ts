/** Ends of the produce RPCs that are written and read by hand: the server's answer, the client's request head. */
import type { Buffer } from 'node:buffer';
import type { ProduceResponse } from './types.ts';
import { WireReader, WireWriter } from './wire.ts';

/** Values of MessageStatus. */
export const MESSAGE_STORED = 0;
export const MESSAGE_DUPLICATE = 1;
export const MESSAGE_NOT_APPLIED = 2;
export const MESSAGE_UNKNOWN = 3;

/** Messages of a request that one partition took. */
export interface PartitionResponse {
  readonly partition: number;
  readonly messages: number;
  readonly baseOffset: number;
  readonly timestampMs: number;
  /** Node id. */
  readonly leader: number;
}

/** Messages of a request that failed alike. */
export interface PartitionError {
  /** NO_PARTITION when none was decided. */
  readonly partition: number;
  readonly code: string;
  readonly message: string;
  readonly notApplied: boolean;
  readonly messageIndexes: readonly number[];
  /** host:port, or empty. */
  readonly leaderAddress: string;
  /** With SEQUENCE_CONFLICT: the group's last sequence. */
  readonly currentSequence?: number | undefined;
}

/** An OrderedProduceResponse; the four columns have one row a message. */
export interface OrderedProduceResponse {
  readonly partitionResponses: readonly PartitionResponse[];
  readonly partitionErrors: readonly PartitionError[];
  readonly totalMessages: number;
  readonly successfulMessages: number;
  readonly statuses: ArrayLike<number>;
  readonly partitions: ArrayLike<number>;
  readonly offsets: ArrayLike<number>;
  readonly sequences: ArrayLike<number>;
}

/** The response's bytes. */
export function encodeOrderedProduceResponse(response: OrderedProduceResponse): Buffer {
  const writer = new WireWriter(256 + response.statuses.length * 10);
  const inner = new WireWriter(256);
  for (const partition of response.partitionResponses) {
    inner.reset();
    inner.varintField(1, partition.partition);
    inner.varintField(2, partition.messages);
    inner.varintField(3, partition.baseOffset);
    inner.int64Field(4, partition.timestampMs);
    inner.varintField(5, partition.leader);
    writer.varint(0x0a);
    writer.varint(inner.length);
    writer.raw(inner.take());
  }
  for (const error of response.partitionErrors) {
    inner.reset();
    inner.varintField(1, error.partition);
    inner.stringField(2, error.code);
    inner.stringField(3, error.message);
    inner.varintField(4, error.notApplied ? 1 : 0);
    inner.packedField(5, error.messageIndexes);
    inner.stringField(6, error.leaderAddress);
    inner.varintField(7, error.currentSequence ?? 0);
    writer.varint(0x12);
    writer.varint(inner.length);
    writer.raw(inner.take());
  }
  writer.varintField(3, response.totalMessages);
  writer.varintField(4, response.successfulMessages);
  writer.packedField(5, response.statuses);
  writer.packedField(6, response.partitions);
  writer.packedField(7, response.offsets);
  writer.packedField(8, response.sequences);
  return writer.take();
}

/** An {@link OrderedProduceResponse} as read: its columns are arrays. */
export interface DecodedOrderedProduceResponse extends OrderedProduceResponse {
  readonly statuses: readonly number[];
  readonly partitions: readonly number[];
  readonly offsets: readonly number[];
  readonly sequences: readonly number[];
}

/** Reads a response. Throws a RangeError where the bytes are not one. */
export function decodeOrderedProduceResponse(bytes: Buffer): DecodedOrderedProduceResponse {
  const reader = new WireReader(bytes);
  const partitionResponses: PartitionResponse[] = [];
  const partitionErrors: PartitionError[] = [];
  const statuses: number[] = [];
  const partitions: number[] = [];
  const offsets: number[] = [];
  const sequences: number[] = [];
  let totalMessages = 0;
  let successfulMessages = 0;
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    const field = tag >>> 3;
    if (field === 1) partitionResponses.push(decodePartitionResponse(reader));
    else if (field === 2) partitionErrors.push(decodePartitionError(reader));
    else if (field === 3) totalMessages = reader.varint();
    else if (field === 4) successfulMessages = reader.varint();
    else if (field === 5) reader.repeated(wireType, statuses);
    else if (field === 6) reader.repeated(wireType, partitions);
    else if (field === 7) reader.repeated(wireType, offsets);
    else if (field === 8) reader.repeated(wireType, sequences);
    else reader.skip(wireType);
  }
  return {
    partitionResponses,
    partitionErrors,
    totalMessages,
    successfulMessages,
    statuses,
    partitions,
    offsets,
    sequences,
  };
}

function innerReader(outer: WireReader): WireReader {
  const end = outer.delimitedEnd();
  const inner = new WireReader(outer.bytes, outer.position, end);
  outer.position = end;
  return inner;
}

function decodePartitionResponse(outer: WireReader): PartitionResponse {
  const reader = innerReader(outer);
  const read = { partition: 0, messages: 0, baseOffset: 0, timestampMs: 0, leader: 0 };
  while (!reader.done) {
    const tag = reader.varint();
    const field = tag >>> 3;
    if (field === 1) read.partition = reader.varint();
    else if (field === 2) read.messages = reader.varint();
    else if (field === 3) read.baseOffset = reader.varint();
    else if (field === 4) read.timestampMs = reader.varint(true);
    else if (field === 5) read.leader = reader.varint();
    else reader.skip(tag & 7);
  }
  return read;
}

function decodePartitionError(outer: WireReader): PartitionError {
  const reader = innerReader(outer);
  const messageIndexes: number[] = [];
  const texts = { code: '', message: '', leaderAddress: '' };
  const read = { partition: 0, notApplied: false, messageIndexes, currentSequence: 0, ...texts };
  while (!reader.done) {
    const tag = reader.varint();
    const field = tag >>> 3;
    if (field === 1) read.partition = reader.varint();
    else if (field === 2) read.code = reader.string();
    else if (field === 3) read.message = reader.string();
    else if (field === 4) read.notApplied = reader.varint() !== 0;
    else if (field === 5) reader.repeated(tag & 7, messageIndexes);
    else if (field === 6) read.leaderAddress = reader.string();
    else if (field === 7) read.currentSequence = reader.varint();
    else reader.skip(tag & 7);
  }
  return read;
}

/** The fields of an OrderedProduceRequest beside its messages. */
export interface OrderedProduceHead {
  readonly topic: string;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly runLengths: readonly number[];
  readonly runSequences: readonly number[];
  /** Empty, or one a run: the group sequence its first message must get; 0: any. */
  readonly runExpectedSequences?: readonly number[] | undefined;
}

/** Appends them. Behind the messages is as good as before: protobuf knows no order, and the runs are known last. */
export function encodeOrderedProduceHead(writer: WireWriter, head: OrderedProduceHead): void {
  writer.stringField(1, head.topic);
  writer.varintField(2, head.producerId);
  writer.varintField(3, head.producerEpoch);
  writer.packedField(4, head.runLengths);
  writer.packedField(5, head.runSequences);
  writer.packedField(6, head.runExpectedSequences ?? []);
}

/** Appends a ProduceRequest's fields beside its messages. */
export function encodeProduceHead(writer: WireWriter, topic: string, partition: number): void {
  writer.stringField(1, topic);
  writer.varintField(2, partition);
}

/** The bytes of a ProduceResponse. */
export function encodeProduceResponse(response: ProduceResponse): Buffer {
  const writer = new WireWriter(48);
  writer.varintField(1, response.partition);
  writer.varintField(2, response.baseOffset);
  writer.varintField(3, response.messages);
  writer.int64Field(4, response.timestampMs);
  return writer.take();
}

/** Reads a ProduceResponse. */
export function decodeProduceResponse(bytes: Buffer): ProduceResponse {
  const reader = new WireReader(bytes);
  const read = { partition: 0, baseOffset: 0, messages: 0, timestampMs: 0 };
  while (!reader.done) {
    const tag = reader.varint();
    const field = tag >>> 3;
    if (field === 1) read.partition = reader.varint();
    else if (field === 2) read.baseOffset = reader.varint();
    else if (field === 3) read.messages = reader.varint();
    else if (field === 4) read.timestampMs = reader.varint(true);
    else reader.skip(tag & 7);
  }
  return read;
}
