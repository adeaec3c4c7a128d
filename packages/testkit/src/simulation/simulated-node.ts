/** A node of the simulation: production code on a simulated process, disk and network, over many starts and ends. */
import {
  type HostConfig,
  MultiRaft,
  type NodeId,
  type RecoveredShard,
  type ShardId,
} from '@seriatim/multiraft';
import type { Index, RaftStatus } from '@seriatim/raft';
import type { Directory, Placement } from './directory.ts';
import type { SimulatedNetwork } from './network.ts';
import { ObservedStore } from './observed-store.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { ShardObserver } from './shard-observer.ts';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { Loss } from './simulated-file.ts';
import { SimulatedProcess } from './simulated-process.ts';
import type { NodeStorage, OpenedStore } from './storage-kind.ts';
import { ToyStateMachine } from './toy-state-machine.ts';
import { Violation } from './violation.ts';

/** How far clocks of nodes differ in speed. */
const CLOCK_DRIFT = 0.02;

/** What a node is made of. */
export interface SimulatedNodeOptions {
  readonly id: NodeId;
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly directory: Directory;
  readonly disk: SimulatedDisk;
  readonly storage: NodeStorage;
  readonly random: Random;
  readonly config: HostConfig;
  readonly observer: (shard: ShardId) => ShardObserver;
  /** A fault of the simulation's own code or a shard's: ends the run. */
  readonly onBug: (error: Error) => void;
}

interface Running {
  readonly process: SimulatedProcess;
  host: MultiRaft | null;
  opened: OpenedStore | null;
  readonly machines: Map<ShardId, ToyStateMachine>;
  readonly statuses: Map<ShardId, RaftStatus>;
}

/** Starts, kills and pauses its process; opens the replicas that the directory places here. */
export class SimulatedNode {
  readonly id: NodeId;
  readonly disk: SimulatedDisk;
  readonly #options: SimulatedNodeOptions;
  readonly #random: Random;
  #running: Running | null = null;
  #following: Promise<void> = Promise.resolve();

  constructor(options: SimulatedNodeOptions) {
    this.id = options.id;
    this.disk = options.disk;
    this.#options = options;
    this.#random = options.random;
    options.network.introduce(options.id);
  }

  get up(): boolean {
    return this.#running !== null;
  }
  /** The host, once the store is open. */
  get host(): MultiRaft | null {
    return this.#running?.host ?? null;
  }
  get process(): SimulatedProcess | null {
    return this.#running?.process ?? null;
  }

  machine(shard: ShardId): ToyStateMachine | undefined {
    return this.#running?.machines.get(shard);
  }

  start(): void {
    if (this.#running !== null) return;
    const { scheduler, id } = this.#options;
    const process = new SimulatedProcess(scheduler, id, 1 + this.#random.between(-CLOCK_DRIFT, CLOCK_DRIFT));
    const running: Running = { process, host: null, opened: null, machines: new Map(), statuses: new Map() };
    this.#running = running;
    this.#following = Promise.resolve();
    this.#open(running).catch((error: unknown) => {
      if (!process.dead) this.#ended(running, error instanceof Error ? error : new Error(String(error)));
    });
  }

  /** The process ends at once; with `all` or `torn` the machine loses its power too. */
  crash(loss: Loss): void {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    running.process.kill();
    this.#options.network.detach(this.id);
    this.#options.storage.crash(loss);
    this.#options.disk.crash(loss);
  }

  /** Retention on this node: all but the newest `kept` entries of a shard may go. */
  retain(shard: ShardId, kept: number): void {
    const applied = this.machine(shard)?.appliedIndex ?? 0;
    if (this.host === null || applied <= kept) return;
    const first = (applied - kept) as Index;
    this.#options.observer(shard).mayRemoveBefore(first);
    this.#options.storage.removeBefore(shard, first);
  }

  /** First entry of a shard that readers would get from here; null: none, or this kind of store serves no readers. */
  firstReadable(shard: ShardId): Index | null {
    return this.#options.storage.firstReadable(shard);
  }

