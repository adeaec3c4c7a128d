/** Writes append commands; the layout is in command.ts. */
import { ByteWriter } from './byte-writer.ts';
import { COMMAND_APPEND, COMMAND_VERSION } from './command.ts';

/** Gathers one entry: {@link begin}, then producers, groups, runs and body in any order that keeps runs and body alike, {@link finish}. */
export class AppendBuilder {
  readonly #producers = new ByteWriter(256);
  readonly #names = new ByteWriter(1024);
  readonly #rows = new ByteWriter(4096);
  readonly #head = new ByteWriter(64);
  #producerCount = 0;
  #nameCount = 0;
  #runs = 0;
  #records = 0;
  #timestamp = 0;
  #baseOffset = 0;
  #bodyBytes = 0;
  #bodies: Uint8Array[] = [];

  get runs(): number {
    return this.#runs;
  }

  get records(): number {
    return this.#records;
  }

  begin(timestamp: number, baseOffset: number): void {
    this.#producers.reset();
    this.#names.reset();
    this.#rows.reset();
    this.#head.reset();
    this.#producerCount = 0;
    this.#nameCount = 0;
    this.#runs = 0;
    this.#records = 0;
    this.#bodyBytes = 0;
    this.#bodies = [];
    this.#timestamp = timestamp;
    this.#baseOffset = baseOffset;
  }

  /** Adds a producer to the table; returns its place for {@link run}. */
  producer(id: number, epoch: number): number {
    this.#producers.varint(id);
    this.#producers.varint(epoch);
    return ++this.#producerCount;
  }

  newGroup(group: number, bytes: Uint8Array, start: number, end: number): void {
    this.#names.varint(group);
    this.#names.varint(end - start);
    this.#names.bytes(bytes, start, end);
    this.#nameCount++;
  }

  /** `group` is a group number or NO_GROUP, `producerPlace` what {@link producer} returned (0: not idempotent). */
  run(
    group: number,
    producerPlace: number,
    count: number,
    life: number,
    firstSequence: number,
    producerSequence: number,
    checksum: number,
    bodyBytes: number,
  ): void {
    const rows = this.#rows;
    rows.varint(group + 1);
    rows.varint(producerPlace);
    rows.varint(count);
    if (group >= 0) {
      rows.varint(life);
      rows.varint(firstSequence);
    }
    if (producerPlace > 0) rows.varint(producerSequence);
    rows.u32(checksum);
    rows.varint(bodyBytes);
    this.#runs++;
    this.#records += count;
  }

  /** Bytes of the runs, in their order; copied by {@link finish}. */
  body(bytes: Uint8Array): void {
    this.#bodies.push(bytes);
    this.#bodyBytes += bytes.length;
  }

  /** The command, in memory of its own. */
  finish(): Uint8Array {
    const head = this.#head;
    head.varint(this.#timestamp);
    head.varint(this.#baseOffset);
    head.varint(this.#records);
    head.varint(this.#producerCount);
    head.bytes(this.#producers.view());
    head.varint(this.#nameCount);
    head.bytes(this.#names.view());
    head.varint(this.#runs);
    const bodyStart = 6 + head.length + this.#rows.length;
    // Not from the shared pool: the entry lives as long as caches want it and must not keep a neighbour's slab.
    const entry = Buffer.allocUnsafeSlow(bodyStart + this.#bodyBytes);
    entry[0] = COMMAND_VERSION;
    entry[1] = COMMAND_APPEND;
    entry.writeUInt32LE(bodyStart, 2);
    entry.set(head.view(), 6);
    entry.set(this.#rows.view(), 6 + head.length);
    let at = bodyStart;
    for (const body of this.#bodies) {
      entry.set(body, at);
      at += body.length;
    }
    this.#bodies = [];
    return entry;
  }
}
