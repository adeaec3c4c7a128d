/** A partition's replica: its replicated state, appending where it leads, reading everywhere. */
export {
  decodeAppendAnswer,
  decodeAppendBatch,
  encodeAppendAnswer,
  encodeAppendBatch,
} from './append-codec.ts';
export { defaultPartitionConfig, type PartitionConfig } from './config.ts';
export { type OpenPartition, openPartition } from './open-partition.ts';
export type { RecordSource } from './record-source.ts';
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
export { answerAdministration, remoteAdministration } from './subscription/administration-codec.ts';
export { encodePosition } from './subscription/subscription-command.ts';
export {
  decodeWriterOpening,
  decodeWriterPositions,
  encodeWriterOpening,
  encodeWriterPositions,
} from './writer-codec.ts';
