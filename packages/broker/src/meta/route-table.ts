/** Routes of one topic: group → partition and epoch, in typed arrays. */
import { GroupTable } from '@seriatim/storage';
import { MetaFormatError } from './fields.ts';
import { PartitionChooser } from './partition-chooser.ts';

/** Bytes of a group's name. */
export const GROUP_BYTES_MAX = 256;

const OPTIONS = { columns: { partition: 'u16', epoch: 'f64' } } as const;

/** `kept`: the group has a route already. `full`: the topic is at its limit. `refused`: no group can have this name. */
export type AssignOutcome = 'assigned' | 'kept' | 'full' | 'refused';

/** One topic's part of the route table, with the loads that follow from it. */
export class RouteTable {
  readonly #partitions: number;
  readonly #groupsMax: number;
  readonly #chooser: PartitionChooser;
  #table: GroupTable<typeof OPTIONS.columns>;
  /** The table's columns; fetched again after an insert, which may replace them. */
  #partitionColumn: Uint16Array;
  #epochColumn: Float64Array;

  constructor(partitions: number, groupsMax: number, table?: GroupTable<typeof OPTIONS.columns>) {
    this.#partitions = partitions;
    this.#groupsMax = groupsMax;
    this.#chooser = new PartitionChooser(partitions);
    this.#table = table ?? new GroupTable(OPTIONS);
    this.#partitionColumn = this.#table.column('partition');
    this.#epochColumn = this.#table.column('epoch');
  }

  /** Groups with a route. */
  get count(): number {
    return this.#table.size;
  }
  /** Groups per partition. */
  get loads(): readonly number[] {
    return this.#chooser.loads;
  }
  /** Memory held, in bytes. */
  get memoryBytes(): number {
    return this.#table.memoryBytes;
  }

  /** Row of the group `bytes[start, end)`, or -1. Does not allocate. */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.#table.find(bytes, start, end);
  }
  /** Partition of a row. */
  partition(row: number): number {
    return this.#partitionColumn[row] ?? 0;
  }
  /** Epoch of a row: the log index that assigned it. */
  epoch(row: number): number {
    return this.#epochColumn[row] ?? 0;
  }

  /** Gives the group `bytes[start, end)` a route with this epoch, unless it has one. */
  assign(bytes: Uint8Array, start: number, end: number, epoch: number): AssignOutcome {
    if (end <= start || end - start > GROUP_BYTES_MAX) return 'refused';
    const before = this.#table.size;
    if (before >= this.#groupsMax) return this.#table.find(bytes, start, end) >= 0 ? 'kept' : 'full';
    const row = this.#table.insert(bytes, start, end);
    if (this.#table.size === before) return 'kept';
    this.#partitionColumn = this.#table.column('partition');
    this.#epochColumn = this.#table.column('epoch');
    this.#partitionColumn[row] = this.#chooser.choose(bytes.subarray(start, end));
    this.#epochColumn[row] = epoch;
    return 'assigned';
  }

  /** Takes a group's route away, if it has one. */
  remove(bytes: Uint8Array, start: number, end: number): void {
    const row = this.#table.find(bytes, start, end);
    if (row < 0) return;
    this.#chooser.remove(this.partition(row));
    this.#table.remove(row);
  }

  /** All routes, lazily. */
  *rows(): Iterable<{ readonly group: string; readonly partition: number; readonly epoch: number }> {
    for (const row of this.#table.numbers()) {
      yield { group: this.#table.key(row), partition: this.partition(row), epoch: this.epoch(row) };
    }
  }

  /** The table in chunks of at most 64 KiB, each a copy. */
  image(): Iterable<Uint8Array> {
    return this.#table.image();
  }

  /** A table from its chunks; takes no more of them than it wrote. */
  static restore(partitions: number, groupsMax: number, chunks: Iterator<Uint8Array>): RouteTable {
    const table = new RouteTable(partitions, groupsMax, GroupTable.restore(OPTIONS, chunks));
    table.#countLoads();
    return table;
  }

  #countLoads(): void {
    for (const row of this.#table.numbers()) {
      const partition = this.partition(row);
      if (partition >= this.#partitions) {
        throw new MetaFormatError(`a route leads to partition ${partition} of ${this.#partitions}`);
      }
      this.#chooser.add(partition);
    }
  }
}
