/** What nodes ask each other about partitions and groups, for the RPCs that describe. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { type GroupStatus, REQUEST_GROUP_STATUS, REQUEST_PARTITION_STATUS } from '../contracts.ts';
import {
  decodeGroupStatuses,
  decodeGroupStatusRequest,
  decodePartitionStatus,
  decodePartitionStatusRequest,
  encodeGroupStatuses,
  encodeGroupStatusRequest,
  encodePartitionStatus,
  encodePartitionStatusRequest,
  type PartitionStatus,
  partitionStatus,
} from '../partition/index.ts';
import type { FrontPorts } from './ports.ts';

/** How long such a question may take; what is not answered is shown as not known. */
const STATUS_MILLISECONDS = 750;

/** Answers the questions of other nodes. */
export function serveStatus(ports: FrontPorts): void {
  ports.calls.handle(REQUEST_PARTITION_STATUS, async (_from, body) => {
    const shard = decodePartitionStatusRequest(body);
    const partition = ports.partitions.get(shard);
    if (partition === undefined) throw noReplica(ports, shard);
    return [encodePartitionStatus(partitionStatus(partition))];
  });
  ports.calls.handle(REQUEST_GROUP_STATUS, async (_from, body) => {
    const { shard, groups } = decodeGroupStatusRequest(body);
    const partition = ports.partitions.get(shard);
    if (partition === undefined) throw noReplica(ports, shard);
    return [encodeGroupStatuses(groups.map((name) => partition.group(name)))];
  });
}

/** What the leaders (or, failing them, this node's replicas) say of these shards. */
export async function partitionStatuses(
  ports: FrontPorts,
  shards: readonly ShardId[],
): Promise<Map<ShardId, PartitionStatus>> {
  const found = new Map<ShardId, PartitionStatus>();
  await Promise.all(
    shards.map(async (shard) => {
      const status = (await askLeader(ports, shard)) ?? ownStatus(ports, shard);
      if (status !== null) found.set(shard, status);
    }),
  );
  return found;
}

/** The last appends to groups of one shard, from its leader, in the order asked; null: nobody could say. */
export async function groupStatuses(
  ports: FrontPorts,
  shard: ShardId,
  groups: readonly string[],
): Promise<readonly (GroupStatus | null)[] | null> {
  const leader = ports.leaders.leader(shard)?.node;
  if (leader === undefined) return null;
  if (leader === ports.node) {
    const partition = ports.partitions.get(shard);
    return partition === undefined ? null : groups.map((name) => partition.group(name));
  }
  const body = await ask(ports, leader, REQUEST_GROUP_STATUS, encodeGroupStatusRequest(shard, groups));
  return body === null ? null : decodeGroupStatuses(body);
}

async function askLeader(ports: FrontPorts, shard: ShardId): Promise<PartitionStatus | null> {
  const leader = ports.leaders.leader(shard)?.node;
  if (leader === undefined || leader === ports.node) return null;
  const body = await ask(ports, leader, REQUEST_PARTITION_STATUS, encodePartitionStatusRequest(shard));
  return body === null ? null : decodePartitionStatus(body);
}

function ownStatus(ports: FrontPorts, shard: ShardId): PartitionStatus | null {
  const partition = ports.partitions.get(shard);
  return partition === undefined ? null : partitionStatus(partition);
}

async function ask(
  ports: FrontPorts,
  node: NodeId,
  kind: number,
  question: Uint8Array,
): Promise<Uint8Array | null> {
  try {
    return await ports.calls.call(node, kind, [question], ports.clock.now() + STATUS_MILLISECONDS);
  } catch (error) {
    if (error instanceof RefusalError) return null;
    throw error;
  }
}

const noReplica = (ports: FrontPorts, shard: ShardId): RefusalError =>
  new RefusalError('NOT_LEADER', `node ${ports.node} has no replica of shard ${shard}`);
