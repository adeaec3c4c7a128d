// For simulations: the rooms of a node above its ports, without gRPC, disk and process.

export type {
  LeaderDirectory,
  LocalPartitions,
  Offset,
  Partition,
  TopicId,
  TopicView,
} from './contracts.ts';
export { LeaderAdministration } from './front/administration-caller.ts';
export { FrontDoor } from './front/front-door.ts';
export { MetaAdmin } from './meta/admin.ts';
export { MetaClient } from './meta/client.ts';
export { encodeCommand } from './meta/command-codec.ts';
export type { MetaCommand } from './meta/model.ts';
export { GatheringRouteAssigner } from './meta/route-assigner.ts';
export { Router } from './meta/router.ts';
export { MetaState } from './meta/state.ts';
export { MetaSubscriptionAdmin } from './meta/subscription-admin.ts';
export { defaultPeerCallLimits, FramedPeerCalls } from './node/peer-calls.ts';
export {
  defaultPartitionConfig,
  encodePosition,
  type OpenPartition,
  openPartition,
  type RecordSource,
} from './partition/index.ts';
