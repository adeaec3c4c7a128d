/** {@link KeyValueStore} over `level`. It does not notice damage by itself: values carry the writer's checksums. */
import { Level } from 'level';
import {
  type KeyRange,
  type KeyValue,
  type KeyValueChange,
  type KeyValueStore,
  StorageError,
  type StorageErrorCode,
} from './ports.ts';

const encodings = { keyEncoding: 'view', valueEncoding: 'view' } as const;

/** Opens Level in a directory, creating it. */
export async function openLevelStore(directory: string): Promise<KeyValueStore> {
  const level = new Level<Uint8Array, Uint8Array>(directory, encodings);
  await translated(`open ${directory}`, () => level.open());
  return new LevelStore(level);
}

class LevelStore implements KeyValueStore {
  readonly #level: Level<Uint8Array, Uint8Array>;

  constructor(level: Level<Uint8Array, Uint8Array>) {
    this.#level = level;
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return translated('get', () => this.#level.get(key));
  }

  batch(changes: readonly KeyValueChange[], options: { readonly sync: boolean }): Promise<void> {
    const operations = changes.map((change) =>
      change.type === 'put'
        ? { type: 'put' as const, key: change.key, value: change.value }
        : { type: 'del' as const, key: change.key },
    );
    return translated('batch', () => this.#level.batch(operations, { ...encodings, sync: options.sync }));
  }

  async *iterate(range: KeyRange): AsyncIterable<KeyValue> {
    const iterator = this.#level.iterator({ gte: range.from, lt: range.to });
    try {
      for (;;) {
        const item = await translated('iterate', () => iterator.next());
        if (item === undefined) return;
        yield { key: item[0], value: item[1] };
      }
    } finally {
      await iterator.close();
    }
  }

  deleteRange(range: KeyRange): Promise<void> {
    return translated('delete range', () => this.#level.clear({ gte: range.from, lt: range.to }));
  }

  close(): Promise<void> {
    return translated('close', () => this.#level.close());
  }
}

async function translated<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const foreign = error as { readonly code?: string; readonly message: string; readonly cause?: unknown };
    throw new StorageError(codeOf(foreign), `level: ${what}: ${foreign.message}`, error);
  }
}

function codeOf(error: { readonly code?: string; readonly message: string }): StorageErrorCode {
  if (error.code === 'LEVEL_DATABASE_NOT_OPEN') return 'closed';
  return error.message.includes('No space left') ? 'noSpace' : 'io';
}
