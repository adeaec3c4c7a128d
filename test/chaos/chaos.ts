import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { OrderedProducer } from '@seriatim/client';
import { checkHandled, type HandledReport, History, type Verdict } from '@seriatim/testkit';
import { pause } from '../../scripts/lib/node-process.mjs';
import { seededRandom } from '../support/change-history.ts';
import { ConsumerFleet } from '../support/consumer-fleet.ts';
import { ProcessCluster } from '../support/process-cluster.ts';
import { subscribe, untilSettled } from '../support/subscriptions.ts';
import { type FaultContext, faultSequence, HOLD_MILLISECONDS, inflict } from './faults.ts';
import { ChaosProducer, ChaosReader } from './workload.ts';

const topic = 'chaos';
const partitions = 8;
const subscription = 'chaos';
const consumerCount = 3;
/** Part of the messages that fail at first. */
const nackPart = 0.02;
/** What was stored until producing ended is settled within this time. */
const settleMilliseconds = 60_000;
/** After the last fault the cluster must be whole within this time (ten election timeouts, and the starts). */
const healMilliseconds = 20_000;

export interface ChaosOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

/** What a run showed. `problems` is empty when every guarantee held. */
export interface ChaosReport {
  readonly verdict: Verdict;
  readonly handled: HandledReport;
  readonly faults: ReadonlyMap<string, number>;
  readonly longestGapMilliseconds: number;
  readonly problems: readonly string[];
}

/** Nodes and consumers are killed, frozen and started again while all work; at the end everything is read, settled and judged. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const cluster = await ProcessCluster.start();
  const { endpoints } = cluster;
  const directory = join(cluster.directory, 'consumers');
  const consumers = new ConsumerFleet({ endpoints, topic, subscription, directory, nackPart });
  try {
    mkdirSync(directory);
    await cluster.admin.createTopic({ name: topic, partitions, replicas: 3 });
    // Whoever is killed or frozen counts a failure for what it held: none is to be parked.
    const settings = { maxDeliveries: 1_000, holdMs: HOLD_MILLISECONDS };
    await subscribe(endpoints[0] ?? '', topic, subscription, settings);
    for (let count = 0; count < consumerCount; count++) consumers.start();
    return await torment(cluster, consumers, options);
  } finally {
    await consumers.killAll();
    await cluster.destroy();
  }
}

async function torment(
  cluster: ProcessCluster,
  consumers: ConsumerFleet,
  { seconds, seed, log }: ChaosOptions,
): Promise<ChaosReport> {
  const history = new History();
  const { endpoints } = cluster;
  // The history keeps every message: longer runs send less often, so that it stays below about a million.
  const pauseMilliseconds = Math.max(10, seconds / 7);
  const producers = [1, 2, 3].map((number) => {
    const random = seededRandom(seed * 31 + number);
    return new ChaosProducer(`p${number}`, topic, endpoints, history, random, pauseMilliseconds);
  });
  const reader = new ChaosReader(topic, endpoints, history);
  const reading = reader.follow().then(
    () => null,
    (error: unknown) => error,
  );
  const producing = Promise.all(producers.map((producer) => producer.run()));
  const context = { cluster, topic, partitions, consumers, random: seededRandom(seed) };
  const faults = await inflictFor(seconds * 1_000, context, log);
  await cluster.ready(healMilliseconds);
  await provesAlive(cluster);
  for (const producer of producers) producer.stop();
  await producing;
  await untilSettled(endpoints, topic, subscription, settleMilliseconds);
  await consumers.stopAll();
  const final = new ChaosReader(topic, endpoints, history);
  await final.readAll();
  reader.stop();
  const readError = await reading;
  const verdict = history.verdict();
  const handled = checkHandled(consumers.entries(), history.stored());
  return {
    verdict,
    handled,
    faults,
    longestGapMilliseconds: Math.max(...producers.map((producer) => producer.longestGap)),
    problems: [
      ...(['lost', 'duplicated', 'outOfOrder', 'gaps', 'phantom', 'changed'] as const).flatMap((kind) =>
        verdict[kind].map((found) => `${kind}: ${found.group}/${found.id}: ${found.detail}`),
      ),
      ...[...reader.skips, ...final.skips].map((skip) => `skipped: ${skip}`),
      ...(readError === null ? [] : [`the reader failed: ${readError}`]),
      ...producers.flatMap((producer) => producer.errors.map((error) => `not acknowledged: ${error}`)),
      ...handled.violations.map((violation) => `consumed: ${violation}`),
      ...consumers.unexpectedEnds,
      ...cluster.unexpectedEnds,
    ],
  };
}

async function inflictFor(
  milliseconds: number,
  context: FaultContext,
  log: (line: string) => void,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const end = performance.now() + milliseconds;
  for (const fault of faultSequence(context.random)) {
    await pause(1_000 + context.random() * 2_000);
    if (performance.now() >= end) break;
    const started = performance.now();
    try {
      await inflict(fault, context);
      await context.cluster.ready();
    } catch (error) {
      // Some faults need a leader to aim at; without one the next is tried.
      log(`${fault}: ${error instanceof Error ? error.message : error}`);
      continue;
    }
    counts.set(fault, (counts.get(fault) ?? 0) + 1);
    log(`${fault}: whole again after ${((performance.now() - started) / 1_000).toFixed(1)} s`);
  }
  for (const node of context.cluster.nodes) if (!node.running) context.cluster.launch(node);
  return counts;
}

/** A fresh write to a new group is acknowledged soon after healing (C14). */
async function provesAlive(cluster: ProcessCluster): Promise<void> {
  await cluster.admin.createTopic({ name: 'after', partitions: 2, replicas: 3 });
  const producer = new OrderedProducer({ cluster: cluster.cluster });
  await producer.sendSingleOrderedMessage('after', 'fresh', undefined, 'alive', {
    timeoutMilliseconds: 10_000,
  });
  await producer.close();
}
