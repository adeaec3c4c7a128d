/**
 * Retention by age and size. The leader decides, by whole segments of its own; a command tells all replicas, so that all
 * agree on the low watermark. Age decides nothing while the leader's clock can not be trusted.
 */
import type { SegmentView } from './record-source.ts';

/** What may be kept; 0: no limit. */
export interface RetentionLimits {
  readonly retentionMilliseconds: number;
  readonly retentionBytes: number;
}

/** Where the log may begin. */
export interface RetentionCut {
  readonly lowWatermark: number;
  readonly firstIndex: number;
}

/**
 * The oldest segments that are too old, or stand for bytes above the limit, in one cut; null: nothing to remove. The bytes kept
 * may exceed the limit by less than a segment. `wallTime` null: the clock is not trusted. Nothing from `neededFrom` on is removed.
 */
export function decideRetention(
  segments: readonly SegmentView[],
  limits: RetentionLimits,
  wallTime: number | null,
  neededFrom: number = Number.POSITIVE_INFINITY,
): RetentionCut | null {
  let kept = 0;
  for (const segment of segments) kept += segment.bytes;
  let cut: RetentionCut | null = null;
  for (const segment of segments) {
    kept -= segment.bytes;
    const tooMuch = limits.retentionBytes > 0 && kept >= limits.retentionBytes;
    const tooOld =
      wallTime !== null &&
      limits.retentionMilliseconds > 0 &&
      segment.lastTimestamp < wallTime - limits.retentionMilliseconds;
    if (!segment.closed || !(tooMuch || tooOld) || segment.nextOffset > neededFrom) break;
    cut = { lowWatermark: segment.nextOffset, firstIndex: segment.lastIndex + 1 };
  }
  return cut;
}
