/** The produce RPCs, from a request's bytes to a response's bytes. */
import {
  encodeProduceResponse,
  MessageWalker,
  RefusalError,
  type WalkedOrderedProduce,
  type WalkedProduce,
} from '@seriatim/protocol';
import { type AppendReceipt, RUN_REFUSED, RUN_STORED, type TopicView } from '../contracts.ts';
import { type PlannedBatch, planBatches } from './batch-builder.ts';
import { leaderAddress, readyTopic, requirePartition } from './look-up.ts';
import { appendToLeader } from './partition-appender.ts';
import type { FrontPorts } from './ports.ts';
import { ProduceAnswer } from './produce-answer.ts';
import { type RequestRuns, RunBuilder, routeAgain, UNROUTED } from './request-runs.ts';

/** Counters for the metrics page. */
export interface ProduceCounters {
  requests: number;
  messages: number;
  bytes: number;
}

/** Serves OrderedProduce and Produce. */
export class ProduceHandler {
  readonly counters: ProduceCounters = { requests: 0, messages: 0, bytes: 0 };
  readonly #ports: FrontPorts;
  readonly #walker: MessageWalker;
  readonly #runs: RunBuilder;

  constructor(ports: FrontPorts) {
    this.#ports = ports;
    this.#walker = new MessageWalker(ports.limits);
    this.#runs = new RunBuilder(ports.view, ports.router);
  }

  /**
   * An OrderedProduceRequest. Groups with a route go on their way at once, new ones when they have got theirs. Throws a
   * {@link RefusalError} for a request that is wrong, or of which nothing was stored and all failed alike.
   */
  async orderedProduce(bytes: Buffer, deadline: number): Promise<Buffer> {
    const walked = this.#walker.orderedProduce(bytes);
    this.#count(walked.count, bytes.length);
    const topic = readyTopic(this.#ports.view, walked.topic);
    const runs = this.#runs.build(walked, topic);
    const answer = new ProduceAnswer(walked.count, runs, (node) => leaderAddress(this.#ports.view, node));
    const routed: number[] = [];
    const unrouted: number[] = [];
    for (let run = 0; run < runs.count; run++) {
      if (runs.partition[run] === UNROUTED) unrouted.push(run);
      else routed.push(run);
    }
    const known = this.#appendRuns(walked, runs, routed, topic, answer, deadline);
    if (unrouted.length > 0) await this.#assignAndAppend(walked, runs, unrouted, topic, answer, deadline);
    await known;
    return answer.encode();
  }

  /** A ProduceRequest: messages without group, in request order, into the partition it names. */
  async produce(bytes: Buffer, deadline: number): Promise<Buffer> {
    const walked = this.#walker.produce(bytes);
    this.#count(walked.count, bytes.length);
    const topic = readyTopic(this.#ports.view, walked.topic);
    const partition = requirePartition(topic, walked.partition);
    const stamp = { producerId: 0, producerEpoch: 0 };
    const [planned] = planBatches(walked, oneRun(walked), [0], topic.partitions, stamp);
    if (planned === undefined) throw new RefusalError('INTERNAL', 'a request without a batch');
    const { answer, leader } = await appendToLeader(this.#ports, planned.batch, deadline);
    if (answer.type === 'refusal') {
      throw new RefusalError(answer.code, answer.message, {
        outcome: answer.notApplied ? 'not-applied' : 'unknown',
        leaderAddress: leaderAddress(this.#ports.view, leader) || undefined,
      });
    }
    requireStored(answer);
    return encodeProduceResponse({
      partition: partition.partition,
      baseOffset: answer.firstOffset[0] ?? 0,
      messages: walked.count,
      timestampMs: answer.timestamp,
    });
  }

  async #assignAndAppend(
    walked: WalkedOrderedProduce,
    runs: RequestRuns,
    unrouted: readonly number[],
    topic: TopicView,
    answer: ProduceAnswer,
    deadline: number,
  ): Promise<void> {
    const names = unrouted.map((run) => {
      const message = runs.order[runs.start[run] ?? 0] ?? 0;
      return walked.buffer.subarray(walked.groupStarts[message] ?? 0, walked.groupEnds[message] ?? 0);
    });
    let failure: unknown = null;
    try {
      await this.#ports.assigner.assign(topic.id, names, deadline);
    } catch (error) {
      failure = unassigned(error);
    }
    // Also after a failure: some of them may have got their route meanwhile, by this or by another request.
    const routed = routeAgain(this.#ports.view, walked, topic, runs, unrouted);
    if (routed.length < unrouted.length) {
      const left = unrouted.filter((run) => runs.partition[run] === UNROUTED);
      answer.unrouted(left, failure ?? new RefusalError('STALE_ROUTE', 'the new route is gone already'));
    }
    await this.#appendRuns(walked, runs, routed, topic, answer, deadline);
  }

  async #appendRuns(
    walked: WalkedOrderedProduce,
    runs: RequestRuns,
    routed: readonly number[],
    topic: TopicView,
    answer: ProduceAnswer,
    deadline: number,
  ): Promise<void> {
    if (routed.length === 0) return;
    const batches = planBatches(walked, runs, routed, topic.partitions, walked);
    await Promise.all(batches.map((planned) => this.#append(planned, answer, deadline)));
  }

  async #append(planned: PlannedBatch, answer: ProduceAnswer, deadline: number): Promise<void> {
    answer.add(planned, await appendToLeader(this.#ports, planned.batch, deadline));
  }

  #count(messages: number, bytes: number): void {
    this.counters.requests++;
    this.counters.messages += messages;
    this.counters.bytes += bytes;
  }
}

/** Without a quorum meta answers late or not at all; for the caller both mean the same. */
function unassigned(error: unknown): unknown {
  if (!(error instanceof RefusalError) || error.code !== 'DEADLINE') return error;
  return new RefusalError('NO_META_LEADER', error.message, { cause: error });
}

function requireStored(receipt: AppendReceipt): void {
  if (receipt.status[0] === RUN_STORED) return;
  const [error] = receipt.errors;
  throw new RefusalError(error?.code ?? 'INTERNAL', error?.message ?? 'the partition gave no receipt', {
    outcome: receipt.status[0] === RUN_REFUSED ? 'not-applied' : 'unknown',
  });
}

function oneRun(walked: WalkedProduce): RequestRuns {
  const order = new Uint32Array(walked.count);
  for (let index = 0; index < walked.count; index++) order[index] = index;
  return {
    count: 1,
    start: new Uint32Array([0, walked.count]),
    order,
    producerSequence: [0],
    expectedSequence: [],
    partition: [walked.partition],
    life: [0],
  };
}
