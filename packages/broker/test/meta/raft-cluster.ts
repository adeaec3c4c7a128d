/** Meta rooms over real Raft: hosts, links and clocks of the simulation; partitions hold nothing, or are real ones without disk. */
import {
  defaultHostConfig,
  META_SHARD,
  MultiRaft,
  type NodeId,
  type RecoveredShard,
  type Shard,
  type ShardHost,
  type ShardId,
  type StateMachine,
} from '@seriatim/multiraft';
import type { Configuration, ReplicaId } from '@seriatim/raft';
import { SimulatedNetwork } from '../../../testkit/src/simulation/network.ts';
import { PlainDisk, PlainLogStore } from '../../../testkit/src/simulation/plain-log-store.ts';
import { Random } from '../../../testkit/src/simulation/random.ts';
import { Scheduler } from '../../../testkit/src/simulation/scheduler.ts';
import { SimulatedProcess } from '../../../testkit/src/simulation/simulated-process.ts';
import { LeaderAdministration, serveAdministration } from '../../src/front/administration-caller.ts';
import { firstMetaConfiguration } from '../../src/meta/formation.ts';
import type { LocalReplica } from '../../src/meta/placement-watcher.ts';
import { askReplacement, type Replacement } from '../../src/meta/rejoin.ts';
import { MetaService } from '../../src/meta/service.ts';
import { MetaState } from '../../src/meta/state.ts';
import { SharedLeaderDirectory } from '../../src/node/leader-directory.ts';
import { NodePartitions } from '../../src/node/node-partitions.ts';
import { observedHost } from '../../src/node/observed-host.ts';
import { defaultPeerCallLimits, FramedPeerCalls } from '../../src/node/peer-calls.ts';
import { FakeSource } from '../partition/fake-source.ts';
import { FakeAdministration } from './fake-administration.ts';
import { ids } from './fakes.ts';

/** A partition without records. */
const nothing = (): StateMachine => ({
  apply: () => {},
  image: () => [new Uint8Array(1)],
  restore: () => {},
  describe: () => null,
  onLeadership: () => {},
});

/** One run of a node's process. */
export interface RunningNode {
  readonly process: SimulatedProcess;
  readonly state: MetaState;
  readonly service: MetaService;
  readonly host: ShardHost;
  readonly leaders: SharedLeaderDirectory;
  /** Empty where partitions hold nothing. */
  readonly partitions: NodePartitions;
}

/** Nodes 1 to n with disks that outlive them. */
export class RaftCluster {
  readonly scheduler: Scheduler = new Scheduler();
  readonly network: SimulatedNetwork;
  readonly nodes: Map<NodeId, RunningNode> = new Map();
  readonly events: string[] = [];
  /** Generations of subscriptions that the partitions have, by shard. */
  readonly positions: Map<ShardId, Map<number, number>> = new Map();
  readonly #random: Random;
  readonly #disks = new Map<NodeId, PlainDisk>();
  readonly #boots = new Map<NodeId, number>();
  readonly #size: number;
  readonly #realPartitions: boolean;

