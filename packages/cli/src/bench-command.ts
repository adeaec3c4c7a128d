import { Admin, Cluster, OrderedProducer, Reader, SeriatimError } from '@seriatim/client';
import type { NodeInfo, TopicInfo } from '@seriatim/protocol';
import { ConsumeCheck, type ConsumeCheckOptions, type ConsumeResult } from './bench-consume.ts';
import { Load, type LoadResult } from './bench-load.ts';
import { type ReadResult, readBack } from './bench-read.ts';
import { cpuSecondsBetween, type Usage, usageOf } from './node-usage.ts';
import { note, Progress, type Terminal, writeJson, writeTable } from './terminal.ts';
import { type CommonOptions, UsageError } from './usage.ts';

/** Options of `bench`. */
export interface BenchOptions extends CommonOptions {
  readonly messages: number;
  readonly size: number;
  readonly groups: number;
  readonly partitions: number;
  readonly replicas: number;
  readonly topic?: string;
  readonly rate?: number;
  /** Consume as well, with a subscription. */
  readonly consume?: boolean;
  /** Consume by handlers. */
  readonly run?: boolean;
  /** Milliseconds without a new message after which consuming gives up. */
  readonly stallTimeout?: number;
}

const STALL_TIMEOUT_MILLISECONDS = 60_000;

/** What a run works with. */
interface BenchRun {
  readonly terminal: Terminal;
  readonly options: BenchOptions;
  readonly cluster: Cluster;
  readonly admin: Admin;
  readonly producer: OrderedProducer;
  readonly progress: Progress;
  readonly topic: string;
  /** Ended at the end, whatever happens. */
  check: ConsumeCheck | null;
}

/** `bench`. Gives true when everything was acknowledged and came back in order. */
export async function bench(terminal: Terminal, options: BenchOptions): Promise<boolean> {
  requireConsume(options);
  const { endpoints, timeout: timeoutMilliseconds } = options;
  const cluster = new Cluster({ endpoints });
  const admin = new Admin({ cluster });
  const producer = new OrderedProducer({ cluster, timeoutMilliseconds });
  const progress = new Progress(terminal);
  const topic = options.topic ?? `bench-${Date.now().toString(36)}`;
  const run: BenchRun = { terminal, options, cluster, admin, producer, progress, topic, check: null };
  try {
    return await measure(run);
  } finally {
    await producer.close();
    const { check } = run;
    await check?.end().catch(() => note(terminal, `subscription ${check.subscription} of ${topic} is left`));
    if (options.topic === undefined)
      await admin
        .deleteTopic(topic, { timeoutMilliseconds: 5000 })
        .catch(() => note(terminal, `topic ${topic} is left`));
    cluster.close();
  }
}

/** Options that say how to consume would be ignored without consuming. */
function requireConsume({ consume, run, stallTimeout }: BenchOptions): void {
  if (consume === true) return;
  if (run === true) throw new UsageError('--run needs --consume');
  if (stallTimeout !== undefined) throw new UsageError('--stall-timeout needs --consume');
}

async function measure(run: BenchRun): Promise<boolean> {
  const { terminal, options, cluster, admin, producer, progress, topic: name } = run;
  const topic = await topicFor(admin, name, options);
  const { nodes } = await admin.describeCluster({ timeoutMilliseconds: options.timeout });
  const starts = (await admin.describeTopic(name)).partitions.map((one) => one.highWatermark);
  note(
    terminal,
    `${options.messages} messages of ${options.size} bytes, ${options.groups} groups, ${topic.partitions} partitions, ${topic.replicas} replicas`,
  );
  const follows = options.consume === true && options.rate !== undefined;
  const load = new Load({ ...options, topic: name, rate: options.rate, followed: follows });
  const groupsPerSecond = await load.warmUp(producer, progress);
  note(terminal, `groups assigned with a first message each: ${Math.round(groupsPerSecond)} a second`);
  const follower = follows ? await startConsuming(run, load, 'latest') : null;
  const before = usageOf(nodes);
  const produced = await load.run(producer, progress);
  const complete = produced.acknowledged === options.messages;
  const followed = complete ? await follower?.finish(options.messages) : undefined;
  const between = usageOf(nodes);
  const checked = await readBack(new Reader({ cluster }), load, starts, complete, progress);
  const after = usageOf(nodes);
  const consumed =
    followed ?? (options.consume === true ? await consumeRest(run, load, follower, checked) : null);
  const consuming = { result: consumed, before: after, after: usageOf(nodes), follows };
  progress.end();
  if (produced.firstFailure !== null) note(terminal, `failed: ${produced.firstFailure.message}`);
  if (consumed !== null && consumed.stall !== '') note(terminal, `error: ${consumed.stall}`);
  const report = {
    ...reportOf(options, produced, checked, { before, between, after }, nodes),
    ...consumeReport(consuming),
  };
  if (options.json) await writeJson(terminal, report);
  else await writeReport(terminal, report);
  const consumedWell = consumed === null || consumed.orderViolations + consumed.missing === 0;
  return complete && checked.orderViolations === 0 && consumedWell;
}

