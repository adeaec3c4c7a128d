/** An operator of the simulation who changes the members of shards: what the meta shard's operations will do. */
import type { Fate, NodeId, Shard, ShardId } from '@seriatim/multiraft';
import type { ConfigurationChange } from '@seriatim/raft';
import type { Directory, Placement } from './directory.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimulatedNode } from './simulated-node.ts';

/** How often a step that is under way is looked at. */
const REVIEW_MILLISECONDS = 150;

/** A replica is replaced by a new one, in steps that only go forward and may be repeated. */
interface Operation {
  readonly shard: ShardId;
  readonly outgoing: Placement;
  readonly incoming: Placement;
  step: 'learn' | 'promote' | 'remove';
  busy: boolean;
}

/** At most one operation per shard. */
export class MembershipOperator {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #directory: Directory;
  readonly #nodes: readonly SimulatedNode[];
  readonly #operations = new Map<ShardId, Operation>();
  completed = 0;

  constructor(scheduler: Scheduler, random: Random, directory: Directory, nodes: readonly SimulatedNode[]) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#directory = directory;
    this.#nodes = nodes;
  }

  get idle(): boolean {
    return this.#operations.size === 0;
  }

  /** Begins to replace some replica of this shard on a node that has none of it; does nothing when there is no such node. */
  begin(shard: ShardId): void {
    if (this.#operations.has(shard)) return;
    const placed = this.#directory.ofShard(shard);
    const free = this.#nodes.filter((node) => placed.every((placement) => placement.node !== node.id));
    if (free.length === 0) return;
    const outgoing = this.#random.pick(placed);
    const incoming = this.#directory.add(shard, this.#random.pick(free).id);
    this.#operations.set(shard, { shard, outgoing, incoming, step: 'learn', busy: false });
    this.#follow(incoming.node);
    this.#review(shard);
  }

  #review(shard: ShardId): void {
    const operation = this.#operations.get(shard);
    if (operation === undefined) return;
    if (!operation.busy) this.#advance(operation);
    this.#scheduler.after(REVIEW_MILLISECONDS, 'world', null, () => this.#review(shard));
  }

  #advance(operation: Operation): void {
    const leader = this.#leader(operation.shard);
    if (leader === undefined) return;
    const { voters, learners, outgoing: leaving } = leader.status().configuration;
    const { incoming, outgoing } = operation;
    switch (operation.step) {
      case 'learn':
        if (learners.includes(incoming.replica)) operation.step = 'promote';
        else this.#change(operation, leader, { voters, learners: [incoming.replica] });
        return;
      case 'promote': {
        const progress = leader.status().progress.find(({ replica }) => replica === incoming.replica);
        if (voters.includes(incoming.replica) && leaving.length === 0) {
          // Committed, as the change was settled on some leader or a later leader could not have it without.
          if (leader.status().commit === leader.status().last) operation.step = 'remove';
        } else if (progress !== undefined && progress.match + 50 > leader.status().last) {
          const next = [...voters.filter((replica) => replica !== outgoing.replica), incoming.replica];
          this.#change(operation, leader, { voters: next, learners: [] });
        }
        return;
      }
      case 'remove':
        this.#directory.remove(outgoing.replica);
        this.#operations.delete(operation.shard);
        this.#follow(outgoing.node);
        this.completed += 1;
        return;
    }
  }

  #change(operation: Operation, leader: Shard, change: ConfigurationChange): void {
    const done = (_fate: Fate): void => {
      operation.busy = false;
    };
    const result = leader.change(change, done);
    if (result.type === 'refused') return;
    operation.busy = true;
    // Its leader may be cut off or gone: whoever leads then is asked again.
    this.#scheduler.after(3_000, 'world', null, () => {
      operation.busy = false;
    });
  }

  #leader(shard: ShardId): Shard | undefined {
    let best: Shard | undefined;
    for (const node of this.#nodes) {
      const candidate = node.process?.paused === false ? node.host?.get(shard) : undefined;
      if (candidate === undefined || candidate.status().role !== 'leader') continue;
      if (best === undefined || candidate.status().term > best.status().term) best = candidate;
    }
    return best;
  }

  #follow(node: NodeId): void {
    this.#nodes
      .find(({ id }) => id === node)
      ?.follow()
      .catch(() => undefined);
  }
}
