/**
 * One consumer's stream on this node, without the wire: requests in, responses out. It is attached to every partition of its topic that this node
 * leads, now and later; credit is one for all of them, and answers to settlements are told as one number.
 */
import {
  CONSUME_CREDIT_BYTES_MAX,
  CONSUME_CREDIT_MESSAGES_MAX,
  CONSUME_EVENT_KIND_ATTACHED,
  CONSUME_EVENT_KIND_DRAINING,
  CONSUME_EVENT_KIND_HOLD_LOST,
  type ConsumeOpen,
  type ConsumeRequest,
  decodeConsumeRequest,
  type ErrorCode,
  RefusalError,
  SETTLEMENT_KIND_NACK,
  SETTLEMENT_KIND_REJECT,
} from '@seriatim/protocol';
import type { ConsumerEvent, ConsumerIdentity, Delivery, ResumedHold } from '../consume-contracts.ts';
import type { TopicView } from '../contracts.ts';
import { ConsumeResponses, type ConsumeWire, consumeEvent } from './consume-responses.ts';
import { leaderAddress } from './look-up.ts';
import { type ConsumerStream, PartitionConsumer } from './partition-consumer.ts';
import type { FrontPorts } from './ports.ts';
import { requireSubscription } from './subscription-requests.ts';

/** How often a stream looks for partitions that came to this node, and for the end of its subscription, milliseconds. */
const LOOK_MILLISECONDS = 250;
/** A stream that was told that the node shuts down gets this long to leave, milliseconds. */
const DRAIN_MILLISECONDS = 1_000;

/** What came through consumers' streams, for the metrics page. */
export interface ConsumeCounters {
  streams: number;
  delivered: number;
  settlements: number;
  refusedSettlements: number;
}

/** See the head of this file. */
export class ConsumeSession implements ConsumerStream {
  readonly #ports: FrontPorts;
  readonly #counters: ConsumeCounters;
  readonly #responses: ConsumeResponses;
  readonly #consumers = new Map<number, PartitionConsumer>();
  #opened: { readonly identity: ConsumerIdentity; readonly topic: TopicView } | null = null;
  #holds = new Map<number, ResumedHold[]>();
  #creditMessages = 0;
  #creditBytes = 0;
  #draining = false;
  /** Leaves in order: what comes is not looked at any more. */
  #leaving = false;
  #over = false;
  /** Which attachment is offered new credit first: each has its turn. */
  #turn = 0;
  #cancelLook: () => void = () => {};

