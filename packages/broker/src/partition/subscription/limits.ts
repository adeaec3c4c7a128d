import type { SubscriptionLimits } from '../../consume-contracts.ts';
import { ACTIONS_KEPT } from './subscription-state.ts';

/** Values that suit tens of partitions on a node with 2 GiB. */
export const defaultSubscriptionLimits: SubscriptionLimits = Object.freeze({
  consumersMax: 1_000,
  readAheadBytesMax: 2 * 1024 * 1024,
  groupReadAheadMax: 1_024,
  floorDistanceMax: 262_144,
  groupInFlightMax: 1_024,
  deliveryBytesMax: 256 * 1024,
  catchUpReadsMax: 4,
  progressRowsMax: 4_096,
  progressMilliseconds: 5,
  progressInFlightMax: 4,
  unansweredRowsMax: 65_536,
  comeBackMilliseconds: 2_000,
  actionsMax: ACTIONS_KEPT,
  replacementBytesMax: 16 * 1024 * 1024,
  reasonBytesMax: 1_024,
});
