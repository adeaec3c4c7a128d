/** A whole meta room per node, over the fakes: shards get a leader soon after a majority of their replicas is open. */
import { META_SHARD, type NodeId, type Shard, type ShardId } from '@seriatim/multiraft';
import type { RaftStatus, ReplicaId } from '@seriatim/raft';
import type { LocalReplica } from '../../src/meta/placement-watcher.ts';
import { MetaService } from '../../src/meta/service.ts';
import { FakeAdministration } from './fake-administration.ts';
import { FakeLeaders, FakeMetaShard, FakeNetwork, ids, ManualClock } from './fakes.ts';

/** Partition replicas of all nodes and who leads them. */
export class FakeCluster {
  readonly clock: ManualClock = new ManualClock();
  readonly network: FakeNetwork = new FakeNetwork();
  readonly leaders: FakeLeaders = new FakeLeaders();
  readonly administration: FakeAdministration = new FakeAdministration(this.leaders);
  readonly meta: FakeMetaShard;
  readonly services: MetaService[];
  readonly open: Map<number, Map<ShardId, LocalReplica>> = new Map();
  readonly events: string[] = [];
  /** Shards get no leader while this is set. */
  electionsHeld = false;
  transfers = 0;
  #tokens = 0;

  constructor(nodes: number) {
    this.meta = new FakeMetaShard(nodes);
    this.services = ids(nodes).map((node) => this.#newService(node, nodes));
  }

  service(node: number): MetaService {
    const service = this.services[node - 1];
    if (service === undefined) throw new Error(`no node ${node}`);
    return service;
  }

  /** Starts all nodes; meta is led by node 1. */
  async start(): Promise<void> {
    for (const service of this.services) service.start();
    this.meta.lead(1);
    await this.clock.advance(300);
  }

  /** Elects a leader for every shard that has none and a majority open: the preferred one, else the first. */
  elect(): void {
    if (this.electionsHeld) return;
    const shards = new Set([...this.open.values()].flatMap((replicas) => [...replicas.keys()]));
    for (const shard of shards) {
      if (this.leaders.leader(shard) !== undefined) continue;
      const nodes = [...this.open].filter(
        ([node, replicas]) => replicas.has(shard) && !this.network.cut.has(node),
      );
      const replica = nodes[0]?.[1].get(shard);
      if (replica === undefined || nodes.length * 2 <= replica.partition.replicas.length) continue;
      const preferred = nodes.find(([, replicas]) => replicas.get(shard)?.preferred === true) ?? nodes[0];
      this.leaders.set(shard, preferred?.[0] ?? null);
    }
  }

  /** How many partitions each node leads. */
  led(nodes: number): number[] {
    const shards = this.meta
      .state(1)
      .topics()
      .flatMap(({ partitions }) => partitions.map(({ shard }) => shard));
    return ids(nodes).map(
      (node) => shards.filter((shard) => this.leaders.leader(shard)?.node === node).length,
    );
  }

  #newService(node: NodeId, nodes: number): MetaService {
    const open = new Map<ShardId, LocalReplica>();
    this.open.set(node, open);
    return new MetaService({
      node,
      clock: this.clock,
      calls: this.network.callsOf(node),
      leaders: this.leaders,
      administration: this.administration,
      state: this.meta.state(node),
      shard: (id) => (id === META_SHARD ? this.meta.shard(node) : this.#shard(node, id)),
      metaReplica: node as number as ReplicaId,
      cluster: { id: 'c', nodes: ids(nodes) },
      registration: { clientAddress: `c${node}`, peerAddress: `p${node}`, pid: node, bootNumber: 1 },
      found: new Map(),
      open: async (replica) => {
        open.set(replica.partition.shard, replica);
        this.clock.after(50, () => this.elect());
      },
      close: async (shard) => {
        open.delete(shard);
        if (this.leaders.leader(shard)?.node === node) this.leaders.set(shard, null);
      },
      remove: async () => {},
      peerUp: (peer) => !this.network.cut.has(peer),
      token: () => `token ${this.#tokens++}`,
      onEvent: (event) => this.events.push(`node ${node}: ${event}`),
    });
  }

  #shard(node: NodeId, id: ShardId): Shard | undefined {
    const replica = this.open.get(node)?.get(id);
    if (replica === undefined) return undefined;
    const voters = replica.partition.replicas.map((placed) => placed.replica);
    return {
      id,
      replica: replica.replica,
      transfer: (to: ReplicaId) => {
        this.transfers += 1;
        const target = replica.partition.replicas.find((placed) => placed.replica === to)?.node;
        this.leaders.set(id, target ?? null);
        return null;
      },
      status: () =>
        ({
          role: this.leaders.leader(id)?.node === node ? 'leader' : 'follower',
          replica: replica.replica,
          commit: 5,
          configuration: { voters, learners: [], outgoing: [], learnersNext: [] },
          progress: voters.map((voter) => ({ replica: voter, state: 'replicate', active: true, match: 5 })),
        }) as unknown as RaftStatus,
    } as unknown as Shard;
  }
}
