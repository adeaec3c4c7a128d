import type { ConsumerConfig } from './consumer-config.ts';

/** How the consumer's credit is divided. */
export interface CreditShares {
  readonly config: Pick<ConsumerConfig, 'creditMessages' | 'creditBytes'>;
  /** Streams that share it, at least 1. */
  readonly streams: number;
}

/** Granted again when this part of the share is free. */
const TOP_UP_PART = 4;

/**
 * The credit of one node, over its streams one after another: what it may still send, and what came and was not taken. Together they stay within the
 * node's share; a message that alone passes it leaves the bytes below zero until it is taken.
 */
export class CreditAccount {
  readonly #shares: CreditShares;
  #grantedMessages = 0;
  #grantedBytes = 0;
  #waitingMessages = 0;
  #waitingBytes = 0;
  /** A top-up is due. */
  onDue: () => void = () => {};

  constructor(shares: CreditShares) {
    this.#shares = shares;
  }

  /** Messages that came and were not taken. */
  get waitingMessages(): number {
    return this.#waitingMessages;
  }

  /** A new stream begins without credit. */
  reset(): void {
    this.#grantedMessages = 0;
    this.#grantedBytes = 0;
  }

  received(messages: number, bytes: number): void {
    this.#grantedMessages -= messages;
    this.#grantedBytes -= bytes;
    this.#waitingMessages += messages;
    this.#waitingBytes += bytes;
  }

  /** They were taken, or dropped. */
  released(messages: number, bytes: number): void {
    this.#waitingMessages -= messages;
    this.#waitingBytes -= bytes;
    if (this.due) this.onDue();
  }

  get due(): boolean {
    const { messages, bytes } = this.#share();
    return this.#freeMessages() * TOP_UP_PART >= messages || this.#freeBytes() * TOP_UP_PART >= bytes;
  }

  /** What is to be granted now, counted as granted. */
  grant(): { readonly messages: number; readonly bytes: number } {
    const messages = Math.max(0, this.#freeMessages());
    const bytes = Math.max(0, this.#freeBytes());
    this.#grantedMessages += messages;
    this.#grantedBytes += bytes;
    return { messages, bytes };
  }

  #share(): { readonly messages: number; readonly bytes: number } {
    const { config, streams } = this.#shares;
    return {
      messages: Math.max(1, Math.floor(config.creditMessages / Math.max(1, streams))),
      bytes: Math.max(1, Math.floor(config.creditBytes / Math.max(1, streams))),
    };
  }

  #freeMessages(): number {
    return this.#share().messages - this.#grantedMessages - this.#waitingMessages;
  }

  #freeBytes(): number {
    return this.#share().bytes - this.#grantedBytes - this.#waitingBytes;
  }
}
