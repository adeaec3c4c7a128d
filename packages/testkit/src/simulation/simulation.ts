/** One simulated run: nodes, clients and faults from one seed, and what came of them. */
import { defaultHostConfig, type HostConfig, type NodeId, type ShardId } from '@seriatim/multiraft';
import { Directory } from './directory.ts';
import { FaultInjector, type FaultTargets, heal } from './faults.ts';
import { MembershipOperator } from './membership.ts';
import { SimulatedNetwork } from './network.ts';
import { DiskStorage } from './node-storage.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { ShardObserver } from './shard-observer.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { SimulatedNode } from './simulated-node.ts';
import { type NodeStorage, PlainStorage } from './storage-kind.ts';
import { Violation } from './violation.ts';
import { Workload } from './workload.ts';

/** What to run. */
export interface SimulationOptions {
  readonly seed: number;
  /** Simulated seconds with faults (60). */
  readonly seconds?: number;
  /** Nodes; drawn from 3 to 5 when not given. */
  readonly nodes?: number;
  /** Shards (3), each with 3 replicas. */
  readonly shards?: number;
  /** Mean time between two faults, milliseconds (1,200). */
  readonly faultMilliseconds?: number;
  /** `disk`: storage's code on a simulated disk (when not given). `plain`: a simple store in memory. */
  readonly storage?: 'disk' | 'plain';
}

/** What a run came to. `violation` is null when all guarantees held. */
export interface SimulationResult {
  readonly seed: number;
  readonly violation: Error | null;
  readonly trace: string;
  readonly events: number;
  readonly simulatedMilliseconds: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly memberChanges: number;
  readonly faults: Readonly<Record<string, number>>;
}

const REPLICAS = 3;
/** Small limits, so that all of them are met. */
const CONFIG: HostConfig = {
  ...defaultHostConfig,
  appendBytesMax: 2_048,
  inflightMessagesMax: 8,
  inflightBytesMax: 8_192,
  uncommittedBytesMax: 32_768,
  cacheBytesMax: 8_192,
};
/** Ten election timeouts. */
const CONVERGE_MILLISECONDS_MAX = 10 * CONFIG.electionTimeoutMilliseconds;
const STATUS_CHECK_MILLISECONDS = 300;

