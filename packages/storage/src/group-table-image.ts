/**
 * The image of a {@link GroupTable}: a head chunk (JSON-free, fixed fields), then lengths of the keys, free numbers, keys and
 * columns, each cut in chunks. Numbers are little-endian as in the arrays themselves: all machines that Node runs on are.
 */
import type { AnyColumn, ColumnType } from './group-table.ts';
import { invariant } from './invariant.ts';

const VERSION = 1;
const CHUNK_BYTES = 64 * 1024;
const HEAD_BYTES = 24;
const COLUMN_TYPES: readonly ColumnType[] = ['u8', 'u16', 'u32', 'i32', 'f64'];

interface ColumnHead {
  readonly name: string;
  readonly type: ColumnType;
}

/** What the encoder needs to see of a table. */
export interface GroupTableSource {
  readonly end: number;
  readonly size: number;
  readonly free: readonly number[];
  readonly keyBytes: number;
  readonly columns: readonly ColumnHead[];
  readonly key: (number: number) => Uint8Array | null;
  readonly column: (name: string) => AnyColumn;
}

/** What an image holds. */
export interface GroupTableContent {
  readonly end: number;
  /** Per number the length of its key, 0: free. */
  readonly lengths: Uint16Array;
  readonly free: Uint32Array;
  /** Keys one behind the other, in the order of their numbers. */
  readonly keys: Uint8Array;
  readonly columns: readonly (ColumnHead & { readonly values: AnyColumn })[];
}

/** Cuts a table into chunks. */
export function* encodeGroupTable(source: GroupTableSource): Iterable<Uint8Array> {
  yield encodeHead(source);
  const lengths = new Uint16Array(source.end);
  const keys = new Uint8Array(source.keyBytes);
  let position = 0;
  for (let number = 0; number < source.end; number++) {
    const key = source.key(number);
    if (key === null) continue;
    lengths[number] = key.length;
    keys.set(key, position);
    position += key.length;
  }
  yield* cut(lengths);
  yield* cut(Uint32Array.from(source.free));
  yield* cut(keys);
  for (const { name } of source.columns) yield* cut(source.column(name));
}

/** Reads the chunks of one table, and no more. */
export function readGroupTable(chunks: Iterator<Uint8Array>): GroupTableContent {
  const head = next(chunks);
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  invariant(
    view.getUint8(0) === VERSION,
    `group table image of version ${view.getUint8(0)}, known is ${VERSION}`,
  );
  const columnCount = view.getUint16(2, true);
  const end = view.getUint32(4, true);
  const freeCount = view.getUint32(8, true);
  const keyBytes = Number(view.getBigUint64(16, true));
  const heads = decodeColumns(head.subarray(HEAD_BYTES), columnCount);
  const lengths = new Uint16Array(join(chunks, end * 2).buffer);
  const free = new Uint32Array(join(chunks, freeCount * 4).buffer);
  const keys = join(chunks, keyBytes);
  const columns = heads.map((column) => ({ ...column, values: readColumn(chunks, column.type, end) }));
  return { end, lengths, free, keys, columns };
}

/** Version, -, columns (2), end (4), free (4), size (4), key bytes (8); then per column type, length of name, name. */
function encodeHead(source: GroupTableSource): Uint8Array {
  const names = source.columns.map(({ name }) => new TextEncoder().encode(name));
  const head = new Uint8Array(HEAD_BYTES + names.reduce((sum, name) => sum + 2 + name.length, 0));
  const view = new DataView(head.buffer);
  view.setUint8(0, VERSION);
  view.setUint16(2, names.length, true);
  view.setUint32(4, source.end, true);
  view.setUint32(8, source.free.length, true);
  view.setUint32(12, source.size, true);
  view.setBigUint64(16, BigInt(source.keyBytes), true);
  let position = HEAD_BYTES;
  source.columns.forEach(({ type }, i) => {
    const name = names[i] ?? new Uint8Array();
    head[position] = COLUMN_TYPES.indexOf(type);
    head[position + 1] = name.length;
    head.set(name, position + 2);
    position += 2 + name.length;
  });
  return head;
}

function decodeColumns(bytes: Uint8Array, count: number): ColumnHead[] {
  const columns: ColumnHead[] = [];
  let position = 0;
  for (let i = 0; i < count; i++) {
    const type = COLUMN_TYPES[bytes[position] ?? -1];
    invariant(type !== undefined, `group table image with column type ${bytes[position]}`);
    const nameEnd = position + 2 + (bytes[position + 1] ?? 0);
    columns.push({ name: new TextDecoder().decode(bytes.subarray(position + 2, nameEnd)), type });
    position = nameEnd;
  }
  return columns;
}

function readColumn(chunks: Iterator<Uint8Array>, type: ColumnType, length: number): AnyColumn {
  switch (type) {
    case 'u8':
      return join(chunks, length);
    case 'u16':
      return new Uint16Array(join(chunks, length * 2).buffer);
    case 'u32':
      return new Uint32Array(join(chunks, length * 4).buffer);
    case 'i32':
      return new Int32Array(join(chunks, length * 4).buffer);
    case 'f64':
      return new Float64Array(join(chunks, length * 8).buffer);
  }
}

function* cut(column: AnyColumn): Iterable<Uint8Array> {
  for (let from = 0; from < column.byteLength; from += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, column.byteLength - from);
    yield new Uint8Array(column.buffer, column.byteOffset + from, length).slice();
  }
}

function join(chunks: Iterator<Uint8Array>, bytes: number): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(bytes);
  for (let position = 0; position < bytes; ) {
    const chunk = next(chunks);
    invariant(position + chunk.length <= bytes, 'group table image: a chunk is longer than its column');
    joined.set(chunk, position);
    position += chunk.length;
  }
  return joined;
}

function next(chunks: Iterator<Uint8Array>): Uint8Array {
  const { value, done } = chunks.next();
  invariant(done !== true, 'group table image: a chunk is missing');
  return value;
}
