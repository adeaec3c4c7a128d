/** Administration of subscriptions at the partition's leader: what there is to see, and what operators do. */
import type { Clock, Shard } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Offset } from '../../contracts.ts';
import type {
  ActionRecord,
  GroupAction,
  GroupActionResult,
  GroupExplanation,
  ParkedGroupStatus,
  PartitionAdministration,
  PartitionLagStatus,
  PinnedStart,
  PositionPreview,
  PositionStep,
  StartPosition,
  SubscriptionId,
} from '../../subscription-contracts.ts';
import type { PartitionState } from '../partition-state.ts';
import type { RecordSource } from '../record-source.ts';
import { explain } from './group-explanation.ts';
import { GroupOperator } from './group-operator.ts';
import { keyOf } from './group-standing.ts';
import { HeadReader } from './head-reader.ts';
import { type PartitionSubscriptions, unknown } from './partition-subscriptions.ts';
import { positionPreview } from './position-preview.ts';
import { proposed } from './proposed.ts';
import { startOffset } from './start-offset.ts';
import { encodePosition } from './subscription-command.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import { subscriptionLag } from './subscription-lag.ts';
import { FLAG_PARKED } from './subscription-rows.ts';

/** Parked groups in one answer. */
const PARKED_MAX = 1_000;

/** What administration needs. */
export interface GroupAdministrationOptions {
  readonly clock: Clock;
  readonly shard: Pick<Shard, 'propose'>;
  readonly source: RecordSource;
  readonly state: PartitionState;
  readonly subscriptions: PartitionSubscriptions;
}

/** See the head of this file. */
export class GroupAdministration implements PartitionAdministration {
  readonly #options: GroupAdministrationOptions;
  readonly #heads: HeadReader;
  readonly #operator: GroupOperator;
  #goingBack = 0;

  constructor(options: GroupAdministrationOptions) {
    this.#options = options;
    this.#heads = new HeadReader(options.state, options.source);
    this.#operator = new GroupOperator({ ...options, heads: this.#heads });
  }

  /** A pin or a rewind is under way: once it is applied, records may be needed that are not needed now. */
  get goesBack(): boolean {
    return this.#goingBack > 0;
  }

