/** The meta shard's state machine, and the view of it that every node reads. */
import type { EntryDescription, Leadership, NodeId, ShardId, StateMachine } from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, Term } from '@seriatim/raft';
import type { MetaView, ReplicaPlacement, RouteView, TopicId, WriterView } from '../contracts.ts';
import type { ActionRecord, SubscriptionDefinitions, SubscriptionId } from '../subscription-contracts.ts';
import { decodeCommand } from './command-codec.ts';
import { executeCommand } from './execute.ts';
import { readImage, writeImage } from './image.ts';
import { MetaTables, type ShardOwner } from './meta-tables.ts';
import type { MetaResult, NodeRecord, Operation, SubscriptionRecord, TopicRecord } from './model.ts';

/** Who leads the meta shard, as this replica sees it. */
const NOBODY: Leadership = {
  term: 0 as Term,
  leader: 0 as ReplicaId,
  leads: false,
  confirmed: false,
};

/** Commands that change nothing of what {@link MetaView.onChange} tells of. */
const QUIET: ReadonlySet<string> = new Set(['assignRoutes', 'removeRoutes', 'openWriter']);

/**
 * State of the meta shard. `apply` is deterministic: equal entries give equal images. A command that this program does not know throws
 * from `apply`, which stops the shard with that message instead of letting replicas drift apart.
 */
export class MetaState implements StateMachine, MetaView, SubscriptionDefinitions {
  #tables = new MetaTables();
  #applied = 0 as Index;
  #leadership: Leadership = NOBODY;
  /** Answers wanted by proposers on this node; others are not kept. */
  readonly #wanted = new Map<Index, { readonly term: Term; result: MetaResult | null }>();
  readonly #changeListeners: (() => void)[] = [];
  readonly #subscriptionListeners: ((topic: TopicId) => void)[] = [];
  readonly #leadershipListeners: (() => void)[] = [];
  /** Waits of {@link whenApplied}, by index. */
  #waits: { readonly index: Index; readonly reached: () => void }[] = [];
  #toldMembers: readonly ReplicaPlacement[] = [];
  #topics: readonly TopicRecord[] | null = null;
  #nodes: readonly NodeRecord[] | null = null;

  // --- StateMachine

