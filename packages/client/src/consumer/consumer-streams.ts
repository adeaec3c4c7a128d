/**
 * Which streams a consumer has: one to each node that leads a partition, all with its session.
 *
 * A hold lives at its partition's leader. When that changes, or a stream breaks, the holds wait here and are named in the `open` of a stream to the new
 * leader, which answers each with a new token or that it is lost. `open` stands only in a stream's first request: where a stream to that node is open
 * already it is opened anew, naming all that it held too, and also where nothing is held, so that nobody waits for it. The broker then puts the new stream in the place of the session's older one and keeps these
 * holds, so this needs no message of its own and can not go wrong halfway; it costs one answer a hold, once in each change of leader.
 */
import {
  CONSUME_EVENT_KIND_ATTACHED,
  CONSUME_EVENT_KIND_DRAINING,
  CONSUME_EVENT_KIND_FELL_BEHIND,
  CONSUME_EVENT_KIND_HELD,
  CONSUME_EVENT_KIND_HOLD_LOST,
  CONSUME_EVENT_KIND_LEADER_CHANGED,
  CONSUME_ROWS_MAX,
  type ConsumeEvent,
  type RefusalError,
} from '@seriatim/protocol';
import { Backoff } from '../backoff.ts';
import type { Cluster } from '../cluster.ts';
import { isRetryable, SeriatimError, toSeriatimError, UnreachableError } from '../error.ts';
import type { ConsumerConfig } from './consumer-config.ts';
import { CreditAccount, type CreditShares } from './credit.ts';
import type { Delivery } from './delivery.ts';
import type { Hold } from './hold.ts';
import type { HoldBook } from './hold-book.ts';
import { NodeStream, type NodeStreamListener } from './node-stream.ts';
import type { SentRow } from './settlement-ledger.ts';
import {
  type ConsumerIdentity,
  type ConsumerStreamsListener,
  openOf,
  type StreamNode,
} from './stream-contracts.ts';
import { StreamHealth } from './stream-health.ts';

/** While a partition has no stream, or a hold no leader, the cluster is asked this often, later less. */
const SEARCH = { firstMilliseconds: 50, maxMilliseconds: 500 };

/** See the head of this file. */
export class ConsumerStreams implements NodeStreamListener {
  readonly #cluster: Cluster;
  readonly #config: ConsumerConfig;
  readonly #identity: ConsumerIdentity;
  readonly #book: HoldBook;
  readonly #listener: ConsumerStreamsListener;
  readonly #nodes = new Map<string, StreamNode>();
  readonly #shares: CreditShares;
  /** Partitions that are served no more where they were, and whose next leader has not been told what is held. */
  readonly #moved = new Set<number>();
  readonly #search: Backoff;
  #cancelPass: (() => void) | null = null;
  #passAt = Number.POSITIVE_INFINITY;
  #started = false;
  #closed = false;
  #onLeft: (() => void) | null = null;
  readonly #health: StreamHealth;

