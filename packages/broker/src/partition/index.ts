/** A partition's replica: its replicated state, appending where it leads, reading everywhere. */

export {
  decodeAppendAnswer,
  decodeAppendBatch,
  encodeAppendAnswer,
  encodeAppendBatch,
} from './append-codec.ts';
export { AppendHeader, NO_GROUP } from './append-header.ts';
export { COMMAND_APPEND, COMMAND_REMOVE_BEFORE, commandKind, decodeRemoveBefore } from './command.ts';
export { defaultPartitionConfig, type PartitionConfig } from './config.ts';
export { type OpenPartition, openPartition, type PartitionOptions } from './open-partition.ts';
// For the segments' dump and for checkers.
export { PartitionState } from './partition-state.ts';
export type { GroupEntries, RecordSource, SegmentView } from './record-source.ts';
export type { RetentionLimits } from './retention.ts';
export { ShardFault } from './shard-fault.ts';
export {
  decodeGroupStatuses,
  decodeGroupStatusRequest,
  decodePartitionStatus,
  decodePartitionStatusRequest,
  encodeGroupStatuses,
  encodeGroupStatusRequest,
  encodePartitionStatus,
  encodePartitionStatusRequest,
  type MemberStatus,
  type PartitionStatus,
  partitionStatus,
} from './status-codec.ts';
