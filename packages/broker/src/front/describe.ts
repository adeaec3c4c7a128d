/** The RPCs that describe: cluster, topics and routes. They answer from what this node knows and ask the leaders for the rest. */
import { META_SHARD } from '@seriatim/multiraft';
import {
  type DescribeClusterResponse,
  type DescribeTopicResponse,
  type GetRouteRequest,
  type GetRouteResponse,
  type ListRoutesRequest,
  type ListRoutesResponse,
  type PartitionInfo,
  RefusalError,
  type ReplicaInfo,
  ROUTES_PAGE_MAX,
  type Route,
  type TopicInfo,
} from '@seriatim/protocol';
import type { PartitionView, TopicView } from '../contracts.ts';
import type { MemberStatus, PartitionStatus } from '../partition/index.ts';
import { requirePartition, requireTopic } from './look-up.ts';
import { groupStatuses, partitionStatuses } from './peer-status.ts';
import type { FrontPorts } from './ports.ts';

/** DescribeCluster. */
export async function describeCluster(ports: FrontPorts): Promise<DescribeClusterResponse> {
  const { view, leaders } = ports;
  const topics = view.topics();
  const shards = topics.flatMap((topic) => topic.partitions.map((partition) => partition.shard));
  const statuses = await partitionStatuses(ports, shards);
  const meta = leaders.leader(META_SHARD);
  return {
    clusterId: view.clusterId,
    nodes: view.nodes().map((node) => ({
      id: node.id,
      address: node.clientAddress,
      alive: node.id === ports.node || ports.peerState(node.id) === 'up',
      pid: node.pid,
    })),
    meta: { leader: meta?.node ?? 0, term: meta?.term ?? 0 },
    partitions: topics.flatMap((topic) => {
      const loads = view.loads(topic.id);
      return topic.partitions.map((partition) =>
        partitionInfo(ports, topic, partition, statuses.get(partition.shard), loads, false),
      );
    }),
  };
}

/** DescribeTopic: as in the cluster's description, and how far each replica is. */
export async function describeTopic(ports: FrontPorts, name: string): Promise<DescribeTopicResponse> {
  const topic = requireTopic(ports.view, name);
  const loads = ports.view.loads(topic.id);
  const statuses = await partitionStatuses(
    ports,
    topic.partitions.map((partition) => partition.shard),
  );
  return {
    topic: topicInfo(topic),
    partitions: topic.partitions.map((partition) =>
      partitionInfo(ports, topic, partition, statuses.get(partition.shard), loads, true),
    ),
  };
}

/** A topic as the API shows it. */
export function topicInfo(topic: TopicView): TopicInfo {
  return {
    name: topic.name,
    id: topic.id,
    partitions: topic.partitions.length,
    replicas: topic.replicas,
    retentionMs: topic.retentionMilliseconds,
    retentionBytes: topic.retentionBytes,
  };
}

/** GetRoute. UNKNOWN_GROUP when the group has none. */
export async function getRoute(ports: FrontPorts, request: GetRouteRequest): Promise<GetRouteResponse> {
  const topic = requireTopic(ports.view, request.topic);
  const name = Buffer.from(request.group, 'utf8');
  const { groupBytesMax } = ports.limits;
  if (name.length === 0 || name.length > groupBytesMax) {
    throw new RefusalError(
      'INVALID_GROUP',
      `the group has ${name.length} bytes; allowed are 1 to ${groupBytesMax}`,
    );
  }
  const row = ports.view.findRoute(topic.id, name, 0, name.length);
  if (row < 0) {
    throw new RefusalError(
      'UNKNOWN_GROUP',
      `group ${JSON.stringify(request.group)} of topic "${topic.name}" has no route`,
    );
  }
  const known = {
    group: request.group,
    partition: ports.view.routePartition(topic.id, row),
    epoch: ports.view.routeEpoch(topic.id, row),
  };
  const [route] = await withLastAppends(ports, topic, [known]);
  return { route: route ?? null };
}

