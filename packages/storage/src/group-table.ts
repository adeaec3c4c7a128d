/**
 * A table of whatever exists once per message group: dense numbers for keys, and columns of numbers beside them, all in typed
 * arrays, so that a million groups are no load on the garbage collector and an image is a copy.
 *
 * Deterministic: the same inserts and removals in the same order give the same numbers and the same image on every node,
 * also after a restore in between.
 */
import { GroupSlots, hashBytes } from './group-slots.ts';
import { encodeGroupTable, type GroupTableContent, readGroupTable } from './group-table-image.ts';
import { invariant } from './invariant.ts';
import { KeySlab } from './key-slab.ts';

/** Types of a column: unsigned and signed integers by bits, and 64-bit floats (whole numbers up to 2^53). */
export type ColumnType = 'u8' | 'u16' | 'u32' | 'i32' | 'f64';

/** The typed array that holds a column. */
export type ColumnArray<T extends ColumnType> = T extends 'u8'
  ? Uint8Array
  : T extends 'u16'
    ? Uint16Array
    : T extends 'u32'
      ? Uint32Array
      : T extends 'i32'
        ? Int32Array
        : Float64Array;

/** Any column's array. */
export type AnyColumn = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array;

/** Columns by name. */
export type Columns = Readonly<Record<string, ColumnType>>;

/** What a table is made of. */
export interface GroupTableOptions<C extends Columns> {
  /** Each number has one value per column, 0 after an insert. */
  readonly columns: C;
  /** Varies the hash from process to process, so that nobody can choose keys that collide. Default 0. */
  readonly seed?: number;
}

const CAPACITY_MIN = 256;

/** See the head of this file. Memory per group: key + 14 to 21 bytes + columns, and up to a quarter more for growth. */
export class GroupTable<C extends Columns> {
  readonly #columnTypes: C;
  readonly #columns = new Map<string, AnyColumn>();
  readonly #slab = new KeySlab();
  readonly #slots: GroupSlots;
  readonly #seed: number;
  /** Free numbers, the one freed last first: it is the next to be given. */
  readonly #free: number[] = [];
  #capacity = CAPACITY_MIN;
  #end = 0;
  #size = 0;

  constructor(options: GroupTableOptions<C>) {
    this.#columnTypes = options.columns;
    this.#seed = options.seed ?? 0;
    this.#slots = new GroupSlots(this.#slab);
    for (const [name, type] of Object.entries(options.columns)) {
      this.#columns.set(name, newColumn(type, this.#capacity));
    }
  }

  /** Groups in the table. */
  get size(): number {
    return this.#size;
  }

  /** One above the highest number in use or free: numbers are below it. */
  get end(): number {
    return this.#end;
  }

  /** Memory held, in bytes. */
  get memoryBytes(): number {
    let bytes = this.#slab.memoryBytes + this.#slots.memoryBytes + this.#free.length * 8;
    for (const column of this.#columns.values()) bytes += column.byteLength;
    return bytes;
  }

  /** The number of the group whose key is `bytes[start, end)`, or -1. Does not allocate. */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.#slots.find(hashBytes(bytes, start, end, this.#seed), bytes, start, end);
  }

  /**
   * The number of a group, given now if it is not in the table. The number freed last is used first, else the next new one;
   * its columns are 0. The arrays given by {@link column} before may be stale after it.
   */
  insert(bytes: Uint8Array, start: number, end: number): number {
    const hash = hashBytes(bytes, start, end, this.#seed);
    const found = this.#slots.find(hash, bytes, start, end);
    if (found >= 0) return found;
    const number = this.#free.pop() ?? this.#end;
    this.#slab.add(number, bytes, start, end);
    if (number === this.#end) this.#end++;
    if (this.#end > this.#capacity) this.#grow(Math.ceil(this.#capacity * 1.25));
    this.#slots.add(number, hash);
    this.#size++;
    return number;
  }

  /** Removes a group; its number will be given again. */
  remove(number: number): void {
    invariant(this.#slab.has(number), `group ${number} is not in the table`);
    this.#slots.remove(number);
    this.#slab.remove(number);
    for (const column of this.#columns.values()) column[number] = 0;
    this.#free.push(number);
    this.#size--;
  }

  /** Whether a number is in use. */
  has(number: number): boolean {
    return this.#slab.has(number);
  }

  /** A copy of a group's key. */
  keyBytes(number: number): Uint8Array {
    return this.#slab.view(number).slice();
  }

  /** A group's key as text. */
  key(number: number): string {
    return decoder.decode(this.#slab.view(number));
  }

  /** A column's values by number, for reading and writing. Fetch it again after an insert: growth replaces it. */
  column<N extends keyof C & string>(name: N): ColumnArray<C[N]> {
    const column = this.#columns.get(name);
    invariant(column !== undefined, `no column ${name}`);
    return column as ColumnArray<C[N]>;
  }

  /** Numbers in use, rising. */
  *numbers(): Iterable<number> {
    for (let number = 0; number < this.#end; number++) {
      if (this.#slab.has(number)) yield number;
    }
  }

  /**
   * The whole table in chunks of at most 64 KiB, each a copy. To be taken to the end before the table changes. Equal tables
   * give equal images, whatever the seed.
   */
  image(): Iterable<Uint8Array> {
    return encodeGroupTable({
      end: this.#end,
      size: this.#size,
      free: this.#free,
      keyBytes: this.#slab.keyBytes,
      columns: Object.entries(this.#columnTypes).map(([name, type]) => ({ name, type })),
      key: (number) => (this.#slab.has(number) ? this.#slab.view(number) : null),
      column: (name) => this.column(name).subarray(0, this.#end),
    });
  }

  /**
   * A table from an image. Takes just the table's chunks from `chunks`, so that an image may hold more behind them. A column
   * that the image does not have is 0; one that the table does not declare is refused.
   */
  static restore<C extends Columns>(
    options: GroupTableOptions<C>,
    chunks: Iterator<Uint8Array>,
  ): GroupTable<C> {
    const table = new GroupTable(options);
    table.#fill(readGroupTable(chunks));
    return table;
  }

  #fill(content: GroupTableContent): void {
    this.#grow(Math.max(content.end, CAPACITY_MIN));
    this.#end = content.end;
    let position = 0;
    for (let number = 0; number < content.end; number++) {
      const length = content.lengths[number] as number;
      if (length === 0) continue;
      const end = position + length;
      this.#slab.add(number, content.keys, position, end);
      this.#slots.add(number, hashBytes(content.keys, position, end, this.#seed));
      position = end;
      this.#size++;
    }
    for (const number of content.free) this.#free.push(number);
    for (const { name, type, values } of content.columns) {
      invariant(
        this.#columnTypes[name] === type,
        `image holds a column ${name} of type ${type}, not declared`,
      );
      this.#columns.get(name)?.set(values);
    }
  }

  #grow(capacity: number): void {
    if (capacity <= this.#capacity) return;
    this.#capacity = capacity;
    for (const [name, type] of Object.entries(this.#columnTypes)) {
      const grown = newColumn(type, capacity);
      grown.set(this.column(name));
      this.#columns.set(name, grown);
    }
  }
}

const decoder = new TextDecoder();

/** A column's array of `length` zeros. */
export function newColumn(type: ColumnType, length: number): AnyColumn {
  switch (type) {
    case 'u8':
      return new Uint8Array(length);
    case 'u16':
      return new Uint16Array(length);
    case 'u32':
      return new Uint32Array(length);
    case 'i32':
      return new Int32Array(length);
    case 'f64':
      return new Float64Array(length);
  }
}
