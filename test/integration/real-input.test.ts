/**
 * A skewed history of file changes, produced into 8 partitions while leaders are killed, and read back. SERIATIM_REAL_INPUT
 * names a file to use instead of the made-up history: NDJSON, perhaps gzipped, with `group` and `seq` in each line.
 */
import { OrderedProducer, Reader } from '@seriatim/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inputChanges } from '../support/change-history.ts';
import { ProcessCluster } from '../support/process-cluster.ts';

const changes = inputChanges();
const lines = new Map<string, string[]>();
for (const { group, line } of changes) {
  const own = lines.get(group);
  if (own === undefined) lines.set(group, [line]);
  else own.push(line);
}
let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
});

afterAll(async () => {
  await cluster?.destroy();
});

/** Sends all lines; after each of `marks` parts of the input is acknowledged, calls `disturb` without waiting for it. */
async function produceAll(topic: string, disturb: (() => Promise<void>) | null): Promise<void> {
  const producer = new OrderedProducer({ cluster: cluster.cluster });
  const disturbances: Promise<void>[] = [];
  const size = 500;
  const every = Math.ceil(changes.length / size / 4);
  const pending: Promise<unknown>[] = [];
  for (let from = 0, batch = 1; from < changes.length; from += size, batch++) {
    const messages = changes
      .slice(from, from + size)
      .map(({ group, line }) => ({ messageGroup: group, value: line }));
    pending.push(producer.sendOrderedMessages(topic, messages));
    if (pending.length >= 8) await pending.shift();
    if (disturb !== null && batch % every === 0 && disturbances.length < 3) {
      await Promise.all(disturbances);
      disturbances.push(disturb());
    }
  }
  await Promise.all([...pending, ...disturbances]);
  await producer.close();
}

/** Reads the topic and compares each group with the input, sequence by sequence. */
async function expectAllThere(topic: string): Promise<void> {
  const next = new Map<string, number>();
  const wrong: string[] = [];
  let count = 0;
  for await (const message of new Reader({ cluster: cluster.cluster }).read({ topic, untilEnd: true })) {
    const { group, sequence } = message;
    const expected = (next.get(group) ?? 0) + 1;
    next.set(group, sequence);
    count++;
    if (sequence !== expected || message.value.toString() !== lines.get(group)?.[sequence - 1]) {
      wrong.push(`${group} #${sequence}, expected #${expected}: ${message.value}`);
    }
  }
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(count).toBe(changes.length);
  expect(next.size).toBe(lines.size);
}

it('comes back complete, once, in order per group, with the sequence of the input', async () => {
  await cluster.admin.createTopic({ name: 'calm', partitions: 8, replicas: 3 });
  await produceAll('calm', null);
  await expectAllThere('calm');
});

it('does so as well while the leader of a partition is killed and started again three times', async () => {
  await cluster.admin.createTopic({ name: 'storm', partitions: 8, replicas: 3 });
  let turn = 0;
  await produceAll('storm', async () => {
    const node = await cluster.leaderOf('storm', turn++);
    await cluster.kill(node);
    await new Promise((resolve) => setTimeout(resolve, 500));
    cluster.launch(node);
    await cluster.ready();
  });
  expect(turn).toBe(3);
  await expectAllThere('storm');
});
