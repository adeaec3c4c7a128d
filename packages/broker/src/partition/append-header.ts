/** The parsed header of an append command, in columns. The layout is in command.ts. */
import { ByteReader } from './byte-reader.ts';
import { COMMAND_APPEND, commandKind } from './command.ts';
import { mustHold, ShardFault } from './shard-fault.ts';

/** A run without message group (plain Produce). */
export const NO_GROUP = -1;

/**
 * One header at a time: {@link read} fills the columns, which the next read overwrites. Keep one for each place that reads, so
 * that no allocation is made per entry.
 */
export class AppendHeader {
  timestamp = 0;
  baseOffset = 0;
  records = 0;
  bodyStart = 0;
  runs = 0;
  /** Group number, or {@link NO_GROUP}. */
  group: number[] = [];
  count: number[] = [];
  life: number[] = [];
  firstSequence: number[] = [];
  /** 0: not idempotent. */
  producer: number[] = [];
  epoch: number[] = [];
  producerSequence: number[] = [];
  checksum: number[] = [];
  /** End of the run in the entry's data. */
  bodyEnd: number[] = [];
  newGroups = 0;
  newGroup: number[] = [];
  /** Where the new group's name lies in the entry's data. */
  nameStart: number[] = [];
  nameEnd: number[] = [];

  readonly #producers: number[] = [];
  readonly #epochs: number[] = [];
  readonly #reader = new ByteReader((message) => new ShardFault(`append command: ${message}`));

  /** Throws {@link ShardFault} for bytes that are no append command of a known version. */
  read(data: Uint8Array): void {
    mustHold(commandKind(data) === COMMAND_APPEND, 'not an append command');
    const reader = this.#reader;
    reader.open(data, 2);
    const bodyStart = reader.u32();
    mustHold(bodyStart <= data.length, 'append command: header runs over its end');
    reader.open(data, 6, bodyStart);
    this.bodyStart = bodyStart;
    this.timestamp = reader.varint();
    this.baseOffset = reader.varint();
    this.records = reader.varint();
    this.#readTables(reader);
    this.#readRuns(reader, data.length);
    mustHold(reader.remaining === 0, 'append command: header is longer than its content');
  }

  #readTables(reader: ByteReader): void {
    const producers = reader.varint();
    for (let at = 0; at < producers; at++) {
      this.#producers[at] = reader.varint();
      this.#epochs[at] = reader.varint();
    }
    this.#producers.length = producers;
    const newGroups = reader.varint();
    this.newGroups = newGroups;
    for (let at = 0; at < newGroups; at++) {
      this.newGroup[at] = reader.varint();
      const length = reader.varint();
      const start = reader.skip(length);
      this.nameStart[at] = start;
      this.nameEnd[at] = start + length;
    }
  }

  #readRuns(reader: ByteReader, dataLength: number): void {
    const runs = reader.varint();
    this.runs = runs;
    let body = this.bodyStart;
    let records = 0;
    for (let run = 0; run < runs; run++) {
      const group = reader.varint() - 1;
      const place = reader.varint();
      const count = reader.varint();
      mustHold(place <= this.#producers.length, 'append command: producer outside its table');
      this.group[run] = group;
      this.count[run] = count;
      this.life[run] = group < 0 ? 0 : reader.varint();
      this.firstSequence[run] = group < 0 ? 0 : reader.varint();
      this.producer[run] = place === 0 ? 0 : (this.#producers[place - 1] as number);
      this.epoch[run] = place === 0 ? 0 : (this.#epochs[place - 1] as number);
      this.producerSequence[run] = place === 0 ? 0 : reader.varint();
      this.checksum[run] = reader.u32();
      body += reader.varint();
      this.bodyEnd[run] = body;
      records += count;
    }
    mustHold(body === dataLength, 'append command: body lengths do not add up');
    mustHold(records === this.records, 'append command: record counts do not add up');
  }
}
