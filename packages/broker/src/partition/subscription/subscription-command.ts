/**
 * Commands 7 to 10 of a partition's log: the progress of subscriptions. Layout behind version and kind (`v`: varint, `text` and `bytes`: a
 * length v and that many bytes):
 *
 * | Kind | Layout |
 * |---|---|
 * | 7 position | v time, u8 pin (0) or drop (1), v subscription, v generation, v operation, v floor, v done |
 * | 8 progress | v time, v subscription, v generation, *standing* |
 * | 9 group action | v time, v subscription, v generation, u8 action, v head before, text who, text why, bytes replacement, *standing* of one row |
 * | 10 sessions | v subscription, v generation, v attached, each text; v gone, each text |
 *
 * A *standing*: v floor, v done, v lost, v rows, each v key (group number + 1, 0: without group), v life, v settled sequence, v next offset, v flags · 2 + more, and
 * with more: v failures, v not-before, v dead letters, text reason.
 */
import { ByteReader } from '../byte-reader.ts';
import { ByteWriter } from '../byte-writer.ts';
import { COMMAND_VERSION } from '../command.ts';
import { ShardFault } from '../shard-fault.ts';
import { readText, type SubscriptionRows, writeBytes } from './subscription-rows.ts';

/** Kind: a subscription begins, begins anew, or is forgotten. */
export const COMMAND_POSITION = 7;
/** Kind: what is settled. */
export const COMMAND_PROGRESS = 8;
/** Kind: what an operator does to a group. */
export const COMMAND_GROUP_ACTION = 9;
/** Kind: consumers that came and went. */
export const COMMAND_SESSIONS = 10;

const PIN = 0;
const DROP = 1;

/** Names of group actions by their number in command 9; as ListSubscriptionActions tells them. */
export const ACTION_NAMES = [
  'pause',
  'resume',
  'rewind',
  'resolve-retry',
  'resolve-skip',
  'resolve-discard',
  'resolve-replace',
] as const;

export interface Position {
  readonly type: 'pin' | 'drop';
  readonly time: number;
  readonly subscription: number;
  readonly generation: number;
  readonly operation: number;
  readonly floor: number;
  readonly done: number;
}

/** Of a subscription as a whole. */
export interface Totals {
  readonly floor: number;
  readonly done: number;
  readonly lost: number;
}

/** Names what a command is about. */
export interface CommandHead {
  readonly time: number;
  readonly subscription: number;
  readonly generation: number;
}

export interface ActionHead extends CommandHead {
  /** Place in {@link ACTION_NAMES}. */
  readonly action: number;
  readonly headBefore: number;
  readonly who: string;
  readonly why: string;
  /** Empty: none. */
  readonly replacement: Uint8Array;
}

export interface Sessions {
  readonly subscription: number;
  readonly generation: number;
  readonly attached: readonly string[];
  readonly gone: readonly string[];
}

export function subscriptionReader(): ByteReader {
  return new ByteReader((message) => new ShardFault(`subscription command: ${message}`));
}

function begin(kind: number): ByteWriter {
  const writer = new ByteWriter(256);
  writer.u8(COMMAND_VERSION);
  writer.u8(kind);
  return writer;
}

export function encodePosition(position: Position): Uint8Array {
  const writer = begin(COMMAND_POSITION);
  writer.varint(position.time);
  writer.u8(position.type === 'pin' ? PIN : DROP);
  writer.varint(position.subscription);
  writer.varint(position.generation);
  writer.varint(position.operation);
  writer.varint(position.floor);
  writer.varint(position.done);
  return writer.copy();
}

export function decodePosition(data: Uint8Array): Position {
  const reader = subscriptionReader();
  reader.open(data, 2);
  const time = reader.varint();
  const type = reader.u8();
  if (type !== PIN && type !== DROP) throw new ShardFault(`position command of type ${type}`);
  return {
    time,
    type: type === PIN ? 'pin' : 'drop',
    subscription: reader.varint(),
    generation: reader.varint(),
    operation: reader.varint(),
    floor: reader.varint(),
    done: reader.varint(),
  };
}

