/** Subscriptions behind the front door, in memory: definitions that are ready at once, partitions that answer what a test sets. */
import type { ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Offset, TopicId } from '../../src/contracts.ts';
import type {
  ActionRecord,
  Actor,
  AdministrationCaller,
  GroupAction,
  GroupExplanation,
  ParkedGroupStatus,
  PartitionAdministration,
  PartitionLagStatus,
  StartPosition,
  SubscriptionAdmin,
  SubscriptionId,
  SubscriptionSettings,
  SubscriptionView,
} from '../../src/subscription-contracts.ts';
import { definition, type FakeDefinitions } from '../partition/fake-definitions.ts';

/** Defines at once what it is asked for. */
export class FakeSubscriptionAdmin implements SubscriptionAdmin {
  readonly calls: unknown[] = [];
  readonly #definitions: FakeDefinitions;
  #next = 1;

  constructor(definitions: FakeDefinitions) {
    this.#definitions = definitions;
  }

  async create(topic: TopicId, name: string, settings: SubscriptionSettings): Promise<SubscriptionView> {
    const view = { ...definition(this.#next++, settings), topic, name };
    this.#definitions.set(view);
    return view;
  }
  async reset(subscription: SubscriptionId, start: StartPosition, actor: Actor): Promise<SubscriptionView> {
    this.calls.push({ type: 'reset', subscription, start, actor });
    const view = this.#definitions.subscriptionById(subscription) ?? definition(subscription);
    this.#definitions.set({ ...view, start, generation: view.generation + 1 });
    return { ...view, start, generation: view.generation + 1 };
  }
  async delete(subscription: SubscriptionId): Promise<void> {
    this.#definitions.remove(subscription);
  }
  async pause(subscription: SubscriptionId, paused: boolean, actor: Actor): Promise<void> {
    this.calls.push({ type: 'pause', subscription, paused, actor });
    this.#definitions.change(subscription, { paused });
  }
  actions(): readonly ActionRecord[] {
    return [{ time: 50, action: 'create', group: '', sequence: 0, who: '', why: '' }];
  }
}

/** One partition's administration; what it answers can be set. */
export class FakeAdministration implements PartitionAdministration {
  /** Refuses everything with this. */
  refusal: RefusalError | null = null;
  readonly acts: { readonly group: string; readonly action: GroupAction }[] = [];
  parkedGroups: ParkedGroupStatus[] = [];
  /** Resolved between a page's beginning and its end: left out of it, as a partition does. */
  readonly resolvedMeanwhile = new Set<string>();
  lagStatus: PartitionLagStatus = {
    unsettled: 7,
    floor: 3,
    highWatermark: 10,
    groupsBehind: 1,
    groupsParked: 0,
    groupsHeld: 2,
    consumers: 1,
    oldestUnsettledMilliseconds: 900,
    lost: 0,
    top: [],
  };
  explanation: GroupExplanation = {
    life: 1,
    state: 2,
    since: 5,
    settledSequence: 3,
    lastSequence: 9,
    failures: 0,
    consumer: 'c',
    tokenEpoch: 4,
    tokenCounter: 6,
    deliveredSequence: 7,
    until: 99,
    why: '',
    next: 'Its holder settles what it has.',
  };

  async positionStep(): Promise<{ generation: number; floor: Offset }> {
    return this.#answer({ generation: 1, floor: 0 as Offset });
  }
  async preview() {
    return this.#answer({ from: 5, to: 2, repeated: 3, skipped: 1 });
  }
  async lag() {
    return this.#answer(this.lagStatus);
  }
  async explain() {
    return this.#answer(this.explanation);
  }
  async parked(_subscription: SubscriptionId, after: string | null) {
    const from = after === null ? 0 : this.parkedGroups.findIndex(({ group }) => group === after) + 1;
    const page = this.parkedGroups.slice(from, from + 1_000);
    return this.#answer(page.filter(({ group }) => !this.resolvedMeanwhile.has(group)));
  }
  async act(_subscription: SubscriptionId, group: string, action: GroupAction) {
    const answer = this.#answer({ settled: 1, waiting: 4 });
    this.acts.push({ group, action });
    return answer;
  }
  async actions() {
    return this.#answer([{ time: 60, action: 'pause', group: 'a', sequence: 2, who: 'me', why: 'because' }]);
  }

  #answer<T>(value: T): T {
    if (this.refusal !== null) throw this.refusal;
    return value;
  }
}

/** Every partition's, made when it is first asked for. */
export class FakeAdministrationCaller implements AdministrationCaller {
  readonly #partitions = new Map<ShardId, FakeAdministration>();

  at(shard: ShardId): FakeAdministration {
    const found = this.#partitions.get(shard) ?? new FakeAdministration();
    this.#partitions.set(shard, found);
    return found;
  }
  leader(): undefined {
    return undefined;
  }
}

/** As a partition that is led elsewhere refuses. */
export const NO_LEADER: RefusalError = new RefusalError('NO_LEADER', 'shard 11 has no leader');
