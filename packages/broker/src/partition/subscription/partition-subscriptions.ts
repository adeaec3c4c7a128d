/**
 * The subscriptions of a partition where it leads: one desk each while the term lasts, opened when state and definition agree about the
 * generation. Consumers attach here; records, definitions and leadership are told here.
 */
import type { Clock, Leadership, Shard } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type {
  Attachment,
  ConsumerIdentity,
  ConsumerSink,
  DeadLetterWriter,
  PartitionDispatch,
  ResumedHold,
  SubscriptionLimits,
  SubscriptionStanding,
} from '../../consume-contracts.ts';
import type { TopicId } from '../../contracts.ts';
import type {
  SubscriptionDefinitions,
  SubscriptionId,
  SubscriptionView,
} from '../../subscription-contracts.ts';
import type { PartitionState } from '../partition-state.ts';
import type { RecordSource } from '../record-source.ts';
import type { ConsumerAttachment } from './consumer-attachment.ts';
import { DeadLetterDesk } from './dead-letter-desk.ts';
import { encodePosition } from './subscription-command.ts';
import { SubscriptionDesk } from './subscription-desk.ts';
import type { SubscriptionProgress } from './subscription-state.ts';

/** What a partition's subscriptions need. */
export interface PartitionSubscriptionsOptions {
  readonly clock: Clock;
  readonly shard: Pick<Shard, 'propose' | 'read' | 'leadsForSure'>;
  readonly topic: TopicId;
  readonly partition: number;
  readonly state: PartitionState;
  readonly source: RecordSource;
  readonly limits: SubscriptionLimits;
  readonly scanBytesMax: number;
  readonly definitions: SubscriptionDefinitions;
  readonly deadLetters: DeadLetterWriter;
}

/** See the head of this file. */
export class PartitionSubscriptions implements PartitionDispatch {
  readonly #options: PartitionSubscriptionsOptions;
  readonly #desks = new Map<number, SubscriptionDesk>();
  readonly #letters = new Map<number, DeadLetterDesk>();
  readonly #listeners = new Set<(leads: boolean) => void>();
  #term = 0;
  #leads = false;
  #counter = 0;
  #recordsRead = 0;

  constructor(options: PartitionSubscriptionsOptions) {
    this.#options = options;
  }

  /** True while this replica leads with its state whole. */
  get leads(): boolean {
    return this.#leads;
  }

