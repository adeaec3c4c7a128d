/**
 * All of the meta room of one node, wired together: what `node` opens, and what the front door is given. Before it comes, in
 * this order: the disk is opened; {@link formCluster}; cluster id, boot number and `lost` are made durable; the peer links
 * open; after `lostIdentity` {@link askReplacement} and {@link MetaState.tellMembers}; the meta shard is opened with
 * {@link firstMetaConfiguration} (with an empty one after `lostIdentity`) and located by {@link MetaState.metaNode}.
 */
import { type Clock, META_SHARD, type NodeId, type Shard, type ShardId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import type { LeaderDirectory, PeerCalls } from '../contracts.ts';
import type { AdministrationCaller } from '../subscription-contracts.ts';
import { MetaAdmin } from './admin.ts';
import { MetaClient } from './client.ts';
import { Controller } from './controller.ts';
import { campaignFirst } from './first-campaign.ts';
import { FEATURE_LEVEL, type NodeRecord } from './model.ts';
import { NodeAgent } from './node-agent.ts';
import { type LocalReplica, PlacementWatcher } from './placement-watcher.ts';
import { registerNode } from './registration.ts';
import { GatheringRouteAssigner } from './route-assigner.ts';
import { Router } from './router.ts';
import type { MetaState } from './state.ts';
import { MetaSubscriptionAdmin } from './subscription-admin.ts';
import { SubscriptionDriver } from './subscription-driver.ts';

/** What the meta room needs of its node. */
export interface MetaServiceOptions {
  readonly node: NodeId;
  readonly clock: Clock;
  readonly calls: PeerCalls;
  readonly leaders: LeaderDirectory;
  /** How operations on subscriptions reach the partitions. */
  readonly administration: AdministrationCaller;
  /** The state machine that the local replica of {@link META_SHARD} was or will be opened with. */
  readonly state: MetaState;
  /** The local replica of a shard, the meta shard's included. */
  readonly shard: (id: ShardId) => Shard | undefined;
  /** Replica id of this node in the meta shard. */
  readonly metaReplica: ReplicaId;
  readonly cluster: { readonly id: string; readonly nodes: readonly NodeId[] };
  /** How this node is to be registered. */
  readonly registration: Omit<NodeRecord, 'id' | 'featureLevel'>;
  /** Shards found on disk, with the replica that wrote them. */
  readonly found: ReadonlyMap<ShardId, ReplicaId>;
  readonly open: (replica: LocalReplica) => Promise<void>;
  readonly close: (shard: ShardId) => Promise<void>;
  readonly remove: (shard: ShardId) => Promise<void>;
  /** True while a peer's process answers; not asked about this node. */
  readonly peerUp: (node: NodeId) => boolean;
  /** A random word. */
  readonly token: () => string;
  /** One line for the log. */
  readonly onEvent: (event: string) => void;
}

/** The parts, for those who use them. */
export class MetaService {
  readonly client: MetaClient;
  readonly router: Router;
  readonly assigner: GatheringRouteAssigner;
  readonly admin: MetaAdmin;
  readonly subscriptions: MetaSubscriptionAdmin;
  readonly watcher: PlacementWatcher;
  readonly #options: MetaServiceOptions;
  readonly #controller: Controller;
  readonly #driver: SubscriptionDriver;
  readonly #stopping = new AbortController();
  #registering: Promise<void> = Promise.resolve();

  constructor(options: MetaServiceOptions) {
    const { node, clock, calls, leaders, state, shard, token, onEvent } = options;
    this.#options = options;
    const client = new MetaClient({ node, clock, state, leaders, calls, shard: () => shard(META_SHARD) });
    const watcher = new PlacementWatcher({
      ...options,
      source: state,
      open: async (replica) => {
        await options.open(replica);
        const id = replica.partition.shard;
        const isNew = !options.found.has(id) && replica.initial.voters.length > 0;
        if (replica.preferred && isNew) campaignFirst(clock, leaders, id, () => shard(id));
      },
      onFailure: (id, error) => onEvent(`replica of shard ${id}: ${String(error)}; it is tried again`),
    });
    const agent = new NodeAgent({ node, clock, calls, shard, holds: (id) => watcher.holds(id) });
    this.client = client;
    this.watcher = watcher;
    this.router = new Router(state);
    this.assigner = new GatheringRouteAssigner({
      clock,
      view: state,
      submit: (command, deadline) => client.submit(command, deadline),
    });
    this.admin = new MetaAdmin({
      clock,
      leaders,
      token,
      view: state,
      submit: (command, deadline) => client.submitChecked(command, deadline),
    });
    this.subscriptions = new MetaSubscriptionAdmin({
      clock,
      state,
      token,
      submit: (command, deadline) => client.submitChecked(command, deadline),
    });
    this.#driver = new SubscriptionDriver({
      clock,
      state,
      leaders,
      onEvent,
      caller: options.administration,
      submit: (command, deadline) => client.submit(command, deadline),
    });
    this.#controller = new Controller({
      clock,
      state,
      leaders,
      onEvent,
      cluster: options.cluster,
      submit: (command, deadline) => client.submit(command, deadline),
      ask: (to, question, deadline) => agent.ask(to, question, deadline),
      alive: (id) => id === node || options.peerUp(id),
    });
  }

  /** Begins, once the local replica of the meta shard is open: registers the node, opens replicas, leads where it leads. */
  start(): void {
    const { clock, node, onEvent, registration } = this.#options;
    this.watcher.start();
    this.#controller.start();
    this.#driver.start();
    this.#registering = registerNode(
      {
        clock,
        node: { ...registration, id: node, featureLevel: FEATURE_LEVEL },
        submit: (command, deadline) => this.client.submit(command, deadline),
        onWait: (reason) => onEvent(`this node is not registered yet: ${reason}`),
      },
      this.#stopping.signal,
    );
  }

  /** True when this start of the node is registered and every replica placed on it is open. */
  get ready(): boolean {
    const { node, registration, state } = this.#options;
    const registered = state.node(node);
    return registered?.bootNumber === registration.bootNumber && this.watcher.missing() === 0;
  }

  /** Ends all of it; replicas stay open. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.client.stop();
    this.#driver.stop();
    await Promise.all([this.#registering, this.#controller.stop(), this.watcher.stop()]);
  }
}
