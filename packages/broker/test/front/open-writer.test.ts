import { RefusalError } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { FakeCluster } from './fakes.ts';

const opening = { topic: 'orders', producerName: 'billing', epoch: 0, producerId: 0 };
const asking = { ...opening, groups: [] as string[], instance: 'one', previousEpoch: 0 };

describe('FrontDoor.openWriter', () => {
  it('takes the next epoch of the name and fences every partition, also those that other nodes lead', async () => {
    const cluster = new FakeCluster(4, 2);
    const first = await cluster.door.openWriter(asking, cluster.deadline());
    expect(first).toMatchObject({ producerId: 500, epoch: 1, partitionErrors: [] });
    const late = await cluster.door.openWriter(asking, cluster.deadline());
    expect(late).toMatchObject({ epoch: 1, opened: false });
    const second = await cluster.door.openWriter({ ...asking, previousEpoch: 1 }, cluster.deadline());
    expect(second).toMatchObject({ producerId: 500, epoch: 2 });
    for (const partition of cluster.partitions) {
      expect(partition.openings.map(({ epoch }) => epoch)).toEqual([1, 2]);
    }
  });

  it('answers groups in the order asked, and asks only the partitions that have them', async () => {
    const cluster = new FakeCluster(3, 2);
    cluster.addRoute('a', 2);
    cluster.addRoute('b', 0);
    const { producerId, epoch } = await cluster.door.openWriter(asking, cluster.deadline());
    for (const partition of cluster.partitions) partition.openings.length = 0;
    const request = { ...asking, producerId, epoch, groups: ['b', 'a'] };
    const answer = await cluster.door.openWriter(request, cluster.deadline());
    expect(answer).toMatchObject({
      partitions: [0, 2],
      lastProducerSequences: [3, 3],
      lastGroupSequences: [5, 5],
    });
    expect(cluster.partitions.map(({ openings }) => openings.length)).toEqual([1, 0, 1]);
    expect(cluster.partitions[2]?.openings[0]?.groups).toMatchObject([{ life: 1 }]);
  });

  it('gives a group without a route one first: only then nothing of it can be stored elsewhere', async () => {
    const cluster = new FakeCluster(3, 1);
    const answer = await cluster.door.openWriter({ ...asking, groups: ['new'] }, cluster.deadline());
    expect(cluster.routes.map(({ group }) => group)).toEqual(['new']);
    expect(answer.partitionErrors).toEqual([]);
  });

  it('says which groups it knows nothing of when a partition has no leader', async () => {
    const cluster = new FakeCluster(2, 2);
    cluster.addRoute('a', 0);
    cluster.addRoute('b', 1);
    cluster.leaders[1] = 0;
    const answer = await cluster.door.openWriter({ ...asking, groups: ['a', 'b'] }, cluster.deadline());
    expect(answer.partitionErrors).toMatchObject([{ partition: 1, code: 'NO_LEADER', messageIndexes: [1] }]);
    expect(answer.lastProducerSequences[0]).toBe(3);
  });

  it('names the groups that have displaced the producer', async () => {
    const cluster = new FakeCluster(1, 1);
    cluster.addRoute('a', 0);
    const [partition] = cluster.partitions;
    if (partition === undefined) throw new Error('no partition');
    partition.positions = () => [{ known: false, lastProducerSequence: 0, lastGroupSequence: 9 }];
    const answer = await cluster.door.openWriter({ ...asking, groups: ['a'] }, cluster.deadline());
    expect(answer.partitionErrors).toMatchObject([{ code: 'WRITER_UNKNOWN', messageIndexes: [0] }]);
  });

  it('refuses an older instance, whether meta or a partition knows of the newer one', async () => {
    const cluster = new FakeCluster(2, 1);
    const { producerId, epoch } = await cluster.door.openWriter(asking, cluster.deadline());
    await cluster.door.openWriter({ ...asking, previousEpoch: 1 }, cluster.deadline());
    const older = { ...asking, producerId, epoch };
    await expect(cluster.door.openWriter(older, cluster.deadline())).rejects.toMatchObject({
      code: 'PRODUCER_FENCED',
    });
    cluster.writers.clear();
    for (const partition of cluster.partitions) {
      partition.positions = () => {
        throw new RefusalError('PRODUCER_FENCED', 'epoch 2 here');
      };
    }
    await expect(cluster.door.openWriter(older, cluster.deadline())).rejects.toMatchObject({
      code: 'PRODUCER_FENCED',
    });
  });

  it('refuses names, groups and epochs that are none', async () => {
    const cluster = new FakeCluster(1, 1);
    const refused = (change: object) =>
      cluster.door
        .openWriter({ ...asking, ...change }, cluster.deadline())
        .catch((error: RefusalError) => error.code);
    expect(await refused({ producerName: '' })).toBe('INVALID_PRODUCER_NAME');
    expect(await refused({ producerName: 'x'.repeat(257) })).toBe('INVALID_PRODUCER_NAME');
    expect(await refused({ instance: '' })).toBe('INVALID_REQUEST');
    expect(await refused({ instance: 'x'.repeat(65) })).toBe('INVALID_REQUEST');
    expect(await refused({ epoch: 3 })).toBe('INVALID_REQUEST');
    expect(await refused({ groups: [''] })).toBe('INVALID_GROUP');
    expect(await refused({ groups: new Array(4097).fill('g') })).toBe('BATCH_TOO_LARGE');
    expect(await refused({ topic: 'none' })).toBe('UNKNOWN_TOPIC');
  });
});
