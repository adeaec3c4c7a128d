/** Consumers on nodes whose disks are too full for messages: what is stored flows and is settled, a dead letter waits. */
import {
  type ConsumedMessage,
  OrderedProducer,
  Reader,
  SeriatimError,
  SubscriptionAdmin,
} from '@seriatim/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../scripts/lib/node-process.mjs';
import { ProcessCluster } from '../support/process-cluster.ts';
import { unsettled, untilSettled } from '../support/subscriptions.ts';

const TOPIC = 'payments';
const WAIT_MILLISECONDS = 30_000;
let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
});

afterAll(async () => {
  await cluster?.destroy();
});

/** Starts all nodes anew with this floor of free space. */
async function restartWith(settings: Readonly<Record<string, unknown>>): Promise<void> {
  await Promise.all(cluster.nodes.map((node) => cluster.stop(node)));
  for (const node of cluster.nodes) node.settings = { ...node.settings, ...settings };
  await cluster.startAll();
}

describe('a full disk', () => {
  it('takes no message and no dead letter, but settles what is there, and goes on when there is space', async () => {
    const { admin, endpoints } = cluster;
    const [endpoint = ''] = endpoints;
    const subscriptions = new SubscriptionAdmin({ cluster: cluster.cluster });
    for (const name of [TOPIC, 'dead']) await admin.createTopic({ name, partitions: 2, replicas: 3 });
    await subscriptions.create({
      topic: TOPIC,
      name: 's',
      maxDeliveries: 2,
      backoffMilliseconds: 1,
      poisonPolicy: 'skip',
      deadLetterTopic: 'dead',
    });
    const producer = new OrderedProducer({ cluster: cluster.cluster });
    const poisoned = ['1', 'bad', '3'].map((value) => ({ value }));
    await producer.sendMessageGroupBatch(TOPIC, 'poisoned', poisoned);
    for (let group = 0; group < 20; group++) {
      await producer.sendMessageGroupBatch(TOPIC, `healthy-${group}`, [{ value: '1' }, { value: '2' }]);
    }

    await restartWith({ freeSpace: { produceBytesMin: 2 ** 52 } });
    const refused = await producer
      .send(TOPIC, { messageGroup: 'healthy-0', value: '3' }, { timeoutMilliseconds: 5_000 })
      .then(
        () => null,
        (error: SeriatimError) => error,
      );
    expect(refused).toBeInstanceOf(SeriatimError);
    expect(refused).toMatchObject({ code: 'DISK_FULL', outcome: 'not-applied' });

    const handled = new Map<string, string[]>();
    const consumer = cluster.cluster.consumer({ topic: TOPIC, subscription: 's' });
    const running = consumer.run(({ group, value }: ConsumedMessage) => {
      if (value.toString() === 'bad') throw new Error('cannot be handled');
      handled.set(group, [...(handled.get(group) ?? []), value.toString()]);
    });
    await until(
      'all that is healthy is settled',
      WAIT_MILLISECONDS,
      async () => (await unsettled(endpoint, TOPIC, 's')) === 2,
    );
    const explain = () => subscriptions.explainGroup(TOPIC, 's', 'poisoned');
    await until('an attempt at the letter is refused', WAIT_MILLISECONDS, async () =>
      (await explain()).next.includes('DISK_FULL'),
    );
    expect(await explain()).toMatchObject({
      state: 'dead-lettering',
      settledSequence: 1,
      lastSequence: 3,
      failures: 2,
    });

    await restartWith({ freeSpace: {} });
    await untilSettled(endpoints, TOPIC, 's', WAIT_MILLISECONDS);
    await consumer.close();
    await running;
    expect(handled.get('poisoned')).toEqual(['1', '3']);
    const letters: string[] = [];
    const reader = new Reader({ cluster: cluster.cluster });
    for await (const { value } of reader.read({ topic: 'dead', untilEnd: true }))
      letters.push(value.toString());
    expect(letters).toEqual(['bad']);
    await producer.close();
  });
});
