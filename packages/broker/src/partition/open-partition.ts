/** Wires a partition's replica: state, leader, reader, retention, around one shard. */
import type { Clock, Leadership, Shard, ShardId, StateMachine } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { DeadLetterWriter, PartitionDispatch, SubscriptionLimits } from '../consume-contracts.ts';
import type {
  AppendAnswer,
  AppendBatch,
  GroupStatus,
  Offset,
  Partition,
  RecordStretch,
  TopicId,
  WriterOpening,
  WriterPosition,
} from '../contracts.ts';
import type { SubscriptionDefinitions } from '../subscription-contracts.ts';
import { encodeRemoveBefore } from './command.ts';
import { defaultPartitionConfig, type PartitionConfig } from './config.ts';
import { type GroupNames, groupNames } from './group-names.ts';
import { PartitionLeader } from './partition-leader.ts';
import { PartitionReader } from './partition-reader.ts';
import { PartitionState } from './partition-state.ts';
import type { RecordSource } from './record-source.ts';
import { decideRetention, type RetentionLimits } from './retention.ts';
import { GroupAdministration } from './subscription/group-administration.ts';
import { defaultSubscriptionLimits } from './subscription/limits.ts';
import { neededFrom } from './subscription/needed-records.ts';
import { PartitionSubscriptions } from './subscription/partition-subscriptions.ts';
import { WatermarkWaiters } from './watermark-waiters.ts';
import { WriterOpener } from './writer-opener.ts';

/** What a partition's replica is made of. */
export interface PartitionOptions {
  readonly shard: ShardId;
  readonly topic: TopicId;
  readonly partition: number;
  readonly clock: Clock;
  readonly source: RecordSource;
  /** The topic's limits as meta has them now. */
  readonly retention: () => RetentionLimits;
  /** False while this node's clock is more than 10 s from the median of its peers': age decides nothing. */
  readonly clockTrusted: () => boolean;
  /** False while this node's disk is too full to take records: DISK_FULL. */
  readonly diskHasRoom: () => boolean;
  /** Opens the shard around the state machine: `spec => host.open(...)`. */
  readonly openShard: (stateMachine: StateMachine) => Promise<Shard>;
  /** Without: there are no subscriptions. */
  readonly definitions?: SubscriptionDefinitions | undefined;
  /** Without: no letter is ever taken for good, its group waits. */
  readonly deadLetters?: DeadLetterWriter | undefined;
  readonly config?: PartitionConfig;
  readonly subscriptionLimits?: SubscriptionLimits;
  readonly names?: () => GroupNames;
}

const NO_SUBSCRIPTIONS: SubscriptionDefinitions = {
  subscriptions: () => [],
  subscription: () => undefined,
  subscriptionById: () => undefined,
  wasDeleted: () => false,
  onSubscriptionChange: () => {},
};
const NO_DEAD_LETTERS: DeadLetterWriter = { write: () => Promise.resolve({ type: 'retry' }) };

/** A partition that its node closes. */
export interface OpenPartition extends Partition {
  readonly state: PartitionState;
  readonly leader: Leadership | null;
  /** To be called when a definition of a subscription of this topic changed. */
  definitionsChanged(): void;
  /** Answers what waits and ends reads' waits. To be called before the shard is closed. */
  close(): void;
}

/** Opens a replica; resolves when its shard is open. Rejects with what `openShard` rejects with. */
export async function openPartition(options: PartitionOptions): Promise<OpenPartition> {
  const partition = new LocalPartition(options);
  await partition.open(options.openShard);
  return partition;
}

