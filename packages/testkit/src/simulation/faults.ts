/** What goes wrong in a simulation, drawn at random. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { MembershipOperator } from './membership.ts';
import { FAIR_WEATHER, type SimulatedNetwork } from './network.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { FAST_DISK, SLOW_DISK } from './simulated-disk.ts';
import type { SimulatedNode } from './simulated-node.ts';

/** What faults act upon. */
export interface FaultTargets {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly network: SimulatedNetwork;
  readonly nodes: readonly SimulatedNode[];
  readonly shards: readonly ShardId[];
  readonly members: MembershipOperator;
}

type Fault = (targets: FaultTargets) => void;

const FAULTS: Readonly<Record<string, { readonly weight: number; readonly strike: Fault }>> = {
  killNode: { weight: 3, strike: killNode },
  killMajority: { weight: 0.7, strike: killMajority },
  powerLoss: { weight: 2, strike: powerLoss },
  powerLossOfAll: { weight: 1, strike: powerLossOfAll },
  pause: { weight: 2, strike: pause },
  isolate: { weight: 2, strike: isolate },
  split: { weight: 1, strike: split },
  oneWay: { weight: 2, strike: oneWay },
  bridge: { weight: 1, strike: bridge },
  resetConnections: { weight: 1, strike: resetConnections },
  slowNetwork: { weight: 1, strike: slowNetwork },
  hostileNetwork: { weight: 2, strike: hostileNetwork },
  slowDisk: { weight: 1, strike: slowDisk },
  stalledDisk: { weight: 1, strike: stalledDisk },
  failingDisk: { weight: 1, strike: failingDisk },
  clockJump: { weight: 0.5, strike: clockJump },
  transfer: { weight: 3, strike: transfer },
  retention: { weight: 3, strike: retention },
  changeMembers: { weight: 2, strike: changeMembers },
};

/** Strikes again and again until it is stopped. */
export class FaultInjector {
  readonly #targets: FaultTargets;
  readonly #meanMilliseconds: number;
  readonly struck: Record<string, number> = {};
  #stopped = false;

  constructor(targets: FaultTargets, meanMilliseconds: number) {
    this.#targets = targets;
    this.#meanMilliseconds = meanMilliseconds;
  }

