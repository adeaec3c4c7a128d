import { RefusalError } from '@seriatim/protocol';

interface Waiter {
  readonly offset: number;
  readonly wake: () => void;
}

/** Those who wait for records. Most wait at the end, so an advance wakes nearly all: a set to walk is enough. */
export class WatermarkWaiters {
  readonly #waiters = new Set<Waiter>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return this.#waiters.size;
  }

  /** Resolves when woken with a high watermark above `offset`, or when `signal` aborts. Rejects with OVERLOADED at the limit. */
  wait(offset: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    if (this.#waiters.size >= this.#max) {
      const message = `${this.#waiters.size} readers wait at this partition, the limit is ${this.#max}; try later`;
      return Promise.reject(new RefusalError('OVERLOADED', message));
    }
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const waiter: Waiter = { offset, wake };
      this.#waiters.add(waiter);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  advanced(highWatermark: number): void {
    for (const waiter of this.#waiters) if (highWatermark > waiter.offset) waiter.wake();
  }

  wakeAll(): void {
    this.advanced(Number.POSITIVE_INFINITY);
  }
}
