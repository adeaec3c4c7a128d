/** The heart of a producer: takes calls into lanes, has requests sent, and settles each run by what was answered. */
import { Buffer } from 'node:buffer';
import {
  type DecodedOrderedProduceResponse,
  decodeOrderedProduceResponse,
  MESSAGE_DUPLICATE,
  MESSAGE_STORED,
  NO_PARTITION,
  type PartitionError,
  RefusalError,
} from '@seriatim/protocol';
import { CallBook } from './call-book.ts';
import type { Cluster } from './cluster.ts';
import { SeriatimError, UnreachableError } from './error.ts';
import { IdentitySource } from './identity-source.ts';
import { type Run, type RunRefusal, type Segment, segmentsOf } from './lane.ts';
import { abandonLane, failLane, returnRun } from './lane-failure.ts';
import { type LaneQueue, TopicLanes } from './lane-queue.ts';
import type { ProducerConfig } from './producer-config.ts';
import type { BuiltRequest } from './request-builder.ts';
import { RequestSender } from './request-sender.ts';
import { judge } from './run-verdict.ts';
import type { SendCall } from './send-call.ts';

/** Owns the lanes of a producer. */
export class Dispatcher {
  readonly calls: CallBook;
  readonly #cluster: Cluster;
  readonly #config: ProducerConfig;
  readonly #topics = new Map<string, TopicLanes>();
  readonly #identities: IdentitySource;
  readonly #sender: RequestSender;