  constructor(ports: FrontPorts, wire: ConsumeWire, counters: ConsumeCounters) {
    this.#ports = ports;
    this.#counters = counters;
    this.#responses = new ConsumeResponses(ports.clock, wire, (rows) => {
      counters.refusedSettlements += rows;
    });
    counters.streams++;
  }

  get creditMessages(): number {
    return this.#draining ? 0 : this.#creditMessages;
  }
  get creditBytes(): number {
    return this.#creditBytes;
  }
  get writable(): boolean {
    return !this.#responses.full && !this.#over;
  }

  /** One request. What is wrong with it ends the stream. */
  take(bytes: Buffer): void {
    if (this.#over || this.#leaving) return;
    try {
      this.#handle(decodeConsumeRequest(bytes));
    } catch (refusal) {
      this.#end(refusal);
    }
  }

  /** The wire takes more. */
  drained(): void {
    this.#responses.full = false;
    this.#offerCredit();
  }

  /** The client sends no more: without leaving first it is gone, else it waits for its answers. */
  halfClosed(): void {
    if (!this.#leaving) this.gone();
  }

  /** The client is gone: it may come back. */
  gone(): void {
    this.#end(null);
  }

  /** The node shuts down: the consumer is told, and gets a moment to leave. */
  shutDown(refusal: unknown): void {
    if (this.#over || this.#draining) return;
    this.#draining = true;
    this.#responses.event({ kind: CONSUME_EVENT_KIND_DRAINING });
    this.#ports.clock.after(DRAIN_MILLISECONDS, () => this.#end(refusal));
  }

  deliver(partition: number, delivery: Delivery): void {
    this.#creditMessages -= delivery.messages;
    // Below zero after a message larger than what was left: both sides count alike, whatever grant is on its way.
    this.#creditBytes -= delivery.bodyBytes;
    this.#counters.delivered += delivery.messages;
    this.#responses.deliver(partition, delivery);
  }

  settled(partition: number, row: number, refused: readonly number[], codes: readonly ErrorCode[]): void {
    this.#responses.answers.decided(partition, row, refused, codes);
    this.#responses.tellSoon();
  }

  event(partition: number, event: ConsumerEvent): void {
    if (event.type === 'leadership-ended') this.#responses.answers.abandon(partition, 'NOT_LEADER');
    this.#responses.event(consumeEvent(partition, event, this.#leaderOf(partition)));
  }

  attached(partition: number): void {
    this.#responses.event({ kind: CONSUME_EVENT_KIND_ATTACHED, partition });
  }

  refused(partition: number, refusal: unknown, holds: readonly ResumedHold[]): void {
    const code = refusal instanceof RefusalError ? refusal.code : null;
    switch (code) {
      case 'NOT_LEADER':
      case 'SUBSCRIPTION_NOT_READY':
        // Looked at again soon; holds are not kept meanwhile.
        this.#loseHolds(partition, holds);
        return;
      default:
        this.#end(refusal);
    }
  }

  replaced(reason: RefusalError): void {
    this.#end(reason);
  }

  #handle(request: ConsumeRequest): void {
    if ((this.#opened === null) !== (request.open !== null)) {
      const what =
        request.open === null ? 'the first request has no open' : 'open comes with the first request only';
      throw new RefusalError('INVALID_REQUEST', `ConsumeRequest: ${what}`);
    }
    this.#grant(request.creditMessages, request.creditBytes);
    if (request.open !== null) this.#open(request.open);
    this.#settle(request);
    if (request.leave) void this.#leave();
    else if (request.creditMessages > 0 || request.creditBytes > 0) this.#offerCredit();
  }

  #grant(messages: number, bytes: number): void {
    this.#creditMessages += messages;
    this.#creditBytes += bytes;
    if (this.#creditMessages <= CONSUME_CREDIT_MESSAGES_MAX && this.#creditBytes <= CONSUME_CREDIT_BYTES_MAX)
      return;
    throw new RefusalError(
      'INVALID_REQUEST',
      `credit of ${this.#creditMessages} messages and ${this.#creditBytes} bytes is not used, the limits are ${CONSUME_CREDIT_MESSAGES_MAX} and ${CONSUME_CREDIT_BYTES_MAX}`,
    );
  }

  #open(open: ConsumeOpen): void {
    const { view, definitions } = this.#ports;
    const { topic, subscription } = requireSubscription(view, definitions, open.topic, open.subscription);
    if (!subscription.ready) {
      const message = `subscription "${subscription.name}" is being changed; try again`;
      throw new RefusalError('SUBSCRIPTION_NOT_READY', message);
    }
    checkName('consumer', open.consumer, /^[A-Za-z0-9._-]{1,128}$/, '1 to 128 of [A-Za-z0-9._-]');
    checkName('session', open.session, /^[A-Za-z0-9-]{8,64}$/, '8 to 64 of [A-Za-z0-9-]');
    const { consumer, session } = open;
    this.#opened = { topic, identity: { subscription: subscription.id, consumer, session } };
    open.resumeGroups.forEach((group, at) => {
      const partition = open.resumePartitions[at] as number;
      if (topic.partitions[partition] === undefined) {
        const message = `resume_partitions has ${partition}; the topic has 0 to ${topic.partitions.length - 1}`;
        throw new RefusalError('INVALID_REQUEST', message);
      }
      const hold = {
        group,
        life: open.resumeLives[at] as number,
        tokenEpoch: open.resumeTokenEpochs[at] as number,
        tokenCounter: open.resumeTokenCounters[at] as number,
        lastSequence: open.resumeSequences[at] as number,
        headOffset: (open.resumeHeadOffsets[at] as number) - 1,
        headAttempt: open.resumeHeadAttempts[at] as number,
        settledSequence: open.resumeSettledSequences[at] as number,
      };
      const holds = this.#holds.get(partition);
      if (holds === undefined) this.#holds.set(partition, [hold]);
      else holds.push(hold);
    });
    this.#look(true);
    for (const [partition, holds] of this.#holds) this.#loseHolds(partition, holds);
    this.#holds.clear();
  }

  /** Attaches to what this node leads; ends the stream when the subscription is gone. */
  #look(opening = false): void {
    if (this.#opened === null || this.#over || this.#leaving) return;
    const { identity } = this.#opened;
    const view = this.#ports.definitions.subscriptionById(identity.subscription);
    const topic = view === undefined ? undefined : this.#ports.view.topicById(view.topic);
    if (topic === undefined) {
      this.#end(new RefusalError('UNKNOWN_SUBSCRIPTION', 'the subscription was deleted'));
      return;
    }
    for (const { shard, partition } of topic.partitions) {
      const local = this.#ports.partitions.get(shard);
      const known = this.#consumers.get(partition);
      if (known !== undefined && known.partition !== local) {
        this.#consumers.delete(partition);
        void known.close('broken');
      }
      if (local === undefined) continue;
      if (!this.#consumers.has(partition)) {
        const holds = opening && local.dispatch.leads ? (this.#holds.get(partition) ?? []) : null;
        if (local.dispatch.leads) this.#holds.delete(partition);
        this.#consumers.set(partition, new PartitionConsumer(this, local, identity, holds));
      }
      this.#consumers.get(partition)?.look();
    }
    this.#cancelLook();
    this.#cancelLook = this.#ports.clock.after(LOOK_MILLISECONDS, () => this.#look());
  }

  #settle(request: ConsumeRequest): void {
    const { settleKinds: kinds } = request;
    if (kinds.length === 0) return;
    this.#counters.settlements += kinds.length;
    let reasons = 0;
    for (let row = 0; row < kinds.length; row++) {
      const kind = kinds[row] as number;
      const partition = request.settlePartitions[row] as number;
      const hasReason = kind === SETTLEMENT_KIND_NACK || kind === SETTLEMENT_KIND_REJECT;
      const reason = hasReason ? (request.settleReasons[reasons++] ?? '') : null;
      const consumer = this.#consumers.get(partition);
      if (consumer === undefined || !consumer.isAttached) {
        this.#responses.answers.refuseNext('NOT_LEADER');
        continue;
      }
      consumer.add(
        this.#responses.answers.take(partition),
        kind,
        request.settleTokenEpochs[row] as number,
        request.settleTokenCounters[row] as number,
        request.settleSequences[row] as number,
        request.settleMilliseconds[row] as number,
        reason,
      );
    }
    for (const consumer of this.#consumers.values()) consumer.flush();
    this.#responses.tellSoon();
  }

  async #leave(): Promise<void> {
    this.#leaving = true;
    this.#cancelLook();
    const leaving = [...this.#consumers].map(async ([partition, consumer]) => {
      const answers = await consumer.close('clean');
      const decided = answers.durable ? Number.MAX_SAFE_INTEGER : 0;
      this.#responses.answers.decided(partition, decided, answers.refused, answers.codes);
      if (!answers.durable) this.#responses.answers.abandon(partition, 'NOT_LEADER');
    });
    await Promise.all(leaving);
    if (this.#over) return;
    this.#responses.tell();
    this.#end(null);
  }

  /** Each attachment is the first to be offered new credit in its turn. */
  #offerCredit(): void {
    const consumers = [...this.#consumers.values()];
    const first = this.#turn++;
    for (let at = 0; at < consumers.length; at++) consumers[(first + at) % consumers.length]?.creditGranted();
  }

  /** Holds named of a partition that does not take this consumer here are lost here: the leader has to be asked. */
  #loseHolds(partition: number, holds: readonly ResumedHold[]): void {
    for (const { group, life, tokenEpoch, tokenCounter } of holds) {
      this.#responses.event({
        kind: CONSUME_EVENT_KIND_HOLD_LOST,
        partition,
        group,
        life,
        tokenEpoch,
        tokenCounter,
        leaderAddress: this.#leaderOf(partition),
        code: 'NOT_LEADER',
      });
    }
  }

  /** Where the leader of a partition is reached, as far as this node knows of another one. */
  #leaderOf(partition: number): string {
    const shard = this.#opened?.topic.partitions[partition]?.shard;
    const leader = shard === undefined ? undefined : this.#ports.leaders.leader(shard)?.node;
    return leader === undefined || leader === this.#ports.node ? '' : leaderAddress(this.#ports.view, leader);
  }

  #end(refusal: unknown): void {
    if (this.#over) return;
    if (refusal !== null) this.#responses.tell();
    this.#over = true;
    this.#counters.streams--;
    this.#cancelLook();
    for (const consumer of this.#consumers.values()) void consumer.close('broken');
    this.#consumers.clear();
    this.#responses.end(refusal);
  }
}

function checkName(what: string, value: string, pattern: RegExp, rule: string): void {
  if (pattern.test(value)) return;
  throw new RefusalError('INVALID_REQUEST', `${what} ${JSON.stringify(value.slice(0, 150))} is not ${rule}`);
}
