/**
 * What Prometheus reads. Values are taken when they are asked for: between two scrapes a metric costs nothing. A test keeps the
 * documentation equal to the names here.
 */
import { META_SHARD, type NodeId, type PeerState, type Shard, type ShardHost } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { StorageStatistics } from '@seriatim/storage';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { LocalPartitions, MetaView } from '../contracts.ts';
import type { ConsumeCounters } from '../front/consume-session.ts';
import type { ProduceCounters } from '../front/produce.ts';
import type { SubscriptionDefinitions, SubscriptionId } from '../subscription-contracts.ts';

/** Where the values come from. */
export interface MetricSources {
  readonly view: MetaView;
  readonly host: ShardHost;
  readonly partitions: LocalPartitions;
  readonly routingHitRate: () => number;
  readonly produced: () => Readonly<ProduceCounters>;
  readonly definitions: SubscriptionDefinitions;
  readonly consumed: () => Readonly<ConsumeCounters>;
  readonly peers: () => Iterable<{ readonly id: NodeId; readonly state: PeerState }>;
  readonly callsInFlight: () => number;
  readonly requestBytesInFlight: () => number;
  readonly storage: () => StorageStatistics;
}

type Labels = Readonly<Record<string, string | number>>;
type Sample = readonly [labels: Labels, value: number];

/** Milliseconds between two looks at the event loop's delay. */
const LOOP_MILLISECONDS = 50;

/** Registers all metrics of a node; `scrape` gives them as text. */
export class NodeMetrics {
  readonly #registry = new Registry();
  readonly #refused: Counter<'method' | 'code'>;
  readonly #fsync: Histogram;

