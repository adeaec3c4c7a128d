import type { AppendResponse, Message } from './types.ts';

interface HeldMessage {
  readonly writeId: number;
  readonly message: Message;
}

const NO_MESSAGES: readonly Message[] = Object.freeze([]);

/**
 * Messages on their way out. What depends on a write leaves with or behind it; when the write was given out earlier, the
 * message is held here until it is reported durable.
 */
export class Outbox {
  #now: Message[] = [];
  #afterWrite: Message[] = [];
  #held: HeldMessage[] = [];

  /** True when the next Ready has messages to carry or to sort. */
  get busy(): boolean {
    return this.#now.length > 0 || this.#afterWrite.length > 0;
  }

  /** Depends on no write. */
  send(message: Message): void {
    this.#now.push(message);
  }

  /** Must not leave before all that was changed so far is durable. */
  sendAfterWrite(message: Message): void {
    const last = this.#afterWrite.at(-1);
    if (message.type === 'appendResponse' && last?.type === 'appendResponse' && covers(message, last)) {
      this.#afterWrite.pop();
    }
    this.#afterWrite.push(message);
  }

  takeNow(): readonly Message[] {
    if (this.#now.length === 0) {
      return NO_MESSAGES;
    }
    const messages = this.#now;
    this.#now = [];
    return messages;
  }

  takeAfterWrite(): readonly Message[] {
    if (this.#afterWrite.length === 0) {
      return NO_MESSAGES;
    }
    const messages = this.#afterWrite;
    this.#afterWrite = [];
    return messages;
  }

  /** There is no new write: what waits for one waits for `lastWriteId`, or for nothing when that is durable. */
  holdFor(lastWriteId: number | null): void {
    for (const message of this.takeAfterWrite()) {
      if (lastWriteId === null) {
        this.#now.push(message);
      } else {
        this.#held.push({ writeId: lastWriteId, message });
      }
    }
  }

  /** All writes up to `writeId` are durable. */
  release(writeId: number): void {
    let count = 0;
    for (const held of this.#held) {
      if (held.writeId > writeId) {
        break;
      }
      this.#now.push(held.message);
      count++;
    }
    if (count > 0) {
      this.#held = this.#held.slice(count);
    }
  }
}

/** A later confirmation says all that an earlier one of the same term does. */
function covers(later: AppendResponse, earlier: AppendResponse): boolean {
  return (
    later.success &&
    earlier.success &&
    later.to === earlier.to &&
    later.term === earlier.term &&
    later.index >= earlier.index
  );
}