/** ListRoutes in pages of at most {@link ROUTES_PAGE_MAX}. */
export async function* listRoutes(
  ports: FrontPorts,
  request: ListRoutesRequest,
  signal: AbortSignal,
): AsyncGenerator<ListRoutesResponse, void, undefined> {
  const topic = requireTopic(ports.view, request.topic);
  if (!request.anyPartition) requirePartition(topic, request.partition);
  let page: KnownRoute[] = [];
  for (const route of ports.view.routes(topic.id)) {
    if (signal.aborted) return;
    if (!request.anyPartition && route.partition !== request.partition) continue;
    if (!route.group.startsWith(request.prefix)) continue;
    page.push(route);
    if (page.length < ROUTES_PAGE_MAX) continue;
    yield { routes: await withLastAppends(ports, topic, page) };
    page = [];
  }
  if (page.length > 0) yield { routes: await withLastAppends(ports, topic, page) };
}

interface KnownRoute {
  readonly group: string;
  readonly partition: number;
  readonly epoch: number;
}

async function withLastAppends(
  ports: FrontPorts,
  topic: TopicView,
  routes: readonly KnownRoute[],
): Promise<Route[]> {
  const groupsOf = new Map<number, string[]>();
  for (const { partition, group } of routes) {
    const groups = groupsOf.get(partition);
    if (groups === undefined) groupsOf.set(partition, [group]);
    else groups.push(group);
  }
  const states = new Map<string, { readonly lastSequence: number; readonly lastTimestamp: number }>();
  await Promise.all(
    [...groupsOf].map(async ([partition, groups]) => {
      const shard = topic.partitions[partition]?.shard;
      const found = shard === undefined ? null : await groupStatuses(ports, shard, groups);
      found?.forEach((state, index) => {
        if (state !== null) states.set(groups[index] ?? '', state);
      });
    }),
  );
  return routes.map(({ group, partition, epoch }) => {
    const shard = topic.partitions[partition]?.shard;
    return {
      topic: topic.name,
      group,
      partition,
      epoch,
      leader: shard === undefined ? 0 : (ports.leaders.leader(shard)?.node ?? 0),
      lastSequence: states.get(group)?.lastSequence ?? 0,
      lastAccessMs: states.get(group)?.lastTimestamp ?? 0,
    };
  });
}

function partitionInfo(
  ports: FrontPorts,
  topic: TopicView,
  partition: PartitionView,
  status: PartitionStatus | undefined,
  loads: readonly number[],
  withReplicas: boolean,
): PartitionInfo {
  const leader = ports.leaders.leader(partition.shard);
  return {
    topic: topic.name,
    partition: partition.partition,
    leader: leader?.node ?? 0,
    term: leader?.term ?? status?.term ?? 0,
    replicas: partition.replicas.map((replica) => replica.node),
    highWatermark: status?.highWatermark ?? 0,
    lowWatermark: status?.lowWatermark ?? 0,
    replicaStates: withReplicas ? replicaInfos(partition, status, leader?.node ?? 0) : [],
    groups: loads[partition.partition] ?? 0,
  };
}

/** What a leader says of each replica; "unknown" where no leader answered. */
function replicaInfos(
  partition: PartitionView,
  status: PartitionStatus | undefined,
  leader: number,
): ReplicaInfo[] {
  return partition.replicas.map(({ node, replica }) => {
    const member = status?.members.find((one) => one.replica === replica);
    if (status?.leads === true && node === leader) return { node, behind: 0, reason: '' };
    if (status === undefined || member === undefined) return { node, behind: 0, reason: 'unknown' };
    const behind = Math.max(0, status.lastIndex - member.match);
    return { node, behind, reason: reasonOf(member, behind) };
  });
}

function reasonOf(member: MemberStatus, behind: number): string {
  if (!member.active) return 'unreachable';
  if (member.state === 'snapshot') return 'snapshot';
  if (behind === 0) return '';
  return member.state === 'probe' ? 'probing' : 'catching up';
}
