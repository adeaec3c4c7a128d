/**
 * The frame that carries Raft messages of many shards between two nodes: kind, version, the sender's last flush time, then
 * messages until the frame ends. Entries' data is neither copied when written (if long) nor when read.
 */
import type { Entry, EntryType, Index, Message, ReplicaId, Term } from '@seriatim/raft';
import { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';
import { FRAME_RAFT, type ShardId } from './ports.ts';

const VERSION = 1;

const VOTE_REQUEST = 1;
const VOTE_RESPONSE = 2;
const APPEND_REQUEST = 3;
const APPEND_RESPONSE = 4;
const HEARTBEAT_REQUEST = 5;
const HEARTBEAT_RESPONSE = 6;
const TIMEOUT_NOW = 7;
/** A tag's low bits are the type, the two above are flags of that type. */
const TYPE_MASK = 0x0f;
const FLAG_A = 0x10;
const FLAG_B = 0x20;

const ENTRY_NOOP = 1;
const ENTRY_COMMAND = 2;
const ENTRY_CONFIGURATION = 3;

/** A message and the shard it belongs to. */
export interface ShardMessage {
  readonly shard: ShardId;
  readonly message: Message;
}

/** What a frame held. `garbage`: nothing of it may be used. */
export type DecodedRaftFrame =
  | { readonly type: 'messages'; readonly flushMilliseconds: number; readonly items: readonly ShardMessage[] }
  | { readonly type: 'garbage'; readonly reason: string };

/** Begins a frame; messages follow. */
export function beginRaftFrame(writer: ByteWriter, flushMilliseconds: number): void {
  writer.byte(FRAME_RAFT);
  writer.byte(VERSION);
  writer.varint(flushMilliseconds);
}

/** Adds one message. A `snapshotRequest` never travels: the receiving node makes it when an image is complete. */
export function encodeMessage(writer: ByteWriter, shard: ShardId, message: Message): void {
  writer.byte(tag(message));
  writer.varint(shard);
  writer.varint(message.from);
  writer.varint(message.to);
  writer.varint(message.term);
  switch (message.type) {
    case 'voteRequest':
      writer.varint(message.lastIndex);
      writer.varint(message.lastTerm);
      return;
    case 'appendRequest':
      writer.varint(message.previousIndex);
      writer.varint(message.previousTerm);
      writer.varint(message.commit);
      encodeEntries(writer, message.entries);
      return;
    case 'appendResponse':
      writer.varint(message.index);
      writer.varint(message.hintIndex);
      writer.varint(message.hintTerm);
      return;
    case 'heartbeatRequest':
      writer.varint(message.commit);
      writer.varint(message.round);
      return;
    case 'heartbeatResponse':
      writer.varint(message.round);
      return;
    case 'voteResponse':
    case 'timeoutNow':
    case 'snapshotRequest':
      return;
  }
}

function tag(message: Message): number {
  switch (message.type) {
    case 'voteRequest':
      return VOTE_REQUEST | (message.preVote ? FLAG_A : 0) | (message.transfer ? FLAG_B : 0);
    case 'voteResponse':
      return VOTE_RESPONSE | (message.preVote ? FLAG_A : 0) | (message.granted ? FLAG_B : 0);
    case 'appendRequest':
      return APPEND_REQUEST;
    case 'appendResponse':
      return APPEND_RESPONSE | (message.success ? FLAG_A : 0);
    case 'heartbeatRequest':
      return HEARTBEAT_REQUEST;
    case 'heartbeatResponse':
      return HEARTBEAT_RESPONSE;
    case 'timeoutNow':
      return TIMEOUT_NOW;
    case 'snapshotRequest':
      throw new Error('bug: a snapshotRequest was given to the transport');
  }
}

function encodeEntries(writer: ByteWriter, entries: readonly Entry[]): void {
  writer.varint(entries.length);
  for (const entry of entries) {
    writer.byte(
      entry.type === 'command' ? ENTRY_COMMAND : entry.type === 'noop' ? ENTRY_NOOP : ENTRY_CONFIGURATION,
    );
    writer.varint(entry.term);
    writer.varint(entry.data.length);
    writer.bytes(entry.data);
  }
}

/** Reads a whole frame, or refuses it whole. Entries' data are views of `frame`. */
export function decodeRaftFrame(frame: Uint8Array): DecodedRaftFrame {
  const reader = new ByteReader(frame);
  if (reader.byte() !== FRAME_RAFT) reader.fail('not a raft frame');
  const version = reader.byte();
  if (version !== VERSION) reader.fail(`version ${version} is not known, only ${VERSION}`);
  const flushMilliseconds = reader.varint();
  const items: ShardMessage[] = [];
  while (!reader.done) {
    const tagByte = reader.byte();
    const shard = reader.varint() as ShardId;
    const message = decodeMessage(reader, tagByte);
    if (message !== null) items.push({ shard, message });
  }
  if (reader.wrong !== null) return { type: 'garbage', reason: reader.wrong };
  return { type: 'messages', flushMilliseconds, items };
}

function decodeMessage(reader: ByteReader, tagByte: number): Message | null {
  const from = reader.varint() as ReplicaId;
  const to = reader.varint() as ReplicaId;
  const term = reader.varint() as Term;
  if (tagByte > (TYPE_MASK | FLAG_A | FLAG_B)) reader.fail(`unknown flags in message tag ${tagByte}`);
  const flagA = (tagByte & FLAG_A) !== 0;
  const flagB = (tagByte & FLAG_B) !== 0;
  switch (tagByte & TYPE_MASK) {
    case VOTE_REQUEST: {
      const lastIndex = reader.varint() as Index;
      const lastTerm = reader.varint() as Term;
      return { type: 'voteRequest', from, to, term, preVote: flagA, transfer: flagB, lastIndex, lastTerm };
    }
    case VOTE_RESPONSE:
      return { type: 'voteResponse', from, to, term, preVote: flagA, granted: flagB };
    case APPEND_REQUEST: {
      const previousIndex = reader.varint() as Index;
      const previousTerm = reader.varint() as Term;
      const commit = reader.varint() as Index;
      const entries = decodeEntries(reader, previousIndex);
      return { type: 'appendRequest', from, to, term, previousIndex, previousTerm, commit, entries };
    }
    case APPEND_RESPONSE: {
      const index = reader.varint() as Index;
      const hintIndex = reader.varint() as Index;
      const hintTerm = reader.varint() as Term;
      return { type: 'appendResponse', from, to, term, success: flagA, index, hintIndex, hintTerm };
    }
    case HEARTBEAT_REQUEST: {
      const commit = reader.varint() as Index;
      return { type: 'heartbeatRequest', from, to, term, commit, round: reader.varint() };
    }
    case HEARTBEAT_RESPONSE:
      return { type: 'heartbeatResponse', from, to, term, round: reader.varint() };
    case TIMEOUT_NOW:
      return { type: 'timeoutNow', from, to, term };
    default:
      reader.fail(`message type ${tagByte & TYPE_MASK} is not known`);
      return null;
  }
}

function decodeEntries(reader: ByteReader, previousIndex: Index): Entry[] {
  const count = reader.varint();
  const entries: Entry[] = [];
  for (let n = 1; n <= count && reader.wrong === null; n += 1) {
    const type = entryType(reader, reader.byte());
    const term = reader.varint() as Term;
    const data = reader.bytes(reader.varint());
    entries.push({ index: (previousIndex + n) as Index, term, type, data });
  }
  return entries;
}

function entryType(reader: ByteReader, code: number): EntryType {
  if (code === ENTRY_COMMAND) return 'command';
  if (code === ENTRY_NOOP) return 'noop';
  if (code !== ENTRY_CONFIGURATION) reader.fail(`entry type ${code} is not known`);
  return 'configuration';
}
