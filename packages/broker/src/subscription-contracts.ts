/**
 * What the broker's rooms expect of each other to define and administer subscriptions, beside contracts.ts. Deliveries and
 * settlements: consume-contracts.ts. Why it is so: docs/decisions/007-subscriptions.md.
 */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { PartitionDispatch } from './consume-contracts.ts';
import type { Offset, TopicId } from './contracts.ts';

/** Given by the meta shard, never used again. */
export type SubscriptionId = number & { readonly brand: 'SubscriptionId' };
/** Most subscriptions of one topic; above it OVERLOADED. */
export const SUBSCRIPTIONS_MAX = 256;

/** Where a subscription begins. Values as in the API: EARLIEST 0, LATEST 1, OFFSET 2, TIME 3. */
export interface StartPosition {
  readonly kind: number;
  /** Only OFFSET; clamped to the watermarks. */
  readonly offset: number;
  /** Only TIME; milliseconds since 1970. */
  readonly time: number;
}

/** What a subscription's creator chose; checked and defaults filled in. Milliseconds; see CreateSubscriptionRequest for the ranges. */
export interface SubscriptionSettings {
  readonly start: StartPosition;
  readonly maxDeliveries: number;
  /** PARK 0, SKIP 1. */
  readonly poisonPolicy: number;
  /** Null with PARK. */
  readonly deadLetterTopic: TopicId | null;
  readonly holdMilliseconds: number;
  readonly retainUnread: boolean;
  readonly backoffMilliseconds: number;
  readonly backoffMaxMilliseconds: number;
}

/** A subscription as the meta state has it. */
export interface SubscriptionView extends SubscriptionSettings {
  readonly id: SubscriptionId;
  readonly topic: TopicId;
  readonly name: string;
  /** From 1; a reset raises it. Progress, holds and settlements of a lower one are void. */
  readonly generation: number;
  /** The whole subscription. */
  readonly paused: boolean;
  /** False while an operation pins, resets or deletes it: consumers are refused with SUBSCRIPTION_NOT_READY. */
  readonly ready: boolean;
  /** Producer id for its dead letters, taken when it was created; epoch 1 for ever. */
  readonly deadLetterProducer: number;
}

/** Definitions in the local replica of the meta state; the meta view implements it beside {@link MetaView}. */
export interface SubscriptionDefinitions {
  subscriptions(topic: TopicId): readonly SubscriptionView[];
  subscription(topic: TopicId, name: string): SubscriptionView | undefined;
  subscriptionById(id: SubscriptionId): SubscriptionView | undefined;
  /** It was here and is no more. False for one that this replica has not heard of yet. */
  wasDeleted(id: SubscriptionId): boolean;
  /** After an applied stretch that changed one: created, ready, paused, reset, gone. */
  onSubscriptionChange(listener: (topic: TopicId) => void): void;
}

// Meta commands and operations (room B).

/** Who asked and why; kept with an action. Up to 256 bytes each; empty for what the broker does by itself. */
export interface Actor {
  readonly who: string;
  readonly why: string;
}

/**
 * Joins MetaCommand. Each may be applied twice with the same effect: `token` is the random word of the request. `time` is milliseconds
 * since 1970. create, reset and delete start an operation of the same name (below), which ends by endOperation.
 */
export type SubscriptionCommand =
  | {
      readonly type: 'createSubscription';
      readonly topic: TopicId;
      readonly name: string;
      readonly settings: SubscriptionSettings;
      readonly token: string;
      readonly time: number;
    }
  | ({
      readonly type: 'resetSubscription';
      readonly subscription: SubscriptionId;
      /** The generation that the caller saw; another one: refused as SUBSCRIPTION_NOT_READY. */
      readonly generation: number;
      readonly start: StartPosition;
      readonly token: string;
      readonly time: number;
    } & Actor)
  | ({
      readonly type: 'deleteSubscription';
      readonly subscription: SubscriptionId;
      readonly token: string;
      readonly time: number;
    } & Actor)
  | ({
      readonly type: 'pauseSubscription';
      readonly subscription: SubscriptionId;
      readonly paused: boolean;
      readonly time: number;
    } & Actor);

/**
 * What such an operation keeps beside id, token, state and times. Its driver (the meta leader) runs one {@link PositionStep} per partition
 * until each was answered, in any order, each as often as needed; then endOperation makes the subscription ready, or removes it.
 */
export interface SubscriptionOperation {
  readonly kind: 'createSubscription' | 'resetSubscription' | 'deleteSubscription';
  readonly topic: TopicId;
  readonly name: string;
  readonly subscription: SubscriptionId;
  /** The generation that the steps make. */
  readonly generation: number;
}

/** One step, to a partition's leader. `pin`: begin at `start`, unless this generation or a later one is there. `drop`: forget it. */
export interface PositionStep {
  readonly type: 'pin' | 'drop';
  readonly operation: number;
  readonly subscription: SubscriptionId;
  readonly generation: number;
  /** Of `drop`: ignored. */
  readonly start: StartPosition;
}

/** Answer to a step: the floor now in force, the same when the step comes again. */
export interface PinnedStart {
  readonly generation: number;
  readonly floor: Offset;
}

// What a partition offers to administration (room A to room B).

/** PartitionLag of the API without code. Ages in milliseconds at the leader's wall clock. */
export interface PartitionLagStatus {
  readonly unsettled: number;
  readonly floor: number;
  readonly highWatermark: number;
  readonly groupsBehind: number;
  readonly groupsParked: number;
  readonly groupsHeld: number;
  readonly consumers: number;
  readonly oldestUnsettledMilliseconds: number;
  readonly lost: number;
  /** By falling lag. */
  readonly top: readonly { readonly group: string; readonly unsettled: number; readonly state: number }[];
}

