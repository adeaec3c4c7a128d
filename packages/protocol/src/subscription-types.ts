/** Requests and responses of the small RPCs of Subscriptions as plain objects. 64-bit fields are safe integers. The proto file says what each means. */
import type { Header } from './types.ts';

/** Values of SettlementKind. */
export const SETTLEMENT_KIND_ACK = 0;
export const SETTLEMENT_KIND_NACK = 1;
export const SETTLEMENT_KIND_REJECT = 2;
export const SETTLEMENT_KIND_EXTEND = 3;

export interface ConsumeEvent {
  readonly kind: number;
  readonly partition: number;
  readonly group: string;
  readonly life: number;
  readonly tokenEpoch: number;
  readonly tokenCounter: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly leaderAddress: string;
  readonly code: string;
}

/** Values of ConsumeEventKind. */
export const CONSUME_EVENT_KIND_UNSPECIFIED = 0;
export const CONSUME_EVENT_KIND_HELD = 1;
export const CONSUME_EVENT_KIND_HOLD_LOST = 2;
export const CONSUME_EVENT_KIND_FELL_BEHIND = 3;
export const CONSUME_EVENT_KIND_DRAINING = 4;
export const CONSUME_EVENT_KIND_LEADER_CHANGED = 5;
export const CONSUME_EVENT_KIND_ATTACHED = 6;

/** Values of SubscriptionStart. */
export const SUBSCRIPTION_START_EARLIEST = 0;
export const SUBSCRIPTION_START_LATEST = 1;
export const SUBSCRIPTION_START_OFFSET = 2;
export const SUBSCRIPTION_START_TIME = 3;

/** Values of PoisonPolicy. */
export const POISON_POLICY_PARK = 0;
export const POISON_POLICY_SKIP = 1;

export interface CreateSubscriptionRequest {
  readonly topic: string;
  readonly name: string;
  readonly start: number;
  readonly startOffset: number;
  readonly startTimeMs: number;
  readonly maxDeliveries: number;
  readonly poisonPolicy: number;
  readonly deadLetterTopic: string;
  readonly holdMs: number;
  readonly retainUnread: boolean;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
}

export interface CreateSubscriptionResponse {
  readonly subscription: SubscriptionInfo | null;
}

export interface SubscriptionInfo {
  readonly topic: string;
  readonly name: string;
  readonly id: number;
  readonly generation: number;
  readonly start: number;
  readonly startOffset: number;
  readonly startTimeMs: number;
  readonly maxDeliveries: number;
  readonly poisonPolicy: number;
  readonly deadLetterTopic: string;
  readonly holdMs: number;
  readonly retainUnread: boolean;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  readonly paused: boolean;
  readonly ready: boolean;
}

export interface ListSubscriptionsRequest {
  readonly topic: string;
}

export interface ListSubscriptionsResponse {
  readonly subscriptions: readonly SubscriptionInfo[];
}

export interface DescribeSubscriptionRequest {
  readonly topic: string;
  readonly name: string;
  readonly topGroups: number;
}

export interface DescribeSubscriptionResponse {
  readonly subscription: SubscriptionInfo | null;
  readonly partitions: readonly PartitionLag[];
  readonly groups: readonly GroupLag[];
}

export interface PartitionLag {
  readonly partition: number;
  readonly unsettled: number;
  readonly floor: number;
  readonly highWatermark: number;
  readonly groupsBehind: number;
  readonly groupsParked: number;
  readonly groupsHeld: number;
  readonly consumers: number;
  readonly oldestUnsettledMs: number;
  readonly lost: number;
  readonly code: string;
}

export interface GroupLag {
  readonly group: string;
  readonly partition: number;
  readonly unsettled: number;
  readonly state: number;
}

export interface DeleteSubscriptionRequest {
  readonly topic: string;
  readonly name: string;
}

export type DeleteSubscriptionResponse = Record<never, never>;

export interface ResetSubscriptionRequest {
  readonly topic: string;
  readonly name: string;
  readonly start: number;
  readonly startOffset: number;
  readonly startTimeMs: number;
  readonly dryRun: boolean;
  readonly who: string;
  readonly why: string;
}

