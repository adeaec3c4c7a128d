/** Gathers runs of several groups into one delivery, within a consumer's credit. */
import type { Delivery } from '../../consume-contracts.ts';
import { messageEnd } from '../field-walk.ts';
import type { RunPool } from './run-pool.ts';

const NO_BYTES = new Uint8Array(0);

/** See the head of this file. One at a time: {@link DeliveryBuilder.begin}, add…, {@link DeliveryBuilder.finish}. */
export class DeliveryBuilder {
  messagesLeft = 0;
  bytesLeft = 0;
  #lengths: number[] = [];
  #offsets: number[] = [];
  #sequences: number[] = [];
  #lives: number[] = [];
  #timestamps: number[] = [];
  #attempts: number[] = [];
  #counters: number[] = [];
  #body: Uint8Array[] = [];
  #messages = 0;
  #bytes = 0;
  /** Stretch that is not in `#body` yet: runs that lie next to each other become one. */
  #data: Uint8Array = NO_BYTES;
  #from = 0;
  #to = 0;

  begin(messagesMax: number, bytesMax: number): void {
    this.messagesLeft = messagesMax;
    this.bytesLeft = bytesMax;
    this.#lengths = [];
    this.#offsets = [];
    this.#sequences = [];
    this.#lives = [];
    this.#timestamps = [];
    this.#attempts = [];
    this.#counters = [];
    this.#body = [];
    this.#messages = 0;
    this.#bytes = 0;
  }

  get empty(): boolean {
    return this.#messages === 0;
  }

  get full(): boolean {
    return this.messagesLeft <= 0 || this.bytesLeft <= 0;
  }

  /** Messages of the run that fit, at least one: a message larger than what is left goes when it is the next one. */
  fitting(pool: RunPool, run: number, countMax: number): number {
    const count = Math.min(pool.count[run] as number, countMax, this.messagesLeft);
    const start = pool.start[run] as number;
    const end = pool.end[run] as number;
    if (count === pool.count[run] && end - start <= this.bytesLeft) return count;
    const data = pool.data[run] as Uint8Array;
    let at = start;
    for (let taken = 0; taken < count; taken++) {
      at = messageEnd(data, at, end);
      if (at - start > this.bytesLeft) return Math.max(1, taken);
    }
    return count;
  }

  add(pool: RunPool, run: number, life: number, attempts: number, counter: number): void {
    const count = pool.count[run] as number;
    this.#lengths.push(count);
    this.#offsets.push(pool.offset[run] as number);
    this.#sequences.push(pool.sequence[run] as number);
    this.#lives.push(life);
    this.#timestamps.push(pool.timestamp[run] as number);
    this.#attempts.push(attempts);
    this.#counters.push(counter);
    const data = pool.data[run] as Uint8Array;
    const start = pool.start[run] as number;
    const end = pool.end[run] as number;
    if (data !== this.#data || start !== this.#to) {
      this.#flush();
      this.#data = data;
      this.#from = start;
    }
    this.#to = end;
    this.#messages += count;
    this.#bytes += end - start;
    this.messagesLeft -= count;
    this.bytesLeft -= end - start;
  }

  finish(tokenEpoch: number, holdMilliseconds: number): Delivery {
    this.#flush();
    return {
      runLengths: this.#lengths,
      runOffsets: this.#offsets,
      runSequences: this.#sequences,
      runLives: this.#lives,
      runTimestamps: this.#timestamps,
      runAttempts: this.#attempts,
      runTokenCounters: this.#counters,
      tokenEpoch,
      holdMilliseconds,
      messages: this.#messages,
      bodyBytes: this.#bytes,
      body: this.#body,
    };
  }

  #flush(): void {
    if (this.#to > this.#from) this.#body.push(this.#data.subarray(this.#from, this.#to));
    this.#data = NO_BYTES;
    this.#from = 0;
    this.#to = 0;
  }
}
