/** Partitions that keep positions of subscriptions in memory, reached through whoever the directory says leads. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import { type ErrorCode, RefusalError } from '@seriatim/protocol';
import type { LeaderDirectory, Offset } from '../../src/contracts.ts';
import type {
  AdministrationCaller,
  PartitionAdministration,
  PinnedStart,
  PositionStep,
} from '../../src/subscription-contracts.ts';

/** See the head of this file. Every other call than a step is refused. */
export class FakeAdministration implements AdministrationCaller {
  readonly #leaders: LeaderDirectory;
  /** Steps that reached a partition, in order. */
  readonly steps: { readonly shard: ShardId; readonly step: PositionStep }[] = [];
  /** Generation of each subscription, by shard. */
  readonly positions: Map<ShardId, Map<number, number>>;
  /** Shards that refuse. */
  readonly failing: Map<ShardId, ErrorCode> = new Map();
  /** Shards whose steps are done, but whose answers do not come before {@link release}. */
  readonly held: Set<ShardId> = new Set();
  /** Shards whose next answers are lost after the step was done: how many. */
  readonly lostAnswers: Map<ShardId, number> = new Map();
  underWay = 0;
  mostUnderWay = 0;
  #held: (() => void)[] = [];

  /** `positions`: shared with the other nodes, and outliving them. */
  constructor(leaders: LeaderDirectory, positions: Map<ShardId, Map<number, number>> = new Map()) {
    this.#leaders = leaders;
    this.positions = positions;
  }

  leader(shard: ShardId): NodeId | undefined {
    return this.#leaders.leader(shard)?.node;
  }

  at(shard: ShardId): PartitionAdministration {
    const refuse = (): Promise<never> => Promise.reject(new RefusalError('UNSUPPORTED', 'not in this fake'));
    return {
      positionStep: (step) => this.#step(shard, step),
      preview: refuse,
      lag: refuse,
      explain: refuse,
      parked: refuse,
      act: refuse,
      actions: refuse,
    };
  }

  /** Lets the answers come that were held back. */
  release(): void {
    this.held.clear();
    const held = this.#held;
    this.#held = [];
    for (const answer of held) answer();
  }

  /** Generations of a subscription in the shards, 0 where it is not known. */
  generations(subscription: number, shards: readonly ShardId[]): number[] {
    return shards.map((shard) => this.positions.get(shard)?.get(subscription) ?? 0);
  }

  async #step(shard: ShardId, step: PositionStep): Promise<PinnedStart> {
    if (this.leader(shard) === undefined) throw new RefusalError('NO_LEADER', `shard ${shard} has no leader`);
    const code = this.failing.get(shard);
    this.steps.push({ shard, step });
    if (code !== undefined) throw new RefusalError(code, 'as the test says');
    const known = this.positions.get(shard) ?? new Map<number, number>();
    this.positions.set(shard, known);
    if (step.type === 'drop') known.delete(step.subscription);
    else known.set(step.subscription, Math.max(step.generation, known.get(step.subscription) ?? 0));
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    if (this.held.has(shard)) await new Promise<void>((resolve) => this.#held.push(resolve));
    else await Promise.resolve();
    this.underWay -= 1;
    const lost = this.lostAnswers.get(shard) ?? 0;
    if (lost > 0) {
      this.lostAnswers.set(shard, lost - 1);
      throw new RefusalError('PEER_UNREACHABLE', 'connection broke', { outcome: 'unknown' });
    }
    return { generation: step.generation, floor: 0 as Offset };
  }
}
