/** Answers of forwarded commands between nodes: JSON, checked by hand; they are rare and small. */
import { ERRORS, type ErrorCode } from '@seriatim/protocol';
import type { Index, ReplicaId } from '@seriatim/raft';
import type { TopicId } from '../contracts.ts';
import type { SubscriptionId } from '../subscription-contracts.ts';
import { type Fields, fields, flag, list, MetaFormatError, parseFields, text, whole } from './fields.ts';
import { readReplica } from './image.ts';
import type { MetaResult } from './model.ts';

/** An applied command: where, and what it answered. */
export interface AppliedCommand {
  readonly index: Index;
  readonly result: MetaResult;
}

/** Bytes of an answer. */
export function encodeApplied(applied: AppliedCommand): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ version: 1, ...applied }));
}

/** Reads an answer; throws {@link MetaFormatError} when it is none. */
export function decodeApplied(bytes: Uint8Array): AppliedCommand {
  const from = parseFields(bytes, 'answer of a meta command');
  if (whole(from, 'version') !== 1)
    throw new MetaFormatError('answer of a meta command has an unknown version');
  return { index: whole(from, 'index') as Index, result: decodeResult(fields(from['result'], 'result')) };
}

function decodeResult(from: Fields): MetaResult {
  const type = text(from, 'type');
  switch (type) {
    case 'done':
      return { type };
    case 'topic':
      return { type, topic: whole(from, 'topic') as TopicId };
    case 'producerIds':
      return { type, first: whole(from, 'first'), count: whole(from, 'count') };
    case 'writer':
      return {
        type,
        producerId: whole(from, 'producerId'),
        epoch: whole(from, 'epoch'),
        opened: flag(from, 'opened'),
      };
    case 'replica':
      return {
        type,
        replica: whole(from, 'replica') as ReplicaId,
        members: list(from, 'members', readReplica),
      };
    case 'routes':
      return { type, assigned: whole(from, 'assigned'), full: whole(from, 'full') };
    case 'subscription':
      return {
        type,
        subscription: whole(from, 'subscription') as SubscriptionId,
        operation: whole(from, 'operation'),
      };
    case 'refused': {
      const code = text(from, 'code');
      if (!Object.hasOwn(ERRORS, code)) throw new MetaFormatError(`unknown error code ${code}`);
      return { type, code: code as ErrorCode, message: text(from, 'message') };
    }
    default:
      throw new MetaFormatError(`answer of a meta command has the unknown type "${type}"`);
  }
}