/** Runs one seed to its end or to its first violation. Never rejects for what the code under test does. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  await simulation.run();
  return simulation.result();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #scheduler = new Scheduler();
  readonly #nodes: SimulatedNode[] = [];
  readonly #shards: ShardId[] = [];
  readonly #directory = new Directory();
  readonly #observers = new Map<ShardId, ShardObserver>();
  readonly #workload: Workload;
  readonly #members: MembershipOperator;
  readonly #targets: FaultTargets;
  readonly #faults: FaultInjector;
  #violation: Error | null = null;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const random = new Random(options.seed);
    const scheduler = this.#scheduler;
    const network = new SimulatedNetwork(scheduler, random.fork('network'));
    const count = options.nodes ?? 3 + random.fork('nodes').below(3);
    for (let id = 1 as NodeId; id <= count; id = (id + 1) as NodeId) {
      this.#nodes.push(this.#makeNode(id, network, random.fork(`node/${id}`)));
    }
    this.#placeShards(random.fork('placement'));
    const fail = (error: Error): void => this.#fail(error);
    const observer = (shard: ShardId): ShardObserver => this.#observer(shard);
    const sizes = { writeMilliseconds: 90, readMilliseconds: 200, writeBytesMax: 400 };
    this.#workload = new Workload(scheduler, random.fork('clients'), this.#nodes, observer, sizes, fail);
    this.#members = new MembershipOperator(scheduler, random.fork('members'), this.#directory, this.#nodes);
    this.#targets = {
      scheduler,
      random: random.fork('faults'),
      network,
      nodes: this.#nodes,
      shards: this.#shards,
      members: this.#members,
    };
    this.#faults = new FaultInjector(this.#targets, options.faultMilliseconds ?? 1_200);
  }

  async run(): Promise<void> {
    const rejected = (reason: unknown): void => {
      this.#fail(reason instanceof Error ? reason : new Error(String(reason)));
    };
    process.on('unhandledRejection', rejected);
    try {
      for (const node of this.#nodes) node.start();
      this.#checkStatusRegularly();
      this.#workload.start(this.#shards);
      this.#faults.start();
      await this.#scheduler.run((this.#options.seconds ?? 60) * 1_000);
      if (this.#violation === null) await this.#converge();
    } catch (error) {
      rejected(error);
    } finally {
      process.off('unhandledRejection', rejected);
    }
  }

  result(): SimulationResult {
    const observers = [...this.#observers.values()];
    return {
      seed: this.#options.seed,
      violation: this.#violation,
      trace: this.#scheduler.trace,
      events: this.#scheduler.events,
      simulatedMilliseconds: Math.round(this.#scheduler.now),
      acknowledged: observers.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
      reads: this.#workload.reads,
      memberChanges: this.#members.completed,
      faults: this.#faults.struck,
    };
  }

  /** After healing everything converges: one leader per shard, fresh writes acknowledged, equal states everywhere. */
  async #converge(): Promise<void> {
    this.#faults.stop();
    heal(this.#targets);
    const deadline = this.#scheduler.now + CONVERGE_MILLISECONDS_MAX;
    const fresh = new Set<ShardId>();
    while (this.#violation === null) {
      for (const shard of this.#shards) {
        if (!fresh.has(shard)) this.#workload.write(shard, () => fresh.add(shard));
      }
      await this.#scheduler.run(this.#scheduler.now + 250);
      if (fresh.size === this.#shards.length) this.#workload.stop();
      const problem = fresh.size < this.#shards.length ? 'no write acknowledged' : this.#difference();
      if (problem === null) return;
      if (this.#scheduler.now > deadline) this.#fail(new Violation('liveness after healing', problem));
      // Faults that were due to end later may have struck since.
      if (this.#violation === null) heal(this.#targets);
    }
  }

  /** What still differs between replicas; null: nothing. */
  #difference(): string | null {
    if (!this.#members.idle) return 'a change of members is not over';
    for (const shard of this.#shards) {
      const replicas = this.#nodes.flatMap((node) => {
        const replica = node.host?.get(shard);
        if (replica === undefined) return [];
        return [{ node, status: replica.status(), machine: node.machine(shard) }];
      });
      const leaders = replicas.filter(({ status }) => status.role === 'leader');
      if (leaders.length !== 1) return `shard ${shard} has ${leaders.length} leaders`;
      const members = this.#directory.ofShard(shard).length;
      if (replicas.length !== members)
        return `shard ${shard}: ${replicas.length} of ${members} replicas are open`;
      const states = new Set(replicas.map(({ machine }) => `${machine?.appliedIndex}/${machine?.hash}`));
      if (states.size > 1) return `shard ${shard}: replicas are at ${[...states].join(', ')}`;
      const [applied] = replicas.map(({ machine }) => machine?.appliedIndex ?? 0);
      if ((applied ?? 0) < this.#observer(shard).acknowledgedIndex)
        return `shard ${shard} lost acknowledged writes`;
      const { keptFrom } = this.#observer(shard);
      for (const { node } of replicas) {
        const first = node.firstReadable(shard) ?? 0;
        if (first > keptFrom)
          return `shard ${shard}: node ${node.id} can be read from ${first} on, all from ${keptFrom} on are kept`;
      }
    }
    return null;
  }

  #checkStatusRegularly(): void {
    this.#scheduler.after(STATUS_CHECK_MILLISECONDS, 'world', null, () => {
      for (const node of this.#nodes) node.checkStatus();
      this.#checkStatusRegularly();
    });
  }

  #makeNode(id: NodeId, network: SimulatedNetwork, random: Random): SimulatedNode {
    const scheduler = this.#scheduler;
    const disk = new SimulatedDisk(scheduler, random.fork('disk'));
    const stream = random.fork('storage');
    const storage: NodeStorage =
      this.#options.storage === 'plain' ? new PlainStorage(disk, stream) : new DiskStorage(disk, stream, id);
    return new SimulatedNode({
      id,
      scheduler,
      network,
      directory: this.#directory,
      disk,
      storage,
      random: random.fork('process'),
      config: CONFIG,
      observer: (shard) => this.#observer(shard),
      onBug: (error) => this.#fail(error),
    });
  }

  #placeShards(random: Random): void {
    for (let shard = 1; shard <= (this.#options.shards ?? 3); shard += 1) {
      const nodes = random.shuffled(this.#nodes.map(({ id }) => id)).slice(0, REPLICAS);
      this.#directory.create(shard as ShardId, nodes);
      this.#shards.push(shard as ShardId);
    }
  }

  #observer(shard: ShardId): ShardObserver {
    let observer = this.#observers.get(shard);
    if (observer === undefined) {
      const initial = this.#directory.firstConfiguration(shard);
      observer = new ShardObserver(shard, initial, (error) => this.#fail(error));
      this.#observers.set(shard, observer);
    }
    return observer;
  }

  #fail(error: Error): void {
    this.#violation ??= error;
    this.#scheduler.stop();
  }
}