  start(): void {
    const { scheduler, random } = this.#targets;
    scheduler.after(random.exponential(this.#meanMilliseconds), 'world', null, () => {
      if (this.#stopped) return;
      const name = pickWeighted(random);
      this.struck[name] = (this.struck[name] ?? 0) + 1;
      FAULTS[name]?.strike(this.#targets);
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }
}

/** Everything works again: network, disks, processes. */
export function heal({ network, nodes }: FaultTargets): void {
  network.weather = FAIR_WEATHER;
  network.heal();
  for (const node of nodes) {
    node.disk.mend();
    node.start();
  }
}

function pickWeighted(random: Random): string {
  const entries = Object.entries(FAULTS);
  let left = random.next() * entries.reduce((sum, [, { weight }]) => sum + weight, 0);
  for (const [name, { weight }] of entries) {
    left -= weight;
    if (left < 0) return name;
  }
  return 'killNode';
}

function later({ scheduler }: FaultTargets, milliseconds: number, run: () => void): void {
  scheduler.after(milliseconds, 'world', null, run);
}

function killNode(targets: FaultTargets): void {
  const { random } = targets;
  const node = random.pick(targets.nodes);
  node.crash('none');
  later(targets, random.between(20, 4_000), () => node.start());
}

function killMajority(targets: FaultTargets): void {
  const { random, nodes } = targets;
  for (const node of random.shuffled(nodes).slice(0, Math.floor(nodes.length / 2) + 1)) {
    node.crash('none');
    later(targets, random.between(20, 3_000), () => node.start());
  }
}

function powerLoss(targets: FaultTargets): void {
  const { random } = targets;
  const node = random.pick(targets.nodes);
  node.crash(random.chance(0.5) ? 'all' : 'torn');
  later(targets, random.between(100, 4_000), () => node.start());
}

function powerLossOfAll(targets: FaultTargets): void {
  const { random } = targets;
  for (const node of targets.nodes) {
    node.crash(random.chance(0.5) ? 'all' : 'torn');
    later(targets, random.between(100, 2_000), () => node.start());
  }
}

function pause(targets: FaultTargets): void {
  const { random } = targets;
  random.pick(targets.nodes).pause(random.between(50, 4_000));
}

function isolate(targets: FaultTargets): void {
  const { random, nodes } = targets;
  const alone = random.pick(nodes);
  cutBetween(targets, [alone.id], others(nodes, alone));
  healLater(targets);
}

function split(targets: FaultTargets): void {
  const { random, nodes } = targets;
  const order = random.shuffled(nodes.map(({ id }) => id));
  const half = Math.floor(order.length / 2);
  cutBetween(targets, order.slice(0, half), order.slice(half));
  healLater(targets);
}

function oneWay(targets: FaultTargets): void {
  const { random, nodes, network } = targets;
  const node = random.pick(nodes);
  const inwards = random.chance(0.5);
  for (const other of others(nodes, node)) {
    if (random.chance(0.3)) continue;
    if (inwards) network.cut(other, node.id);
    else network.cut(node.id, other);
  }
  healLater(targets);
}

/** Two halves that share one node. */
function bridge(targets: FaultTargets): void {
  const { random, nodes } = targets;
  const [, ...rest] = random.shuffled(nodes.map(({ id }) => id));
  const half = Math.ceil(rest.length / 2);
  cutBetween(targets, rest.slice(0, half), rest.slice(half));
  healLater(targets);
}

function resetConnections({ random, nodes, network }: FaultTargets): void {
  const [a, b] = random.shuffled(nodes.map(({ id }) => id));
  if (a !== undefined && b !== undefined) network.reset(a, b);
}

function slowNetwork(targets: FaultTargets): void {
  const { random, network } = targets;
  network.weather = { ...FAIR_WEATHER, delayMin: 5, delayMax: random.between(20, 150) };
  calmLater(targets);
}

function hostileNetwork(targets: FaultTargets): void {
  const { random, network } = targets;
  network.weather = {
    delayMin: 0.1,
    delayMax: random.between(1, 30),
    lose: random.between(0, 0.1),
    duplicate: random.between(0, 0.2),
    reorder: random.between(0, 0.2),
  };
  calmLater(targets);
}

function slowDisk(targets: FaultTargets): void {
  const { disk } = targets.random.pick(targets.nodes);
  disk.speed = SLOW_DISK;
  later(targets, targets.random.between(500, 5_000), () => {
    disk.speed = FAST_DISK;
  });
}

function stalledDisk({ random, nodes }: FaultTargets): void {
  random.pick(nodes).disk.stall(random.between(300, 6_000));
}

/** The node is to stop by itself; it starts again with a disk that works. */
function failingDisk(targets: FaultTargets): void {
  const { random } = targets;
  const node = random.pick(targets.nodes);
  node.disk.failNext(random.pick(['write', 'sync', 'sync', 'read', 'name']), 1 + random.below(5));
  later(targets, random.between(500, 4_000), () => {
    node.disk.mend();
    if (random.chance(0.5)) node.crash('none');
    node.start();
  });
}

function clockJump({ random, nodes }: FaultTargets): void {
  random.pick(nodes).process?.jump(random.between(-1, 1) * 30 * 24 * 3_600_000);
}

function transfer({ random, nodes, shards }: FaultTargets): void {
  const shard = random.pick(shards);
  for (const node of nodes) {
    const leads = node.process?.paused === false && node.machine(shard)?.leads === true;
    const replica = leads ? node.host?.get(shard) : undefined;
    const voters = replica?.status().configuration.voters ?? [];
    if (voters.length > 0) replica?.transfer(random.pick(voters));
  }
}

/** All replicas drop old entries, so that whoever is behind needs an image. */
function retention({ random, nodes, shards }: FaultTargets): void {
  const shard = random.pick(shards);
  const kept = random.below(40);
  for (const node of nodes) node.retain(shard, kept);
}

function changeMembers({ random, shards, members }: FaultTargets): void {
  members.begin(random.pick(shards));
}

function cutBetween({ network }: FaultTargets, left: readonly NodeId[], right: readonly NodeId[]): void {
  for (const a of left) {
    for (const b of right) {
      network.cut(a, b);
      network.cut(b, a);
    }
  }
}

function healLater(targets: FaultTargets): void {
  later(targets, targets.random.between(200, 5_000), () => targets.network.heal());
}

function calmLater(targets: FaultTargets): void {
  later(targets, targets.random.between(500, 5_000), () => {
    targets.network.weather = FAIR_WEATHER;
  });
}

function others(nodes: readonly SimulatedNode[], node: SimulatedNode): NodeId[] {
  return nodes.filter((other) => other !== node).map(({ id }) => id);
}
