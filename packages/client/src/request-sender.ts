import { WireWriter } from '@seriatim/protocol';
import type { Cluster } from './cluster.ts';
import type { IdentitySource } from './identity-source.ts';
import type { Lane, ProducerIdentity, Run } from './lane.ts';
import type { LaneQueue, TopicLanes } from './lane-queue.ts';
import type { NodeLink } from './node-link.ts';
import type { ProducerConfig } from './producer-config.ts';
import { type BuiltRequest, RequestBuilder } from './request-builder.ts';

/** How often it is looked whether a node is connected, while none is. */
const CONNECT_POLL_MILLISECONDS = 20;
/** Writers kept for the next requests. */
const SPARE_WRITERS = 16;

/** Lanes that are in line and can't be sent yet, or never more. */
export interface LaneGate {
  /** A lane of a named producer that has to be opened; null: the producer has no name. */
  readonly open: ((topic: TopicLanes, lane: Lane) => void) | null;
  /** The lane's run is too old to be repeated. */
  readonly expired: (topic: TopicLanes, lane: Lane) => void;
}

/**
 * Forms requests of lanes that are ready and sends them to the leaders, within the limits. Lanes of one partition go together; a
 * partition whose leader is not known gets requests of its own, so that its trouble is nobody else's.
 */
export class RequestSender {
  readonly #cluster: Cluster;
  readonly #config: ProducerConfig;
  readonly #identities: IdentitySource;
  readonly #topics: ReadonlyMap<string, TopicLanes>;
  readonly #send: (request: BuiltRequest, queues: readonly LaneQueue[]) => void;
  readonly #lanes: LaneGate;
  readonly #requests = new Map<NodeLink, number>();
  readonly #writers: WireWriter[] = [];
  /** Lanes that wait for another identity. */
  readonly #renewing: { readonly topic: TopicLanes; readonly lane: Lane }[] = [];
  #bytesInFlight = 0;
  #turn = 0;
  #cancelTimer: () => void = () => {};
  #scheduled = false;

  /** `send` performs a request and tells {@link done} afterwards. */
  constructor(
    cluster: Cluster,
    config: ProducerConfig,
    identities: IdentitySource,
    topics: ReadonlyMap<string, TopicLanes>,
    send: (request: BuiltRequest, queues: readonly LaneQueue[]) => void,
    lanes: LaneGate,
  ) {
    this.#lanes = lanes;
    this.#cluster = cluster;
    this.#config = config;
    this.#identities = identities;
    this.#topics = topics;
    this.#send = send;
  }