  constructor(cluster: Cluster, config: ProducerConfig) {
    this.#cluster = cluster;
    this.#config = config;
    this.#identities = new IdentitySource(cluster, config.idempotent, () => this.#identityArrived());
    this.#sender = new RequestSender(cluster, config, this.#identities, this.#topics, (request, queues) =>
      this.#perform(request, queues),
    );
    this.calls = new CallBook(
      config,
      cluster.clock,
      (call) => this.#takeIn(call),
      () => this.#abandonLanes(),
    );
  }

  /** The topic has a lane for the group: so its name was checked before. */
  knows(topic: string, group: string): boolean {
    return this.#topics.get(topic)?.lanes.has(group) ?? false;
  }

  close(): void {
    this.#sender.close();
  }

  #takeIn(call: SendCall): void {
    const { groups } = call.order;
    const topic = this.#topic(call.order.topic);
    if (typeof groups === 'string') {
      const lane = topic.lane(groups);
      for (let index = 0; index < call.messages.length; index++) lane.append(call, index);
      topic.ready(lane);
    } else {
      for (let index = 0; index < groups.length; index++) {
        const lane = topic.lane((groups[index] as { readonly messageGroup: string }).messageGroup);
        lane.append(call, index);
        topic.ready(lane);
      }
    }
    if (topic.lanes.size > this.#config.lanesMax) this.#identities.want(this.#identities.current);
    this.#sender.wake();
  }

  #topic(name: string): TopicLanes {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = new TopicLanes(name, this.#cluster.backoff, this.#cluster.clock);
      this.#topics.set(name, topic);
      void this.#cluster.refresh().then(() => this.#sender.wake());
    }
    return topic;
  }

  #identityArrived(): void {
    const { error } = this.#identities;
    if (error !== null && !error.retryable) this.calls.abandonAll(error);
    // Under a new identity sequences begin again: idle lanes hold nothing worth keeping.
    if (error === null) {
      for (const topic of this.#topics.values()) {
        if (topic.lanes.size <= this.#config.lanesMax) continue;
        for (const [group, lane] of topic.lanes) {
          if (lane.idle && !lane.queued) topic.lanes.delete(group);
        }
      }
    }
    if (!(this.calls.empty && this.#identities.current === null)) this.#sender.wake();
  }

  #perform(request: BuiltRequest, queues: readonly LaneQueue[]): void {
    const { clock } = this.#cluster;
    const remaining = Math.max(1, request.deadline - clock.now());
    const timeout = Math.min(remaining, this.#config.attemptTimeoutMilliseconds);
    request.link.connection.orderedProduce(request.bytes, timeout).then(
      (bytes) => this.#answered(request, queues, bytes),
      (error: unknown) => this.#failed(request, queues, error),
    );
  }

  #answered(request: BuiltRequest, queues: readonly LaneQueue[], bytes: Buffer): void {
    request.link.succeeded();
    let response: DecodedOrderedProduceResponse;
    try {
      response = decodeOrderedProduceResponse(bytes);
      if (response.statuses.length !== request.messages || response.sequences.length !== request.messages) {
        throw new RangeError(`${response.statuses.length} statuses for ${request.messages} messages`);
      }
    } catch (error) {
      this.#failed(request, queues, error);
      return;
    }
    const topic = this.#topic(request.topic);
    for (const { partition, leader } of response.partitionResponses) {
      this.#cluster.view.learnLeader(request.topic, partition, leader);
      topic.queue(partition).succeeded();
    }
    if (response.partitionErrors.length === 0) for (const queue of queues) queue.succeeded();
    const errors = errorsByMessage(response.partitionErrors);
    let first = 0;
    for (const run of request.runs) {
      const status = response.statuses[first] as number;
      run.inFlight = false;
      if (status === MESSAGE_STORED || status === MESSAGE_DUPLICATE)
        this.#settle(topic, run, response, first);
      else this.#refused(topic, request, run, errors.get(first));
      first += run.count;
    }
    this.#sender.done(request, queues, true);
  }

  #settle(topic: TopicLanes, run: Run, response: DecodedOrderedProduceResponse, first: number): void {
    const { lane } = run;
    const partition = response.partitions[first] as number;
    const duplicate = response.statuses[first] === MESSAGE_DUPLICATE;
    let row = first;
    for (let segment: Segment | null = run.first; segment !== null; segment = segment.behind) {
      const { call, head, count } = segment;
      if (segment.answered) {
        row += count;
        continue;
      }
      let index = head;
      for (let step = 0; step < count; step++, row++) {
        call.stored(
          index,
          partition,
          response.offsets[row] as number,
          response.sequences[row] as number,
          duplicate,
        );
        index = call.next[index] as number;
      }
    }
    lane.run = null;
    lane.renewed = false;
    lane.partition = partition;
    topic.ready(lane);
    // Last: a call that leaves lets waiting ones in, perhaps into this lane.
    for (let segment: Segment | null = run.first; segment !== null; segment = segment.behind) {
      if (!segment.answered && segment.call.settled) this.calls.leave(segment.call);
    }
  }

  #refused(topic: TopicLanes, request: BuiltRequest, run: Run, error: PartitionError | undefined): void {
    const refusal: RunRefusal = error ?? {
      code: 'INTERNAL',
      message: 'the answer gives no reason',
      notApplied: false,
    };
    if (error !== undefined) {
      if (error.partition !== NO_PARTITION) run.lane.partition = error.partition;
      this.#cluster.view.learnLeader(topic.name, error.partition, error.leaderAddress);
      if (error.leaderAddress === '') void this.#refreshThenWake();
    }
    this.#decide(topic, request, run, refusal);
  }

  /** The request as a whole was refused, or nobody answered. */
  #failed(request: BuiltRequest, queues: readonly LaneQueue[], error: unknown): void {
    const topic = this.#topic(request.topic);
    const refusal: RunRefusal =
      error instanceof RefusalError
        ? { code: error.code, message: error.message, notApplied: error.outcome === 'not-applied' }
        : { code: 'INTERNAL', message: String(error), notApplied: false };
    if (error instanceof UnreachableError) {
      request.link.failed();
      for (const queue of queues) {
        this.#cluster.view.forgetLeader(topic.name, queue.partition, request.link.address);
      }
    }
    void this.#refreshThenWake();
    const shared = request.runs.length > 1;
    for (const run of request.runs) {
      run.inFlight = false;
      // One bad message has the whole request refused: each run is tried alone, so that only its own fails.
      if (shared && judge(run, refusal, this.#config.idempotent) === 'fail' && refusal.notApplied) {
        run.alone = true;
        run.bytes ??= copyOf(request.bytes, run);
        topic.ready(run.lane);
      } else this.#decide(topic, request, run, refusal);
    }
    this.#sender.done(request, queues, false);
  }

  #decide(topic: TopicLanes, request: BuiltRequest, run: Run, refusal: RunRefusal): void {
    const { lane } = run;
    const verdict = judge(run, refusal, this.#config.idempotent);
    run.unknown ||= !refusal.notApplied;
    run.refusal = refusal;
    if (verdict === 'fail') this.#leaveSettled(failLane(run, refusal));
    else if (verdict === 'renew') {
      returnRun(run);
      this.#identities.want(run.identity);
    } else {
      // The request's memory is wanted for others: what is sent again keeps a copy of its own.
      run.bytes ??= copyOf(request.bytes, run);
      topic.queue(lane.partition).failed(refusal);
      this.#dropIfForsaken(run);
    }
    topic.ready(lane);
  }

  /** Nobody waits for the run any more, and it is not stored: so it never will be. */
  #dropIfForsaken(run: Run): void {
    if (run.unknown || segmentsOf(run).some(({ answered }) => !answered)) return;
    run.lane.run = null;
    run.lane.nextSequence = run.firstSequence;
  }

  #abandonLanes(): void {
    for (const topic of this.#topics.values()) {
      for (const lane of topic.lanes.values()) {
        if (lane.idle) continue;
        const reason = lane.run?.refusal ?? topic.queue(lane.partition).refusal ?? this.#identityRefusal();
        this.#leaveSettled(abandonLane(lane, reason));
        topic.ready(lane);
      }
    }
  }

  #identityRefusal(): RunRefusal | null {
    const { error } = this.#identities;
    if (error === null || !(error instanceof SeriatimError)) return null;
    return { code: error.code, message: error.message, notApplied: true };
  }

  #leaveSettled(calls: ReadonlySet<SendCall>): void {
    for (const call of calls) if (call.settled) this.calls.leave(call);
  }

  async #refreshThenWake(): Promise<void> {
    await this.#cluster.refresh();
    this.#sender.wake();
  }
}

const copyOf = (bytes: Buffer, run: Run): Buffer => {
  const copy = Buffer.allocUnsafe(run.end - run.start);
  bytes.copy(copy, 0, run.start, run.end);
  return copy;
};

const NO_ERRORS: ReadonlyMap<number, PartitionError> = new Map();

function errorsByMessage(errors: readonly PartitionError[]): ReadonlyMap<number, PartitionError> {
  if (errors.length === 0) return NO_ERRORS;
  const byMessage = new Map<number, PartitionError>();
  for (const error of errors) for (const index of error.messageIndexes) byMessage.set(index, error);
  return byMessage;
}
