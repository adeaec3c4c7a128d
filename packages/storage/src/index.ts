export { defaultStorageConfig, type StorageConfig } from './config.ts';
export { type DumpLines, dumpImages, dumpJournal, dumpSegments } from './dump.ts';
export type { FreeSpaceStatus } from './free-space.ts';
export {
  type AnyColumn,
  type ColumnArray,
  type Columns,
  type ColumnType,
  GroupTable,
  type GroupTableOptions,
} from './group-table.ts';
export { type Identity, IdentityKeeper, type IdentityRead, readIdentity } from './identity.ts';
export type { JournalStatistics } from './journal.ts';
export { openLevelStore } from './level-store.ts';
export { nodeFileSystem } from './node-file-system.ts';
export { NodeStore, type StorageStatistics } from './node-store.ts';
export {
  type DamagedShard,
  type LostNodeStore,
  type NodeStoreOptions,
  type OpenedNodeStore,
  openNodeStore,
} from './open-node-store.ts';
export * from './ports.ts';
export type { SegmentRecord } from './segment-format.ts';
export type { SegmentExtent, SegmentReader } from './segment-reader.ts';
export type { BelowFirst, Damaged, GroupFound, RecordsFound } from './segment-reading.ts';
