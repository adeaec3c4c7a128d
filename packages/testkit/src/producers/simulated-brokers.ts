/** Three brokers with one topic, in virtual time: their logs, elections, crashes and restarts. */
import {
  encodeCommand,
  encodePosition,
  type MetaCommand,
  MetaState,
  type TopicId,
  type TopicView,
} from '@seriatim/broker/rooms';
import { META_SHARD, type NodeId, type ShardId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import type { Random } from '../simulation/random.ts';
import type { Scheduler } from '../simulation/scheduler.ts';
import { SimulatedProcess } from '../simulation/simulated-process.ts';
import { BrokerNode } from './broker-node.ts';
import { PeerWires } from './peer-wires.ts';
import { ReplicatedLog } from './replicated-log.ts';

const NODES: readonly NodeId[] = [1, 2, 3] as NodeId[];
const PARTITIONS = 3;
/** The topic that is written to. */
export const TOPIC = 'rounds';
/** Its subscription, from the beginning on. */
export const SUBSCRIPTION = 'all';
export const SUBSCRIPTION_ID = 1;
/** Milliseconds without a leader after one died, and until a node hears who leads. */
const ELECTION = [50, 900] as const;
const NEWS = [0, 80] as const;
/** Milliseconds that a process is gone. */
const DOWN = [100, 1500] as const;

/** Where clients reach a node. */
export const addressOf = (node: NodeId): string => `broker${node}:7101`;

/** See the head of this file. */
export class SimulatedBrokers {
  readonly logs: Map<ShardId, ReplicatedLog> = new Map();
  readonly nodes: Map<NodeId, BrokerNode> = new Map();
  readonly topic: TopicView;
  leaderChanges = 0;
  restarts = 0;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #wires: PeerWires;
  #processes = 10;
  #tokens = 0;

  constructor(scheduler: Scheduler, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#wires = new PeerWires(scheduler, random);
    const meta = this.#newLog(META_SHARD);
    const state = new MetaState();
    for (const command of founding()) meta.seed(encodeCommand(command));
    state.apply(meta.entries);
    const topic = state.topic(TOPIC);
    if (topic === undefined) throw new Error('the topic was not founded');
    this.topic = topic;
    for (const { shard } of topic.partitions) {
      this.#newLog(shard).seed(
        encodePosition({
          type: 'pin',
          time: 3,
          subscription: SUBSCRIPTION_ID,
          generation: 1,
          operation: 2,
          floor: 0,
          done: 0,
        }),
      );
    }
  }

  async start(): Promise<void> {
    for (const node of NODES) await this.#startNode(node);
    for (const log of this.logs.values()) log.elect();
  }

  /** The leader of some shard changes, without anybody dying. */
  changeLeader(): void {
    this.leaderChanges += 1;
    this.#random.pick([...this.logs.values()]).elect();
  }

  /** kill -9 of a node, which comes back after a while. */
  restart(node: NodeId = this.#random.pick(NODES)): void {
    const running = this.nodes.get(node);
    if (running === undefined) return;
    this.restarts += 1;
    this.nodes.delete(node);
    running.process.kill();
    this.#wires.close(node);
    for (const log of this.logs.values()) {
      const replica = this.#replicaOn(log.shard, node);
      const led = log.leader?.replica === replica;
      log.drop(replica);
      if (led) this.#electLater(log);
    }
    this.#scheduler.after(this.#random.between(...DOWN), 'world', null, () => void this.#startNode(node));
  }

  /** Power loss: all of them at once. */
  restartAll(): void {
    for (const node of NODES) this.restart(node);
  }

  /** A node stands still for a while and does not know it; what it leads is taken over after an election timeout. */
  pause(): void {
    const node = this.nodes.get(this.#random.pick(NODES));
    if (node === undefined) return;
    node.process.pause(this.#random.between(100, 4000));
    for (const log of this.logs.values()) {
      this.#scheduler.after(this.#random.between(1000, 2000), 'world', null, () => {
        if (log.leader?.owner === node.process && node.process.paused) log.elect();
      });
    }
  }

  async #startNode(node: NodeId): Promise<void> {
    const process = new SimulatedProcess(this.#scheduler, this.#processes++, 1);
    const started = await BrokerNode.start({
      node,
      process,
      transport: this.#wires.open(node, process),
      logs: this.logs,
      token: () => `${node}-${this.#tokens++}`,
    });
    this.nodes.set(node, started);
    for (const log of this.logs.values()) {
      if (log.leader !== null) this.#tell(started, log.shard, log.leader.replica, log.term);
      else this.#electLater(log);
    }
  }

  #electLater(log: ReplicatedLog): void {
    this.#scheduler.after(this.#random.between(...ELECTION), 'world', null, () => {
      if (log.leader !== null) return;
      log.elect();
      // Whoever could have led stands still.
      if (log.leader === null && log.hasQuorum) this.#electLater(log);
    });
  }

  #newLog(shard: ShardId): ReplicatedLog {
    const log = new ReplicatedLog(shard, NODES.length, this.#scheduler, this.#random, (of, replica, term) => {
      for (const node of this.nodes.values()) this.#tell(node, of, replica, term);
    });
    this.logs.set(shard, log);
    return log;
  }

  #tell(node: BrokerNode, shard: ShardId, replica: ReplicaId, term: number): void {
    const leader = NODES.find((one) => this.#replicaOn(shard, one) === replica);
    if (leader === undefined) return;
    this.#scheduler.after(this.#random.between(...NEWS), 'frame', node.process, () =>
      node.learnLeader(shard, leader, term),
    );
  }

  #replicaOn(shard: ShardId, node: NodeId): ReplicaId {
    if (shard === META_SHARD) return node as number as ReplicaId;
    const partition = this.topic.partitions.find((one) => one.shard === shard);
    const placed = partition?.replicas.find((one) => one.node === node);
    if (placed === undefined) throw new Error(`shard ${shard} has no replica on node ${node}`);
    return placed.replica;
  }
}

/** The meta log as it is when a cluster of three was formed and the topic is ready. */
function founding(): readonly MetaCommand[] {
  const commands: MetaCommand[] = [{ type: 'form', clusterId: 'simulated', nodes: NODES }];
  for (const id of NODES) {
    commands.push({
      type: 'registerNode',
      id,
      clientAddress: addressOf(id),
      peerAddress: `broker${id}:7201`,
      pid: id,
      bootNumber: 1,
      featureLevel: 2,
    });
  }
  const topic = { name: TOPIC, partitions: PARTITIONS, replicas: 3, token: 'topic', time: 1 } as const;
  const limits = { retentionMilliseconds: 0, retentionBytes: 0, groupsMax: 1_000_000 } as const;
  commands.push({ type: 'createTopic', ...topic, ...limits });
  commands.push({ type: 'endOperation', operation: 1, time: 2 });
  commands.push({
    type: 'createSubscription',
    topic: 1 as TopicId,
    name: SUBSCRIPTION,
    token: 'subscription',
    time: 3,
    settings: {
      start: { kind: 0, offset: 0, time: 0 },
      maxDeliveries: 50,
      poisonPolicy: 0,
      deadLetterTopic: null,
      holdMilliseconds: 2_000,
      retainUnread: false,
      backoffMilliseconds: 5,
      backoffMaxMilliseconds: 200,
    },
  });
  commands.push({ type: 'endOperation', operation: 2, time: 4 });
  return commands;
}
