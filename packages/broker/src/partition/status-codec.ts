/**
 * Bodies of REQUEST_PARTITION_STATUS and REQUEST_GROUP_STATUS between nodes, first byte a version. Partition status: v shard; answer: u8
 * leads, v term, v high watermark, v low watermark, v last log index, v groups, v members, each (v replica, u8 state, v match, u8
 * flags). Group status: v shard, v names, each (v bytes, UTF-8); answer: v entries, each (u8 known, [v life, v last sequence, v
 * last offset + 1, v last time stamp]).
 */
import type { ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Index, ProgressStatus, ReplicaId } from '@seriatim/raft';
import type { GroupStatus, Partition } from '../contracts.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

const VERSION = 1;
const STATES = ['probe', 'replicate', 'snapshot'] as const;
const ACTIVE = 1;
const LEARNER = 2;

/** How a leader sees one other member of its partition. */
export interface MemberStatus {
  readonly replica: ReplicaId;
  readonly state: ProgressStatus['state'];
  readonly match: Index;
  readonly active: boolean;
  readonly learner: boolean;
}
/** What a replica says of itself; `members` is empty unless it leads. */
export interface PartitionStatus {
  readonly leads: boolean;
  readonly term: number;
  readonly highWatermark: number;
  readonly lowWatermark: number;
  /** Last index of its log. */
  readonly lastIndex: number;
  readonly groups: number;
  readonly members: readonly MemberStatus[];
}

function broken(message: string): Error {
  return new RefusalError('INVALID_REQUEST', `status between nodes: ${message}`);
}

/** The status of a local partition, as it is answered. */
export function partitionStatus(partition: Partition): PartitionStatus {
  const raft = partition.shard.status();
  const leads = raft.role === 'leader';
  return {
    leads,
    term: raft.term,
    highWatermark: partition.highWatermark,
    lowWatermark: partition.lowWatermark,
    lastIndex: raft.last,
    groups: partition.groupCount(),
    members: leads
      ? raft.progress.map(({ replica, state, match, active, learner }) => ({
          replica,
          state,
          match,
          active,
          learner,
        }))
      : [],
  };
}

/** Asks for the status of a shard's replica. */
export function encodePartitionStatusRequest(shard: ShardId): Uint8Array {
  const writer = begin();
  writer.varint(shard);
  return writer.view();
}

/** The shard asked for. Throws a RefusalError INVALID_REQUEST for broken bytes, as all decoders here. */
export function decodePartitionStatusRequest(bytes: Uint8Array): ShardId {
  return open(bytes).varint() as ShardId;
}

/** A replica's status. */
export function encodePartitionStatus(status: PartitionStatus): Uint8Array {
  const writer = begin();
  writer.u8(status.leads ? 1 : 0);
  writer.varint(status.term);
  writer.varint(status.highWatermark);
  writer.varint(status.lowWatermark);
  writer.varint(status.lastIndex);
  writer.varint(status.groups);
  writer.varint(status.members.length);
  for (const member of status.members) {
    writer.varint(member.replica);
    writer.u8(STATES.indexOf(member.state));
    writer.varint(member.match);
    writer.u8((member.active ? ACTIVE : 0) | (member.learner ? LEARNER : 0));
  }
  return writer.view();
}

/** The answer to {@link encodePartitionStatusRequest}. */
export function decodePartitionStatus(bytes: Uint8Array): PartitionStatus {
  const reader = open(bytes);
  const status = {
    leads: reader.u8() === 1,
    term: reader.varint(),
    highWatermark: reader.varint(),
    lowWatermark: reader.varint(),
    lastIndex: reader.varint(),
    groups: reader.varint(),
  };
  const members: MemberStatus[] = [];
  const count = reader.varint();
  if (count > reader.remaining) throw broken(`${count} members are too many`);
  for (let at = 0; at < count; at++) {
    const replica = reader.varint() as ReplicaId;
    const state = STATES[reader.u8()];
    if (state === undefined) throw broken('member state is not known here');
    const match = reader.varint() as Index;
    const flags = reader.u8();
    members.push({ replica, state, match, active: (flags & ACTIVE) > 0, learner: (flags & LEARNER) > 0 });
  }
  return { ...status, members };
}

/** Asks for group records of a shard. */
export function encodeGroupStatusRequest(shard: ShardId, groups: readonly string[]): Uint8Array {
  const writer = begin();
  writer.varint(shard);
  writer.varint(groups.length);
  for (const group of groups) {
    const bytes = Buffer.from(group, 'utf8');
    writer.varint(bytes.length);
    writer.bytes(bytes);
  }
  return writer.view();
}

/** The groups asked for. */
export function decodeGroupStatusRequest(bytes: Uint8Array): {
  readonly shard: ShardId;
  readonly groups: readonly string[];
} {
  const reader = open(bytes);
  const shard = reader.varint() as ShardId;
  const count = reader.varint();
  if (count > reader.remaining) throw broken(`${count} groups are too many`);
  const groups: string[] = [];
  for (let at = 0; at < count; at++) groups.push(Buffer.from(reader.view(reader.varint())).toString('utf8'));
  return { shard, groups };
}

/** One answer a group asked for, in the same order; null: the partition does not know it. */
export function encodeGroupStatuses(statuses: readonly (GroupStatus | null)[]): Uint8Array {
  const writer = begin();
  writer.varint(statuses.length);
  for (const status of statuses) {
    writer.u8(status === null ? 0 : 1);
    if (status === null) continue;
    writer.varint(status.life);
    writer.varint(status.lastSequence);
    writer.varint(status.lastOffset + 1);
    writer.varint(status.lastTimestamp);
  }
  return writer.view();
}

/** The answer to {@link encodeGroupStatusRequest}. */
export function decodeGroupStatuses(bytes: Uint8Array): (GroupStatus | null)[] {
  const reader = open(bytes);
  const count = reader.varint();
  if (count > reader.remaining) throw broken(`${count} groups are too many`);
  const statuses: (GroupStatus | null)[] = [];
  for (let at = 0; at < count; at++) {
    if (reader.u8() === 0) {
      statuses.push(null);
      continue;
    }
    statuses.push({
      life: reader.varint(),
      lastSequence: reader.varint(),
      lastOffset: reader.varint() - 1,
      lastTimestamp: reader.varint(),
    });
  }
  return statuses;
}

function begin(): ByteWriter {
  const writer = new ByteWriter(128);
  writer.u8(VERSION);
  return writer;
}

function open(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(broken);
  reader.open(bytes);
  const version = reader.u8();
  if (version !== VERSION) throw broken(`version ${version} is not known here`);
  return reader;
}
