/** Messages that wait for a shard's turn. */
import type { Message } from '@seriatim/raft';

/** Rough cost of a message besides its entries, so that many empty ones are bounded by bytes too. */
const MESSAGE_BYTES = 64;

/**
 * A bounded queue. Over a limit the oldest append is dropped (Raft sends it again); if no append is left, the oldest message.
 * Between two turns it normally holds a handful, so dropping may be slow.
 */
export class Inbox {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  #messages: Message[] = [];
  #bytes = 0;
  #dropped = 0;

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  /** How many messages were dropped since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  get length(): number {
    return this.#messages.length;
  }

  add(message: Message): void {
    this.#messages.push(message);
    this.#bytes += size(message);
    while (
      this.#messages.length > this.#messagesMax ||
      (this.#bytes > this.#bytesMax && this.#messages.length > 1)
    ) {
      this.#drop();
    }
  }

  /** Everything that waits, in order; the inbox is empty afterwards. */
  take(): readonly Message[] {
    const messages = this.#messages;
    if (messages.length > 0) {
      this.#messages = [];
      this.#bytes = 0;
    }
    return messages;
  }

  #drop(): void {
    const append = this.#messages.findIndex((message) => message.type === 'appendRequest');
    const [dropped] = this.#messages.splice(Math.max(append, 0), 1);
    if (dropped !== undefined) this.#bytes -= size(dropped);
    this.#dropped += 1;
  }
}

function size(message: Message): number {
  if (message.type !== 'appendRequest') return MESSAGE_BYTES;
  let bytes = MESSAGE_BYTES;
  for (const entry of message.entries) bytes += entry.data.length + MESSAGE_BYTES;
  return bytes;
}
