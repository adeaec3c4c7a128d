/**
 * Bodies of REQUEST_SUBSCRIPTION between nodes: one call of a partition's administration. Request: u8 version, v shard, v method (1 positionStep, 2
 * preview, 3 lag, 4 explain, 5 parked, 6 act, 7 actions), then the arguments as a JSON array in UTF-8, `replacement` in base64. Answer:
 * u8 version, the result as JSON. Refusals travel as every peer request's do.
 */
import type { ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { GroupAction, PartitionAdministration } from '../../subscription-contracts.ts';
import { ByteReader } from '../byte-reader.ts';
import { ByteWriter } from '../byte-writer.ts';

const VERSION = 1;
/** Method by number; 0 is none, 8 is reserved for isDone. */
const METHODS = ['', 'positionStep', 'preview', 'lag', 'explain', 'parked', 'act', 'actions'] as const;
const ACT = 6;
/** Place of the action among the arguments of `act`. */
const ACTION_ARGUMENT = 2;

type Method = Exclude<(typeof METHODS)[number], ''>;
type Arguments = readonly unknown[];

/** Sends a request's parts to the partition's leader and resolves with the answer's body. */
export type AdministrationTransport = (parts: readonly Uint8Array[], deadline: number) => Promise<Uint8Array>;

/** A partition's administration on another node. */
export function remoteAdministration(shard: ShardId, send: AdministrationTransport): PartitionAdministration {
  const call = async <T>(method: Method, deadline: number, ...values: unknown[]): Promise<T> => {
    const answer = await send([encodeCall(shard, METHODS.indexOf(method), values)], deadline);
    return decodeResult(answer) as T;
  };
  return {
    positionStep: (step, deadline) => call('positionStep', deadline, step),
    preview: (subscription, start, deadline) => call('preview', deadline, subscription, start),
    lag: (subscription, topGroups, deadline) => call('lag', deadline, subscription, topGroups),
    explain: (subscription, group, deadline) => call('explain', deadline, subscription, group),
    parked: (subscription, after, deadline) => call('parked', deadline, subscription, after),
    act: (subscription, group, action, deadline) =>
      call('act', deadline, subscription, group, packed(action)),
    actions: (subscription, group, limit, deadline) => call('actions', deadline, subscription, group, limit),
  };
}

/** Answers a request by the administration of the shard it names. Rejects with a RefusalError: INVALID_REQUEST, NOT_LEADER, or the call's own. */
export async function answerAdministration(
  body: Uint8Array,
  deadline: number,
  find: (shard: ShardId) => PartitionAdministration | undefined,
): Promise<readonly Uint8Array[]> {
  const { shard, method, values } = decodeCall(body);
  const administration = find(shard);
  if (administration === undefined) {
    throw new RefusalError('NOT_LEADER', `this node has no replica of shard ${shard}; ask its leader`);
  }
  const result = await run(administration, method, values, deadline);
  return [Uint8Array.of(VERSION), Buffer.from(JSON.stringify(result), 'utf8')];
}

/** Nodes of one cluster send each other what their types say; a method gets what its counterpart above took. */
function run(
  administration: PartitionAdministration,
  method: Method,
  values: Arguments,
  deadline: number,
): Promise<unknown> {
  const call = administration[method].bind(administration) as (...all: unknown[]) => Promise<unknown>;
  return call(...values, deadline);
}

function encodeCall(shard: ShardId, method: number, values: Arguments): Uint8Array {
  const writer = new ByteWriter(256);
  writer.u8(VERSION);
  writer.varint(shard);
  writer.varint(method);
  writer.bytes(Buffer.from(JSON.stringify(values), 'utf8'));
  return writer.copy();
}

function decodeCall(body: Uint8Array): {
  readonly shard: ShardId;
  readonly method: Method;
  readonly values: Arguments;
} {
  const reader = new ByteReader(broken);
  reader.open(body);
  const version = reader.u8();
  if (version !== VERSION) throw broken(`version ${version} is not known here`);
  const shard = reader.varint() as ShardId;
  const number = reader.varint();
  const method = METHODS[number];
  if (method === undefined || method === '') throw broken(`method ${number} is not known here`);
  const values = parse(reader.view(reader.remaining));
  if (!Array.isArray(values)) throw broken('arguments are no list');
  return { shard, method, values: number === ACT ? unpacked(values) : values };
}

function decodeResult(answer: Uint8Array): unknown {
  if (answer[0] !== VERSION) throw broken(`answer of version ${answer[0]} is not known here`);
  return parse(answer.subarray(1));
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw broken(`no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function packed(action: GroupAction): unknown {
  if (action.type !== 'replace') return action;
  return { ...action, replacement: Buffer.from(action.replacement).toString('base64') };
}

function unpacked(values: Arguments): Arguments {
  const action = values[ACTION_ARGUMENT] as { readonly type?: unknown; readonly replacement?: unknown };
  if (action?.type !== 'replace') return values;
  const replacement = new Uint8Array(Buffer.from(String(action.replacement), 'base64'));
  return values.map((value, at) => (at === ACTION_ARGUMENT ? { ...action, replacement } : value));
}

function broken(message: string): RefusalError {
  return new RefusalError('INVALID_REQUEST', `subscription request between nodes: ${message}`);
}