  constructor(size: number, seed: number, realPartitions = false) {
    this.#size = size;
    this.#realPartitions = realPartitions;
    this.#random = new Random(seed);
    this.network = new SimulatedNetwork(this.scheduler, this.#random.fork('network'));
    for (const node of ids(size)) this.network.introduce(node);
  }

  node(id: number): RunningNode {
    const node = this.nodes.get(id as NodeId);
    if (node === undefined) throw new Error(`node ${id} is down`);
    return node;
  }

  /** Starts a node with what its disk holds. */
  async start(id: NodeId): Promise<void> {
    await this.#launch(id, null);
  }

  /** Starts a node whose disk is new: it asks for new replicas first. */
  async startLost(id: NodeId): Promise<void> {
    this.#disks.delete(id);
    await this.#launch(id, new AbortController().signal);
  }

  /** The node's process is gone. */
  kill(id: number): void {
    const node = this.node(id);
    node.process.kill();
    this.network.detach(id as NodeId);
    this.nodes.delete(id as NodeId);
  }

  /** Simulated time passes. */
  run(milliseconds: number): Promise<void> {
    return this.scheduler.run(this.scheduler.now + milliseconds);
  }

  /** How many partitions each node leads, as node `seenBy` sees it. */
  led(seenBy: number): number[] {
    const { leaders, state } = this.node(seenBy);
    const shards = state.topics().flatMap(({ partitions }) => partitions.map(({ shard }) => shard));
    return ids(this.#size).map((id) => shards.filter((shard) => leaders.leader(shard)?.node === id).length);
  }

  async #launch(id: NodeId, lost: AbortSignal | null): Promise<void> {
    const disk = this.#disks.get(id) ?? new PlainDisk();
    this.#disks.set(id, disk);
    const boot = (this.#boots.get(id) ?? 0) + 1;
    this.#boots.set(id, boot);
    const process = new SimulatedProcess(this.scheduler, id * 1_000 + boot, 1);
    const { clock } = process;
    const transport = this.network.attach(id, process);
    const peers = ids(this.#size).filter((peer) => peer !== id);
    const down = new Set(peers);
    transport.onPeerState((peer, state) => {
      if (state === 'up') down.delete(peer);
      else down.add(peer);
    });
    const store = new PlainLogStore({
      clock,
      disk,
      flushMilliseconds: () => 2,
      checkpointEntries: 200,
      keptEntries: 50,
    });
    const recovered = new Map(store.recovered().map((shard) => [shard.shard, shard]));
    const leaders = new SharedLeaderDirectory(id, transport, clock, () => peers);
    const calls = new FramedPeerCalls(transport, clock, defaultPeerCallLimits);
    const random = this.#random.fork(`${id}/${boot}`);
    const multi = new MultiRaft({
      node: id,
      clock,
      transport,
      store,
      random: () => random.next(),
      config: defaultHostConfig,
      onShardFault: (shard, error) => this.events.push(`node ${id}: shard ${shard}: ${error.stack}`),
    });
    const host = observedHost(multi, leaders);
    leaders.start();
    const state = new MetaState();
    let replacement: Replacement | null = null;
    if (lost !== null) {
      const asking = { clock, node: id, peers, calls, token: `lost ${id} ${boot}`, onWait: () => {} };
      replacement = await askReplacement(asking, lost);
      state.tellMembers(replacement.members);
    }
    const metaReplica =
      replacement?.replica ?? recovered.get(META_SHARD)?.replica ?? (id as number as ReplicaId);
    const partitions = new NodePartitions({
      clock,
      host,
      view: state,
      definitions: state,
      recovered: new Map(recovered),
      locate: (shard, replica) => state.partitionNode(shard, replica),
      sourceOf: () => new FakeSource(),
      removeFiles: (shard) => store.remove(shard),
      clockTrusted: () => true,
      diskHasRoom: () => true,
      retentionMilliseconds: 60_000,
    });
    const ports = { node: id, clock, leaders, partitions, calls };
    serveAdministration(ports);
    const real = this.#realPartitions;
    const service = new MetaService({
      node: id,
      clock,
      calls,
      leaders,
      administration: real
        ? new LeaderAdministration(ports)
        : new FakeAdministration(leaders, this.positions),
      state,
      metaReplica,
      shard: (shard) => host.get(shard),
      cluster: { id: 'c', nodes: ids(this.#size) },
      registration: { clientAddress: `c${id}`, peerAddress: `p${id}`, pid: boot, bootNumber: boot },
      found: new Map([...recovered].map(([shard, { replica }]) => [shard, replica])),
      open: (replica) => (real ? partitions.open(replica) : openPartition(host, state, recovered, replica)),
      close: (shard) => partitions.close(shard),
      remove: (shard) => partitions.remove(shard),
      peerUp: (peer) => !down.has(peer),
      token: () => `${id} ${boot} ${random.next()}`,
      onEvent: (event) => this.events.push(`${Math.round(this.scheduler.now)} node ${id}: ${event}`),
    });
    const nobody: Configuration = { voters: [], outgoing: [], learners: [], learnersNext: [] };
    await host.open({
      shard: META_SHARD,
      replica: metaReplica,
      stateMachine: state,
      followersRead: true,
      initial: replacement === null ? firstMetaConfiguration(ids(this.#size)) : nobody,
      locate: (replica) => state.metaNode(replica),
      recovered: recovered.get(META_SHARD) ?? null,
    });
    service.start();
    this.nodes.set(id, { process, state, service, host, leaders, partitions });
  }
}

async function openPartition(
  host: ShardHost,
  state: MetaState,
  recovered: ReadonlyMap<ShardId, RecoveredShard>,
  { partition: { shard }, replica, initial }: LocalReplica,
): Promise<void> {
  const found = recovered.get(shard);
  await host.open({
    shard,
    replica,
    initial,
    followersRead: false,
    stateMachine: nothing(),
    locate: (other) => state.partitionNode(shard, other),
    recovered: found?.replica === replica ? found : null,
  });
}

/** The voters that a shard's leader has. */
export function votersOf(shard: Shard | undefined): readonly ReplicaId[] {
  return shard?.status().configuration.voters ?? [];
}
