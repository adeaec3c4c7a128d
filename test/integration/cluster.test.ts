/** Topics, producing, reading, routes and health, as a user of three real nodes meets them. */
import { OrderedProducer, Reader } from '@seriatim/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.ts';

let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
});

afterAll(async () => {
  await cluster?.destroy();
});

async function readAll(
  topic: string,
  group?: string,
): Promise<{ group: string; sequence: number; value: string }[]> {
  const found: { group: string; sequence: number; value: string }[] = [];
  const reader = new Reader({ cluster: cluster.cluster });
  for await (const message of reader.read({ topic, group, untilEnd: true })) {
    found.push({ group: message.group, sequence: message.sequence, value: message.value.toString() });
  }
  return found;
}

describe('topics', () => {
  it('a topic is answered when every partition has a leader, and leaders are spread over the nodes', async () => {
    await cluster.admin.createTopic({ name: 'spread', partitions: 9, replicas: 3 });
    const { partitions } = await cluster.admin.describeTopic('spread');
    expect(partitions).toHaveLength(9);
    const leaders = partitions.map((partition) => partition.leader);
    expect(leaders.every((leader) => leader !== 0)).toBe(true);
    expect(new Set(leaders).size).toBe(3);
  });

  it('a deleted topic is gone on every node, and its name can be used again', async () => {
    await cluster.admin.createTopic({ name: 'short-lived', partitions: 2, replicas: 3 });
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    await producer.sendSingleOrderedMessage('short-lived', 'g', undefined, 'old');
    await cluster.admin.deleteTopic('short-lived');
    await expect(cluster.admin.describeTopic('short-lived')).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' });
    await cluster.admin.createTopic({ name: 'short-lived', partitions: 3, replicas: 3 });
    expect(await readAll('short-lived')).toEqual([]);
    const receipt = await producer.sendSingleOrderedMessage('short-lived', 'g', undefined, 'new');
    expect(receipt.sequence).toBe(1);
    await producer.close();
  });
});

describe('messages', () => {
  beforeAll(async () => {
    await cluster.admin.createTopic({ name: 'orders', partitions: 8, replicas: 3 });
  });

  it('come back in order per group with dense sequences, whatever calls overlapped', async () => {
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    const groups = Array.from({ length: 40 }, (_, index) => `group-${index}`);
    const calls = Array.from({ length: 25 }, (_, round) =>
      producer.sendOrderedMessages(
        'orders',
        groups.map((messageGroup) => ({ messageGroup, value: String(round + 1) })),
      ),
    );
    await Promise.all(calls);
    await producer.close();
    const found = await readAll('orders');
    expect(found).toHaveLength(1_000);
    for (const group of groups) {
      const own = found.filter((message) => message.group === group);
      expect(own.map((message) => message.sequence)).toEqual(own.map((_, index) => index + 1));
      expect(own.map((message) => message.value)).toEqual(own.map((_, index) => String(index + 1)));
    }
  });

  it('of one group can be read alone, and its route says where it lives and how far it is', async () => {
    const found = await readAll('orders', 'group-7');
    expect(found.map((message) => message.group)).toEqual(new Array(25).fill('group-7'));
    const route = await cluster.admin.getRoute('orders', 'group-7');
    expect(route.lastSequence).toBe(25);
    const listed: string[] = [];
    for await (const entry of cluster.admin.listRoutes({ topic: 'orders', prefix: 'group-3' })) {
      listed.push(entry.group);
    }
    expect(listed.sort()).toEqual([
      'group-3',
      ...Array.from({ length: 10 }, (_, index) => `group-3${index}`),
    ]);
  });

  it('may be empty, large, or any bytes', async () => {
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    const large = Buffer.alloc(1_000_000, 7);
    await producer.sendMessageGroupBatch('orders', 'größe', [
      { value: '' },
      { value: large },
      { value: Buffer.from([0xff]) },
    ]);
    await producer.close();
    const values: Buffer[] = [];
    const reader = new Reader({ cluster: cluster.cluster });
    for await (const message of reader.read({ topic: 'orders', group: 'größe', untilEnd: true })) {
      values.push(message.value);
    }
    expect(values.map((bytes) => bytes.length)).toEqual([0, 1_000_000, 1]);
    expect(values[1]?.equals(large)).toBe(true);
  });

  it('are followed as they come', async () => {
    const reader = new Reader({ cluster: cluster.cluster });
    const controller = new AbortController();
    const following = reader.read({ topic: 'orders', from: 'latest', signal: controller.signal });
    const first = following.next();
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    let answered = false;
    void first.then(() => {
      answered = true;
    });
    // Where "latest" is, is decided when each partition's read begins; so messages are sent until one is seen.
    while (!answered) await producer.sendSingleOrderedMessage('orders', 'tail', undefined, 'x');
    expect((await first).value?.group).toBe('tail');
    controller.abort();
    await following.return(undefined);
    await producer.close();
  });
});

describe('the HTTP port', () => {
  it('says that the process lives, that it can serve, and gives the metrics of the design note', async () => {
    for (const node of cluster.nodes) {
      expect((await cluster.http(node, '/livez')).status).toBe(200);
      expect((await cluster.http(node, '/readyz')).status).toBe(200);
      const metrics = await (await cluster.http(node, '/metrics')).text();
      for (const name of [
        'seriatim_total_mapped_groups',
        'seriatim_partition_loads',
        'seriatim_routing_cache_hit_rate',
        'seriatim_cleanup_execution_time',
      ]) {
        expect(metrics).toContain(`\n${name}`);
      }
    }
  });
});