class LocalPartition implements OpenPartition {
  readonly topic: TopicId;
  readonly partition: number;
  readonly state: PartitionState;
  readonly administration: GroupAdministration;
  readonly #subscriptions: PartitionSubscriptions;
  readonly #options: PartitionOptions;
  readonly #config: PartitionConfig;
  readonly #waiters: WatermarkWaiters;
  readonly #reader: PartitionReader;
  readonly #leader: PartitionLeader;
  readonly #opener: WriterOpener;
  #shard: Shard | null = null;
  #leadership: Leadership | null = null;
  #cancelRetention: () => void = () => {};
  #removalProposed = false;
  #closed = false;

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.topic = options.topic;
    this.partition = options.partition;
    this.#config = options.config ?? defaultPartitionConfig;
    const { clock, source } = options;
    const config = this.#config;
    this.state = new PartitionState({
      names: options.names ?? groupNames,
      tailBytesMax: config.tailBytesMax,
    });
    this.#waiters = new WatermarkWaiters(config.waitersMax);
    this.#reader = new PartitionReader({ state: this.state, source, config });
    // The shard exists only after the state machine was given to it; nothing proposes before it leads.
    const shard: Pick<Shard, 'propose' | 'read' | 'leadsForSure'> = {
      propose: (data, settle) => this.shard.propose(data, settle),
      read: (done) => this.shard.read(done),
      leadsForSure: () => this.shard.leadsForSure(),
    };
    const { diskHasRoom } = options;
    this.#leader = new PartitionLeader({ shard, state: this.state, clock, config, diskHasRoom });
    this.#opener = new WriterOpener({ state: this.state, leader: this.#leader, clock });
    this.#subscriptions = this.#subscribe(options, shard);
    this.administration = new GroupAdministration({
      clock,
      shard,
      source,
      state: this.state,
      subscriptions: this.#subscriptions,
    });
    this.state.listen({
      advanced: () => {
        this.#waiters.advanced(this.state.nextOffset);
        this.#subscriptions.advanced();
      },
      repositioned: (subscription) => this.#subscriptions.repositioned(subscription),
      removed: (_lowWatermark, firstIndex) => source.removeBefore(firstIndex),
      leadership: (leadership) => {
        this.#leadership = leadership;
        this.#leader.onLeadership(leadership);
        this.#subscriptions.onLeadership(leadership);
      },
    });
  }

  #subscribe(
    options: PartitionOptions,
    shard: Pick<Shard, 'propose' | 'read' | 'leadsForSure'>,
  ): PartitionSubscriptions {
    const { clock, topic, partition, source } = options;
    return new PartitionSubscriptions({
      clock,
      shard,
      topic,
      partition,
      source,
      definitions: options.definitions ?? NO_SUBSCRIPTIONS,
      deadLetters: options.deadLetters ?? NO_DEAD_LETTERS,
      state: this.state,
      limits: options.subscriptionLimits ?? defaultSubscriptionLimits,
      scanBytesMax: this.#config.scanBytesMax,
    });
  }

  async open(openShard: PartitionOptions['openShard']): Promise<void> {
    this.#shard = await openShard(this.state);
    this.#scheduleRetention();
  }

  get shard(): Shard {
    if (this.#shard === null) throw new RefusalError('NOT_READY', 'the partition is being opened');
    return this.#shard;
  }
  get leader(): Leadership | null {
    return this.#leadership;
  }
  get dispatch(): PartitionDispatch {
    return this.#subscriptions;
  }
  definitionsChanged(): void {
    this.#subscriptions.definitionsChanged();
  }
  get highWatermark(): Offset {
    return this.state.nextOffset as Offset;
  }
  get lowWatermark(): Offset {
    return this.state.lowWatermark as Offset;
  }

  append(batch: AppendBatch, deadline: number): Promise<AppendAnswer> {
    return this.#leader.append(batch, deadline);
  }

  openWriter(opening: WriterOpening, deadline: number): Promise<readonly WriterPosition[]> {
    return this.#opener.open(opening, deadline);
  }

  confirmedHighWatermark(deadline: number): Promise<Offset> {
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      if (this.#closed || this.#leadership?.leads !== true) {
        reject(new RefusalError('NOT_LEADER', 'this replica does not lead the partition; ask its leader'));
        return;
      }
      const cancel = clock.after(Math.max(0, deadline - clock.now()), () => {
        reject(new RefusalError('DEADLINE', 'no majority confirmed the leader before the deadline'));
      });
      this.shard.read((confirmed) => {
        cancel();
        if (confirmed) resolve(this.highWatermark);
        else
          reject(
            new RefusalError('NOT_LEADER', 'leadership was lost before it was confirmed; ask the new leader'),
          );
      });
    });
  }

  read(offset: Offset, bytesMax: number, group: string | null): Promise<RecordStretch> {
    return this.#reader.read(offset, bytesMax, group);
  }

  waitFor(offset: Offset, signal: AbortSignal): Promise<void> {
    if (this.#closed || this.state.nextOffset > offset) return Promise.resolve();
    return this.#waiters.wait(offset, signal);
  }

  group(name: string): GroupStatus | null {
    const bytes = Buffer.from(name, 'utf8');
    if (bytes.length === 0) return null;
    const group = this.state.names.find(bytes, 0, bytes.length);
    if (group < 0) return null;
    const records = this.state.records;
    return {
      life: records.life(group),
      lastSequence: records.lastSequence(group),
      lastOffset: records.lastOffset(group),
      lastTimestamp: records.lastTimestamp(group),
    };
  }

  groupCount(): number {
    return this.state.records.count;
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetention();
    this.#subscriptions.close();
    this.#leader.close();
    this.#opener.close();
    this.#waiters.wakeAll();
  }

  #scheduleRetention(): void {
    if (this.#closed) return;
    this.#cancelRetention = this.#options.clock.after(this.#config.retentionIntervalMilliseconds, () => {
      this.#retain();
      this.#scheduleRetention();
    });
  }

  /** Proposes what may go; the next look tries again if the core refused. */
  #retain(): void {
    if (this.#removalProposed || this.#leadership?.confirmed !== true) return;
    this.#subscriptions.dropDeleted();
    // What goes back and is not applied yet needs what nobody needed before.
    if (this.administration.goesBack) return;
    const { clock, source, clockTrusted, retention, definitions } = this.#options;
    const wallTime = clock.wallTime();
    const needed = neededFrom(definitions ?? NO_SUBSCRIPTIONS, this.state.subscriptions);
    const cut = decideRetention(source.segments(), retention(), clockTrusted() ? wallTime : null, needed);
    if (cut === null || cut.firstIndex <= this.state.firstIndex) return;
    const command = encodeRemoveBefore({ timestamp: wallTime, ...cut });
    const result = this.shard.propose(command, () => {
      this.#removalProposed = false;
    });
    this.#removalProposed = result.type === 'accepted';
  }
}
