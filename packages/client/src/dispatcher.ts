/** The heart of a producer: takes calls into lanes, has requests sent, and settles each run by what was answered. */
import type { Buffer } from 'node:buffer';
import type { EventEmitter } from 'node:events';
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
import { GroupHaltedError, SeriatimError, UnreachableError } from './error.ts';
import type { Features } from './features.ts';
import { IdentitySource } from './identity-source.ts';
import { type Lane, type Run, type RunRefusal, type Segment, segmentsOf } from './lane.ts';
import { abandonLane, failLane, failWaiting, returnRun } from './lane-failure.ts';
import { type GroupPosition, LaneOpener } from './lane-opener.ts';
import { type LaneQueue, TopicLanes } from './lane-queue.ts';
import { PlainFallback } from './plain-fallback.ts';
import type { ProducerConfig } from './producer-config.ts';
import { haltedChannel, type ProducerEvents, retryChannel } from './producer-events.ts';
import type { BuiltRequest } from './request-builder.ts';
import { RequestSender } from './request-sender.ts';
import { traceRequest } from './request-trace.ts';
import { copyOf, errorsByMessage, settleRun } from './run-settlement.ts';
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
  readonly #opener: LaneOpener | null;
  readonly #plain: PlainFallback | null;
  readonly #events: EventEmitter<ProducerEvents>;
  /** Calls that met a halted group, to be answered in a later turn. */
  #refusedCalls: SendCall[] = [];
  /** A newer instance of the named producer took over. */
  fenced: SeriatimError | null = null;

  constructor(cluster: Cluster, config: ProducerConfig, events: EventEmitter<ProducerEvents>) {
    this.#events = events;
    this.#cluster = cluster;
    this.#config = config;
    const { idempotent, producerName } = config;
    this.#identities = new IdentitySource(cluster, {
      idempotent,
      producerName,
      topic: () => this.#topics.keys().next().value,
      onArrival: () => this.#identityArrived(),
    });
    this.#opener = producerName === null ? null : this.#newOpener(producerName);
    const settled = (call: SendCall): void => this.calls.leave(call);
    this.#plain =
      config.withoutOrdered === 'plain'
        ? new PlainFallback(cluster, config.requestBytesTarget, settled)
        : null;
    this.#sender = new RequestSender(
      cluster,
      config,
      this.#identities,
      this.#topics,
      (request, queues) => this.#perform(request, queues),
      {
        open: this.#opener === null ? null : (topic, lane) => this.#opener?.want(topic, lane),
        expired: (topic, lane) => this.#expire(topic, lane),
      },
    );
    this.calls = new CallBook(
      config,
      cluster.clock,
      (call) => this.#takeIn(call),
      () => this.#abandonLanes(),
    );
  }

  /** Rejects with why the servers can't be used, where that is known before anything is sent. */
  get features(): Features {
    return this.#identities.features;
  }

  /** Where a named producer stands. */
  positions(topic: string, groups: readonly string[], timeoutMilliseconds: number): Promise<GroupPosition[]> {
    if (this.#opener === null) {
      throw new SeriatimError(
        'INVALID_ARGUMENT',
        'the producer has no name: there is nothing it could go on from',
      );
    }
    this.#topic(topic);
    return this.#opener.positions(topic, groups, timeoutMilliseconds);
  }

  /** Lets a halted group take messages again. False: it was not halted. */
  resume(topicName: string, group: string): boolean {
    const lane = this.#topics.get(topicName)?.lanes.get(group);
    if (lane === undefined || lane.halted === null) return false;
    lane.halted = null;
    this.#events.emit('resumed', { topic: topicName, group });
    return true;
  }

  #newOpener(producerName: string): LaneOpener {
    return new LaneOpener(this.#cluster, this.#identities, producerName, {
      opened: (topic, lane) => {
        topic.ready(lane);
        this.#sender.wake();
      },
      refused: (topic, lane, error) => {
        this.#halt(topic, lane, error);
        this.#leaveSettled(failWaiting(lane, error));
      },
      fenced: (error) => this.#overtaken(error),
    });
  }

  /** The topic has a lane for the group: so its name was checked before. */
  knows(topic: string, group: string): boolean {
    return this.#topics.get(topic)?.lanes.has(group) ?? false;
  }

  close(): void {
    this.#sender.close();
  }

  #takeIn(call: SendCall): void {
    if (this.#plain !== null && this.features.lacks('ORDERED_PRODUCE')) {
      void this.#plain.take(call);
      return;
    }
    const { groups } = call.order;
    const topic = this.#topic(call.order.topic);
    if (typeof groups === 'string') {
      const lane = topic.lane(groups);
      for (let index = 0; index < call.messages.length; index++) lane.append(call, index);
      this.#line(topic, lane, call);
    } else {
      for (let index = 0; index < groups.length; index++) {
        const lane = topic.lane((groups[index] as { readonly messageGroup: string }).messageGroup);
        lane.append(call, index);
        this.#line(topic, lane, call);
      }
    }
    if (topic.lanes.size > this.#config.lanesMax) this.#forgetLanes(topic);
    this.#sender.wake();
  }

  #line(topic: TopicLanes, lane: Lane, call: SendCall): void {
    if (lane.halted === null) {
      topic.ready(lane);
      return;
    }
    failWaiting(lane, lane.halted);
    // Not now: one that leaves lets others in, which may meet a halted group as well.
    if (this.#refusedCalls.length === 0) {
      this.#cluster.clock.soon(() => this.#leaveSettled(new Set(this.#refusedCalls.splice(0))));
    }
    if (call.settled) this.#refusedCalls.push(call);
  }

  /** A named producer asks again where it stands; another one takes a new identity, under which sequences begin again. */
  #forgetLanes(topic: TopicLanes): void {
    if (this.#opener === null) this.#identities.want(this.#identities.current);
    else this.#dropIdle(topic);
  }

  #dropIdle(topic: TopicLanes): void {
    for (const [group, lane] of topic.lanes) {
      if (lane.idle && !lane.queued && lane.halted === null) topic.lanes.delete(group);
    }
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
    const { error, current } = this.#identities;
    if (error === null && current !== null && current.producerId > 0) this.#events.emit('identity', current);
    if (error !== null && !error.retryable) this.calls.abandonAll(error);
    // Under a new identity sequences begin again: idle lanes hold nothing worth keeping.
    if (error === null) {
      for (const topic of this.#topics.values()) {
        if (topic.lanes.size > this.#config.lanesMax) this.#dropIdle(topic);
      }
    }
    if (!(this.calls.empty && this.#identities.current === null)) this.#sender.wake();
  }

  #perform(request: BuiltRequest, queues: readonly LaneQueue[]): void {
    const { clock } = this.#cluster;
    const remaining = Math.max(1, request.deadline - clock.now());
    const timeout = Math.min(remaining, this.#config.attemptTimeoutMilliseconds);
    const traced = traceRequest(request, clock);
    request.link.connection.orderedProduce(request.bytes, timeout).then(
      (bytes) => {
        traced?.(null);
        this.#answered(request, queues, bytes);
      },
      (error: unknown) => {
        traced?.(error);
        this.#failed(request, queues, error);
      },
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
    settleRun(run, response, first);
    topic.ready(run.lane);
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
    if (verdict === 'fail') this.#fail(topic, run, refusal);
    else if (verdict === 'renew') {
      returnRun(run);
      this.#identities.want(run.identity);
    } else {
      // The request's memory is wanted for others: what is sent again keeps a copy of its own.
      run.bytes ??= copyOf(request.bytes, run);
      topic.queue(lane.partition).failed(refusal);
      this.#tellRetry(topic, run, refusal);
      this.#dropIfForsaken(run);
    }
    topic.ready(lane);
  }

  #fail(topic: TopicLanes, run: Run, refusal: RunRefusal): void {
    const { touched, error } = failLane(run, refusal);
    // Who expected another sequence asked a question and has its answer; and without sequences there is no order to keep.
    if (this.#config.idempotent && refusal.code !== 'SEQUENCE_CONFLICT') this.#halt(topic, run.lane, error);
    this.#leaveSettled(touched);
    if (refusal.code === 'PRODUCER_FENCED' && this.#opener !== null) this.#overtaken(error);
  }

  #halt(topic: TopicLanes, lane: Lane, error: SeriatimError): void {
    lane.halted = new GroupHaltedError(error);
    const event = { topic: topic.name, group: lane.group, error };
    this.#events.emit('halted', event);
    if (haltedChannel.hasSubscribers) haltedChannel.publish(event);
  }

  #overtaken(error: SeriatimError): void {
    if (this.fenced !== null) return;
    this.fenced = error;
    this.#events.emit('fenced', { error });
    this.calls.abandonAll(error);
  }

  #expire(topic: TopicLanes, { run }: Lane): void {
    if (run === null || run.inFlight) return;
    const code = run.refusal?.code ?? 'DEADLINE';
    const limit = this.#config.groupTtlMilliseconds / 2;
    const message = `${run.refusal?.message ?? 'no answer'}; it is not repeated later than ${limit} ms after its first attempt`;
    this.#fail(topic, run, { code, message, notApplied: !run.unknown });
  }

  #tellRetry(topic: TopicLanes, run: Run, { code, message }: RunRefusal): void {
    if (!retryChannel.hasSubscribers && this.#events.listenerCount('retry') === 0) return;
    const { lane, attempts } = run;
    const event = {
      topic: topic.name,
      group: lane.group,
      partition: lane.partition,
      attempts,
      code,
      message,
    };
    this.#events.emit('retry', event);
    retryChannel.publish(event);
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
    if (this.#opener !== null && this.#opener.refusal !== null) return this.#opener.refusal;
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