  /** {@inheritDoc StateMachine.apply} */
  apply(entries: readonly Entry[]): void {
    let changed = false;
    for (const entry of entries) {
      if (entry.type === 'command') {
        const command = decodeCommand(entry.data);
        const result = executeCommand(this.#tables, command, entry.index);
        const wanted = this.#wanted.get(entry.index);
        if (wanted?.term === entry.term) wanted.result = result;
        if (!QUIET.has(command.type)) changed = true;
      }
      this.#applied = entry.index;
    }
    this.#afterChange(changed);
  }

  /** {@inheritDoc StateMachine.image} */
  image(): Iterable<Uint8Array> {
    return writeImage(this.#tables, this.#applied);
  }

  /** {@inheritDoc StateMachine.restore} */
  restore(chunks: Iterable<Uint8Array>): void {
    const { tables, applied } = readImage(chunks);
    // Those that the image has no longer are gone: their topics have changed as well.
    for (const record of this.#tables.subscriptions.all()) tables.subscriptions.changed(record.topic);
    this.#tables = tables;
    this.#applied = applied;
    this.#afterChange(true);
  }

  /** {@inheritDoc StateMachine.describe} */
  describe(_entry: Entry): EntryDescription | null {
    return null;
  }

  /** {@inheritDoc StateMachine.onLeadership} */
  onLeadership(leadership: Leadership): void {
    this.#leadership = leadership;
    for (const listener of this.#leadershipListeners) listener();
  }

  #afterChange(changed: boolean): void {
    if (changed) {
      this.#topics = null;
      this.#nodes = null;
    }
    if (this.#waits.length > 0) {
      const reached = this.#waits.filter(({ index }) => index <= this.#applied);
      this.#waits = this.#waits.filter(({ index }) => index > this.#applied);
      for (const wait of reached) wait.reached();
    }
    if (changed) for (const listener of this.#changeListeners) listener();
    for (const topic of this.#tables.subscriptions.takeChanged()) {
      for (const listener of this.#subscriptionListeners) listener(topic);
    }
  }

  // --- For the rest of the meta room

  /** Last index applied here. */
  get appliedIndex(): Index {
    return this.#applied;
  }
  /** Who leads the meta shard, as this replica sees it. */
  get leadership(): Leadership {
    return this.#leadership;
  }
  /** Called when {@link leadership} changed. */
  onLeadershipChange(listener: () => void): void {
    this.#leadershipListeners.push(listener);
  }
  /** Says that the answer of the command at `index` will be asked for; to be called before that index is applied. */
  expect(index: Index, term: Term): void {
    this.#wanted.set(index, { term, result: null });
  }
  /** The answer of an expected command, once; null when another one, or none, was applied there. */
  takeResult(index: Index, term: Term): MetaResult | null {
    const wanted = this.#wanted.get(index);
    // A proposal that was overwritten must not take the answer of the later one that has its index now.
    if (wanted?.term !== term) return null;
    this.#wanted.delete(index);
    return wanted.result;
  }
  /** Calls `reached` when this replica has applied `index`; the returned function cancels. */
  whenApplied(index: Index, reached: () => void): () => void {
    if (index <= this.#applied) {
      reached();
      return () => {};
    }
    const wait = { index, reached };
    this.#waits.push(wait);
    return () => {
      this.#waits = this.#waits.filter((candidate) => candidate !== wait);
    };
  }
  /** An operation, while it runs or is kept after its end. */
  operation(id: number): Operation | undefined {
    return this.#tables.operations.get(id);
  }
  /** Operations, running and lately ended, oldest first. */
  operations(): readonly Operation[] {
    return [...this.#tables.operations.values()];
  }
  /** The cluster's feature level; 0 before it was first raised. */
  get featureLevel(): number {
    return this.#tables.featureLevel;
  }
  /** Replicas of the meta shard. */
  get metaReplicas(): readonly ReplicaPlacement[] {
    return this.#tables.metaReplicas;
  }
  /** Node of a replica of the meta shard, or undefined. */
  metaNode(replica: ReplicaId): NodeId | undefined {
    return (
      this.#tables.metaNode(replica) ?? this.#toldMembers.find((placed) => placed.replica === replica)?.node
    );
  }
  /** Says where the meta replicas are, to a replica that is still empty: it must answer them to catch up. */
  tellMembers(members: readonly ReplicaPlacement[]): void {
    this.#toldMembers = members;
  }
  /** Node of a replica of a partition's shard, or undefined. */
  partitionNode(shard: ShardId, replica: ReplicaId): NodeId | undefined {
    const owner = this.#tables.owners.get(shard);
    return owner?.partition.replicas.find((placed) => placed.replica === replica)?.node;
  }
  /** The next shard id: those below it were given out. */
  get nextShard(): number {
    return this.#tables.next.shard;
  }
  /** The next replica id: those below it were given out. */
  get nextReplica(): number {
    return this.#tables.next.replica;
  }
  /** Routes of all topics (`total_mapped_groups`). */
  totalRoutes(): number {
    let total = 0;
    for (const table of this.#tables.routes.values()) total += table.count;
    return total;
  }

  // --- MetaView

  get clusterId(): string {
    return this.#tables.clusterId;
  }
  nodes(): readonly NodeRecord[] {
    this.#nodes ??= [...this.#tables.nodes.values()].sort((left, right) => left.id - right.id);
    return this.#nodes;
  }
  node(id: NodeId): NodeRecord | undefined {
    return this.#tables.nodes.get(id);
  }
  topics(): readonly TopicRecord[] {
    this.#topics ??= [...this.#tables.topics.values()];
    return this.#topics;
  }
  topic(name: string): TopicRecord | undefined {
    return this.#tables.topicsByName.get(name);
  }
  topicById(id: TopicId): TopicRecord | undefined {
    return this.#tables.topics.get(id);
  }
  shardOwner(shard: ShardId): ShardOwner | undefined {
    return this.#tables.owners.get(shard);
  }
  findRoute(topic: TopicId, bytes: Uint8Array, start: number, end: number): number {
    return this.#tables.routes.get(topic)?.find(bytes, start, end) ?? -1;
  }
  routePartition(topic: TopicId, row: number): number {
    return this.#tables.routes.get(topic)?.partition(row) ?? 0;
  }
  routeEpoch(topic: TopicId, row: number): number {
    return this.#tables.routes.get(topic)?.epoch(row) ?? 0;
  }
  routes(topic: TopicId): Iterable<RouteView & { readonly group: string }> {
    return this.#tables.routes.get(topic)?.rows() ?? [];
  }
  routeCount(topic: TopicId): number {
    return this.#tables.routes.get(topic)?.count ?? 0;
  }
  loads(topic: TopicId): readonly number[] {
    return this.#tables.routes.get(topic)?.loads ?? [];
  }
  writer(name: string): WriterView | undefined {
    return this.#tables.writers.get(name);
  }
  onChange(listener: () => void): void {
    this.#changeListeners.push(listener);
  }
  // --- SubscriptionDefinitions

  subscriptions(topic: TopicId): readonly SubscriptionRecord[] {
    return this.#tables.subscriptions.of(topic);
  }
  subscription(topic: TopicId, name: string): SubscriptionRecord | undefined {
    return this.#tables.subscriptions.find(topic, name);
  }
  subscriptionById(id: SubscriptionId): SubscriptionRecord | undefined {
    return this.#tables.subscriptions.get(id);
  }
  wasDeleted(id: SubscriptionId): boolean {
    return id < this.#tables.next.subscription && this.#tables.subscriptions.get(id) === undefined;
  }
  onSubscriptionChange(listener: (topic: TopicId) => void): void {
    this.#subscriptionListeners.push(listener);
  }
  /** What was done to the whole of a subscription, oldest first. */
  subscriptionActions(id: SubscriptionId): readonly ActionRecord[] {
    return this.#tables.subscriptions.actions(id);
  }
}
