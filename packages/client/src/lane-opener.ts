/**
 * Lanes of a named producer begin where the broker says that the name stands in their group: asked before the first message, many groups in one
 * question. Whatever an older process of that name sends after the answer is refused, so the answer stays true.
 */
import {
  type ErrorCode,
  type OpenWriterResponse,
  type PartitionError,
  RefusalError,
} from '@seriatim/protocol';
import { Backoff } from './backoff.ts';
import type { Cluster } from './cluster.ts';
import { isRetryable, SeriatimError, type SeriatimErrorCode, toSeriatimError } from './error.ts';
import type { IdentitySource } from './identity-source.ts';
import type { Lane, ProducerIdentity, RunRefusal } from './lane.ts';
import type { TopicLanes } from './lane-queue.ts';
import { errorsByMessage } from './run-settlement.ts';

/** Groups asked for in one question. */
const GROUPS_MAX = 1000;
/** One question, and how long it is repeated before it is looked whether its lanes still want it. */
const ATTEMPT_MILLISECONDS = 5000;
const ROUND_MILLISECONDS = 10_000;

/** Where a named producer stands in a group. */
export interface GroupPosition {
  readonly group: string;
  readonly partition: number;
  /** Messages of this producer that the group has stored; 0: none. The next one to send is the one behind. */
  readonly lastProducerSequence: number;
  /** The group's last sequence, whoever sent it; 0: none. */
  readonly lastGroupSequence: number;
}

/** Who is told. */
export interface LaneOpenerListener {
  opened(topic: TopicLanes, lane: Lane): void;
  /** The lane can't be opened, for good. */
  refused(topic: TopicLanes, lane: Lane, error: SeriatimError): void;
  fenced(error: SeriatimError): void;
}

/** See the head of this file. */
export class LaneOpener {
  readonly #cluster: Cluster;
  readonly #identities: IdentitySource;
  readonly #producerName: string;
  readonly #listener: LaneOpenerListener;
  readonly #waiting = new Map<TopicLanes, Set<Lane>>();
  readonly #asking = new Set<TopicLanes>();
  /** Topics that are fenced as a whole, as far as their partitions answered. */
  readonly #fenced = new Set<string>();
  readonly #backoff: Backoff;
  /** Why lanes still wait. */
  refusal: RunRefusal | null = null;

  constructor(
    cluster: Cluster,
    identities: IdentitySource,
    producerName: string,
    listener: LaneOpenerListener,
  ) {
    this.#cluster = cluster;
    this.#identities = identities;
    this.#producerName = producerName;
    this.#listener = listener;
    this.#backoff = new Backoff(cluster.backoff, cluster.clock);
  }

  /** Sees to it that the lane gets its identity and sequence. */
  want(topic: TopicLanes, lane: Lane): void {
    let lanes = this.#waiting.get(topic);
    if (lanes === undefined) {
      lanes = new Set();
      this.#waiting.set(topic, lanes);
    }
    lanes.add(lane);
    this.#schedule(topic, 0);
  }

  /** Where the producer stands in groups, in the order asked. Throws a SeriatimError. */
  async positions(
    topic: string,
    groups: readonly string[],
    timeoutMilliseconds: number,
  ): Promise<GroupPosition[]> {
    const { clock } = this.#cluster;
    const deadline = clock.now() + timeoutMilliseconds;
    const identity = await this.#identities.whenKnown(deadline);
    const positions: GroupPosition[] = [];
    for (let at = 0; at < groups.length; at += GROUPS_MAX) {
      const asked = groups.slice(at, at + GROUPS_MAX);
      const answer = await this.#ask(topic, identity, asked, Math.max(1, deadline - clock.now()), true);
      positions.push(...asked.map((group, index) => positionOf(answer, group, index)));
    }
    return positions;
  }

