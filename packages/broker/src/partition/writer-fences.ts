/**
 * Epochs of named producers in one partition: what an older instance sends is refused. They are part of the replicated state; a leader
 * has a second one for what it has proposed. As many as a cluster has names, at most: they are never forgotten.
 */
import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';

/** See the head of this file. */
export class WriterFences {
  readonly #epochs = new Map<number, number>();

  /** The lowest epoch of the producer that is taken; 0: it is not fenced. */
  epoch(producer: number): number {
    return this.#epochs.size === 0 ? 0 : (this.#epochs.get(producer) ?? 0);
  }

  /** Epochs only rise. */
  raise(producer: number, epoch: number): void {
    if (epoch > this.epoch(producer)) this.#epochs.set(producer, epoch);
  }

  /** Forgets what is not above `epoch`: somebody else tells of it. */
  release(producer: number, epoch: number): void {
    if (this.epoch(producer) <= epoch) this.#epochs.delete(producer);
  }

  clear(): void {
    this.#epochs.clear();
  }

  /** Those of all producers, by rising id, in a form that an image can be written from in many steps. */
  rows(): readonly (readonly [producer: number, epoch: number])[] {
    return [...this.#epochs].sort(([a], [b]) => a - b);
  }

  static *write(rows: ReturnType<WriterFences['rows']>, writer: ByteWriter): Generator<void> {
    writer.varint(rows.length);
    for (const [producer, epoch] of rows) {
      writer.varint(producer);
      writer.varint(epoch);
      yield;
    }
  }

  static read(reader: ByteReader): WriterFences {
    const fences = new WriterFences();
    for (let left = reader.varint(); left > 0; left--) fences.raise(reader.varint(), reader.varint());
    return fences;
  }
}
