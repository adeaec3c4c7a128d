/** Frames that carry a state image from a leader's node to a follower's, and the answers to them. */
import { crc32 } from 'node:zlib';
import {
  decodeConfiguration,
  encodeConfiguration,
  type Index,
  type ReplicaId,
  type SnapshotMeta,
  type Term,
} from '@seriatim/raft';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { FRAME_IMAGE, type ShardId } from './ports.ts';

const VERSION = 1;
const OFFER = 1;
const CHUNK = 2;
const END = 3;
const ACKNOWLEDGED = 4;
const RESULT = 5;
const INQUIRY = 6;
const RECORDS = 7;

/** "I have an image for your replica": opens a transfer. `transfer` is drawn at random by the sender. */
export interface ImageOffer {
  readonly type: 'offer';
  readonly transfer: number;
  readonly shard: ShardId;
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly term: Term;
  readonly meta: SnapshotMeta;
}
/** Part `number` of the transfer, from 0: a chunk of the image, or records that the image's receiver lacks. */
export interface ImageChunk {
  readonly type: 'chunk' | 'records';
  readonly transfer: number;
  readonly number: number;
  readonly chunk: Uint8Array;
}
/** All parts were sent, so many. */
export interface ImageEnd {
  readonly type: 'end';
  readonly transfer: number;
  readonly count: number;
}
/** The receiver has stored so many parts. */
export interface ImageAcknowledged {
  readonly type: 'acknowledged';
  readonly transfer: number;
  readonly count: number;
}
/** The transfer ended: `ok` means that the receiver's state reaches the image's index, durably. */
export interface ImageResult {
  readonly type: 'result';
  readonly transfer: number;
  readonly ok: boolean;
}
/** "So many parts were sent, do you have them?" Sent when nothing was heard: an answer, or the transfer itself, may be lost. */
export interface ImageInquiry {
  readonly type: 'inquiry';
  readonly transfer: number;
  readonly count: number;
}
export type ImageFrame = ImageOffer | ImageChunk | ImageEnd | ImageAcknowledged | ImageResult | ImageInquiry;

/** What a frame held. `garbage`: it is to be ignored. */
export type DecodedImageFrame =
  | { readonly type: 'image'; readonly frame: ImageFrame }
  | { readonly type: 'garbage'; readonly reason: string };

/** The frame's parts; a chunk is not copied. */
export function encodeImageFrame(frame: ImageFrame): readonly Uint8Array[] {
  const writer = new ByteWriter();
  writer.byte(FRAME_IMAGE);
  writer.byte(VERSION);
  switch (frame.type) {
    case 'offer':
      writeHead(writer, OFFER, frame.transfer);
      writeOffer(writer, frame);
      break;
    case 'chunk':
    case 'records':
      writeHead(writer, frame.type === 'chunk' ? CHUNK : RECORDS, frame.transfer);
      writer.varint(frame.number);
      writer.varint(crc32(frame.chunk));
      writer.bytes(frame.chunk);
      break;
    case 'end':
      writeHead(writer, END, frame.transfer);
      writer.varint(frame.count);
      break;
    case 'acknowledged':
      writeHead(writer, ACKNOWLEDGED, frame.transfer);
      writer.varint(frame.count);
      break;
    case 'inquiry':
      writeHead(writer, INQUIRY, frame.transfer);
      writer.varint(frame.count);
      break;
    case 'result':
      writeHead(writer, RESULT, frame.transfer);
      writer.byte(frame.ok ? 1 : 0);
      break;
  }
  return writer.take();
}

/** Reads a whole frame or refuses it, with the reason. */
export function decodeImageFrame(bytes: Uint8Array): DecodedImageFrame {
  const reader = new ByteReader(bytes);
  if (reader.byte() !== FRAME_IMAGE) reader.fail('not an image frame');
  const version = reader.byte();
  if (version !== VERSION) reader.fail(`version ${version} is not known, only ${VERSION}`);
  const type = reader.byte();
  const transfer = reader.varint();
  const frame = reader.wrong === null ? readBody(reader, type, transfer) : null;
  if (!reader.done) reader.fail('bytes are left over');
  if (frame === null || reader.wrong !== null)
    return { type: 'garbage', reason: reader.wrong ?? 'unreadable' };
  return { type: 'image', frame };
}

function writeHead(writer: ByteWriter, type: number, transfer: number): void {
  writer.byte(type);
  writer.varint(transfer);
}

function writeOffer(writer: ByteWriter, offer: ImageOffer): void {
  const configuration = encodeConfiguration(offer.meta.configuration);
  writer.varint(offer.shard);
  writer.varint(offer.from);
  writer.varint(offer.to);
  writer.varint(offer.term);
  writer.varint(offer.meta.index);
  writer.varint(offer.meta.term);
  writer.varint(configuration.length);
  writer.bytes(configuration);
}

function readBody(reader: ByteReader, type: number, transfer: number): ImageFrame | null {
  switch (type) {
    case OFFER:
      return readOffer(reader, transfer);
    case CHUNK:
    case RECORDS: {
      const number = reader.varint();
      const checksum = reader.varint();
      const chunk = reader.rest();
      if (reader.wrong === null && crc32(chunk) !== checksum)
        reader.fail('the chunk does not have its checksum');
      return { type: type === CHUNK ? 'chunk' : 'records', transfer, number, chunk };
    }
    case END:
      return { type: 'end', transfer, count: reader.varint() };
    case ACKNOWLEDGED:
      return { type: 'acknowledged', transfer, count: reader.varint() };
    case INQUIRY:
      return { type: 'inquiry', transfer, count: reader.varint() };
    case RESULT:
      return { type: 'result', transfer, ok: reader.byte() === 1 };
    default:
      reader.fail(`image frame type ${type} is not known`);
      return null;
  }
}

function readOffer(reader: ByteReader, transfer: number): ImageOffer | null {
  const shard = reader.varint() as ShardId;
  const from = reader.varint() as ReplicaId;
  const to = reader.varint() as ReplicaId;
  const term = reader.varint() as Term;
  const index = reader.varint() as Index;
  const indexTerm = reader.varint() as Term;
  const bytes = reader.bytes(reader.varint());
  if (reader.wrong !== null) return null;
  try {
    const configuration = decodeConfiguration(bytes);
    return {
      type: 'offer',
      transfer,
      shard,
      from,
      to,
      term,
      meta: { index, term: indexTerm, configuration },
    };
  } catch {
    reader.fail('the configuration is unreadable');
    return null;
  }
}