  positionStep(step: PositionStep, deadline: number): Promise<PinnedStart> {
    return this.#byGoingBack(deadline, async () => {
      const { state, source, clock } = this.#options;
      const { subscription, generation, operation, type } = step;
      const before = state.subscriptions.get(subscription);
      const isThere = before !== undefined && before.generation >= generation;
      if (type === 'pin' && isThere) return pinned(before.generation, before.floor);
      if (type === 'drop' && before === undefined) return pinned(generation, 0);
      if (type === 'pin') this.#requireDefinition(subscription);
      const floor = type === 'drop' ? 0 : await startOffset(step.start, state, source);
      const time = clock.wallTime();
      // What lies before the start counts as done.
      const position = { type, time, subscription, generation, operation, floor, done: floor };
      await this.#propose(encodePosition(position));
      const after = state.subscriptions.get(subscription);
      return pinned(after?.generation ?? generation, after?.floor ?? floor);
    });
  }

  preview(subscription: SubscriptionId, start: StartPosition, deadline: number): Promise<PositionPreview> {
    return this.#by(deadline, async () => {
      const { state, source } = this.#options;
      const desk = this.#desk(subscription);
      const to = await startOffset(start, state, source);
      return positionPreview(desk, to, source);
    });
  }

  lag(subscription: SubscriptionId, topGroups: number, deadline: number): Promise<PartitionLagStatus> {
    return this.#by(deadline, () =>
      subscriptionLag(this.#desk(subscription), topGroups, this.#options.source, this.#heads),
    );
  }

  explain(subscription: SubscriptionId, group: string, deadline: number): Promise<GroupExplanation> {
    return this.#by(deadline, () => {
      const desk = this.#desk(subscription);
      const hindrance = this.#options.subscriptions.letters(subscription)?.hindrance ?? null;
      return explain(desk, this.#key(desk, group), this.#heads, hindrance);
    });
  }

  parked(
    subscription: SubscriptionId,
    after: string | null,
    deadline: number,
  ): Promise<readonly ParkedGroupStatus[]> {
    return this.#by(deadline, async () => {
      const desk = this.#desk(subscription);
      const from = after === null ? -1 : this.#key(desk, after);
      const { rows } = desk.options.applied;
      const keys: number[] = [];
      for (let row = 0; row < rows.count; row++) {
        if ((rows.flags(row) & FLAG_PARKED) !== 0 && rows.key(row) > from) keys.push(rows.key(row));
      }
      keys.sort((a, b) => a - b);
      const found: ParkedGroupStatus[] = [];
      for (const key of keys.slice(0, PARKED_MAX)) {
        const status = await this.#parkedStatus(desk, key);
        if (status !== null) found.push(status);
      }
      return found;
    });
  }

  act(
    subscription: SubscriptionId,
    group: string,
    action: GroupAction,
    deadline: number,
  ): Promise<GroupActionResult> {
    const run = (): Promise<GroupActionResult> => {
      const desk = this.#desk(subscription);
      return this.#operator.act(desk, this.#key(desk, group), action);
    };
    return action.type === 'rewind' ? this.#byGoingBack(deadline, run) : this.#by(deadline, run);
  }

  actions(
    subscription: SubscriptionId,
    group: string | null,
    limit: number,
    deadline: number,
  ): Promise<readonly ActionRecord[]> {
    return this.#by(deadline, async () => {
      const desk = this.#desk(subscription);
      const key = group === null ? -1 : keyOf(desk, group);
      const found: ActionRecord[] = [];
      const { actions } = desk.options.applied;
      for (let at = actions.length - 1; at >= 0 && found.length < limit; at--) {
        const kept = actions[at];
        if (kept === undefined || (group !== null && kept.key !== key)) continue;
        const { time, action, sequence, who, why } = kept;
        found.push({ time, action, group: desk.groups.name(kept.key), sequence, who, why });
      }
      return found;
    });
  }

  async #parkedStatus(desk: SubscriptionDesk, key: number): Promise<ParkedGroupStatus | null> {
    const { rows } = desk.options.applied;
    const at = rows.find(key);
    if (at < 0 || (rows.flags(at) & FLAG_PARKED) === 0) return null;
    const row = rows.row(at);
    const detail = rows.details.get(key);
    // What can not be read here now is listed all the same.
    const head = await this.#heads.read(key, row.next).catch(() => null);
    const last = key === 0 ? row.settled + 1 : this.#options.state.records.lastSequence(key - 1);
    return {
      group: desk.groups.name(key),
      life: row.life,
      headSequence: row.settled + 1,
      headOffset: head?.offset ?? row.next,
      waiting: Math.max(0, last - row.settled),
      failures: row.failures,
      reason: detail?.reason ?? '',
      since: detail?.time ?? 0,
    };
  }

  /**
   * A position that this node knows no subscription of is not pinned: nobody could attach to it, and the subscription may have been deleted.
   * Whoever drives the operation asks again.
   */
  #requireDefinition(subscription: SubscriptionId): void {
    if (this.#options.subscriptions.isDefined(subscription)) return;
    throw new RefusalError(
      'NOT_READY',
      `subscription ${subscription} is not known on this node yet; try again`,
    );
  }

  #desk(subscription: SubscriptionId): SubscriptionDesk {
    const desk = this.#options.subscriptions.desk(subscription);
    if (desk === undefined) throw unknown(subscription);
    return desk;
  }

  #key(desk: SubscriptionDesk, group: string): number {
    const key = keyOf(desk, group);
    if (key >= 0) return key;
    throw new RefusalError('UNKNOWN_GROUP', `group ${JSON.stringify(group)} is not in this partition`);
  }

  #propose(data: Uint8Array): Promise<void> {
    return proposed(this.#options.shard, data);
  }

  #byGoingBack<T>(deadline: number, run: () => Promise<T>): Promise<T> {
    return this.#by(deadline, async () => {
      this.#goingBack++;
      try {
        return await run();
      } finally {
        this.#goingBack--;
      }
    });
  }

  /** Confirms the term, then runs; rejects with DEADLINE when it takes longer. */
  #by<T>(deadline: number, run: () => Promise<T>): Promise<T> {
    const { clock, subscriptions } = this.#options;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(Math.max(0, deadline - clock.now()), () => {
        const message = 'the partition did not answer before the deadline; what was asked may still happen';
        reject(new RefusalError('DEADLINE', message, { outcome: 'unknown' }));
      });
      subscriptions.confirm().then(run).then(resolve, reject).finally(cancel);
    });
  }
}

function pinned(generation: number, floor: number): PinnedStart {
  return { generation, floor: floor as Offset };
}
