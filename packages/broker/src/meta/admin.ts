/** What clients may ask of the cluster: topics and producer ids. */
import type { Clock } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Admin, LeaderDirectory, MetaView, OpenedWriter, TopicId, TopicView } from '../contracts.ts';
import { before, Waiters } from './deadline.ts';
import { type MetaCommand, type MetaResult, PARTITIONS_MAX } from './model.ts';

/** Bytes of a topic's name. */
export const TOPIC_NAME_BYTES_MAX = 249;
const TOPIC_NAME = /^[A-Za-z0-9._-]+$/;

/** What {@link MetaAdmin} needs; `submit` is {@link MetaClient.submitChecked}. */
export interface AdminOptions {
  readonly clock: Clock;
  readonly view: MetaView;
  readonly leaders: LeaderDirectory;
  readonly submit: (command: MetaCommand, deadline: number) => Promise<MetaResult>;
  /** A word that no other request has. */
  readonly token: () => string;
  /** Groups of a topic; above it new ones are refused (2,000,000). */
  readonly groupsMax?: number;
  /** Producer ids reserved at a time (1,000). */
  readonly producerBlock?: number;
}

/** The {@link Admin} of a node: asks the meta leader, whichever node that is. */
export class MetaAdmin implements Admin {
  readonly #options: AdminOptions;
  readonly #changes = new Waiters();
  #nextProducer = 0;
  #endProducer = 0;
  #reserving: Promise<void> | null = null;

  constructor(options: AdminOptions) {
    this.#options = options;
    options.view.onChange(() => this.#changes.wake());
    options.leaders.onChange(() => this.#changes.wake());
  }

  /**
   * Creates a topic and resolves when each of its partitions has a leader. Rejects with INVALID_TOPIC_NAME, INVALID_PARTITION_COUNT,
   * INVALID_REPLICA_COUNT, TOPIC_EXISTS, those of {@link MetaClient.submit}, or DEADLINE (outcome unknown: the topic exists but
   * has partitions without a leader).
   */
  async createTopic(request: Parameters<Admin['createTopic']>[0], deadline: number): Promise<TopicView> {
    checkTopicName(request.name);
    checkPartitions(request.name, request.partitions);
    checkWhole('INVALID_REPLICA_COUNT', 'replicas', request.replicas, 1);
    checkWhole('INVALID_REQUEST', 'retention milliseconds', request.retentionMilliseconds, 0);
    checkWhole('INVALID_REQUEST', 'retention bytes', request.retentionBytes, 0);
    const { clock, groupsMax, submit, token } = this.#options;
    const answer = await submit(
      {
        type: 'createTopic',
        ...request,
        groupsMax: groupsMax ?? 2_000_000,
        token: token(),
        time: clock.wallTime(),
      },
      deadline,
    );
    if (answer.type !== 'topic')
      throw new RefusalError('INTERNAL', `createTopic was answered ${answer.type}`);
    return this.#untilReady(answer.topic, request.name, deadline);
  }

  /** Deletes a topic: it is gone for clients when this resolves, its files follow. Rejects with UNKNOWN_TOPIC. */
  async deleteTopic(name: string, deadline: number): Promise<void> {
    checkTopicName(name);
    const { clock, submit, token } = this.#options;
    await submit({ type: 'deleteTopic', name, token: token(), time: clock.wallTime() }, deadline);
  }

  /** A producer id that no one else has or had, from a block reserved in meta. */
  async producerId(deadline: number): Promise<number> {
    while (this.#nextProducer >= this.#endProducer) {
      // The first caller reserves for all; when its deadline fails it, the next caller tries with its own.
      if (this.#reserving === null) {
        this.#reserving = this.#reserve(deadline).finally(() => {
          this.#reserving = null;
        });
        await this.#reserving;
      } else {
        const reserved = this.#reserving.catch(() => {});
        await before(this.#options.clock, deadline, reserved, noProducerIds);
        if (this.#options.clock.now() >= deadline) throw noProducerIds();
      }
    }
    const id = this.#nextProducer;
    this.#nextProducer += 1;
    return id;
  }

  /** The next epoch of a named producer, if `previousEpoch` is the newest. */
  async openWriter(request: Parameters<Admin['openWriter']>[0], deadline: number): Promise<OpenedWriter> {
    const answer = await this.#options.submit({ type: 'openWriter', ...request }, deadline);
    if (answer.type !== 'writer')
      throw new RefusalError('INTERNAL', `openWriter was answered ${answer.type}`);
    return { producerId: answer.producerId, epoch: answer.epoch, opened: answer.opened };
  }

  async #reserve(deadline: number): Promise<void> {
    const count = this.#options.producerBlock ?? 1_000;
    const answer = await this.#options.submit({ type: 'reserveProducerIds', count }, deadline);
    if (answer.type !== 'producerIds') {
      throw new RefusalError('INTERNAL', `reserveProducerIds was answered ${answer.type}`);
    }
    this.#nextProducer = answer.first;
    this.#endProducer = answer.first + answer.count;
  }

  async #untilReady(id: TopicId, name: string, deadline: number): Promise<TopicView> {
    const { clock, leaders, view } = this.#options;
    for (;;) {
      const topic = view.topicById(id);
      if (topic === undefined)
        throw new RefusalError('UNKNOWN_TOPIC', `topic "${name}" was deleted meanwhile`);
      const waiting = topic.partitions.filter(({ shard }) => leaders.leader(shard) === undefined);
      if (topic.ready && waiting.length === 0) return topic;
      const left = deadline - clock.now();
      if (left <= 0) {
        throw new RefusalError(
          'DEADLINE',
          `topic "${name}" was created, but ${waiting.length} of its ${topic.partitions.length} partitions have no leader yet`,
          { outcome: 'unknown' },
        );
      }
      await this.#changes.wait(clock, left);
    }
  }
}

function noProducerIds(): RefusalError {
  return new RefusalError('NO_META_LEADER', 'no producer ids could be reserved in time');
}

function checkTopicName(name: string): void {
  if (TOPIC_NAME.test(name) && name.length <= TOPIC_NAME_BYTES_MAX && name !== '.' && name !== '..') return;
  throw new RefusalError(
    'INVALID_TOPIC_NAME',
    `topic name ${JSON.stringify(name.slice(0, 300))}; allowed are 1 to ${TOPIC_NAME_BYTES_MAX} of the characters A-Z a-z 0-9 . _ -`,
  );
}

function checkPartitions(name: string, partitions: number): void {
  if (Number.isInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS_MAX) return;
  throw new RefusalError(
    'INVALID_PARTITION_COUNT',
    `${partitions} partitions asked for topic "${name}"; allowed are 1 to ${PARTITIONS_MAX}`,
  );
}

function checkWhole(
  code: 'INVALID_REPLICA_COUNT' | 'INVALID_REQUEST',
  what: string,
  value: number,
  min: number,
): void {
  if (Number.isSafeInteger(value) && value >= min) return;
  throw new RefusalError(code, `${what} is ${value}; allowed are whole numbers from ${min} on`);
}
