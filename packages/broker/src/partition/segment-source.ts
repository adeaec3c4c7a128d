/** {@link RecordSource} over the node's segments. Damaged bytes are never given: the reader is told to ask another replica. */
import type { ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Index } from '@seriatim/raft';
import type { Damaged, SegmentReader } from '@seriatim/storage';
import type { RecordSource, SegmentView } from './record-source.ts';

/** The records of one shard in `reader`. */
export function segmentSource(reader: SegmentReader, shard: ShardId): RecordSource {
  return {
    read: async (offset, bytesMax) => {
      const found = await reader.readByOffset(shard, offset, bytesMax);
      if (found.type === 'damaged') throw damaged(found, offset);
      return found.type === 'below' ? [] : found.records.map(({ entry }) => entry);
    },
    readGroup: async (group, offset, bytesMax) => {
      const found = await reader.readGroup(shard, group, offset, bytesMax);
      if (found.type === 'damaged') throw damaged(found, offset);
      return { entries: found.records.map(({ entry }) => entry), nextOffset: found.nextOffset };
    },
    segments: () => viewsOf(reader, shard),
    removeBefore: (firstIndex) => reader.removeBefore(shard, firstIndex as Index),
  };
}

function viewsOf(reader: SegmentReader, shard: ShardId): SegmentView[] {
  let nextOffset = 0;
  return reader.segments(shard).map(({ lastIndex, endOffset, lastTimestamp, bytes, closed }) => {
    // A segment without records ends where the one before it ends.
    nextOffset = Math.max(nextOffset, endOffset);
    return { lastIndex, nextOffset, lastTimestamp, bytes, closed };
  });
}

function damaged({ reason }: Damaged, offset: number): RefusalError {
  const message = `records at offset ${offset} can not be read on this replica (${reason}); read from another one`;
  return new RefusalError('NOT_READY', message);
}
