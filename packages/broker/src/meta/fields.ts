/** Hand-written checks for the few JSON documents of the meta room: a document that is not what it should be is a fault. */

/** A command, image or frame that this node cannot read: the shard stops and says why. */
export class MetaFormatError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MetaFormatError';
  }
}

/** A JSON object whose fields are still unchecked. */
export type Fields = Readonly<Record<string, unknown>>;

/** Takes `value` for an object, or throws {@link MetaFormatError} naming `what`. */
export function fields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MetaFormatError(`${what} must be an object`);
  }
  return value as Fields;
}

/** A safe integer of at least 0. */
export function whole(from: Fields, name: string): number {
  const value = from[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new MetaFormatError(`${name} must be a whole number, got ${JSON.stringify(value)}`);
  }
  return value;
}

/** A string. */
export function text(from: Fields, name: string): string {
  const value = from[name];
  if (typeof value !== 'string') throw new MetaFormatError(`${name} must be a string, got ${typeof value}`);
  return value;
}

/** True or false. */
export function flag(from: Fields, name: string): boolean {
  const value = from[name];
  if (typeof value !== 'boolean') throw new MetaFormatError(`${name} must be true or false`);
  return value;
}

/** A list whose items go through `item`. */
export function list<T>(from: Fields, name: string, item: (value: unknown) => T): T[] {
  const value = from[name];
  if (!Array.isArray(value)) throw new MetaFormatError(`${name} must be a list`);
  return value.map(item);
}

/** A list of whole numbers. */
export function wholes(from: Fields, name: string): number[] {
  return list(from, name, (value) => whole({ [name]: value }, name));
}

/** Parses UTF-8 JSON into an object. */
export function parseFields(bytes: Uint8Array, what: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new MetaFormatError(`${what} is not JSON: ${String(error)}`);
  }
  return fields(value, what);
}
