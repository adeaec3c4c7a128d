/** A consumer's stream at one partition: attached while this node leads it, and the partition's side of what the stream is told. */
import type { ErrorCode, RefusalError } from '@seriatim/protocol';
import type {
  Attachment,
  ConsumerEvent,
  ConsumerIdentity,
  ConsumerSink,
  Delivery,
  LastAnswers,
  ResumedHold,
  SettlementColumns,
} from '../consume-contracts.ts';
import type { Partition } from '../contracts.ts';

/** What happens at a partition is told to the stream. */
export interface ConsumerStream {
  readonly creditMessages: number;
  readonly creditBytes: number;
  readonly writable: boolean;
  deliver(partition: number, delivery: Delivery): void;
  settled(partition: number, row: number, refused: readonly number[], codes: readonly ErrorCode[]): void;
  event(partition: number, event: ConsumerEvent): void;
  attached(partition: number): void;
  /** It could not be attached; the holds that it named there are not kept. */
  refused(partition: number, refusal: unknown, holds: readonly ResumedHold[]): void;
  replaced(reason: RefusalError): void;
}

const NOTHING: LastAnswers = { durable: true, refused: [], codes: [] };

/** See the head of this file. */
export class PartitionConsumer implements ConsumerSink {
  readonly #stream: ConsumerStream;
  readonly #partition: Partition;
  readonly #identity: ConsumerIdentity;
  readonly #stopListening: () => void;
  /** Rows gathered for the next {@link Attachment.settle}; the same arrays each time. */
  readonly #rows = {
    rows: 0,
    numbers: [] as number[],
    kinds: [] as number[],
    tokenEpochs: [] as number[],
    tokenCounters: [] as number[],
    sequences: [] as number[],
    milliseconds: [] as number[],
    reasons: [] as string[],
  } satisfies SettlementColumns;
  /** What the stream's open named here; null: it was opened before this node led. */
  #holds: readonly ResumedHold[] | null;
  #attachment: Attachment | null = null;
  #attaching = false;
  #closed: 'clean' | 'broken' | null = null;

  constructor(
    stream: ConsumerStream,
    partition: Partition,
    identity: ConsumerIdentity,
    holds: readonly ResumedHold[] | null,
  ) {
    this.#stream = stream;
    this.#partition = partition;
    this.#identity = identity;
    this.#holds = holds;
    this.#stopListening = partition.dispatch.onDispatchChange(() => this.look());
  }

  get creditMessages(): number {
    return this.#stream.creditMessages;
  }
  get creditBytes(): number {
    return this.#stream.creditBytes;
  }
  get writable(): boolean {
    return this.#stream.writable;
  }
  /** True when rows for this partition may be taken. */
  get isAttached(): boolean {
    return this.#attachment !== null;
  }
  /** The replica that this was made for; another one comes when the partition is placed here anew. */
  get partition(): Partition {
    return this.#partition;
  }

  /** Attaches when this node leads the partition and it is not attached. */
  look(): void {
    if (this.#closed !== null || this.#attaching || this.#attachment !== null) return;
    if (!this.#partition.dispatch.leads) return;
    this.#attaching = true;
    const holds = this.#holds;
    this.#holds = null;
    this.#partition.dispatch
      .attach(this.#identity, this, holds, (reason) => this.#stream.replaced(reason))
      .then(
        (attachment) => this.#attached(attachment),
        (refusal: unknown) => {
          this.#attaching = false;
          if (this.#closed === null) this.#stream.refused(this.#partition.partition, refusal, holds ?? []);
        },
      );
  }

  /** Adds one row, which {@link flush} hands over. */
  add(
    number: number,
    kind: number,
    tokenEpoch: number,
    tokenCounter: number,
    sequence: number,
    milliseconds: number,
    reason: string | null,
  ): void {
    const rows = this.#rows;
    rows.rows++;
    rows.numbers.push(number);
    rows.kinds.push(kind);
    rows.tokenEpochs.push(tokenEpoch);
    rows.tokenCounters.push(tokenCounter);
    rows.sequences.push(sequence);
    rows.milliseconds.push(milliseconds);
    if (reason !== null) rows.reasons.push(reason);
  }

  /** Hands the gathered rows to the partition. */
  flush(): void {
    const rows = this.#rows;
    if (rows.rows === 0) return;
    this.#attachment?.settle(rows);
    rows.rows = 0;
    for (const column of [
      rows.numbers,
      rows.kinds,
      rows.tokenEpochs,
      rows.tokenCounters,
      rows.sequences,
      rows.milliseconds,
      rows.reasons,
    ]) {
      column.length = 0;
    }
  }

  creditGranted(): void {
    this.#attachment?.creditGranted();
  }

  /** The stream ends. Resolves with what became of rows not answered, when it leaves in order. */
  async close(how: 'clean' | 'broken'): Promise<LastAnswers> {
    this.#closed = how;
    this.#stopListening();
    const attachment = this.#attachment;
    this.#attachment = null;
    return attachment === null ? NOTHING : attachment.detach(how);
  }

  deliver(delivery: Delivery): void {
    this.#stream.deliver(this.#partition.partition, delivery);
  }

  settled(row: number, refused: readonly number[], codes: readonly ErrorCode[]): void {
    this.#stream.settled(this.#partition.partition, row, refused, codes);
  }

  event(event: ConsumerEvent): void {
    if (event.type === 'leadership-ended') this.#attachment = null;
    this.#stream.event(this.#partition.partition, event);
  }

  #attached(attachment: Attachment): void {
    this.#attaching = false;
    if (this.#closed !== null) {
      void attachment.detach(this.#closed);
      return;
    }
    this.#attachment = attachment;
    this.#stream.attached(this.#partition.partition);
  }
}
