export { type FileSystemFixture, fileSystemConformance } from './file-system.ts';
export { type KeyValueFixture, keyValueStoreConformance } from './key-value-store.ts';
export { type LogStoreFixture, logStoreConformance } from './log-store.ts';
export type { Suite } from './suite.ts';
