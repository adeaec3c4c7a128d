/** A group that somebody works on, or that has messages read ahead. One object each while it is so; others are only a row, or nothing. */
import type { ConsumerAttachment } from './consumer-attachment.ts';
import { NO_RUN, type RunList } from './run-pool.ts';

/** See the head of this file. */
export class ActiveGroup {
  readonly key: number;
  life: number;
  /** Last settled sequence; -1: not known until the scan meets the group. */
  settled: number;
  /** Offset behind it. */
  next: number;
  /** Of the group everything below is settled, in flight or read ahead. */
  readFrom: number;
  /** Read and not delivered. */
  readonly readAhead: RunList = { first: NO_RUN, last: NO_RUN };
  readAheadMessages = 0;
  /** Delivered and not settled; without bytes. */
  readonly inFlight: RunList = { first: NO_RUN, last: NO_RUN };
  inFlightMessages = 0;
  /** Its row says that it is behind: none of its records is open in the window. */
  behind = false;
  /** It reads by its index, the scan passes it over. */
  catchUp = false;
  /** An operator paused it while it was held: its holder settles what it has and is given no more. */
  paused = false;
  /** A read by its index is queued or under way. */
  reading = false;
  /** How often reading went back: what a read that began before brings is void. */
  readTurn = 0;
  /** It is in the queue of ready groups, or in its holder's. */
  queued = false;

  /** Who may settle; null: nobody. */
  holder: ConsumerAttachment | null = null;
  /** Counter of the hold's token, also of one whose holder is awaited; 0: no hold. */
  counter = 0;
  /** Last sequence that this hold was given. */
  lastSequence = 0;
  /** Monotonic milliseconds at which the hold ends by itself. */
  deadline = 0;
  /** Milliseconds since 1970 at which the hold began. */
  since = 0;
  /** Where the hold lies among those of the usual length; null at the ends. */
  before: ActiveGroup | null = null;
  after: ActiveGroup | null = null;
  /** Session that may come back for it; null: none. */
  awaited: string | null = null;
  /** A consumer that came back has the messages up to here: they are in flight as soon as they are found. */
  resumedTo = 0;
  /** Messages that retention removed, which no holder was told of yet. */
  gap: { readonly first: number; readonly last: number } | null = null;
  /** Token with which its holder came back; of two the higher one wins. */
  resumedEpoch = 0;
  resumedCounter = 0;

  constructor(key: number, life: number, settled: number, next: number) {
    this.key = key;
    this.life = life;
    this.settled = settled;
    this.next = next;
    this.readFrom = next;
  }

  /** It reads by its index from here on, again. */
  readAgainFrom(offset: number): void {
    this.catchUp = true;
    this.readFrom = offset;
    this.readTurn++;
  }

  /** Nothing of it is left to settle among what was read. */
  get empty(): boolean {
    return this.inFlightMessages === 0 && this.readAheadMessages === 0;
  }

  /** What its holder had when it came back is found. */
  get located(): boolean {
    return this.settled >= 0 && this.lastFound >= this.resumedTo;
  }

  /** Last sequence in flight or settled. */
  get lastFound(): number {
    return this.inFlightMessages === 0 ? this.settled : this.lastInFlight;
  }
  lastInFlight = 0;
}
