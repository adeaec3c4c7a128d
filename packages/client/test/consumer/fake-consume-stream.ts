import { type ConsumeEvent, encodeConsumeResponse, type RefusalError } from '@seriatim/protocol';
import type { ConsumeListener } from '../../src/ports.ts';
import type { StoredRecord } from '../fake-broker.ts';

/** Time, as far as the fake needs it. */
export interface FakeTime {
  now(): number;
  schedule(milliseconds: number, task: () => void): () => void;
}

export interface FakeHold {
  readonly group: string;
  readonly epoch: number;
  readonly counter: number;
  readonly session: string;
  stream: FakeStream;
  delivered: number;
  endsAt: number;
}
/** No hold is shortened. */
export function extendTo(hold: FakeHold, endsAt: number): void {
  hold.endsAt = Math.max(hold.endsAt, endsAt);
}
export interface GroupState {
  settled: number;
  failures: number;
  notBefore: number;
  parked: boolean;
  hold: FakeHold | null;
  /** Session that may come back, and until when. */
  awaited: { readonly session: string; readonly until: number } | null;
}
export interface PartitionState {
  epoch: number;
  counter: number;
  readonly groups: Map<string, GroupState>;
}
/** A row that came, with what it was decided to be. */
export interface SeenRow {
  readonly address: string;
  readonly kind: number;
  readonly partition: number;
  readonly epoch: number;
  readonly counter: number;
  readonly group: string;
  readonly sequence: number;
  readonly milliseconds: number;
  readonly reason: string;
  readonly code: string;
}

/** Of every group. */
export const LIFE = 7;

/** The broker's side of one stream. What it says arrives a millisecond later, in order. */
export class FakeStream {
  readonly address: string;
  readonly #listener: ConsumeListener;
  readonly #time: FakeTime;
  session = '';
  creditMessages = 0;
  creditBytes = 0;
  creditMax = 0;
  rows = 0;
  over = false;
  /** Cancelled by its client, who hears nothing more. */
  silent = false;

  constructor(address: string, listener: ConsumeListener, time: FakeTime) {
    this.address = address;
    this.#listener = listener;
    this.#time = time;
  }

  tell(event: ConsumeEvent): void {
    this.#say({ events: [event] }, []);
  }

  answer(settledRows: number, refusedRows: readonly number[], refusedCodes: readonly string[]): void {
    if (!this.over) this.#say({ settledRows, refusedRows, refusedCodes }, []);
  }

  deliver(
    partition: number,
    tokenEpoch: number,
    counter: number,
    attempt: number,
    run: readonly StoredRecord[],
    holdMilliseconds: number,
  ): void {
    const [head] = run as [StoredRecord];
    this.creditMessages -= run.length;
    for (const { bytes } of run) this.creditBytes -= bytes.length;
    // Records of a group need not lie next to each other: offsets of a run are dense, so each has a run of its own where they do not.
    const dense = run.every((record, index) => record.offset === head.offset + index);
    const parts = dense ? [run] : run.map((record) => [record]);
    this.#say(
      {
        partition,
        runLengths: parts.map(({ length }) => length),
        runOffsets: parts.map(([first]) => (first as StoredRecord).offset),
        runSequences: parts.map(([first]) => (first as StoredRecord).sequence),
        runLives: parts.map(() => (head.group === '' ? 0 : LIFE)),
        runTimestampsMs: parts.map(() => 1_700_000_000_000),
        runAttempts: parts.map((_, index) => (index === 0 ? attempt : 1)),
        runTokenCounters: parts.map(() => counter),
        tokenEpoch,
        holdMilliseconds,
      },
      run.map(({ bytes }) => bytes),
    );
  }

  end(error: RefusalError | null): void {
    this.#time.schedule(1, () => {
      if (!this.silent) this.#listener.ended(error);
      this.silent = true;
    });
  }

  #say(part: Partial<Parameters<typeof encodeConsumeResponse>[0]>, body: readonly Uint8Array[]): void {
    const response = encodeConsumeResponse({ ...NOTHING, ...part }, body);
    this.#time.schedule(1, () => {
      if (!this.silent) this.#listener.response(response);
    });
  }
}

const NOTHING = {
  partition: 0,
  runLengths: [],
  runOffsets: [],
  runSequences: [],
  runLives: [],
  runTimestampsMs: [],
  runAttempts: [],
  runTokenCounters: [],
  tokenEpoch: 0,
  holdMilliseconds: 0,
  settledRows: 0,
  refusedRows: [],
  refusedCodes: [],
  events: [],
};