export interface ResetSubscriptionResponse {
  readonly generation: number;
  readonly partitions: readonly PartitionReset[];
}

export interface PartitionReset {
  readonly partition: number;
  readonly fromOffset: number;
  readonly toOffset: number;
  readonly repeatedMessages: number;
  readonly skippedMessages: number;
}

export interface PauseSubscriptionRequest {
  readonly topic: string;
  readonly name: string;
  readonly group: string;
  readonly who: string;
  readonly why: string;
}

export type PauseSubscriptionResponse = Record<never, never>;

export interface ResumeSubscriptionRequest {
  readonly topic: string;
  readonly name: string;
  readonly group: string;
  readonly who: string;
  readonly why: string;
}

export type ResumeSubscriptionResponse = Record<never, never>;

export interface RewindGroupRequest {
  readonly topic: string;
  readonly name: string;
  readonly group: string;
  readonly sequence: number;
  readonly who: string;
  readonly why: string;
}

export interface RewindGroupResponse {
  readonly repeatedMessages: number;
}

export interface ExplainGroupRequest {
  readonly topic: string;
  readonly name: string;
  readonly group: string;
}

/** Values of GroupState. */
export const GROUP_STATE_DRAINED = 0;
export const GROUP_STATE_READY = 1;
export const GROUP_STATE_HELD = 2;
export const GROUP_STATE_DELAYED = 3;
export const GROUP_STATE_PARKED = 4;
export const GROUP_STATE_PAUSED = 5;
export const GROUP_STATE_DEAD_LETTERING = 6;
export const GROUP_STATE_WAITING_FOR_HOLDER = 7;

export interface ExplainGroupResponse {
  readonly group: string;
  readonly partition: number;
  readonly life: number;
  readonly state: number;
  readonly sinceMs: number;
  readonly settledSequence: number;
  readonly lastSequence: number;
  readonly failures: number;
  readonly consumer: string;
  readonly tokenEpoch: number;
  readonly tokenCounter: number;
  readonly deliveredSequence: number;
  readonly untilMs: number;
  readonly why: string;
  readonly next: string;
}

export interface ListParkedGroupsRequest {
  readonly topic: string;
  readonly name: string;
}

export interface ListParkedGroupsResponse {
  readonly groups: readonly ParkedGroup[];
}

export interface ParkedGroup {
  readonly group: string;
  readonly partition: number;
  readonly life: number;
  readonly headSequence: number;
  readonly headOffset: number;
  readonly waiting: number;
  readonly failures: number;
  readonly reason: string;
  readonly sinceMs: number;
}

/** Values of GroupResolution. */
export const GROUP_RESOLUTION_UNSPECIFIED = 0;
export const GROUP_RESOLUTION_RETRY = 1;
export const GROUP_RESOLUTION_SKIP = 2;
export const GROUP_RESOLUTION_REPLACE = 3;
export const GROUP_RESOLUTION_DISCARD = 4;

export interface ResolveGroupRequest {
  readonly topic: string;
  readonly name: string;
  readonly group: string;
  readonly resolution: number;
  readonly headSequence: number;
  readonly who: string;
  readonly why: string;
  readonly replacement: ReplacementMessage | null;
}

export interface ResolveGroupResponse {
  readonly settledMessages: number;
  readonly waitingMessages: number;
}

export interface ListSubscriptionActionsRequest {
  readonly topic: string;
  readonly name: string;
  readonly group: string;
  readonly limit: number;
}

export interface ListSubscriptionActionsResponse {
  readonly actions: readonly SubscriptionAction[];
}

export interface SubscriptionAction {
  readonly timeMs: number;
  readonly action: string;
  readonly group: string;
  readonly sequence: number;
  readonly who: string;
  readonly why: string;
}

/** A Message as an operator gives it in place of another. */
export interface ReplacementMessage {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly messageGroup: string;
  readonly headers: readonly Header[];
  readonly producerTimestampMs: number;
}