/** Waits for what was read back: what could not be stored will not come. */
async function consumeRest(
  run: BenchRun,
  load: Load,
  follower: ConsumeCheck | null,
  { messages }: ReadResult,
): Promise<ConsumeResult> {
  const stored = Math.min(messages, load.produced);
  // The first message of each group was there before.
  if (follower !== null) return follower.finish(stored - load.shape.groups);
  return (await startConsuming(run, load, 'earliest')).finish(stored);
}

async function startConsuming(
  run: BenchRun,
  load: Load,
  start: ConsumeCheckOptions['start'],
): Promise<ConsumeCheck> {
  const { cluster, options, progress } = run;
  const how = options.run === true ? 'run' : 'batches';
  const { stallTimeout: stallMilliseconds = STALL_TIMEOUT_MILLISECONDS, timeout: timeoutMilliseconds } =
    options;
  const check = new ConsumeCheck({
    cluster,
    load,
    how,
    start,
    stallMilliseconds,
    timeoutMilliseconds,
    progress,
  });
  run.check = check;
  await check.begin();
  return check;
}

async function topicFor(admin: Admin, name: string, options: BenchOptions): Promise<TopicInfo> {
  const { partitions, replicas, timeout: timeoutMilliseconds } = options;
  try {
    return await admin.createTopic({ name, partitions, replicas }, { timeoutMilliseconds });
  } catch (error) {
    if (!(error instanceof SeriatimError && error.code === 'TOPIC_EXISTS')) throw error;
    const { topic } = await admin.describeTopic(name, { timeoutMilliseconds });
    if (topic === null) throw error;
    return topic;
  }
}

/** What consuming came to; with the produce's CPU in it when both ran at a time. */
interface ConsumeReport {
  readonly consume?: {
    readonly messagesPerSecond: number;
    readonly orderViolations: number;
    readonly repeats: number;
    readonly missing: number;
    readonly cpuMicrosPerMessage?: number;
    readonly endToEndMs?: { readonly p50: number; readonly p99: number; readonly p999: number };
  };
}

function consumeReport(consuming: {
  readonly result: ConsumeResult | null;
  readonly before: Usage;
  readonly after: Usage;
  readonly follows: boolean;
}): ConsumeReport {
  const { result, before, after, follows } = consuming;
  if (result === null) return {};
  const used = cpuSecondsBetween(before, after);
  const cpu = used.nodes.reduce((sum: number, seconds) => sum + (seconds ?? 0), used.client);
  const { messages, seconds, orderViolations, repeats, missing, latencies } = result;
  const figures = follows
    ? { endToEndMs: percentiles(latencies) }
    : { cpuMicrosPerMessage: rounded((cpu * 1e6) / Math.max(1, messages)) };
  const messagesPerSecond = Math.round(messages / seconds);
  return { consume: { messagesPerSecond, orderViolations, repeats, missing, ...figures } };
}

