/**
 * The messages of a request, bucketed into runs: messages of one group, in the order of the request. A producer with an id sends
 * runs; without one they are found here. The route of a group is looked up once per request.
 */
import { RefusalError, type WalkedOrderedProduce } from '@seriatim/protocol';
import type { MetaView, TopicView } from '../contracts.ts';
import type { RouteLookup } from './ports.ts';

/** No route is known. */
export const UNROUTED = -1;

/** Runs of one request, in columns. Message `order[i]` for i in [start[run], start[run + 1]) belongs to the run. */
export interface RequestRuns {
  readonly count: number;
  readonly start: Uint32Array;
  readonly order: Uint32Array;
  /** The producer's sequence of the run's first message; 0: not idempotent. */
  readonly producerSequence: readonly number[];
  /** Empty, or the group sequence that the run's first message must get; 0: any. */
  readonly expectedSequence: readonly number[];
  /** Partition number, or {@link UNROUTED}. */
  readonly partition: number[];
  /** The route's epoch, the life of the group. */
  readonly life: number[];
}

/** Buckets requests one after the other; its memory of route rows is used again. Not re-entrant, it never awaits. */
export class RunBuilder {
  readonly #view: MetaView;
  readonly #router: RouteLookup;
  /** Per row of the route table: in which request it was seen last, and as which run. */
  #seenIn = new Uint32Array(1024);
  #runOfRow = new Uint32Array(1024);
  #request = 0;

  constructor(view: MetaView, router: RouteLookup) {
    this.#view = view;
    this.#router = router;
  }

  /** Throws INVALID_REQUEST when two runs of a producer's request have one group. */
  build(walked: WalkedOrderedProduce, topic: TopicView): RequestRuns {
    this.#request++;
    if (this.#request === 0xffff_ffff) {
      this.#seenIn.fill(0);
      this.#request = 1;
    }
    return walked.producerId === 0 ? this.#gather(walked, topic) : this.#given(walked, topic);
  }

  /** The producer's own runs: message order stays as it is. */
  #given(walked: WalkedOrderedProduce, topic: TopicView): RequestRuns {
    const count = walked.runLengths.length;
    const start = new Uint32Array(count + 1);
    const order = new Uint32Array(walked.count);
    for (let index = 0; index < walked.count; index++) order[index] = index;
    const { runSequences: producerSequence, runExpectedSequences: expectedSequence } = walked;
    const runs = { count, start, order, producerSequence, expectedSequence, partition: [], life: [] };
    const unrouted = new Map<string, number>();
    let message = 0;
    for (let run = 0; run < count; run++) {
      const earlier = this.#enter(walked, topic, message, run, runs, unrouted);
      if (earlier !== run) {
        throw new RefusalError(
          'INVALID_REQUEST',
          `runs ${earlier} and ${run} have the same message group; a group may have one run in a request; nothing of the request was applied`,
        );
      }
      message += walked.runLengths[run] ?? 0;
      start[run + 1] = message;
    }
    return runs;
  }

  /** Messages without producer: those of a group become one run, in the order of the request. */
  #gather(walked: WalkedOrderedProduce, topic: TopicView): RequestRuns {
    const runOf = new Uint32Array(walked.count);
    const sizes: number[] = [];
    const columns: { partition: number[]; life: number[] } = { partition: [], life: [] };
    const unrouted = new Map<string, number>();
    for (let message = 0; message < walked.count; message++) {
      const run =
        message > 0 && sameGroup(walked, message - 1, message)
          ? (runOf[message - 1] ?? 0)
          : this.#enter(walked, topic, message, sizes.length, columns, unrouted);
      if (run === sizes.length) sizes.push(0);
      sizes[run] = (sizes[run] ?? 0) + 1;
      runOf[message] = run;
    }
    const start = new Uint32Array(sizes.length + 1);
    for (let run = 0; run < sizes.length; run++) start[run + 1] = (start[run] ?? 0) + (sizes[run] ?? 0);
    const next = start.slice();
    const order = new Uint32Array(walked.count);
    for (let message = 0; message < walked.count; message++) {
      const run = runOf[message] ?? 0;
      const at = next[run] ?? 0;
      order[at] = message;
      next[run] = at + 1;
    }
    return { count: sizes.length, start, order, producerSequence: [], expectedSequence: [], ...columns };
  }

  /** The run of a message's group: the one it was seen in, else `run`, whose row is written. */
  #enter(
    walked: WalkedOrderedProduce,
    topic: TopicView,
    message: number,
    run: number,
    runs: Pick<RequestRuns, 'partition' | 'life'>,
    unrouted: Map<string, number>,
  ): number {
    const start = walked.groupStarts[message] ?? 0;
    const end = walked.groupEnds[message] ?? 0;
    const row = this.#router.routeOf(topic.id, walked.buffer, start, end);
    if (row < 0) {
      const name = walked.buffer.toString('latin1', start, end);
      const earlier = unrouted.get(name);
      if (earlier !== undefined) return earlier;
      unrouted.set(name, run);
      runs.partition.push(UNROUTED);
      runs.life.push(0);
      return run;
    }
    if (row >= this.#seenIn.length) this.#grow(row);
    if (this.#seenIn[row] === this.#request) return this.#runOfRow[row] ?? 0;
    this.#seenIn[row] = this.#request;
    this.#runOfRow[row] = run;
    runs.partition.push(this.#view.routePartition(topic.id, row));
    runs.life.push(this.#view.routeEpoch(topic.id, row));
    return run;
  }

  #grow(row: number): void {
    const size = Math.max(row + 1, this.#seenIn.length * 2);
    const seenIn = new Uint32Array(size);
    const runOfRow = new Uint32Array(size);
    seenIn.set(this.#seenIn);
    runOfRow.set(this.#runOfRow);
    this.#seenIn = seenIn;
    this.#runOfRow = runOfRow;
  }
}

/** Reads the routes of runs that had none, after they were assigned; answers the runs that have one now. */
export function routeAgain(
  view: MetaView,
  walked: WalkedOrderedProduce,
  topic: TopicView,
  runs: RequestRuns,
  unrouted: readonly number[],
): number[] {
  const routed: number[] = [];
  for (const run of unrouted) {
    const message = runs.order[runs.start[run] ?? 0] ?? 0;
    const row = view.findRoute(
      topic.id,
      walked.buffer,
      walked.groupStarts[message] ?? 0,
      walked.groupEnds[message] ?? 0,
    );
    if (row < 0) continue;
    runs.partition[run] = view.routePartition(topic.id, row);
    runs.life[run] = view.routeEpoch(topic.id, row);
    routed.push(run);
  }
  return routed;
}

function sameGroup(walked: WalkedOrderedProduce, one: number, other: number): boolean {
  const { buffer, groupStarts, groupEnds } = walked;
  const first = groupStarts[one] ?? 0;
  const second = groupStarts[other] ?? 0;
  const length = (groupEnds[one] ?? 0) - first;
  if (length !== (groupEnds[other] ?? 0) - second) return false;
  for (let index = 0; index < length; index++) {
    if (buffer[first + index] !== buffer[second + index]) return false;
  }
  return true;
}
