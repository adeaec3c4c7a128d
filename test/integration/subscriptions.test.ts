/**
 * A skewed history consumed by few and many consumers that fail, are killed and come anew, while leaders are killed as well. Each consumer
 * is a process. SERIATIM_REAL_INPUT names a file to use instead of the made-up history.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OrderedProducer, SubscriptionAdmin } from '@seriatim/client';
import { checkHandled, type HandledReport } from '@seriatim/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../../scripts/lib/node-process.mjs';
import { inputChanges } from '../support/change-history.ts';
import { ConsumerFleet } from '../support/consumer-fleet.ts';
import { ProcessCluster } from '../support/process-cluster.ts';
import { subscribe, untilSettled } from '../support/subscriptions.ts';

const changes = inputChanges();
const input = new Map<string, string[]>();
for (const { group, line } of changes) {
  const own = input.get(group);
  if (own === undefined) input.set(group, [line]);
  else own.push(line);
}
const TOPIC = 'history';
const NACK_PART = 0.1;
/** A consumer has begun to work after this, if there is work, also on a slow machine. */
const BEGIN_MILLISECONDS = 8_000;

let cluster: ProcessCluster;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'seriatim-consumers-'));
  cluster = await ProcessCluster.start();
  await cluster.admin.createTopic({ name: TOPIC, partitions: 8, replicas: 3 });
  const producer = new OrderedProducer({ cluster: cluster.cluster });
  for (let from = 0; from < changes.length; from += 2_000) {
    const part = changes.slice(from, from + 2_000);
    await producer.sendOrderedMessages(
      TOPIC,
      part.map(({ group, line }) => ({ messageGroup: group, value: line })),
    );
  }
  await producer.close();
});

afterAll(async () => {
  await cluster?.destroy();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

async function subscribed(subscription: string): Promise<void> {
  const [endpoint = ''] = cluster.endpoints;
  await subscribe(endpoint, TOPIC, subscription, { maxDeliveries: 20 });
}

/** How far a subscription is consumed. */
interface Progress {
  /** Everything is settled. */
  done: boolean;
}

/** Consumes everything with this many consumers; `disturb` is called again and again until it is done. */
async function consumeAll(
  subscription: string,
  consumers: number,
  disturb: (fleet: ConsumerFleet, progress: Progress) => Promise<void>,
): Promise<HandledReport> {
  const fleet = new ConsumerFleet({
    endpoints: cluster.endpoints,
    topic: TOPIC,
    subscription,
    directory,
    nackPart: NACK_PART,
  });
  const progress: Progress = { done: false };
  let disturbed = Promise.resolve();
  try {
    for (let count = 0; count < consumers; count++) fleet.start();
    const settled = untilSettled(cluster.endpoints, TOPIC, subscription, 90_000).finally(() => {
      progress.done = true;
    });
    disturbed = (async () => {
      while (!progress.done) await disturb(fleet, progress);
    })();
    await Promise.all([settled, disturbed]);
    await fleet.stopAll();
  } finally {
    progress.done = true;
    await disturbed.catch(() => {});
    await fleet.killAll();
  }
  return checkHandled(fleet.entries(), input);
}

/** One of them dies when it has worked for a moment, or has nothing to work on, and another comes. */
async function replaceOne(fleet: ConsumerFleet, progress: Progress): Promise<void> {
  const { names } = fleet;
  const victim = names[Math.floor(Math.random() * names.length)];
  const end = Date.now() + BEGIN_MILLISECONDS;
  while (victim !== undefined && !fleet.worked(victim) && !progress.done && Date.now() < end) await pause(20);
  await pause(300 + Math.random() * 700);
  if (victim !== undefined) await fleet.kill(victim);
  fleet.start();
}

describe('a history consumed group by group', () => {
  it('by consumers that all live is handled once', async () => {
    await subscribed('calm');
    const report = await consumeAll('calm', 3, () => pause(200));
    expect(report.violations.slice(0, 10)).toEqual([]);
    expect(report).toMatchObject({ acked: changes.length, repeated: 0, refused: 0 });
  });

  it.each([1, 3, 20])(
    'by %i consumers that fail and are killed is handled in order, to the end',
    async (count) => {
      await subscribed(`by-${count}`);
      const report = await consumeAll(`by-${count}`, count, replaceOne);
      expect(report.violations.slice(0, 10)).toEqual([]);
      expect(report.acked).toBe(changes.length);
      expect(report.nacked).toBeGreaterThan(changes.length * NACK_PART * 0.5);
    },
  );

  it('stays so while leaders are killed, once all nodes, and come back', async () => {
    const subscriptions = new SubscriptionAdmin({ cluster: cluster.cluster });
    const [held = ''] = input.keys();
    let turn = 0;
    const storm = async (fleet: ConsumerFleet, progress: Progress): Promise<void> => {
      await replaceOne(fleet, progress);
      if (++turn === 4) {
        // Power loss, as far as kill -9 is one.
        await cluster.killAll();
        await cluster.startAll();
        await subscriptions.resume(TOPIC, 'storm', { group: held });
        return;
      }
      if (turn % 3 !== 0) return;
      const node = await cluster.leaderOf(TOPIC, turn % 8);
      await cluster.kill(node);
      await pause(300);
      cluster.launch(node);
      await cluster.ready();
    };
    await subscribed('storm');
    // However fast the machine is, nothing ends before the faults have come: one group waits for them.
    await subscriptions.pause(TOPIC, 'storm', { group: held });
    const report = await consumeAll('storm', 5, storm);
    expect(report.violations.slice(0, 10)).toEqual([]);
    expect(report.acked).toBe(changes.length);
    expect(turn).toBeGreaterThan(3);
  });
});