interface Report extends ConsumeReport {
  readonly produce: {
    readonly messagesPerSecond: number;
    readonly megabytesPerSecond: number;
    readonly latencyMs: { readonly p50: number; readonly p99: number; readonly p999: number };
    readonly cpuMicrosPerMessage: number;
  };
  readonly read: { readonly messagesPerSecond: number };
  readonly orderViolations: number;
  readonly cpuSeconds: { readonly client: number; readonly nodes: readonly (number | null)[] };
  readonly rssBytes: { readonly client: number; readonly nodes: readonly (number | null)[] };
}

function reportOf(
  options: BenchOptions,
  produced: LoadResult,
  checked: ReadResult,
  usage: { readonly before: Usage; readonly between: Usage; readonly after: Usage },
  nodes: readonly NodeInfo[],
): Report {
  const producing = cpuSecondsBetween(usage.before, usage.between);
  // All processes: this one and every node whose figures this machine has.
  const cpu = producing.nodes.reduce((sum: number, seconds) => sum + (seconds ?? 0), producing.client);
  const rate = produced.acknowledged / produced.seconds;
  const rss = usage.between.nodeRssBytes;
  return {
    produce: {
      messagesPerSecond: Math.round(rate),
      megabytesPerSecond: rounded((rate * options.size) / 1e6),
      latencyMs: percentiles(produced.latencies),
      cpuMicrosPerMessage: rounded((cpu * 1e6) / Math.max(1, produced.acknowledged)),
    },
    read: { messagesPerSecond: Math.round(checked.messages / checked.seconds) },
    orderViolations: checked.orderViolations,
    cpuSeconds: cpuSecondsBetween(usage.before, usage.after),
    rssBytes: { client: usage.between.clientRssBytes, nodes: nodes.map((_, index) => rss[index] ?? null) },
  };
}

const rounded = (value: number): number => Math.round(value * 100) / 100;

function percentiles(ascending: Float64Array): {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
} {
  return {
    p50: percentile(ascending, 0.5),
    p99: percentile(ascending, 0.99),
    p999: percentile(ascending, 0.999),
  };
}

function percentile(ascending: Float64Array, share: number): number {
  const index = Math.min(ascending.length - 1, Math.ceil(ascending.length * share) - 1);
  return rounded(ascending[Math.max(0, index)] ?? 0);
}

function consumeRows({ consume }: ConsumeReport): (readonly [string, string | number])[] {
  if (consume === undefined) return [];
  const { endToEndMs: latency, cpuMicrosPerMessage: cpu } = consume;
  return [
    ['consumed', `${consume.messagesPerSecond} messages/s`],
    latency === undefined
      ? ['CPU of consuming, all processes', `${cpu} µs a message`]
      : ['end to end p50 / p99 / p99.9', `${latency.p50} / ${latency.p99} / ${latency.p999} ms`],
    ['order violations, consumed', consume.orderViolations],
    ['delivered again; missing', `${consume.repeats}; ${consume.missing}`],
  ];
}

async function writeReport(terminal: Terminal, report: Report): Promise<void> {
  const { produce, read, cpuSeconds, rssBytes } = report;
  const mebibytes = (bytes: number | null): string =>
    bytes === null ? '?' : `${Math.round(bytes / 1048576)} MiB`;
  await writeTable(
    terminal,
    ['bench', ''],
    [
      ['produced', `${produce.messagesPerSecond} messages/s, ${produce.megabytesPerSecond} MB/s`],
      [
        'latency p50 / p99 / p99.9',
        `${produce.latencyMs.p50} / ${produce.latencyMs.p99} / ${produce.latencyMs.p999} ms`,
      ],
      [
        // What produces and what consumes at a time are the same processes.
        report.consume?.endToEndMs === undefined ? 'CPU, all processes' : 'CPU, all processes, consuming too',
        `${produce.cpuMicrosPerMessage} µs a message`,
      ],
      ['read back', `${read.messagesPerSecond} messages/s`],
      ['order violations', report.orderViolations],
      ...consumeRows(report),
      [
        'CPU client; nodes',
        `${cpuSeconds.client} s; ${cpuSeconds.nodes.map((one) => one ?? '?').join(', ')} s`,
      ],
      ['memory client; nodes', `${mebibytes(rssBytes.client)}; ${rssBytes.nodes.map(mebibytes).join(', ')}`],
    ],
  );
}
