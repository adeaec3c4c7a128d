/** A partition's records out of the node's segments: {@link RecordSource} over the store's reader. */
import type { ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Index } from '@seriatim/raft';
import type { SegmentReader } from '@seriatim/storage';
import type { RecordSource } from '../partition/index.ts';

/** Damaged bytes are refused, not served: the reader asks another replica. */
export function segmentSource(
  reader: SegmentReader,
  shard: ShardId,
  onDamage: (reason: string) => void,
): RecordSource {
  const damaged = (reason: string): RefusalError => {
    onDamage(reason);
    return new RefusalError('INTERNAL', `records of shard ${shard} are damaged on this node: ${reason}`);
  };
  return {
    read: async (offset, bytesMax) => {
      const found = await reader.readByOffset(shard, offset, bytesMax);
      if (found.type === 'damaged') throw damaged(found.reason);
      return found.type === 'below' ? [] : found.records.map(({ entry }) => entry);
    },
    readGroup: async (group, offset, bytesMax) => {
      const found = await reader.readGroup(shard, group, offset, bytesMax);
      if (found.type === 'damaged') throw damaged(found.reason);
      return { entries: found.records.map(({ entry }) => entry), nextOffset: found.nextOffset };
    },
    segments: () => {
      // A segment without records (no-ops, members) ends where the one before it does.
      let nextOffset = 0;
      return reader.segments(shard).map(({ lastIndex, endOffset, lastTimestamp, bytes, closed }) => {
        nextOffset = Math.max(nextOffset, endOffset);
        return { lastIndex, nextOffset, lastTimestamp, bytes, closed };
      });
    },
    removeBefore: (firstIndex) => reader.removeBefore(shard, firstIndex as Index),
  };
}