/** ExplainGroupResponse of the API without partition. */
export interface GroupExplanation {
  readonly life: number;
  /** GroupState of the API. */
  readonly state: number;
  readonly since: number;
  readonly settledSequence: number;
  readonly lastSequence: number;
  readonly failures: number;
  readonly consumer: string;
  readonly tokenEpoch: number;
  readonly tokenCounter: number;
  readonly deliveredSequence: number;
  readonly until: number;
  readonly why: string;
  readonly next: string;
}

/** ParkedGroup of the API without partition. */
export interface ParkedGroupStatus {
  readonly group: string;
  readonly life: number;
  readonly headSequence: number;
  readonly headOffset: number;
  readonly waiting: number;
  readonly failures: number;
  readonly reason: string;
  readonly since: number;
}

/** What an operator does to one group; a command in the partition's log. `replacement`: a checked Message without tag and length. */
export type GroupAction = Actor &
  (
    | { readonly type: 'pause' | 'resume' }
    | { readonly type: 'rewind'; readonly sequence: number }
    | { readonly type: 'retry' | 'skip' | 'discard'; readonly headSequence: number }
    | { readonly type: 'replace'; readonly headSequence: number; readonly replacement: Uint8Array }
  );

export interface GroupActionResult {
  /** Settled without delivery. */
  readonly settled: number;
  /** Waiting, to be delivered in order (after a rewind: those delivered again). */
  readonly waiting: number;
}

export interface ActionRecord extends Actor {
  readonly time: number;
  /** As in SubscriptionAction of the API. */
  readonly action: string;
  readonly group: string;
  readonly sequence: number;
}

export interface PositionPreview {
  readonly from: number;
  readonly to: number;
  readonly repeated: number;
  readonly skipped: number;
}

/**
 * Administration at a partition's leader. Every method first has the term confirmed by a quorum and rejects with a RefusalError:
 * NOT_LEADER, UNKNOWN_SUBSCRIPTION, UNKNOWN_GROUP, DEADLINE, and what the API names for the call. Deadlines are monotonic milliseconds.
 */
export interface PartitionAdministration {
  /** A step of an operation, see {@link PositionStep}. Resolves when it is committed and applied. */
  positionStep(step: PositionStep, deadline: number): Promise<PinnedStart>;
  /** What a pin would do. */
  preview(subscription: SubscriptionId, start: StartPosition, deadline: number): Promise<PositionPreview>;
  lag(subscription: SubscriptionId, topGroups: number, deadline: number): Promise<PartitionLagStatus>;
  /** Under 1 ms here, whatever the number of groups: a look-up by name, no scan. */
  explain(subscription: SubscriptionId, group: string, deadline: number): Promise<GroupExplanation>;
  /** Up to 1,000 behind `after` (a group's name; null: from the start), by the group's number. */
  parked(
    subscription: SubscriptionId,
    after: string | null,
    deadline: number,
  ): Promise<readonly ParkedGroupStatus[]>;
  act(
    subscription: SubscriptionId,
    group: string,
    action: GroupAction,
    deadline: number,
  ): Promise<GroupActionResult>;
  /** Newest first. */
  actions(
    subscription: SubscriptionId,
    group: string | null,
    limit: number,
    deadline: number,
  ): Promise<readonly ActionRecord[]>;
}

/** What {@link Partition} gains. */
export interface SubscribedPartition {
  readonly dispatch: PartitionDispatch;
  readonly administration: PartitionAdministration;
}

// Between nodes.

/**
 * Peer request kind: one call of {@link PartitionAdministration} for the partition's leader. Body: u8 version 1, v shard, v method
 * (1 positionStep, 2 preview, 3 lag, 4 explain, 5 parked, 6 act, 7 actions, 8 isDone: reserved), then arguments as JSON, `replacement` in
 * base64. Streams are never forwarded: a consumer opens one to each leading node.
 */
export const REQUEST_SUBSCRIPTION = 7;

/** Calls a partition's administration wherever its leader is: here, or by one {@link REQUEST_SUBSCRIPTION}. Refuses with NO_LEADER at once. */
export interface AdministrationCaller {
  at(shard: ShardId): PartitionAdministration;
  /** The leader's node as known here, for retries by whoever drives an operation. */
  leader(shard: ShardId): NodeId | undefined;
}

// Subscriptions for clients (room B to room C).

/** Changes of definitions; each forwards to the meta leader once, as {@link Admin} does. */
export interface SubscriptionAdmin {
  /** Resolves when the start is pinned in every partition. Rejects with INVALID_SUBSCRIPTION, SUBSCRIPTION_EXISTS, … */
  create(
    topic: TopicId,
    name: string,
    settings: SubscriptionSettings,
    deadline: number,
  ): Promise<SubscriptionView>;
  /** Resolves when every partition has the new generation. */
  reset(
    subscription: SubscriptionId,
    start: StartPosition,
    actor: Actor,
    deadline: number,
  ): Promise<SubscriptionView>;
  delete(subscription: SubscriptionId, actor: Actor, deadline: number): Promise<void>;
  pause(subscription: SubscriptionId, paused: boolean, actor: Actor, deadline: number): Promise<void>;
  /** Actions on the whole subscription, newest first. */
  actions(subscription: SubscriptionId, limit: number): readonly ActionRecord[];
}