  constructor(
    cluster: Cluster,
    config: ConsumerConfig,
    identity: ConsumerIdentity,
    book: HoldBook,
    listener: ConsumerStreamsListener,
  ) {
    this.#cluster = cluster;
    this.#config = config;
    this.#identity = identity;
    this.#book = book;
    this.#listener = listener;
    const nodes = this.#nodes;
    this.#shares = {
      config,
      get streams() {
        return nodes.size;
      },
    };
    this.#search = new Backoff(SEARCH, cluster.clock);
    this.#health = new StreamHealth(config.timeoutMilliseconds, cluster.clock.now());
  }

  /** Begins to consume, if it has not yet. */
  start(): void {
    if (this.#started || this.#closed) return;
    this.#started = true;
    void this.#find();
  }

  /** Sends all that is gathered. */
  flush(): void {
    for (const { stream } of this.#nodes.values()) stream?.flush();
  }

  /** Settles and leaves on every stream; resolves when the brokers have ended all of them. */
  leave(): Promise<void> {
    this.#stop();
    return new Promise((resolve) => {
      this.#onLeft = resolve;
      for (const { stream } of this.#nodes.values()) stream?.leave();
      this.#leftWhenQuiet();
    });
  }

  /** Ends every stream at once. */
  cancel(): void {
    this.#stop();
    for (const node of this.#nodes.values()) {
      node.stream?.cancel();
      node.stream = null;
    }
    this.#leftWhenQuiet();
  }

  delivered(delivery: Delivery): void {
    this.#listener.delivered(delivery);
  }

  refused(sent: SentRow, code: string): void {
    this.#listener.refused(sent, code);
  }

  expired(hold: Hold): void {
    this.#listener.expired(hold);
  }

  event(stream: NodeStream, event: ConsumeEvent): void {
    const node = this.#nodes.get(stream.address);
    if (node?.stream !== stream) return;
    this.#succeeded(node);
    const { partition, group, life, tokenEpoch, tokenCounter } = event;
    switch (event.kind) {
      case CONSUME_EVENT_KIND_ATTACHED:
        stream.attached.add(partition);
        this.#cluster.view.learnLeader(this.#identity.topic, partition, stream.address);
        this.#listener.attached(partition, stream.address);
        if (this.#moved.has(partition) || this.#book.hasUnnamed(partition)) this.#passWithin(0);
        return;
      case CONSUME_EVENT_KIND_HELD: {
        const hold = this.#book.findHomeless(partition, group, life);
        if (hold !== undefined) this.#heldAgain(hold, stream, tokenEpoch, tokenCounter);
        return;
      }
      case CONSUME_EVENT_KIND_HOLD_LOST:
        this.#holdLost(event);
        return;
      case CONSUME_EVENT_KIND_FELL_BEHIND:
        this.#listener.fellBehind(event);
        return;
      case CONSUME_EVENT_KIND_LEADER_CHANGED:
        this.#leaderChanged(stream, event);
        return;
      case CONSUME_EVENT_KIND_DRAINING:
        stream.flush();
        this.#passWithin(SEARCH.firstMilliseconds);
        return;
    }
  }

  ended(stream: NodeStream, error: RefusalError | null): void {
    const node = this.#nodes.get(stream.address);
    if (node?.stream !== stream) return;
    node.stream = null;
    this.#detachAll(stream);
    if (this.#closed) {
      this.#leftWhenQuiet();
      return;
    }
    const pause = node.backoff.failed();
    node.retryAt = this.#cluster.clock.now() + pause;
    const failure = toSeriatimError(
      error ?? new SeriatimError('SHUTTING_DOWN', `${stream.address} ended the stream`),
      { topic: this.#identity.topic, address: stream.address },
    );
    if (error instanceof UnreachableError) this.#cluster.link(stream.address).failed();
    if (!this.#health.mayGetBetter(failure, error instanceof UnreachableError)) {
      this.#fail(failure);
      return;
    }
    this.#listener.streamError(stream.address, failure);
    this.#passWithin(pause);
  }

  /** Learns of the topic, then looks around for as long as it is open. */
  async #find(): Promise<void> {
    const { topic } = this.#identity;
    const { timeoutMilliseconds } = this.#config;
    const limits = timeoutMilliseconds === 0 ? {} : { timeoutMilliseconds };
    while (!this.#closed) {
      try {
        await this.#cluster.retrying('DescribeTopic', limits, (attempt) =>
          attempt.connection.call('DescribeTopic', { name: topic }, attempt.timeoutMilliseconds),
        );
        break;
      } catch (error) {
        const failure = toSeriatimError(error, { topic });
        if (this.#closed) return;
        if (timeoutMilliseconds > 0 || !isRetryable(failure.code)) {
          this.#fail(failure);
          return;
        }
        this.#listener.streamError('', failure);
      }
    }
    await this.#pass();
  }

  /** Looks at the cluster, opens what is missing, and comes again: soon while something is missing, else after the poll's pause. */
  async #pass(): Promise<void> {
    this.#cancelPass?.();
    this.#cancelPass = null;
    this.#passAt = Number.POSITIVE_INFINITY;
    if (this.#closed) return;
    if (!this.#cluster.closed) this.#openMissing();
    await this.#cluster.refresh();
    if (this.#closed) return;
    if (!this.#cluster.closed) this.#openMissing();
    const late = this.#health.late(this.#cluster, this.#up);
    if (late !== null) this.#fail(late);
    else if (this.#complete) {
      this.#search.succeeded();
      this.#passWithin(this.#config.pollMilliseconds);
    } else this.#passWithin(this.#search.failed());
  }

  /** Some node has said something on the stream that is open to it. */
  get #up(): boolean {
    for (const { stream, heard } of this.#nodes.values()) if (stream !== null && heard) return true;
    return false;
  }

  /** Each partition is served, and no hold waits for a leader. */
  get #complete(): boolean {
    const served = new Set<number>();
    for (const { stream } of this.#nodes.values()) {
      for (const partition of stream?.attached ?? []) served.add(partition);
    }
    const partitions = this.#cluster.view.partitions(this.#identity.topic);
    return partitions > 0 && served.size >= partitions && this.#book.homelessPartitions.length === 0;
  }

  #passWithin(milliseconds: number): void {
    const { clock } = this.#cluster;
    const at = clock.now() + milliseconds;
    if (this.#closed || at >= this.#passAt) return;
    this.#cancelPass?.();
    this.#passAt = at;
    this.#cancelPass = clock.schedule(milliseconds, () => void this.#pass());
  }

  #openMissing(): void {
    const { view, clock } = this.#cluster;
    const { topic } = this.#identity;
    const wanted = new Set<string>();
    const again = new Set<string>();
    for (let partition = 0; partition < view.partitions(topic); partition++) {
      const leader = view.leader(topic, partition);
      if (leader === undefined) continue;
      wanted.add(leader);
      if (this.#moved.has(partition) || this.#book.hasUnnamed(partition)) again.add(leader);
    }
    const now = clock.now();
    const due = [...wanted].map((address) => this.#node(address)).filter((node) => node.retryAt <= now);
    const opening = due.filter((node) => node.stream === null || again.has(node.address));
    for (const node of opening) this.#open(node);
    for (const [address, node] of this.#nodes) {
      const gone = node.stream === null && !wanted.has(address) && node.account.waitingMessages === 0;
      if (gone) this.#nodes.delete(address);
    }
  }

  #node(address: string): StreamNode {
    let node = this.#nodes.get(address);
    if (node === undefined) {
      node = {
        address,
        account: new CreditAccount(this.#shares),
        backoff: new Backoff(this.#cluster.backoff, this.#cluster.clock),
        stream: null,
        retryAt: 0,
        heard: false,
      };
      this.#nodes.set(address, node);
    }
    return node;
  }

  #open(node: StreamNode): void {
    const { topic } = this.#identity;
    const { clock, view } = this.#cluster;
    const before = node.stream;
    if (before !== null) {
      before.flush();
      before.cancel();
      for (const partition of before.attached) view.learnLeader(topic, partition, node.address);
      this.#detachAll(before);
    }
    for (const partition of this.#moved)
      if (view.leader(topic, partition) === node.address) this.#moved.delete(partition);
    for (const hold of this.#book.overdue(clock.now())) hold.expire();
    const named: Hold[] = [];
    for (const partition of this.#book.homelessPartitions) {
      if (view.leader(topic, partition) !== node.address) continue;
      for (const hold of this.#book.homeless(partition)) {
        if (named.length === CONSUME_ROWS_MAX) break;
        named.push(hold);
      }
    }
    node.heard = false;
    // Where a stream follows another one at once there has to be a pause before the next.
    node.retryAt = before === null ? 0 : clock.now() + SEARCH.firstMilliseconds;
    const options = {
      address: node.address,
      topic,
      connection: this.#cluster.link(node.address).connection,
      clock,
      config: this.#config,
      book: this.#book,
      account: node.account,
      listener: this,
    };
    node.stream = new NodeStream(options, openOf(this.#identity, named));
    for (const hold of named) hold.named = node.stream;
  }

  #heldAgain(hold: Hold, stream: NodeStream, epoch: number, counter: number): void {
    this.#book.heldAgain(hold, stream, epoch, counter);
    hold.goOn(this.#cluster.clock.now());
  }

  #holdLost(event: ConsumeEvent): void {
    const { partition, group, life, tokenEpoch, tokenCounter, code } = event;
    const { topic } = this.#identity;
    const homeless = this.#book.findHomeless(partition, group, life);
    const same = homeless?.tokenEpoch === tokenEpoch && homeless.tokenCounter === tokenCounter;
    if (same && code === 'NOT_LEADER') {
      homeless.named = null;
      if (event.leaderAddress === '') this.#passWithin(SEARCH.firstMilliseconds);
      else {
        this.#cluster.view.learnLeader(topic, partition, event.leaderAddress);
        this.#passWithin(0);
      }
      return;
    }
    const hold = same ? homeless : this.#book.find(partition, tokenEpoch, tokenCounter);
    if (hold !== undefined) this.#listener.lost(hold, code);
  }

  #leaderChanged(stream: NodeStream, event: ConsumeEvent): void {
    const { partition, leaderAddress } = event;
    const { topic } = this.#identity;
    const { view } = this.#cluster;
    view.forgetLeader(topic, partition, stream.address);
    if (leaderAddress !== '' && leaderAddress !== stream.address)
      view.learnLeader(topic, partition, leaderAddress);
    for (const hold of this.#book.detach(stream, partition)) this.#listener.lost(hold, 'HOLD_TAKEN');
    this.#book.unname(stream, partition);
    this.#moved.add(partition);
    if (stream.attached.delete(partition)) this.#listener.detached(partition, stream.address);
    // Several partitions may move at a time: one look for all of them.
    this.#passWithin(0);
  }

  #detachAll(stream: NodeStream): void {
    for (const hold of this.#book.detach(stream)) this.#listener.lost(hold, 'HOLD_TAKEN');
    this.#book.unname(stream);
    for (const partition of stream.attached) {
      this.#moved.add(partition);
      this.#listener.detached(partition, stream.address);
    }
    stream.attached.clear();
  }

  #succeeded(node: StreamNode): void {
    node.heard = true;
    node.backoff.succeeded();
    this.#cluster.link(node.address).succeeded();
    this.#health.succeeded();
  }

  #fail(error: SeriatimError): void {
    this.cancel();
    this.#listener.failed(error);
  }

  #stop(): void {
    this.#closed = true;
    this.#cancelPass?.();
    this.#cancelPass = null;
  }

  #leftWhenQuiet(): void {
    if (this.#onLeft === null) return;
    for (const { stream } of this.#nodes.values()) if (stream !== null) return;
    this.#onLeft();
    this.#onLeft = null;
  }
}
