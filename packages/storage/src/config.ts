/** Limits and times of a node's storage. All bytes and milliseconds are whole numbers. */
export interface StorageConfig {
  /** Size of a journal file; a flush that is larger makes its file larger. */
  readonly journalFileBytes: number;
  /** Above this much journal, shards that keep the oldest file are told to write an image, or are copied forward. */
  readonly journalBytesMax: number;
  /** A shard with this much journal above its image is due for one. */
  readonly checkpointBytes: number;
  /** Quiet time after a flush before the empty frame that proves it is written. */
  readonly quietMilliseconds: number;
  /** A segment is closed when it is this large. */
  readonly segmentBytes: number;
  /** Segments are written in pieces of this size… */
  readonly segmentPieceBytes: number;
  /** …or when the oldest unwritten entry is this old. */
  readonly segmentDelayMilliseconds: number;
  /** Bytes of a segment between two entries of its position index in memory. */
  readonly segmentIndexStrideBytes: number;
  /** Newest written entries of a shard that stay in memory for readers at the end. */
  readonly tailBytesMax: number;
  /** Below this much free space the status is `refuse`. */
  readonly freeBytesRefuse: number;
  /** Below this much free space the status is `stop` and the node ends by `onFault`. */
  readonly freeBytesStop: number;
  /** How often free space is looked at; it is also looked at when this much was written. */
  readonly freeCheckMilliseconds: number;
  readonly freeCheckBytes: number;
}

const KIB = 1_024;
const MIB = 1_024 * KIB;
/** Room for the head, a frame and its proof. */
const JOURNAL_FILE_BYTES_MIN = 4 * KIB;

/** What a node uses unless told otherwise. */
export const defaultStorageConfig: StorageConfig = Object.freeze({
  journalFileBytes: 64 * MIB,
  journalBytesMax: 512 * MIB,
  checkpointBytes: 32 * MIB,
  quietMilliseconds: 20,
  segmentBytes: 64 * MIB,
  segmentPieceBytes: 256 * KIB,
  segmentDelayMilliseconds: 1_000,
  segmentIndexStrideBytes: 32 * KIB,
  tailBytesMax: 1 * MIB,
  freeBytesRefuse: 1_024 * MIB,
  freeBytesStop: 256 * MIB,
  freeCheckMilliseconds: 2_000,
  freeCheckBytes: 64 * MIB,
});

/** The whole configuration, checked and frozen. Throws a RangeError that names the setting, its value and what it must be. */
export function storageConfig(change: Partial<StorageConfig> = {}): StorageConfig {
  const config = { ...defaultStorageConfig, ...change };
  for (const [name, value] of Object.entries(config)) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new RangeError(`storage: ${name} is ${value}, it must be a whole number and not negative`);
    }
  }
  const atLeast = (name: keyof StorageConfig, least: number): void => {
    if (config[name] < least)
      throw new RangeError(`storage: ${name} is ${config[name]}, it must be at least ${least}`);
  };
  atLeast('journalFileBytes', JOURNAL_FILE_BYTES_MIN);
  atLeast('journalBytesMax', 3 * config.journalFileBytes);
  atLeast('segmentPieceBytes', 1);
  atLeast('segmentBytes', 1);
  atLeast('freeBytesRefuse', config.freeBytesStop);
  return Object.freeze(config);
}
