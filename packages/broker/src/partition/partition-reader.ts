/** Reads records below the high watermark: from the memory tail, else from segments. */
import { RefusalError } from '@seriatim/protocol';
import type { RecordStretch } from '../contracts.ts';
import type { PartitionConfig } from './config.ts';
import type { PartitionState } from './partition-state.ts';
import type { RecordSource } from './record-source.ts';
import { EVERY_GROUP, StretchBuilder } from './stretch-builder.ts';

/** What reading needs of the outside. */
export interface PartitionReaderOptions {
  readonly state: PartitionState;
  readonly source: RecordSource;
  readonly config: PartitionConfig;
}

/** See the head of this file. */
export class PartitionReader {
  readonly #state: PartitionState;
  readonly #source: RecordSource;
  readonly #config: PartitionConfig;

  constructor(options: PartitionReaderOptions) {
    this.#state = options.state;
    this.#source = options.source;
    this.#config = options.config;
  }

  /** See Partition.read. Rejects with OFFSET_OUT_OF_RANGE, or NOT_READY where this replica lacks the segment. */
  async read(offset: number, bytesMax: number, group: string | null): Promise<RecordStretch> {
    this.#checkRange(offset);
    const limit = this.#state.nextOffset;
    const number = group === null ? EVERY_GROUP : this.#find(group);
    const builder = new StretchBuilder(offset, bytesMax, number, limit);
    if (group !== null && (number < 0 || this.#state.records.lastOffset(number) < offset)) {
      builder.skipTo(limit);
      return builder.finish();
    }
    let looked = 0;
    while (builder.nextOffset < limit && !builder.full && looked < this.#config.scanBytesMax) {
      looked +=
        this.#readTail(builder, number, bytesMax) ?? (await this.#readSource(builder, number, bytesMax));
      // Without a filter one round gives something; a second one would only make the answer later.
      if (number === EVERY_GROUP) break;
    }
    return builder.finish();
  }

  #find(group: string): number {
    const bytes = Buffer.from(group, 'utf8');
    return this.#state.names.find(bytes, 0, bytes.length);
  }

  #checkRange(offset: number): void {
    const { lowWatermark, nextOffset } = this.#state;
    if (offset >= lowWatermark && offset <= nextOffset) return;
    throw new RefusalError(
      'OFFSET_OUT_OF_RANGE',
      `offset ${offset} is not stored: the partition holds ${lowWatermark} to ${nextOffset}`,
    );
  }

  /** Bytes looked at, or null when the tail does not reach back to the builder's offset. */
  #readTail(builder: StretchBuilder, group: number, bytesMax: number): number | null {
    const tail = this.#state.tail;
    if (builder.nextOffset < tail.firstOffset) return null;
    let looked = 0;
    for (const item of tail.from(
      builder.nextOffset,
      group === EVERY_GROUP ? bytesMax : this.#config.scanBytesMax,
    )) {
      if (builder.full) break;
      looked += item.entry.data.length;
      if (group === EVERY_GROUP || item.groups.includes(group)) builder.add(item.entry);
      else builder.skipTo(item.baseOffset + item.records);
    }
    return looked;
  }

  async #readSource(builder: StretchBuilder, group: number, bytesMax: number): Promise<number> {
    const from = builder.nextOffset;
    let looked = 1;
    if (group === EVERY_GROUP) {
      for (const entry of await this.#source.read(from, bytesMax)) {
        looked += entry.data.length;
        if (!builder.full) builder.add(entry);
      }
    } else {
      const found = await this.#source.readGroup(group, from, bytesMax);
      for (const entry of found.entries) {
        looked += entry.data.length;
        if (!builder.full) builder.add(entry);
      }
      if (!builder.full) builder.skipTo(found.nextOffset);
    }
    if (builder.nextOffset > from) return looked;
    this.#checkRange(from);
    throw new RefusalError(
      'NOT_READY',
      `offset ${from} is stored by the partition but not on this replica yet; read from another replica or later`,
    );
  }
}
