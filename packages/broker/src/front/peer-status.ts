/** What nodes ask each other about partitions and groups, for the RPCs that describe. Small and rare: the bodies are JSON. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { RaftStatus } from '@seriatim/raft';
import { type Partition, REQUEST_GROUP_STATUS, REQUEST_PARTITION_STATUS } from '../contracts.ts';
import type { FrontPorts } from './ports.ts';

/** A replica as its partition's leader sees it. */
export interface ReplicaStatus {
  readonly replica: number;
  /** Log entries it lacks. */
  readonly behind: number;
  /** As in ReplicaInfo of the API. */
  readonly reason: string;
}
/** A partition as one of its replicas knows it. */
export interface PartitionStatus {
  readonly shard: ShardId;
  readonly term: number;
  readonly highWatermark: number;
  readonly lowWatermark: number;
  /** Filled by the leader only. */
  readonly replicas: readonly ReplicaStatus[];
}
/** The last append to a group; zeros when there was none. */
export interface GroupState {
  readonly lastSequence: number;
  readonly lastTimestamp: number;
}

/** How long such a question may take; what is not answered is shown as not known. */
const STATUS_MILLISECONDS = 750;

/** Answers the questions of other nodes. */
export function serveStatus(ports: FrontPorts): void {
  ports.calls.handle(REQUEST_PARTITION_STATUS, async (_from, body) => {
    const { shards } = readJson<{ readonly shards: readonly ShardId[] }>(body);
    return [json(shards.flatMap((shard) => localStatus(ports, shard) ?? []))];
  });
  ports.calls.handle(REQUEST_GROUP_STATUS, async (_from, body) => {
    const { shard, groups } = readJson<{ readonly shard: ShardId; readonly groups: readonly string[] }>(body);
    return [json(localGroups(ports, shard, groups))];
  });
}

/** What the leaders (or, failing them, this node's replicas) say of these shards. */
export async function partitionStatus(
  ports: FrontPorts,
  shards: readonly ShardId[],
): Promise<Map<ShardId, PartitionStatus>> {
  const found = new Map<ShardId, PartitionStatus>();
  for (const shard of shards) {
    const status = localStatus(ports, shard);
    if (status !== undefined) found.set(shard, status);
  }
  const elsewhere = new Map<NodeId, ShardId[]>();
  for (const shard of shards) {
    const leader = ports.leaders.leader(shard)?.node;
    if (leader === undefined || leader === ports.node) continue;
    elsewhere.set(leader, [...(elsewhere.get(leader) ?? []), shard]);
  }
  const deadline = ports.clock.now() + STATUS_MILLISECONDS;
  await Promise.all(
    [...elsewhere].map(async ([node, asked]) => {
      const body = await ask(ports, node, REQUEST_PARTITION_STATUS, { shards: asked }, deadline);
      if (body === null) return;
      for (const status of readJson<readonly PartitionStatus[]>(body)) found.set(status.shard, status);
    }),
  );
  return found;
}

/** The last appends to groups of one shard, from its leader, in the order asked; null: nobody could say. */
export async function groupStates(
  ports: FrontPorts,
  shard: ShardId,
  groups: readonly string[],
): Promise<readonly GroupState[] | null> {
  const leader = ports.leaders.leader(shard)?.node;
  if (leader === undefined) return null;
  if (leader === ports.node) return localGroups(ports, shard, groups);
  const deadline = ports.clock.now() + STATUS_MILLISECONDS;
  const body = await ask(ports, leader, REQUEST_GROUP_STATUS, { shard, groups }, deadline);
  return body === null ? null : readJson<readonly GroupState[]>(body);
}

async function ask(
  ports: FrontPorts,
  node: NodeId,
  kind: number,
  question: unknown,
  deadline: number,
): Promise<Uint8Array | null> {
  try {
    return await ports.calls.call(node, kind, [json(question)], deadline);
  } catch (error) {
    if (error instanceof RefusalError) return null;
    throw error;
  }
}

function localGroups(ports: FrontPorts, shard: ShardId, groups: readonly string[]): GroupState[] {
  const partition = ports.partitions.get(shard);
  return groups.map((name) => {
    const group = partition?.group(name) ?? null;
    return group === null
      ? { lastSequence: 0, lastTimestamp: 0 }
      : { lastSequence: group.lastSequence, lastTimestamp: group.lastTimestamp };
  });
}

function localStatus(ports: FrontPorts, shard: ShardId): PartitionStatus | undefined {
  const partition = ports.partitions.get(shard);
  if (partition === undefined) return undefined;
  const raft = partition.shard.status();
  return {
    shard,
    term: raft.term,
    highWatermark: partition.highWatermark,
    lowWatermark: partition.lowWatermark,
    replicas: raft.role === 'leader' ? replicasOf(partition, raft) : [],
  };
}

function replicasOf(partition: Partition, raft: RaftStatus): ReplicaStatus[] {
  const own = { replica: partition.shard.replica as number, behind: 0, reason: '' };
  const others = raft.progress
    .filter((progress) => progress.replica !== raft.replica)
    .map((progress) => {
      const behind = Math.max(0, raft.last - progress.match);
      const reason = !progress.active
        ? 'unreachable'
        : progress.state === 'snapshot'
          ? 'snapshot'
          : progress.state === 'probe'
            ? 'probing'
            : behind > 0
              ? 'catching up'
              : '';
      return { replica: progress.replica as number, behind, reason };
    });
  return [own, ...others];
}

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value), 'utf8');

/** Bodies come from nodes of this cluster, which speak the version that the handshake made sure of. */
const readJson = <T>(body: Uint8Array): T =>
  JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8')) as T;