  /** Sends what can be sent, in a later turn: what else becomes ready in this one travels with it. */
  wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#cluster.clock.soon(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  /** A request has ended; its bytes are free when `reusable`. */
  done(request: BuiltRequest, queues: readonly LaneQueue[], reusable: boolean): void {
    this.#bytesInFlight -= request.bytes.length;
    this.#requests.set(request.link, (this.#requests.get(request.link) ?? 1) - 1);
    for (const queue of queues) queue.inFlight--;
    // After a failure grpc-js may still hold the bytes.
    if (reusable && this.#writers.length < SPARE_WRITERS) this.#writers.push(request.writer);
    this.wake();
  }

  close(): void {
    this.#cancelTimer();
  }

  #pump(): void {
    this.#cancelTimer();
    if (this.#cluster.closed) return;
    const current = this.#identities.current;
    if (current === null) {
      this.#identities.want(null);
      return;
    }
    for (const { topic, lane } of this.#renewing.splice(0)) topic.ready(lane);
    const began = this.#cluster.clock.now();
    for (const topic of this.#topics.values()) {
      // Each round begins with another partition, so that none comes last every time.
      const queues = [...topic.queues.values()];
      const first = this.#turn++ % Math.max(1, queues.length);
      for (let step = 0; step < queues.length; step++) {
        const queue = queues[(first + step) % queues.length] as LaneQueue;
        while (this.#sendFrom(topic, queue, queues, current)) {
          // Until the queue, the node's share or the bytes are used up.
        }
      }
    }
    this.#scheduleForPauses(began);
  }

  #sendFrom(
    topic: TopicLanes,
    queue: LaneQueue,
    queues: readonly LaneQueue[],
    current: ProducerIdentity,
  ): boolean {
    if (!queue.open) return false;
    const head = this.#head(topic, queue, current);
    if (head === undefined) return false;
    const { requestBytesTarget, requestMessagesMax, requestsPerNodeMax, inFlightBytesMax } = this.#config;
    const leader = this.#leader(topic, queue);
    const link = leader ?? this.#cluster.pick();
    if (!link.usable) return false;
    const underWay = this.#requests.get(link) ?? 0;
    if (underWay >= requestsPerNodeMax) return false;
    if (this.#bytesInFlight > 0 && this.#bytesInFlight + requestBytesTarget > inFlightBytesMax) return false;
    const identity = head.run?.identity ?? current;
    const writer = this.#writers.pop() ?? new WireWriter(requestBytesTarget + 32 * 1024);
    const now = this.#cluster.clock.now();
    const builder = new RequestBuilder(identity, requestBytesTarget, requestMessagesMax, writer, now);
    const together = leader === undefined ? [queue] : this.#ledBy(topic, queues, leader);
    const used = this.#fill(topic, together, builder, current);
    if (builder.empty) {
      this.#writers.push(writer);
      return false;
    }
    const request = builder.build(topic.name, link, this.#config.idempotent);
    this.#bytesInFlight += request.bytes.length;
    this.#requests.set(link, underWay + 1);
    for (const one of used) one.inFlight++;
    this.#send(request, used);
    return true;
  }

  /** The first lane in line that can be sent now; those before it are moved to where they belong. */
  #head(topic: TopicLanes, queue: LaneQueue, current: ProducerIdentity): Lane | undefined {
    for (;;) {
      const lane = queue.peek();
      if (lane === undefined) return undefined;
      const here = lane.partition === queue.partition && lane.ready;
      if (here && this.#hasIdentity(topic, lane, current)) return lane;
      queue.shift();
      if (here) continue;
      topic.ready(lane);
      // Where it went the round may have been already.
      this.wake();
    }
  }

  /** The partition's leader, unless it is unknown or in its pause after failures. */
  #leader(topic: TopicLanes, queue: LaneQueue): NodeLink | undefined {
    const address = this.#cluster.view.leader(topic.name, queue.partition);
    if (address === undefined) return undefined;
    const link = this.#cluster.link(address);
    return link.usable ? link : undefined;
  }

  /** Queues that may travel in one request to `leader`; such that just failed travel alone. */
  #ledBy(topic: TopicLanes, queues: readonly LaneQueue[], leader: NodeLink): readonly LaneQueue[] {
    return queues.filter((queue) => !queue.empty && queue.open && this.#leader(topic, queue) === leader);
  }

  /** First an equal share of each queue, then whatever is left. Gives the queues that are part of the request. */
  #fill(
    topic: TopicLanes,
    queues: readonly LaneQueue[],
    builder: RequestBuilder,
    current: ProducerIdentity,
  ): readonly LaneQueue[] {
    const share = this.#config.requestBytesTarget / queues.length;
    const used = new Set<LaneQueue>();
    queues.forEach((queue, index) => {
      if (this.#fillFrom(topic, queue, builder, current, share * (index + 1))) used.add(queue);
    });
    for (const queue of queues) {
      if (this.#fillFrom(topic, queue, builder, current, this.#config.requestBytesTarget)) used.add(queue);
    }
    return [...used];
  }

  #fillFrom(
    topic: TopicLanes,
    queue: LaneQueue,
    builder: RequestBuilder,
    current: ProducerIdentity,
    bytesMax: number,
  ): boolean {
    const passedOver: Lane[] = [];
    let used = false;
    while (!builder.full && builder.bytes < bytesMax) {
      const lane = queue.shift();
      if (lane === undefined) break;
      if (lane.partition !== queue.partition) {
        topic.ready(lane);
        this.wake();
        continue;
      }
      if (!(lane.ready && this.#hasIdentity(topic, lane, current))) continue;
      if (builder.add(lane)) used = true;
      else passedOver.push(lane);
    }
    for (const lane of passedOver) queue.push(lane);
    return used;
  }

  /** A lane with nothing under way goes on under the newest identity. */
  #hasIdentity(topic: TopicLanes, lane: Lane, current: ProducerIdentity): boolean {
    if (lane.run !== null) return !this.#isExpired(topic, lane, lane.run);
    if (lane.identity === current) return true;
    if (this.#lanes.open !== null) {
      this.#lanes.open(topic, lane);
      return false;
    }
    if (!this.#config.idempotent) {
      lane.identity = current;
      return true;
    }
    if (lane.spoiledIdentity === current) {
      this.#renewing.push({ topic, lane });
      this.#identities.want(current);
      return false;
    }
    lane.identity = current;
    lane.spoiledIdentity = null;
    lane.nextSequence = 1;
    return true;
  }

  /** Half of a group's time to live after its first attempt a run may have been forgotten with its writer: it could be stored twice. */
  #isExpired(topic: TopicLanes, lane: Lane, run: Run): boolean {
    const limit = this.#config.groupTtlMilliseconds / 2;
    if (run.attempts === 0 || this.#cluster.clock.now() - run.firstSentAt <= limit) return false;
    this.#lanes.expired(topic, lane);
    return true;
  }

  /**
   * Comes back when the first pause ends, or soon where the nodes that are left are not connected yet. A pause that ended since the round `began`
   * may have kept back what was looked at before: it is one that ends now.
   */
  #scheduleForPauses(began: number): void {
    const now = this.#cluster.clock.now();
    let until = Number.POSITIVE_INFINITY;
    for (const topic of this.#topics.values()) {
      for (const queue of topic.queues.values()) {
        if (queue.empty) continue;
        if (queue.pausedUntil > began) until = Math.min(until, queue.pausedUntil);
        else if (queue.open) {
          const link = this.#cluster.pick();
          // With nothing of it under way nobody else looks again.
          if (!link.usable || queue.inFlight === 0)
            until = Math.min(until, Math.max(link.pausedUntil, now + CONNECT_POLL_MILLISECONDS));
        }
      }
    }
    if (until === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = this.#cluster.clock.schedule(Math.max(0, until - now), () => this.#pump());
  }
}