  constructor(sources: MetricSources) {
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: LOOP_MILLISECONDS });
    this.#refused = new Counter({
      name: 'seriatim_refused_requests_total',
      help: 'Calls answered with an error, by method and code.',
      labelNames: ['method', 'code'],
      registers: [this.#registry],
    });
    this.#fsync = new Histogram({
      name: 'seriatim_fsync_duration_seconds',
      help: 'Time of one fdatasync of the journal.',
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
      registers: [this.#registry],
    });
    this.#routing(sources);
    this.#shards(sources);
    this.#traffic(sources);
    this.#consuming(sources);
  }

  /** A call was refused. */
  refused(method: string, error: unknown): void {
    const code = error instanceof RefusalError ? error.code : 'INTERNAL';
    this.#refused.inc({ method: method.slice(method.lastIndexOf('/') + 1), code });
  }

  /** A sync of the journal took this long. */
  synced(milliseconds: number): void {
    this.#fsync.observe(milliseconds / 1_000);
  }

  async scrape(): Promise<{ readonly contentType: string; readonly body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  #routing({ view, routingHitRate }: MetricSources): void {
    this.#gauge('seriatim_total_mapped_groups', 'Message groups that have a route, all topics.', [], () => [
      [{}, view.topics().reduce((sum, topic) => sum + view.routeCount(topic.id), 0)],
    ]);
    this.#gauge(
      'seriatim_partition_loads',
      'Message groups routed to a partition.',
      ['topic', 'partition'],
      () =>
        view
          .topics()
          .flatMap((topic) =>
            view.loads(topic.id).map((load, partition): Sample => [{ topic: topic.name, partition }, load]),
          ),
    );
    this.#gauge(
      'seriatim_routing_cache_hit_rate',
      'Part of the group look-ups that the local route table answered, 0 to 1, since the start.',
      [],
      () => [[{}, routingHitRate()]],
    );
    this.#gauge(
      'seriatim_cleanup_execution_time',
      'Seconds that the last clean-up of unused routes took; 0: none has run yet.',
      [],
      () => [[{}, 0]],
    );
  }

  #shards(sources: MetricSources): void {
    const { host } = sources;
    const each = (value: (shard: Shard) => number) => (): Sample[] =>
      [...host.shards()].map((shard) => [shardLabels(sources, shard), value(shard)]);
    const labels = ['shard', 'topic', 'partition'];
    const status = (shard: Shard): ReturnType<Shard['status']> => shard.status();
    this.#gauge(
      'seriatim_is_leader',
      'Whether this node leads the shard.',
      labels,
      each((shard) => (status(shard).role === 'leader' ? 1 : 0)),
    );
    this.#gauge(
      'seriatim_term',
      'Raft term.',
      labels,
      each((shard) => status(shard).term),
    );
    this.#gauge(
      'seriatim_commit_index',
      'Highest index known committed here.',
      labels,
      each((shard) => status(shard).commit),
    );
    this.#gauge(
      'seriatim_applied_index',
      'Highest index applied here.',
      labels,
      each((shard) => status(shard).applied),
    );
    this.#gauge(
      'seriatim_follower_lag',
      'Log entries a follower lacks, as its leader sees it.',
      [...labels, 'replica'],
      () => [...host.shards()].flatMap((shard) => followerLag(sources, shard)),
    );
    this.#gauge('seriatim_high_watermark', 'First offset not yet readable here.', labels, () =>
      [...sources.partitions.all()].map((partition) => [
        shardLabels(sources, partition.shard),
        partition.highWatermark,
      ]),
    );
    this.#gauge('seriatim_low_watermark', 'First offset still stored here.', labels, () =>
      [...sources.partitions.all()].map((partition) => [
        shardLabels(sources, partition.shard),
        partition.lowWatermark,
      ]),
    );
    this.#counter(
      'seriatim_pauses_total',
      'Times this process was away since its start.',
      () => host.pauses().count,
    );
  }

  /** A figure of each subscription, summed over the partitions that this node leads. */
  #standing(
    name: string,
    help: string,
    { view, partitions, definitions }: MetricSources,
    figure: 'unsettled' | 'lost',
  ): void {
    this.#gauge(name, help, ['topic', 'subscription'], () => {
      const sums = new Map<SubscriptionId, number>();
      for (const partition of partitions.all()) {
        for (const standing of partition.dispatch.standings()) {
          sums.set(standing.subscription, (sums.get(standing.subscription) ?? 0) + standing[figure]);
        }
      }
      return [...sums].flatMap(([id, sum]): Sample[] => {
        const subscription = definitions.subscriptionById(id);
        const topic = subscription === undefined ? undefined : view.topicById(subscription.topic);
        if (subscription === undefined || topic === undefined) return [];
        return [[{ topic: topic.name, subscription: subscription.name }, sum]];
      });
    });
  }

  #consuming(sources: MetricSources): void {
    const { consumed, partitions } = sources;
    this.#gauge(
      'seriatim_consume_records_read',
      'Records looked at to find what to deliver, by replicas that are open now.',
      [],
      () => {
        let read = 0;
        for (const partition of partitions.all()) read += partition.dispatch.recordsRead;
        return [[{}, read]];
      },
    );
    this.#standing(
      'seriatim_subscription_unsettled',
      'Messages not settled in partitions led here.',
      sources,
      'unsettled',
    );
    this.#standing(
      'seriatim_subscription_lost',
      'Messages that retention removed before they were settled, in partitions led here.',
      sources,
      'lost',
    );
    this.#gauge('seriatim_consume_streams', "Consumers' streams that are open.", [], () => [
      [{}, consumed().streams],
    ]);
    this.#counter(
      'seriatim_delivered_messages_total',
      'Messages delivered to consumers since the start, repetitions included.',
      () => consumed().delivered,
    );
    this.#counter(
      'seriatim_settlements_total',
      'Settlements that consumers sent since the start.',
      () => consumed().settlements,
    );
    this.#counter(
      'seriatim_refused_settlements_total',
      'Settlements that were refused since the start.',
      () => consumed().refusedSettlements,
    );
  }

  #traffic(sources: MetricSources): void {
    const { produced } = sources;
    this.#counter(
      'seriatim_appended_messages_total',
      'Messages in produce requests since the start.',
      () => produced().messages,
    );
    this.#counter(
      'seriatim_appended_bytes_total',
      'Bytes of produce requests since the start.',
      () => produced().bytes,
    );
    this.#counter(
      'seriatim_produce_requests_total',
      'Produce requests since the start.',
      () => produced().requests,
    );
    this.#counter(
      'seriatim_journal_flushes_total',
      'Flushes of the journal.',
      () => sources.storage().journal.flushes,
    );
    this.#counter(
      'seriatim_journal_bytes_total',
      'Bytes written to the journal.',
      () => sources.storage().journal.bytes,
    );
    this.#gauge('seriatim_journal_file_bytes', 'Bytes of journal files on disk.', [], () => [
      [{}, sources.storage().journalFileBytes],
    ]);
    this.#gauge('seriatim_free_bytes', 'Free bytes on the disk of the data directory.', [], () => [
      [{}, sources.storage().freeBytes],
    ]);
    this.#gauge('seriatim_calls_in_flight', 'Calls being handled, streams included.', [], () => [
      [{}, sources.callsInFlight()],
    ]);
    this.#gauge('seriatim_request_bytes_in_flight', 'Bytes of produce requests being handled.', [], () => [
      [{}, sources.requestBytesInFlight()],
    ]);
    this.#gauge('seriatim_peer_up', 'Whether the links to another node are up.', ['node'], () =>
      [...sources.peers()].map(({ id, state }) => [{ node: id }, state === 'up' ? 1 : 0]),
    );
  }

  /** A value that only rises, kept by its source. */
  #counter(name: string, help: string, value: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  }

  #gauge(name: string, help: string, labelNames: string[], samples: () => readonly Sample[]): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [labels, value] of samples()) this.set(labels, value);
      },
    });
  }
}

function shardLabels({ view }: MetricSources, shard: Shard): Labels {
  if (shard.id === META_SHARD) return { shard: shard.id, topic: '', partition: 'meta' };
  const owner = view.shardOwner(shard.id);
  return { shard: shard.id, topic: owner?.topic.name ?? '', partition: owner?.partition.partition ?? '' };
}

function followerLag(sources: MetricSources, shard: Shard): Sample[] {
  const status = shard.status();
  if (status.role !== 'leader') return [];
  return status.progress
    .filter((progress) => progress.replica !== status.replica)
    .map((progress) => [
      { ...shardLabels(sources, shard), replica: progress.replica },
      Math.max(0, status.last - progress.match),
    ]);
}
