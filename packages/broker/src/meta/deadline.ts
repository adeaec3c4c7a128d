/** Waits that end: at a deadline of the monotonic clock, or when something happens. */
import type { Clock } from '@seriatim/multiraft';

/** Resolves after `milliseconds`, or earlier when `wake` hands out its callback and that is called. */
export function pause(
  clock: Clock,
  milliseconds: number,
  wake?: (resolve: () => void) => void,
): Promise<void> {
  return new Promise((resolve) => {
    let cancel = (): void => {};
    const done = (): void => {
      cancel();
      resolve();
    };
    cancel = clock.after(Math.max(0, milliseconds), done);
    wake?.(done);
  });
}

/** Resolves after `milliseconds`, or at once when `signal` aborts. */
export async function pauseUnless(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let wake = (): void => {};
  await pause(clock, milliseconds, (resolve) => {
    wake = resolve;
    signal.addEventListener('abort', wake);
  });
  signal.removeEventListener('abort', wake);
}

/** The promise's outcome, or `late()` thrown once `deadline` (monotonic milliseconds) has passed. */
export function before<T>(
  clock: Clock,
  deadline: number,
  promise: Promise<T>,
  late: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(Math.max(0, deadline - clock.now()), () => reject(late()));
    promise.then(
      (value) => {
        cancel();
        resolve(value);
      },
      (error: unknown) => {
        cancel();
        reject(error);
      },
    );
  });
}

/** Callbacks that are waiting for the next time something happens. */
export class Waiters {
  #waiting: Set<() => void> = new Set();

  /** Adds a callback for the next {@link wake}; it may be woken once at most. */
  add(callback: () => void): void {
    this.#waiting.add(callback);
  }

  /** Takes a callback back. */
  remove(callback: () => void): void {
    this.#waiting.delete(callback);
  }

  /** Calls and forgets all callbacks. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const callback of waiting) callback();
  }
  /** Resolves with the next {@link wake}, after `milliseconds` at the latest. */
  wait(clock: Clock, milliseconds: number): Promise<void> {
    let woken = (): void => {};
    return pause(clock, milliseconds, (resolve) => {
      woken = resolve;
      this.add(resolve);
    }).finally(() => this.remove(woken));
  }
}
