/** A partition's dispatch that a test drives by hand. */
import type { RefusalError } from '@seriatim/protocol';
import type {
  Attachment,
  ConsumerIdentity,
  ConsumerSink,
  Delivery,
  LastAnswers,
  PartitionDispatch,
  ResumedHold,
  SettlementColumns,
} from '../../src/consume-contracts.ts';

/** One consumer, attached. */
export class FakeAttachment implements Attachment {
  readonly identity: ConsumerIdentity;
  readonly sink: ConsumerSink;
  readonly resumed: readonly ResumedHold[] | null;
  readonly replaced: (reason: RefusalError) => void;
  /** Rows as they came: number, kind, token counter, sequence. */
  readonly rows: { number: number; kind: number; counter: number; sequence: number; reason: string }[] = [];
  detached: 'clean' | 'broken' | null = null;
  granted = 0;
  /** What the last rows come to when it is detached in order. */
  lastAnswers: LastAnswers = { durable: true, refused: [], codes: [] };

  constructor(
    identity: ConsumerIdentity,
    sink: ConsumerSink,
    resumed: readonly ResumedHold[] | null,
    replaced: (reason: RefusalError) => void,
  ) {
    this.identity = identity;
    this.sink = sink;
    this.resumed = resumed;
    this.replaced = replaced;
  }

  creditGranted(): void {
    this.granted++;
  }

  settle(columns: SettlementColumns): void {
    let reason = 0;
    for (let row = 0; row < columns.rows; row++) {
      const kind = columns.kinds[row] ?? 0;
      this.rows.push({
        number: columns.numbers[row] ?? 0,
        kind,
        counter: columns.tokenCounters[row] ?? 0,
        sequence: columns.sequences[row] ?? 0,
        reason: kind === 1 || kind === 2 ? (columns.reasons[reason++] ?? '') : '',
      });
    }
  }

  async detach(how: 'clean' | 'broken'): Promise<LastAnswers> {
    this.detached = how;
    return this.lastAnswers;
  }
}

/** See the head of this file. */
export class FakeDispatch implements PartitionDispatch {
  leads = true;
  recordsRead = 0;
  *standings(): IterableIterator<never> {}
  /** Refuses whoever attaches. */
  refusal: RefusalError | null = null;
  readonly attachments: FakeAttachment[] = [];
  readonly listeners = new Set<(leads: boolean) => void>();

  async attach(
    identity: ConsumerIdentity,
    sink: ConsumerSink,
    resumed: readonly ResumedHold[] | null,
    replaced: (reason: RefusalError) => void,
  ): Promise<Attachment> {
    if (this.refusal !== null) throw this.refusal;
    const attachment = new FakeAttachment(identity, sink, resumed, replaced);
    this.attachments.push(attachment);
    return attachment;
  }

  onDispatchChange(listener: (leads: boolean) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  change(leads: boolean): void {
    this.leads = leads;
    for (const listener of this.listeners) listener(leads);
  }

  /** The one that is attached. */
  get attachment(): FakeAttachment {
    const last = this.attachments.at(-1);
    if (last === undefined) throw new Error('nobody is attached');
    return last;
  }
}

/** Messages of one group from a sequence on, each one byte of body. */
export function delivery(sequence: number, count: number, counter = 1): Delivery {
  return {
    runLengths: [count],
    runOffsets: [sequence + 99],
    runSequences: [sequence],
    runLives: [1],
    runTimestamps: [1_000],
    runAttempts: [1],
    runTokenCounters: [counter],
    tokenEpoch: 4,
    holdMilliseconds: 30_000,
    messages: count,
    bodyBytes: count * 3,
    body: [Buffer.concat(Array.from({ length: count }, () => Buffer.from([0x7a, 1, 0x61])))],
  };
}
