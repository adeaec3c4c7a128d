/** A node's broker above its ports, wired as a process wires it, on replicated logs in virtual time. */
import {
  defaultPartitionConfig,
  defaultPeerCallLimits,
  FramedPeerCalls,
  FrontDoor,
  GatheringRouteAssigner,
  LeaderAdministration,
  type LeaderDirectory,
  MetaAdmin,
  MetaClient,
  MetaState,
  MetaSubscriptionAdmin,
  type OpenPartition,
  openPartition,
  type RecordSource,
  Router,
} from '@seriatim/broker/rooms';
import { META_SHARD, type NodeId, type PeerTransport, type ShardId } from '@seriatim/multiraft';
import { DEFAULT_LIMITS } from '@seriatim/protocol';
import type { Entry, ReplicaId } from '@seriatim/raft';
import type { SimulatedProcess } from '../simulation/simulated-process.ts';
import type { LogReplica, ReplicatedLog } from './replicated-log.ts';

/** What a node is started with. */
export interface BrokerNodeOptions {
  readonly node: NodeId;
  readonly process: SimulatedProcess;
  readonly transport: PeerTransport;
  readonly logs: ReadonlyMap<ShardId, ReplicatedLog>;
  /** A random word. */
  readonly token: () => string;
}

/** See the head of this file. */
export class BrokerNode {
  readonly node: NodeId;
  readonly process: SimulatedProcess;
  readonly partitions: Map<ShardId, OpenPartition> = new Map();
  #door: FrontDoor | null = null;
  readonly #leaders = new Map<ShardId, { readonly node: NodeId; readonly term: number }>();
  readonly #leaderListeners = new Set<(shard: ShardId) => void>();

  private constructor(options: BrokerNodeOptions) {
    this.node = options.node;
    this.process = options.process;
  }

  static async start(options: BrokerNodeOptions): Promise<BrokerNode> {
    const node = new BrokerNode(options);
    await node.#start(options);
    return node;
  }

  get door(): FrontDoor {
    if (this.#door === null) throw new Error(`node ${this.node} is being started`);
    return this.#door;
  }

  /** News of a leader, perhaps late; an older term changes nothing. */
  learnLeader(shard: ShardId, node: NodeId, term: number): void {
    if ((this.#leaders.get(shard)?.term ?? -1) >= term) return;
    this.#leaders.set(shard, { node, term });
    for (const listener of this.#leaderListeners) listener(shard);
  }

  async #start({ node, process, transport, logs, token }: BrokerNodeOptions): Promise<void> {
    const { clock } = process;
    const state = new MetaState();
    const directory: LeaderDirectory = {
      leader: (shard) => this.#leaders.get(shard),
      onChange: (listener) => {
        this.#leaderListeners.add(listener);
        return () => this.#leaderListeners.delete(listener);
      },
    };
    const calls = new FramedPeerCalls(transport, clock, defaultPeerCallLimits);
    let meta: LogReplica | undefined;
    const client = new MetaClient({
      node,
      clock,
      state,
      calls,
      leaders: directory,
      shard: () => meta,
    });
    meta = openReplica(logs, META_SHARD, node as number as ReplicaId, process, state);
    for (const topic of state.topics()) {
      for (const { shard, partition, replicas } of topic.partitions) {
        const placed = replicas.find((replica) => replica.node === node);
        if (placed === undefined) continue;
        const opened = await openPartition({
          shard,
          partition,
          clock,
          topic: topic.id,
          source: logSource(logs, shard, () => this.partitions.get(shard)),
          definitions: state,
          retention: () => topic,
          clockTrusted: () => true,
          diskHasRoom: () => true,
          config: CONFIG,
          openShard: async (machine) => openReplica(logs, shard, placed.replica, process, machine),
        });
        this.partitions.set(shard, opened);
        state.onSubscriptionChange(() => opened.definitionsChanged());
      }
    }
    this.#door = new FrontDoor({
      node,
      clock,
      view: state,
      definitions: state,
      // Producers ask nothing about subscriptions.
      subscriptions: new MetaSubscriptionAdmin({
        clock,
        state,
        token,
        submit: (command, deadline) => client.submitChecked(command, deadline),
      }),
      administration: new LeaderAdministration({
        node,
        clock,
        leaders: directory,
        partitions: { get: (shard) => this.partitions.get(shard), all: () => this.partitions.values() },
        calls,
      }),
      router: new Router(state),
      assigner: new GatheringRouteAssigner({
        clock,
        view: state,
        submit: (command, deadline) => client.submit(command, deadline),
      }),
      admin: new MetaAdmin({
        clock,
        token,
        view: state,
        leaders: directory,
        submit: (command, deadline) => client.submitChecked(command, deadline),
        producerBlock: 10,
      }),
      leaders: directory,
      partitions: { get: (shard) => this.partitions.get(shard), all: () => this.partitions.values() },
      calls,
      peerState: () => 'up',
      limits: DEFAULT_LIMITS,
      version: 'simulated',
    });
  }
}

/** Hours pass in a simulation: retention, which has nothing to do here, must not fill them with events. */
const CONFIG = { ...defaultPartitionConfig, retentionIntervalMilliseconds: 24 * 60 * 60 * 1000 };
/** What is stored is read from the log itself. */
function logSource(
  logs: ReadonlyMap<ShardId, ReplicatedLog>,
  shard: ShardId,
  partition: () => OpenPartition | undefined,
): RecordSource {
  const stored = function* (offset: number) {
    const log = logs.get(shard);
    const state = partition()?.state;
    if (log === undefined || state === undefined) return;
    for (const entry of log.entries.slice(0, Math.min(log.committed, state.appliedIndex))) {
      const found = state.describe(entry);
      if (found !== null && found.offset + found.count > offset) yield { entry, ...found };
    }
  };
  return {
    read: async (offset, bytesMax) => {
      const entries: Entry[] = [];
      let bytes = 0;
      for (const { entry } of stored(offset)) {
        if (bytes > 0 && bytes >= bytesMax) break;
        entries.push(entry);
        bytes += entry.data.length;
      }
      return entries;
    },
    readGroup: async (group, offset, bytesMax) => {
      const entries: Entry[] = [];
      let bytes = 0;
      let nextOffset = offset;
      for (const { entry, groups, offset: base, count } of stored(offset)) {
        if (bytes > 0 && bytes >= bytesMax) break;
        nextOffset = base + count;
        if (!groups.includes(group)) continue;
        entries.push(entry);
        bytes += entry.data.length;
      }
      return { entries, nextOffset };
    },
    segments: () => [],
    removeBefore: () => {},
  };
}

function openReplica(
  logs: ReadonlyMap<ShardId, ReplicatedLog>,
  shard: ShardId,
  replica: ReplicaId,
  process: SimulatedProcess,
  machine: Parameters<ReplicatedLog['open']>[2],
): LogReplica {
  const log = logs.get(shard);
  if (log === undefined) throw new Error(`shard ${shard} has no log`);
  return log.open(replica, process, machine);
}
