/** What the meta leader does by itself: it forms the cluster's record, drives operations forward and spreads leaders. */
import { type Clock, META_SHARD, type NodeId, type ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { ReplicaId } from '@seriatim/raft';
import type { LeaderDirectory, ReplicaPlacement } from '../contracts.ts';
import { META_VOTERS_MAX } from './formation.ts';
import { LeaderBalancer } from './leader-balancer.ts';
import {
  type CreateTopicOperation,
  type DeleteTopicOperation,
  FEATURE_LEVEL,
  type MetaCommand,
  type MetaResult,
  type Operation,
  type Replacement,
  type ReplaceReplicasOperation,
} from './model.ts';
import type { AgentAnswer, AgentQuestion } from './node-agent.ts';
import type { MetaState } from './state.ts';

/** What the controller needs of its node. */
export interface ControllerOptions {
  readonly clock: Clock;
  readonly state: MetaState;
  readonly leaders: LeaderDirectory;
  /** {@link MetaClient.submit}. */
  readonly submit: (command: MetaCommand, deadline: number) => Promise<MetaResult>;
  /** {@link NodeAgent.ask}. */
  readonly ask: (node: NodeId, question: AgentQuestion, deadline: number) => Promise<AgentAnswer>;
  /** True while the node's process answers (also for this node). */
  readonly alive: (node: NodeId) => boolean;
  /** The cluster as it was formed: for the first leader's `form` command. */
  readonly cluster: { readonly id: string; readonly nodes: readonly NodeId[] };
  /** Told of what operators may want to know: one line, with what went wrong or was done. */
  readonly onEvent: (event: string) => void;
  readonly balancer?: LeaderBalancer;
  /** Milliseconds between rounds while nothing happens (200). */
  readonly roundMilliseconds?: number;
  /** Milliseconds that a question or command of a round may take (5,000). */
  readonly stepMilliseconds?: number;
}

interface Members {
  readonly voters: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
}

/**
 * Runs where meta leads with its no-op applied, and nowhere else. It keeps nothing that a new leader needs: every round looks at the
 * state and takes the next step of each operation; a step taken twice has the same effect.
 */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #balancer: LeaderBalancer;
  #round: Promise<void> | null = null;
  #again = false;
  #cancelTimer: (() => void) | null = null;
  #stopped = false;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#balancer = options.balancer ?? new LeaderBalancer();
    options.state.onLeadershipChange(() => this.#wake());
    options.state.onChange(() => this.#wake());
    options.leaders.onChange(() => this.#wake());
  }

  /** Begins; without it the controller never does anything. */
  start(): void {
    this.#wake();
  }

  /** Ends; resolves when the round that runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#round;
  }

  get #active(): boolean {
    return !this.#stopped && this.#options.state.leadership.confirmed;
  }

  #wake(): void {
    if (!this.#active) return;
    if (this.#round !== null) {
      this.#again = true;
      return;
    }
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    // After the events at hand: a listener must not start commands in the middle of an apply.
    this.#round = new Promise<void>((resolve) => this.#options.clock.soon(resolve))
      .then(() => this.#runRound())
      .catch((error: unknown) => {
        if (!(error instanceof RefusalError)) throw error;
        this.#options.onEvent(`meta controller: ${error.code} ${error.message}`);
      })
      .finally(() => this.#afterRound());
  }

  #afterRound(): void {
    this.#round = null;
    if (!this.#active) return;
    if (this.#again) {
      this.#again = false;
      this.#wake();
      return;
    }
    this.#cancelTimer = this.#options.clock.after(this.#options.roundMilliseconds ?? 200, () => this.#wake());
  }

  async #runRound(): Promise<void> {
    if (!this.#active) return;
    const { state } = this.#options;
    if (state.clusterId === '') {
      const { id, nodes } = this.#options.cluster;
      const sorted = [...nodes].sort((left, right) => left - right);
      await this.#submit({ type: 'form', clusterId: id, nodes: sorted });
    }
    await this.#raiseFeatureLevel();
    for (const operation of state.operations()) {
      if (operation.state === 'running' && this.#active) await this.#drive(operation);
    }
    if (this.#active) await this.#balance();
  }

  async #raiseFeatureLevel(): Promise<void> {
    const { state } = this.#options;
    const levels = state.nodes().map(({ featureLevel }) => featureLevel);
    const common = Math.min(FEATURE_LEVEL, ...levels);
    if (levels.length === 0 || levels.length < state.metaReplicas.length || common <= state.featureLevel)
      return;
    await this.#submit({ type: 'raiseFeatureLevel', level: common });
  }

  #drive(operation: Operation): Promise<void> {
    switch (operation.kind) {
      case 'createTopic':
        return this.#driveCreate(operation);
      case 'deleteTopic':
        return this.#driveDelete(operation);
      case 'replaceReplicas':
        return this.#driveReplace(operation);
      // By SubscriptionDriver: they wait for partitions, and no other operation is to wait with them.
      case 'createSubscription':
      case 'resetSubscription':
      case 'deleteSubscription':
        return Promise.resolve();
    }
  }

  async #driveCreate(operation: CreateTopicOperation): Promise<void> {
    const { leaders, state } = this.#options;
    const topic = state.topicById(operation.topic);
    const led = topic?.partitions.every(({ shard }) => leaders.leader(shard) !== undefined) ?? true;
    if (led) await this.#end(operation);
  }

  async #driveDelete(operation: DeleteTopicOperation): Promise<void> {
    const question = { type: 'holds', shards: operation.shards } as const;
    const answers = await Promise.all(operation.nodes.map((node) => this.#ask(node, question)));
    if (answers.every((answer) => answer?.done === true)) await this.#end(operation);
  }

  async #driveReplace(operation: ReplaceReplicasOperation): Promise<void> {
    for (const replacement of operation.replacements) {
      if (replacement.done || !this.#active) continue;
      const members = this.#members(replacement);
      // A topic deleted meanwhile has no members: nothing is left to replace.
      if (members !== null && !(await this.#converge(replacement.shard, members))) continue;
      await this.#submit({
        type: 'replicaReplaced',
        operation: operation.id,
        shard: replacement.shard,
        time: this.#options.clock.wallTime(),
      });
    }
  }

  /** Asks the shard's leader for the next step; true when its members are as placed. */
  async #converge(shard: ShardId, members: Members): Promise<boolean> {
    const leader = this.#options.leaders.leader(shard);
    if (leader === undefined) return false;
    const answer = await this.#ask(leader.node, { type: 'converge', shard, ...members });
    return answer?.done === true;
  }

  /** Members that the shard shall have, as placed; null: the shard is gone. */
  #members({ shard }: Replacement): Members | null {
    const { state } = this.#options;
    const ids = (placed: readonly ReplicaPlacement[]): ReplicaId[] => placed.map(({ replica }) => replica);
    if (shard === META_SHARD) {
      const placed = ids(state.metaReplicas);
      return { voters: placed.slice(0, META_VOTERS_MAX), learners: placed.slice(META_VOTERS_MAX) };
    }
    const owner = state.shardOwner(shard);
    return owner === undefined ? null : { voters: ids(owner.partition.replicas), learners: [] };
  }

  async #balance(): Promise<void> {
    const { alive, clock, leaders, onEvent, state } = this.#options;
    const partitions = state.topics().flatMap((topic) => topic.partitions);
    for (const transfer of this.#balancer.round(clock.now(), partitions, leaders, alive)) {
      if (!this.#active) return;
      const { shard, replica, from, to } = transfer;
      const answer = await this.#ask(from, { type: 'transfer', shard, to: replica });
      onEvent(`leader of shard ${shard} from node ${from} to ${to}: ${answer?.reason ?? 'no answer'}`);
    }
  }

  async #end(operation: Operation): Promise<void> {
    await this.#submit({
      type: 'endOperation',
      operation: operation.id,
      time: this.#options.clock.wallTime(),
    });
  }

  async #submit(command: MetaCommand): Promise<void> {
    const { clock, onEvent, stepMilliseconds, submit } = this.#options;
    const answer = await submit(command, clock.now() + (stepMilliseconds ?? 5_000));
    if (answer.type === 'refused') onEvent(`meta controller: ${command.type} was refused: ${answer.message}`);
  }

  /** An answer, or null when the node can't be asked now: the next round asks again. */
  async #ask(node: NodeId, question: AgentQuestion): Promise<AgentAnswer | null> {
    const { alive, ask, clock, stepMilliseconds } = this.#options;
    if (!alive(node)) return null;
    try {
      return await ask(node, question, clock.now() + (stepMilliseconds ?? 5_000));
    } catch (error) {
      if (error instanceof RefusalError) return null;
      throw error;
    }
  }
}