/** The rows of `keys`, all of which are there. */
export function encodeProgress(
  head: CommandHead,
  totals: Totals,
  rows: SubscriptionRows,
  keys: readonly number[],
): Uint8Array {
  const writer = begin(COMMAND_PROGRESS);
  writeHead(writer, head);
  writeTotals(writer, totals, keys.length);
  for (const key of keys) {
    const row = rows.find(key);
    const more = rows.hasMore(row) || rows.details.has(key);
    writer.varint(key);
    writer.varint(rows.life(row));
    writer.varint(rows.settled(row));
    writer.varint(rows.next(row));
    writer.varint(rows.flags(row) * 2 + (more ? 1 : 0));
    if (!more) continue;
    writer.varint(rows.failures(row));
    writer.varint(rows.notBefore(row));
    writer.varint(rows.deadLetters(row));
    writeText(writer, rows.details.get(key)?.reason ?? '');
  }
  return writer.copy();
}

/** `rows` has the one row as it results. */
export function encodeAction(
  head: ActionHead,
  totals: Totals,
  rows: SubscriptionRows,
  key: number,
): Uint8Array {
  const writer = begin(COMMAND_GROUP_ACTION);
  writeHead(writer, head);
  writer.u8(head.action);
  writer.varint(head.headBefore);
  writeText(writer, head.who);
  writeText(writer, head.why);
  writeBytes(writer, head.replacement);
  const standing = encodeProgress(head, totals, rows, [key]);
  const skipped = subscriptionReader();
  skipped.open(standing, 2);
  readHead(skipped);
  writer.bytes(standing, skipped.position);
  return writer.copy();
}

export function encodeSessions(sessions: Sessions): Uint8Array {
  const writer = begin(COMMAND_SESSIONS);
  writer.varint(sessions.subscription);
  writer.varint(sessions.generation);
  for (const list of [sessions.attached, sessions.gone]) {
    writer.varint(list.length);
    for (const session of list) writeText(writer, session);
  }
  return writer.copy();
}

export function decodeSessions(data: Uint8Array): Sessions {
  const reader = subscriptionReader();
  reader.open(data, 2);
  const subscription = reader.varint();
  const generation = reader.varint();
  const attached: string[] = [];
  for (let left = reader.varint(); left > 0; left--) attached.push(readText(reader));
  const gone: string[] = [];
  for (let left = reader.varint(); left > 0; left--) gone.push(readText(reader));
  return { subscription, generation, attached, gone };
}

export function readHead(reader: ByteReader): CommandHead {
  return { time: reader.varint(), subscription: reader.varint(), generation: reader.varint() };
}

/** What lies between the head of command 9 and its standing. */
export function readAction(reader: ByteReader, head: CommandHead): ActionHead {
  const action = reader.u8();
  if (ACTION_NAMES[action] === undefined) throw new ShardFault(`group action ${action} is not known here`);
  return {
    ...head,
    action,
    headBefore: reader.varint(),
    who: readText(reader),
    why: readText(reader),
    replacement: reader.view(reader.varint()).slice(),
  };
}

export function readTotals(reader: ByteReader): Totals {
  return { floor: reader.varint(), done: reader.varint(), lost: reader.varint() };
}

function writeHead(writer: ByteWriter, head: CommandHead): void {
  writer.varint(head.time);
  writer.varint(head.subscription);
  writer.varint(head.generation);
}

function writeTotals(writer: ByteWriter, totals: Totals, rows: number): void {
  writer.varint(totals.floor);
  writer.varint(totals.done);
  writer.varint(totals.lost);
  writer.varint(rows);
}

function writeText(writer: ByteWriter, text: string): void {
  writeBytes(writer, Buffer.from(text, 'utf8'));
}