  #schedule(topic: TopicLanes, milliseconds: number): void {
    if (this.#asking.has(topic)) return;
    this.#asking.add(topic);
    // In a later turn, so that lanes which come together are asked for together.
    this.#cluster.clock.schedule(milliseconds, () => {
      void this.#open(topic).then((pause) => {
        this.#asking.delete(topic);
        if ((this.#waiting.get(topic)?.size ?? 0) > 0 && !this.#cluster.closed) this.#schedule(topic, pause);
      });
    });
  }

  /** Opens some of the lanes that wait; gives the pause before the next ones. */
  async #open(topic: TopicLanes): Promise<number> {
    const waiting = this.#waiting.get(topic) ?? new Set();
    const lanes: Lane[] = [];
    for (const lane of waiting) {
      if (lane.idle) waiting.delete(lane);
      else if (lanes.push(lane) === GROUPS_MAX) break;
    }
    const identity = this.#identities.current;
    if (lanes.length === 0 || identity === null || this.#cluster.closed) return 0;
    const groups = lanes.map(({ group }) => group);
    let answer: OpenWriterResponse;
    try {
      answer = await this.#ask(topic.name, identity, groups, ROUND_MILLISECONDS, false);
    } catch (error) {
      return this.#failed(topic, lanes, toSeriatimError(error));
    }
    const errors = errorsByMessage(answer.partitionErrors);
    let again = false;
    lanes.forEach((lane, index) => {
      const error = errors.get(index);
      if (error !== undefined && isRetryable(error.code)) {
        this.refusal = error;
        again = true;
        return;
      }
      waiting.delete(lane);
      if (error !== undefined) this.#listener.refused(topic, lane, errorOf(error, lane.group));
      else begin(lane, identity, positionOf(answer, lane.group, index));
      if (error === undefined) this.#listener.opened(topic, lane);
    });
    if (again) return this.#backoff.failed();
    this.#backoff.succeeded();
    this.refusal = null;
    return 0;
  }

  #failed(topic: TopicLanes, lanes: readonly Lane[], error: SeriatimError): number {
    this.refusal = { code: error.code, message: error.message, notApplied: true };
    if (error.retryable || error.code === 'CLOSED') return this.#backoff.failed();
    for (const lane of lanes) this.#waiting.get(topic)?.delete(lane);
    if (error.code === 'PRODUCER_FENCED') this.#listener.fenced(error);
    else for (const lane of lanes) this.#listener.refused(topic, lane, error);
    return 0;
  }

  /** `strict`: errors of single partitions are thrown, those that may pass after retries. */
  async #ask(
    topic: string,
    { producerId, epoch }: ProducerIdentity,
    groups: readonly string[],
    timeoutMilliseconds: number,
    strict: boolean,
  ): Promise<OpenWriterResponse> {
    const writer = { producerName: this.#producerName, producerId, epoch, instance: '', previousEpoch: 0 };
    const request = { ...writer, topic, groups };
    const limits = { timeoutMilliseconds };
    const fence = this.#fenced.has(topic) ? [] : [{ ...request, groups: [] }];
    let last: OpenWriterResponse | null = null;
    for (const one of [...fence, request]) {
      last = await this.#cluster.retrying('OpenWriter', limits, async ({ connection }) => {
        const answer = await connection.call(
          'OpenWriter',
          one,
          Math.min(timeoutMilliseconds, ATTEMPT_MILLISECONDS),
        );
        const [error] = one === request && strict ? answer.partitionErrors : [];
        // As a refusal, so that one that may pass is tried again.
        if (error !== undefined) throw new RefusalError(error.code as ErrorCode, error.message);
        return answer;
      });
    }
    this.#fenced.add(topic);
    return last as OpenWriterResponse;
  }
}

function begin(lane: Lane, identity: ProducerIdentity, position: GroupPosition): void {
  lane.identity = identity;
  lane.spoiledIdentity = null;
  lane.nextSequence = position.lastProducerSequence + 1;
  lane.partition = position.partition;
}

const positionOf = (answer: OpenWriterResponse, group: string, index: number): GroupPosition => ({
  group,
  partition: answer.partitions[index] ?? -1,
  lastProducerSequence: answer.lastProducerSequences[index] ?? 0,
  lastGroupSequence: answer.lastGroupSequences[index] ?? 0,
});

const errorOf = ({ code, message, partition }: PartitionError, group: string): SeriatimError =>
  new SeriatimError(code as SeriatimErrorCode, message, { details: { group, partition } });
