/**
 * Bytes of a journal file. A head block of 512 bytes, then frames, each starting at a multiple of 512 (so no two frames share a
 * sector, and a torn write never touches the frame before). The file's salt goes into every checksum: bytes of another file, of
 * an older copy, or inside a message never pass for a frame.
 *
 * Frame: magic, body length, number, checksum of the body, checksum of these; body; zeros up to the next multiple of 512.
 */

import { crc32 } from 'node:zlib';
import type { ShardId } from '@seriatim/multiraft';
import type { EntryType, Index, ReplicaId, Term } from '@seriatim/raft';
import { ByteReader, ByteWriter } from './byte-writer.ts';

/** Frames start at multiples of this. */
export const FRAME_ALIGNMENT = 512;
/** Bytes of a frame before its body. */
export const FRAME_HEADER_BYTES = 28;
/** Version of the files that this program writes, and the only one it reads. */
export const JOURNAL_VERSION = 1;

const FILE_MAGIC = 0x4e524a53; // "SJRN"
const FRAME_MAGIC = 0x4d415246; // "FRAM"
const HEAD_BYTES = 44;

/** The head block of a file. */
export interface JournalHead {
  /** Rises by one from file to file. */
  readonly file: number;
  /** Which journal the file belongs to (see identity). */
  readonly journal: number;
  /** Size the file was made with. It is cut shorter only after a later file took over. */
  readonly bytes: number;
  readonly salt: number;
}

/** A frame's header. */
export interface FrameHeader {
  readonly number: number;
  readonly length: number;
  readonly bodyChecksum: number;
}

/** What a body holds, one behind the other. */
export type JournalRecord =
  | {
      readonly type: 'entry';
      readonly shard: ShardId;
      readonly index: Index;
      readonly term: Term;
      readonly entryType: EntryType;
      /** A view into the frame. */
      readonly data: Uint8Array;
    }
  | {
      readonly type: 'state';
      readonly shard: ShardId;
      readonly replica: ReplicaId;
      readonly term: Term;
      readonly vote: ReplicaId;
    }
  /** An image was installed: the log before and at this index is void. */
  | { readonly type: 'reset'; readonly shard: ShardId; readonly index: Index; readonly term: Term }
  /** Everything up to this index is known committed. */
  | { readonly type: 'commit'; readonly shard: ShardId; readonly index: Index }
  | { readonly type: 'removed'; readonly shard: ShardId }
  /** One for each shard in the first frame of a file. */
  | ({ readonly type: 'shard'; readonly shard: ShardId } & JournalShardState);

/** What a new file says of each shard. `first` and `last` are of the log as of that frame; last is first - 1 when it is empty. */
export interface JournalShardState {
  readonly replica: ReplicaId;
  readonly term: Term;
  readonly vote: ReplicaId;
  readonly first: Index;
  readonly last: Index;
  readonly commit: Index;
}

const ENTRY = 1;
const STATE = 2;
const RESET = 3;
const COMMIT = 4;
const REMOVED = 5;
const SHARD = 6;
const ENTRY_TYPES: readonly EntryType[] = ['noop', 'command', 'configuration'];

/** The next multiple of {@link FRAME_ALIGNMENT} at or above `position`. */
export function aligned(position: number): number {
  return Math.ceil(position / FRAME_ALIGNMENT) * FRAME_ALIGNMENT;
}

/** A head block. */
export function encodeHead(head: JournalHead): Uint8Array {
  const writer = new ByteWriter(FRAME_ALIGNMENT);
  writer.u32(FILE_MAGIC).u32(JOURNAL_VERSION).f64(head.file).f64(head.journal).f64(head.bytes).f64(head.salt);
  writer.u32(crc32(writer.view(0, HEAD_BYTES - 4)));
  return writer.zeros(FRAME_ALIGNMENT - HEAD_BYTES).view();
}

/** Reads a head block; a text says what is wrong with it. Throws for a version that is not known: that is no damage. */
export function decodeHead(bytes: Uint8Array): JournalHead | string {
  if (bytes.length < FRAME_ALIGNMENT) return `head of ${bytes.length} bytes`;
  const reader = new ByteReader(bytes);
  const magic = reader.u32();
  const version = reader.u32();
  const head = { file: reader.f64(), journal: reader.f64(), bytes: reader.f64(), salt: reader.f64() };
  if (magic !== FILE_MAGIC || reader.u32() !== crc32(bytes.subarray(0, HEAD_BYTES - 4)))
    return 'head damaged';
  if (version === JOURNAL_VERSION) return head;
  throw new Error(
    `journal file of version ${version}, known to this program is ${JOURNAL_VERSION}: use a newer one`,
  );
}

