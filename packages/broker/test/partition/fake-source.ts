import type { Entry } from '@seriatim/raft';
import { AppendHeader } from '../../src/partition/append-header.ts';
import { COMMAND_APPEND, commandKind } from '../../src/partition/command.ts';
import type { GroupEntries, RecordSource, SegmentView } from '../../src/partition/record-source.ts';
import type { FakeShard } from './fake-shard.ts';

/** Committed entries of a fake shard as if they lay in segments. */
export class FakeSource implements RecordSource {
  shard: FakeShard | null = null;
  list: SegmentView[] = [];
  removed: number[] = [];
  reads = 0;
  groupReads = 0;
  /** True: the segments are missing. */
  empty = false;

  read(offset: number, bytesMax: number): Promise<readonly Entry[]> {
    this.reads++;
    const found: Entry[] = [];
    let bytes = 0;
    for (const { entry, header } of this.#appends()) {
      if (header.baseOffset + header.records <= offset) continue;
      if (bytes > 0 && bytes >= bytesMax) break;
      found.push(entry);
      bytes += entry.data.length;
    }
    return Promise.resolve(found);
  }

  readGroup(group: number, offset: number, bytesMax: number): Promise<GroupEntries> {
    this.groupReads++;
    const entries: Entry[] = [];
    let nextOffset = offset;
    let bytes = 0;
    for (const { entry, header } of this.#appends()) {
      const end = header.baseOffset + header.records;
      if (end <= offset) continue;
      if (bytes > 0 && bytes >= bytesMax) break;
      nextOffset = end;
      if (!header.group.slice(0, header.runs).includes(group)) continue;
      entries.push(entry);
      bytes += entry.data.length;
    }
    return Promise.resolve({ entries, nextOffset });
  }

  segments(): readonly SegmentView[] {
    return this.list;
  }

  removeBefore(firstIndex: number): void {
    this.removed.push(firstIndex);
  }

  *#appends(): Generator<{ entry: Entry; header: AppendHeader }> {
    if (this.shard === null || this.empty) return;
    const header = new AppendHeader();
    for (const entry of this.shard.log.slice(0, this.shard.committed)) {
      if (entry.type !== 'command' || commandKind(entry.data) !== COMMAND_APPEND) continue;
      header.read(entry.data);
      yield { entry, header };
    }
  }
}
