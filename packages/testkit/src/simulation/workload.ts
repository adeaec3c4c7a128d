/** Clients of the simulation: writes whose fates are checked, and linearizable reads. */
import type { ShardId } from '@seriatim/multiraft';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { ShardObserver } from './shard-observer.ts';
import type { SimulatedNode } from './simulated-node.ts';
import { encodeWrite } from './toy-state-machine.ts';
import { Violation } from './violation.ts';

/** How busy the clients are. */
export interface WorkloadOptions {
  readonly writeMilliseconds: number;
  readonly readMilliseconds: number;
  /** Most bytes of an ordinary write; one in fifty is ten times as large. */
  readonly writeBytesMax: number;
}

/** Every shard has one writing and one reading client, which try whatever node they like. */
export class Workload {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #nodes: readonly SimulatedNode[];
  readonly #observer: (shard: ShardId) => ShardObserver;
  readonly #options: WorkloadOptions;
  readonly #fail: (error: Error) => void;
  #nextWrite = 1;
  #stopped = false;
  reads = 0;
  writes = 0;

  constructor(
    scheduler: Scheduler,
    random: Random,
    nodes: readonly SimulatedNode[],
    observer: (shard: ShardId) => ShardObserver,
    options: WorkloadOptions,
    fail: (error: Error) => void,
  ) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#nodes = nodes;
    this.#observer = observer;
    this.#options = options;
    this.#fail = fail;
  }

  start(shards: readonly ShardId[]): void {
    for (const shard of shards) {
      this.#repeat(this.#options.writeMilliseconds, () => this.#writeSome(shard));
      this.#repeat(this.#options.readMilliseconds, () => this.#read(shard));
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One write to whoever leads; `applied` is called when it was acknowledged. False: nobody took it. */
  write(shard: ShardId, applied: () => void = () => undefined): boolean {
    const id = this.#nextWrite++;
    const node = this.#someNode(shard);
    const target = node?.host?.get(shard);
    if (target === undefined) return false;
    const large = this.#random.chance(0.02) ? 10 : 1;
    const data = encodeWrite(id, this.#random.below(this.#options.writeBytesMax * large));
    const observer = this.#observer(shard);
    let settled = false;
    const result = target.propose(data, (fate) => {
      if (settled) this.#fail(new Violation('settled once', `write ${id} of shard ${shard}`));
      settled = true;
      if (fate.type === 'applied') {
        observer.acknowledgedWrite(id, fate.index);
        applied();
      } else if (fate.type === 'overwritten') observer.overwrittenWrite(id);
    });
    if (result.type === 'refused') {
      observer.overwrittenWrite(id);
      return false;
    }
    this.writes += 1;
    return true;
  }

  #writeSome(shard: ShardId): void {
    const burst = this.#random.chance(0.1) ? 1 + this.#random.below(10) : 1;
    for (let n = 0; n < burst; n += 1) this.write(shard);
  }

  /** A read that began after a write was acknowledged has to see it. */
  #read(shard: ShardId): void {
    const node = this.#someNode(shard);
    const target = node?.host?.get(shard);
    const process = node?.process;
    if (node === null || target === undefined || process === null || process === undefined) return;
    const atLeast = this.#observer(shard).acknowledgedIndex;
    target.read((confirmed) => {
      if (!confirmed) return;
      this.reads += 1;
      const applied = node.machine(shard)?.appliedIndex ?? 0;
      if (node.process === process && applied < atLeast) {
        this.#fail(
          new Violation(
            'reads see acknowledged writes',
            `shard ${shard}: read at ${applied}, acknowledged ${atLeast}`,
          ),
        );
      }
    });
  }

  /** Mostly one that takes itself for the leader (there may be several), sometimes any. */
  #someNode(shard: ShardId): SimulatedNode | null {
    const able = this.#nodes.filter((node) => node.host !== null && node.process?.paused === false);
    if (able.length === 0) return null;
    if (this.#random.chance(0.05)) return this.#random.pick(able);
    const leaders = able.filter((node) => node.machine(shard)?.leads === true);
    return leaders.length === 0 ? null : this.#random.pick(leaders);
  }

  #repeat(mean: number, run: () => void): void {
    const next = (): void => {
      if (this.#stopped) return;
      run();
      this.#scheduler.after(this.#random.exponential(mean), 'world', null, next);
    };
    this.#scheduler.after(this.#random.exponential(mean), 'world', null, next);
  }
}