  pause(milliseconds: number): void {
    this.#running?.process.pause(milliseconds);
  }

  /** Opens and closes replicas so that they are those of the directory. */
  follow(): Promise<void> {
    this.#following = this.#following.then(() => this.#follow());
    return this.#following;
  }

  async #follow(): Promise<void> {
    const running = this.#running;
    if (running === null || running.host === null || running.opened === null) return;
    const placed = this.#options.directory.ofNode(this.id);
    for (const shard of [...running.host.shards()]) {
      if (placed.some(({ replica }) => replica === shard.replica)) continue;
      await running.host.close(shard.id);
      await running.opened.store.remove(shard.id);
    }
    for (const placement of placed) {
      if (running.host.get(placement.shard) === undefined) await this.#openShard(running, placement, null);
    }
  }

  /** Compares each replica's status with the one before: what must not fall, and what must not pass what. */
  checkStatus(): void {
    const running = this.#running;
    if (running === null || running.host === null) return;
    for (const shard of running.host.shards()) {
      const status = shard.status();
      const before = running.statuses.get(shard.id);
      running.statuses.set(shard.id, status);
      const { first, applied, commit, last, term, replica } = status;
      const told = `replica ${replica}: first ${first} applied ${applied} commit ${commit} last ${last}`;
      if (first - 1 > applied || applied > commit || commit > last) throw new Violation('index order', told);
      if (before === undefined || before.replica !== replica) continue;
      if (before.term > term || before.commit > commit || before.applied > applied || before.first > first) {
        throw new Violation(
          'never goes back',
          `${told}, before ${before.applied} ${before.commit}, term ${before.term}`,
        );
      }
    }
  }

  /** Storage gave up. That is right when its disk was made to fail: the node ends, the machine goes on. */
  #ended(running: Running, error: Error): void {
    if (this.#running !== running) return;
    if (this.disk.takeFailed()) this.crash('none');
    else this.#options.onBug(error);
  }

  async #open(running: Running): Promise<void> {
    const { network, storage, config, observer, directory } = this.#options;
    const { process } = running;
    const opened = await storage.open(process, (error) => this.#ended(running, error));
    running.opened = { store: new ObservedStore(opened.store, observer), recovered: opened.recovered };
    const random = this.#random.fork(`host/${this.#options.scheduler.events}`);
    running.host = new MultiRaft({
      node: this.id,
      clock: process.clock,
      transport: network.attach(this.id, process),
      store: running.opened.store,
      random: () => random.next(),
      config,
      onShardFault: (shard, error) =>
        this.#ended(running, new Error(`node ${this.id} shard ${shard}: ${error.stack}`)),
    });
    const placed = directory.ofNode(this.id);
    for (const found of opened.recovered) {
      if (!placed.some(({ replica }) => replica === found.replica))
        await running.opened.store.remove(found.shard);
    }
    for (const placement of placed) {
      const found = opened.recovered.find(({ replica }) => replica === placement.replica) ?? null;
      await this.#openShard(running, placement, found);
    }
    await this.follow();
  }

  async #openShard(running: Running, placement: Placement, recovered: RecoveredShard | null): Promise<void> {
    if (running.host === null || running.host.get(placement.shard) !== undefined) return;
    const { observer, directory, scheduler } = this.#options;
    const { shard, replica } = placement;
    const watched = observer(shard);
    watched.opened(replica, recovered);
    const stateMachine = new ToyStateMachine(
      (entry, checksum, hash) => {
        scheduler.note(hash);
        watched.applied(replica, entry, checksum, hash);
      },
      ({ leads, term }) => {
        if (leads) watched.leads(replica, term);
      },
    );
    running.machines.set(shard, stateMachine);
    await running.host.open({
      shard,
      replica,
      stateMachine,
      initial: directory.initial(placement),
      // Both kinds of shard, side by side.
      followersRead: shard % 2 === 0,
      locate: (other) => directory.node(other),
      recovered,
    });
  }
}