/** Begins a frame: room for its header. */
export function beginFrame(writer: ByteWriter): void {
  writer.clear();
  writer.zeros(FRAME_HEADER_BYTES);
}

/** Fills a frame's header in and pads it. The body is what was written behind {@link beginFrame}. */
export function endFrame(writer: ByteWriter, number: number, salt: number): Uint8Array {
  const length = writer.length - FRAME_HEADER_BYTES;
  writer.setU32(0, FRAME_MAGIC);
  writer.setU32(4, length);
  writer.setF64(8, number);
  writer.setU32(16, crc32(writer.view(FRAME_HEADER_BYTES), salt));
  writer.setU32(20, 0);
  writer.setU32(24, crc32(writer.view(0, FRAME_HEADER_BYTES - 4), salt));
  return writer.zeros(aligned(writer.length) - writer.length).view();
}

/** The header at `position`, or null when there is none that is sound. */
export function frameHeaderAt(bytes: Uint8Array, position: number, salt: number): FrameHeader | null {
  if (position + FRAME_HEADER_BYTES > bytes.length) return null;
  if (bytes[position] !== (FRAME_MAGIC & 0xff)) return null;
  const header = bytes.subarray(position, position + FRAME_HEADER_BYTES);
  const reader = new ByteReader(header);
  const magic = reader.u32();
  const length = reader.u32();
  const number = reader.f64();
  const bodyChecksum = reader.u32();
  reader.skip(4);
  if (magic !== FRAME_MAGIC || reader.u32() !== crc32(header.subarray(0, FRAME_HEADER_BYTES - 4), salt))
    return null;
  return { number, length, bodyChecksum };
}

/** A frame's body, or null when it is damaged or cut off. */
export function frameBodyAt(
  bytes: Uint8Array,
  position: number,
  header: FrameHeader,
  salt: number,
): Uint8Array | null {
  const from = position + FRAME_HEADER_BYTES;
  const body = bytes.subarray(from, from + header.length);
  return body.length === header.length && crc32(body, salt) === header.bodyChecksum ? body : null;
}

/** Appends a record. */
export function encodeRecord(writer: ByteWriter, record: JournalRecord): void {
  switch (record.type) {
    case 'entry':
      writer.u8(ENTRY).u8(ENTRY_TYPES.indexOf(record.entryType)).u32(record.shard).u32(record.data.length);
      writer.f64(record.index).f64(record.term).bytes(record.data);
      return;
    case 'state':
      writer.u8(STATE).u32(record.shard).f64(record.replica).f64(record.term).f64(record.vote);
      return;
    case 'reset':
      writer.u8(RESET).u32(record.shard).f64(record.index).f64(record.term);
      return;
    case 'commit':
      writer.u8(COMMIT).u32(record.shard).f64(record.index);
      return;
    case 'removed':
      writer.u8(REMOVED).u32(record.shard);
      return;
    case 'shard':
      writer.u8(SHARD).u32(record.shard).f64(record.replica).f64(record.term).f64(record.vote);
      writer.f64(record.first).f64(record.last).f64(record.commit);
      return;
  }
}

/** Records of a body whose checksum is right; throws for a kind that this version does not know. */
export function* decodeRecords(body: Uint8Array): Iterable<JournalRecord> {
  const reader = new ByteReader(body);
  while (!reader.done) {
    const kind = reader.u8();
    yield decodeRecord(reader, kind);
  }
}

function decodeRecord(reader: ByteReader, kind: number): JournalRecord {
  if (kind === ENTRY) {
    const entryType = ENTRY_TYPES[reader.u8()] ?? 'command';
    const shard = reader.u32() as ShardId;
    const length = reader.u32();
    const index = reader.f64() as Index;
    const term = reader.f64() as Term;
    return { type: 'entry', shard, index, term, entryType, data: reader.bytes(length) };
  }
  const shard = reader.u32() as ShardId;
  switch (kind) {
    case STATE:
      return { type: 'state', shard, ...decodeState(reader) };
    case RESET:
      return { type: 'reset', shard, index: reader.f64() as Index, term: reader.f64() as Term };
    case COMMIT:
      return { type: 'commit', shard, index: reader.f64() as Index };
    case REMOVED:
      return { type: 'removed', shard };
    case SHARD: {
      const state = decodeState(reader);
      const first = reader.f64() as Index;
      const last = reader.f64() as Index;
      return { type: 'shard', shard, ...state, first, last, commit: reader.f64() as Index };
    }
    default:
      throw new Error(`journal record of kind ${kind}: not known to version ${JOURNAL_VERSION}`);
  }
}

function decodeState(reader: ByteReader): { replica: ReplicaId; term: Term; vote: ReplicaId } {
  return {
    replica: reader.f64() as ReplicaId,
    term: reader.f64() as Term,
    vote: reader.f64() as ReplicaId,
  };
}
