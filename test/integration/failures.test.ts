/** Lost nodes: what is acknowledged stays, what can't be done is refused in time. */
import { OrderedProducer, Reader, SeriatimError } from '@seriatim/client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.ts';

let cluster: ProcessCluster;

beforeEach(async () => {
  cluster = await ProcessCluster.start();
  await cluster.admin.createTopic({ name: 'orders', partitions: 4, replicas: 3 });
});

afterEach(async () => {
  await cluster?.destroy();
});

async function sequencesOf(group: string): Promise<number[]> {
  const reader = new Reader({ cluster: cluster.cluster });
  const found: number[] = [];
  for await (const message of reader.read({ topic: 'orders', group, untilEnd: true }))
    found.push(message.sequence);
  return found;
}

describe('without a majority', () => {
  it('writes are refused as UNAVAILABLE within the deadline, known routes still answer, and it heals', async () => {
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    await producer.sendSingleOrderedMessage('orders', 'known', undefined, '1');
    const [first, second] = cluster.nodes;
    if (first === undefined || second === undefined) throw new Error('three nodes expected');
    await Promise.all([cluster.kill(first), cluster.kill(second)]);
    const started = performance.now();
    const error = await producer
      .sendSingleOrderedMessage('orders', 'known', undefined, '2', { timeoutMilliseconds: 3_000 })
      .then(() => null)
      .catch((reason: unknown) => reason);
    expect(performance.now() - started).toBeLessThan(4_000);
    expect(error).toBeInstanceOf(SeriatimError);
    expect((error as SeriatimError).retryable).toBe(true);
    const route = await cluster.admin.getRoute('orders', 'known', { timeoutMilliseconds: 5_000 });
    expect(route.group).toBe('known');
    await cluster.startAll();
    await producer.close();
    const later = new OrderedProducer({ cluster: cluster.cluster });
    await later.sendSingleOrderedMessage('orders', 'known', undefined, '3');
    await later.close();
    const sequences = await sequencesOf('known');
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
  });
});

describe('a restart of all nodes', () => {
  it('in order keeps every message and continues the sequences', async () => {
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    await producer.sendMessageGroupBatch('orders', 'g', [{ value: '1' }, { value: '2' }]);
    const clean = await Promise.all(cluster.nodes.map((node) => cluster.stop(node)));
    expect(clean).toEqual([true, true, true]);
    await cluster.startAll();
    const receipt = await producer.sendSingleOrderedMessage('orders', 'g', undefined, '3');
    expect(receipt.sequence).toBe(3);
    await producer.close();
    expect(await sequencesOf('g')).toEqual([1, 2, 3]);
  });

  it('by kill -9 in the middle of producing keeps everything that was acknowledged', async () => {
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    const acknowledged: number[] = [];
    let killed = false;
    const lanes = Array.from({ length: 8 }, async (_, lane) => {
      for (let round = 0; round < 400; round++) {
        const { sequence } = await producer.sendSingleOrderedMessage(
          'orders',
          `lane-${lane}`,
          undefined,
          String(round),
        );
        acknowledged[lane] = sequence;
        if (killed && round > 100) break;
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 400));
    await cluster.killAll();
    killed = true;
    await cluster.startAll();
    await Promise.all(lanes);
    await producer.close();
    for (const [lane, last] of acknowledged.entries()) {
      const sequences = await sequencesOf(`lane-${lane}`);
      expect(sequences).toEqual(Array.from({ length: last }, (_, index) => index + 1));
    }
  });
});
