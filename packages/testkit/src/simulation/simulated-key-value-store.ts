/** The key-value port of storage, in memory, with loss of what was not synced. */
import {
  type KeyRange,
  type KeyValue,
  type KeyValueChange,
  type KeyValueStore,
  StorageError,
} from '@seriatim/storage';
import type { Random } from './random.ts';
import type { Loss } from './simulated-file.ts';

interface Undo {
  readonly key: string;
  readonly before: Uint8Array | undefined;
}

/** What lies on the disk. Keys are held as text of one character per byte, whose order is that of the bytes. */
export class KeyValueState {
  readonly values: Map<string, Uint8Array> = new Map();
  /** Batches since the last synced one, each as what would undo it. */
  #unsynced: Undo[][] = [];

  apply(changes: readonly KeyValueChange[], sync: boolean): void {
    const undo: Undo[] = [];
    for (const change of changes) {
      const key = textOf(change.key);
      undo.push({ key, before: this.values.get(key) });
      if (change.type === 'put') this.values.set(key, change.value.slice());
      else this.values.delete(key);
    }
    if (sync) this.#unsynced = [];
    else this.#unsynced.push(undo);
  }

  keys(range: KeyRange): string[] {
    const from = textOf(range.from);
    const to = textOf(range.to);
    return [...this.values.keys()].filter((key) => key >= from && key < to).sort();
  }

  /** A prefix of the batches that were not synced survives; none of them with `all`. */
  crash(loss: Loss, random: Random): void {
    const lost =
      loss === 'none' ? 0 : loss === 'all' ? this.#unsynced.length : random.below(this.#unsynced.length + 1);
    for (let n = 0; n < lost; n += 1) {
      for (const { key, before } of (this.#unsynced.pop() ?? []).reverse()) {
        if (before === undefined) this.values.delete(key);
        else this.values.set(key, before);
      }
    }
    this.#unsynced = [];
  }
}

type Perform = <T>(operation: 'read' | 'write' | 'sync', run: () => T) => Promise<T>;

/** One process's handle. */
export class SimulatedKeyValueStore implements KeyValueStore {
  readonly #state: KeyValueState;
  readonly #perform: Perform;
  #closed = false;

  constructor(state: KeyValueState, perform: Perform) {
    this.#state = state;
    this.#perform = perform;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    return this.#perform('read', () => this.#state.values.get(textOf(key))?.slice());
  }

  async batch(changes: readonly KeyValueChange[], options: { readonly sync: boolean }): Promise<void> {
    this.#checkOpen();
    await this.#perform(options.sync ? 'sync' : 'write', () => this.#state.apply(changes, options.sync));
  }

  async *iterate(range: KeyRange): AsyncIterable<KeyValue> {
    this.#checkOpen();
    // As of now: values are never changed in place, so holding them is a snapshot.
    const found = await this.#perform('read', () =>
      this.#state
        .keys(range)
        .map((key) => ({ key, value: this.#state.values.get(key) ?? new Uint8Array(0) })),
    );
    for (const { key, value } of found) yield { key: bytesOf(key), value: value.slice() };
  }

  async deleteRange(range: KeyRange): Promise<void> {
    this.#checkOpen();
    await this.#perform('write', () =>
      this.#state.apply(
        this.#state.keys(range).map((key) => ({ type: 'delete', key: bytesOf(key) })),
        false,
      ),
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #checkOpen(): void {
    if (this.#closed) throw new StorageError('closed', 'the store is closed');
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}