  /** How far each subscription is, where this replica leads. */
  *standings(): IterableIterator<SubscriptionStanding> {
    if (!this.#leads) return;
    for (const [id, desk] of this.#desks) {
      const { done, lost } = desk.progress;
      const unsettled = Math.max(0, this.#options.state.nextOffset - done);
      yield { subscription: id as SubscriptionId, unsettled, lost };
    }
  }

  /** Records looked at to find what to deliver, since the replica was opened. */
  get recordsRead(): number {
    return this.#recordsRead;
  }

  onDispatchChange(listener: (leads: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async attach(
    identity: ConsumerIdentity,
    sink: ConsumerSink,
    resumed: readonly ResumedHold[] | null,
    replaced: (reason: RefusalError) => void,
  ): Promise<Attachment> {
    await this.confirm();
    const view = this.#options.definitions.subscriptionById(identity.subscription);
    if (view === undefined || view.topic !== this.#options.topic) throw unknown(identity.subscription);
    const desk = view.ready ? this.desk(identity.subscription) : undefined;
    if (desk === undefined || desk.options.applied.generation !== view.generation) {
      throw new RefusalError(
        'SUBSCRIPTION_NOT_READY',
        `subscription ${view.name} is being changed; try again`,
      );
    }
    return desk.attach(identity, sink, resumed, replaced);
  }

  /** Resolves when a quorum has confirmed that this replica leads; rejects with NOT_LEADER. */
  confirm(): Promise<void> {
    const { shard } = this.#options;
    if (!this.#leads) return Promise.reject(notLeader());
    if (shard.leadsForSure()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      shard.read((confirmed) => (confirmed && this.#leads ? resolve() : reject(notLeader())));
    });
  }

  /** This node has applied its definition. */
  isDefined(id: SubscriptionId): boolean {
    return this.#options.definitions.subscriptionById(id) !== undefined;
  }

  /** The desk of a subscription, opened when it can be; undefined: not led here, or state and definition are apart. */
  desk(id: SubscriptionId): SubscriptionDesk | undefined {
    return this.#desks.get(id) ?? this.#open(id);
  }

  /** The dead letters of a subscription whose desk is open. */
  letters(id: SubscriptionId): DeadLetterDesk | undefined {
    return this.#letters.get(id);
  }

  /** To be called with each change of leadership, after the state applied what came before it. */
  onLeadership(leadership: Leadership): void {
    const leads = leadership.leads && leadership.confirmed;
    if (leads === this.#leads && leadership.term === this.#term) return;
    if (this.#leads) this.#endAll();
    this.#term = leadership.term;
    const before = this.#leads;
    this.#leads = leads;
    if (leads) {
      this.#counter = 0;
      for (const { id } of this.#options.state.subscriptions.all()) this.#open(id as SubscriptionId);
    }
    if (before !== leads) for (const listener of this.#listeners) listener(leads);
  }

  /** New records can be read. */
  advanced(): void {
    for (const desk of this.#desks.values()) desk.wake();
  }

  /** A subscription's position was set by a command: its desk begins anew, or closes. */
  repositioned(id: number): void {
    const desk = this.#desks.get(id);
    if (desk === undefined) {
      if (this.#leads) this.#open(id as SubscriptionId);
      return;
    }
    for (const group of desk.groups.holders.values()) desk.groups.tellLost(group, 'GENERATION_CHANGED');
    const consumers = desk.end();
    // Those that are being attached find that their desk ended, or are told so: they attach again.
    const active = consumers.filter((consumer) => consumer.active);
    for (const consumer of active) consumer.answered(consumer.lastNumber, consumer.rowsTaken);
    this.#dismiss(consumers.filter((consumer) => !consumer.active));
    this.#desks.delete(id);
    this.#letters.get(id)?.end();
    this.#letters.delete(id);
    const next = this.#open(id as SubscriptionId, true);
    if (next === undefined) this.#dismiss(active);
    else next.adopt(active);
  }

  /** A definition of this topic changed. */
  definitionsChanged(): void {
    if (!this.#leads) return;
    for (const { id } of this.#options.state.subscriptions.all()) this.desk(id as SubscriptionId)?.wake();
  }

  /** Forgets positions of subscriptions that were deleted: a step of their creation came late. */
  dropDeleted(): void {
    const { state, definitions, shard, clock } = this.#options;
    for (const { id, generation } of state.subscriptions.all()) {
      if (!definitions.wasDeleted(id as SubscriptionId)) continue;
      const time = clock.wallTime();
      const drop = {
        type: 'drop',
        time,
        subscription: id,
        generation,
        operation: 0,
        floor: 0,
        done: 0,
      } as const;
      shard.propose(encodePosition(drop), () => {});
    }
  }

  close(): void {
    this.#endAll();
    this.#leads = false;
  }

  /** `again`: in the same term, so nobody is waited for. */
  #open(id: SubscriptionId, again = false): SubscriptionDesk | undefined {
    const { state, definitions, clock, limits, shard, source, scanBytesMax } = this.#options;
    const applied = state.subscriptions.get(id);
    const view = definitions.subscriptionById(id);
    if (!this.#leads || applied === undefined || view === undefined) return undefined;
    let known: SubscriptionView = view;
    const settings = (): SubscriptionView => {
      known = definitions.subscriptionById(id) ?? known;
      return known;
    };
    const desk: SubscriptionDesk = new SubscriptionDesk({
      clock,
      limits,
      shard,
      state,
      source,
      scanBytesMax,
      applied,
      tokenEpoch: state.subscriptions.tokenEpoch,
      nextCounter: () => ++this.#counter,
      settings,
      delivers: () => delivers(definitions.subscriptionById(id), applied),
      onDeadLetter: (key) => letters.add(key),
      countRead: (records) => {
        this.#recordsRead += records;
      },
      sessions: again ? [] : [...applied.sessions],
    });
    const letters = this.#letterDesk(desk, settings);
    this.#desks.set(id, desk);
    return desk;
  }

  #letterDesk(desk: SubscriptionDesk, settings: () => SubscriptionView): DeadLetterDesk {
    const { topic, partition, deadLetters, source } = this.#options;
    const letters = new DeadLetterDesk({ desk, settings, topic, partition, writer: deadLetters, source });
    this.#letters.set(desk.options.applied.id, letters);
    return letters;
  }

  #endAll(): void {
    for (const letters of this.#letters.values()) letters.end();
    this.#letters.clear();
    const desks = [...this.#desks.values()];
    this.#desks.clear();
    for (const desk of desks) this.#dismiss(desk.end());
  }

  /** Nobody serves these consumers here any more. */
  #dismiss(consumers: readonly ConsumerAttachment[]): void {
    for (const consumer of consumers) {
      const { attached, sink } = consumer;
      if (attached) this.#options.clock.soon(() => sink.event({ type: 'leadership-ended' }));
      consumer.close();
    }
  }
}

function delivers(view: SubscriptionView | undefined, applied: SubscriptionProgress): boolean {
  return view?.ready === true && !view.paused && view.generation === applied.generation;
}

function notLeader(): RefusalError {
  return new RefusalError('NOT_LEADER', 'this replica does not lead the partition; ask its leader');
}

/** No such subscription here. */
export function unknown(id: number): RefusalError {
  return new RefusalError('UNKNOWN_SUBSCRIPTION', `subscription ${id} is not known in this partition`);
}
