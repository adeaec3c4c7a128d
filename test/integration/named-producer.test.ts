import { OrderedProducer, Reader } from '@seriatim/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.ts';

describe('a named producer on real nodes', () => {
  let cluster: ProcessCluster;
  beforeAll(async () => {
    cluster = await ProcessCluster.start();
    await cluster.admin.createTopic({ name: 'bills', partitions: 3, replicas: 3 });
  });
  afterAll(() => cluster.destroy());

  const open = (): OrderedProducer =>
    new OrderedProducer({ endpoints: cluster.endpoints, producerName: 'billing' });

  it('goes on after its process and all nodes were killed, and the one before it stays fenced', async () => {
    const before = open();
    for (const value of ['1', '2', '3']) await before.send('bills', { messageGroup: 'a', value });
    await cluster.killAll();
    await cluster.startAll();
    const after = open();
    const [position] = await after.positions('bills', ['a']);
    expect(position).toMatchObject({ group: 'a', lastProducerSequence: 3, lastGroupSequence: 3 });
    await expect(before.send('bills', { messageGroup: 'a', value: 'late' })).rejects.toMatchObject({
      code: 'PRODUCER_FENCED',
      outcome: 'not-applied',
    });
    expect(await after.send('bills', { messageGroup: 'a', value: '4' })).toMatchObject({ sequence: 4 });
    await cluster.kill(await cluster.leaderOf('bills', position?.partition ?? 0));
    expect(await after.send('bills', { messageGroup: 'a', value: '5' })).toMatchObject({ sequence: 5 });
    await cluster.startAll();
    const reader = new Reader({ cluster: cluster.cluster });
    const values: string[] = [];
    for await (const { value } of reader.read({ topic: 'bills', untilEnd: true }))
      values.push(value.toString());
    expect(values).toEqual(['1', '2', '3', '4', '5']);
    before.abort();
    await after.close();
  });

  it('lets one of two writers have the sequence that both expect', async () => {
    const producers = [1, 2, 3].map(() => new OrderedProducer({ endpoints: cluster.endpoints }));
    const outcomes = await Promise.allSettled(
      producers.map((producer) =>
        producer.send('bills', { messageGroup: 'account', value: 'x' }, { expectedSequence: 0 }),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue;
      expect(outcome.reason).toMatchObject({ code: 'SEQUENCE_CONFLICT', details: { currentSequence: 1 } });
    }
    await Promise.all(producers.map((producer) => producer.close()));
  });
});
