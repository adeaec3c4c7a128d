/** Limits of one partition's replica; whole numbers. Defaults in {@link defaultPartitionConfig}. */
export interface PartitionConfig {
  /** Batches that wait together become one entry up to about this many bytes; a larger batch is an entry alone. */
  readonly entryBytesMax: number;
  /** Entries proposed and not yet settled; above it batches wait and gather, which makes entries larger under load. */
  readonly entriesInFlightMax: number;
  /** Openings of named producers proposed and not yet settled; above it OVERLOADED. */
  readonly openingsInFlightMax: number;
  /** Bytes of batches not yet answered; above it OVERLOADED. */
  readonly unansweredBytesMax: number;
  /** How long a batch waits for a leader that was elected but has not applied its no-op, milliseconds. */
  readonly unconfirmedWaitMilliseconds: number;
  /** Pause before a proposal that the core refused as too much uncommitted is tried again, milliseconds. */
  readonly proposeRetryMilliseconds: number;
  /** Applied entries kept in memory for readers, bytes. */
  readonly tailBytesMax: number;
  /** Bytes looked through for one filtered read that finds nothing. */
  readonly scanBytesMax: number;
  /** Waits for new records ({@link waitFor}) at a time; above it OVERLOADED. */
  readonly waitersMax: number;
  /** Milliseconds between two looks at what retention may remove. */
  readonly retentionIntervalMilliseconds: number;
}

/** Values that suit tens of partitions on a node with 2 GiB. */
export const defaultPartitionConfig: PartitionConfig = Object.freeze({
  entryBytesMax: 512 * 1024,
  entriesInFlightMax: 16,
  openingsInFlightMax: 64,
  unansweredBytesMax: 64 * 1024 * 1024,
  unconfirmedWaitMilliseconds: 80,
  proposeRetryMilliseconds: 5,
  tailBytesMax: 2 * 1024 * 1024,
  scanBytesMax: 4 * 1024 * 1024,
  waitersMax: 100_000,
  retentionIntervalMilliseconds: 10_000,
});
