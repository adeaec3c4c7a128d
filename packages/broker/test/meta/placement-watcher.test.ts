import type { NodeId, ShardId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import { beforeEach, describe, expect, test } from 'vitest';
import type { PartitionRecord, TopicRecord } from '../../src/meta/model.ts';
import { type LocalReplica, PlacementWatcher } from '../../src/meta/placement-watcher.ts';
import { FakeMetaShard, ManualClock, registerNodes, settle, topicCommand } from './fakes.ts';

let clock: ManualClock;
let meta: FakeMetaShard;
let opened: Map<ShardId, LocalReplica>;
let files: Map<ShardId, ReplicaId>;
let failing: Set<ShardId>;
let failures: number;
let log: string[];

beforeEach(() => {
  clock = new ManualClock();
  meta = new FakeMetaShard(1);
  registerNodes(meta, 3);
  opened = new Map();
  files = new Map();
  failing = new Set();
  failures = 0;
  log = [];
});

function watch(node: number, metaReplica = node): PlacementWatcher {
  const watcher = new PlacementWatcher({
    node: node as NodeId,
    clock,
    source: meta.state(1),
    metaReplica: metaReplica as ReplicaId,
    found: new Map(files),
    open: async (replica) => {
      const { shard } = replica.partition;
      await settle();
      if (failing.has(shard)) throw new Error('no space');
      if (opened.has(shard)) throw new Error(`shard ${shard} is open`);
      opened.set(shard, replica);
      files.set(shard, replica.replica);
      log.push(`open ${shard}`);
    },
    close: async (shard) => {
      await settle();
      opened.delete(shard);
      log.push(`close ${shard}`);
    },
    remove: async (shard) => {
      if (opened.has(shard)) throw new Error(`shard ${shard} is open`);
      files.delete(shard);
      log.push(`remove ${shard}`);
    },
    onFailure: () => {
      failures += 1;
    },
  });
  watcher.start();
  return watcher;
}

function topic(name: string): TopicRecord {
  const found = meta.state(1).topic(name);
  if (found === undefined) throw new Error(`no topic ${name}`);
  return found;
}

const shards = (name: string, node: number): ShardId[] =>
  topic(name)
    .partitions.filter(({ replicas }) => replicas.some((placed) => placed.node === node))
    .map(({ shard }) => shard);
const delete_ = (name: string): void => {
  meta.apply({ type: 'deleteTopic', name, token: `delete ${name}`, time: 1 });
};

describe('placement watcher', () => {
  test('opens the replicas of its node with the first members, and says which should lead first', async () => {
    const watcher = watch(2);
    meta.apply(topicCommand('orders', 12, 2));
    await settle();
    await clock.advance(50);
    const expected = shards('orders', 2);
    expect(expected.length).toBe(8);
    expect([...opened.keys()].sort()).toEqual([...expected].sort());
    for (const { partition, replica, initial, preferred } of opened.values()) {
      const record = partition as PartitionRecord;
      expect(initial.voters).toEqual(record.replicas.map((placed) => placed.replica));
      expect(record.replicas.find((placed) => placed.replica === replica)?.node).toBe(2);
      expect(preferred).toBe(record.replicas[0]?.node === 2);
    }
    expect(watcher.missing()).toBe(0);
  });

  test('closes the replicas of a deleted topic and removes their files, also when it was being opened', async () => {
    const watcher = watch(1);
    meta.apply(topicCommand('a', 4, 3));
    meta.apply(topicCommand('b', 4, 3));
    const gone = shards('a', 1);
    await new Promise((resolve) => setImmediate(resolve));
    delete_('a');
    expect(gone.some((shard) => watcher.holds(shard))).toBe(true);
    await clock.advance(100);
    expect([...opened.keys()].sort()).toEqual(shards('b', 1).sort());
    expect([...files.keys()].sort()).toEqual(shards('b', 1).sort());
    expect(gone.some((shard) => watcher.holds(shard))).toBe(false);
  });

  test('after a restart opens what is on disk and removes what was deleted meanwhile', async () => {
    meta.apply(topicCommand('a', 2, 3));
    meta.apply(topicCommand('b', 2, 3));
    for (const name of ['a', 'b']) for (const shard of shards(name, 1)) files.set(shard, 1_005 as ReplicaId);
    for (const { shard, replicas } of topic('b').partitions) {
      files.set(shard, replicas.find(({ node }) => node === 1)?.replica as ReplicaId);
    }
    const kept = shards('b', 1);
    delete_('a');
    watch(1);
    await clock.advance(100);
    expect([...files.keys()].sort()).toEqual([...kept].sort());
    expect([...opened.keys()].sort()).toEqual([...kept].sort());
  });

  test('leaves files alone of a shard that its meta replica does not know yet', async () => {
    files.set(77 as ShardId, 1_500 as ReplicaId);
    const watcher = watch(1);
    meta.apply(topicCommand('a', 1, 3));
    await clock.advance(100);
    expect(files.has(77 as ShardId)).toBe(true);
    expect(log).not.toContain('remove 77');
    expect(watcher.holds(77 as ShardId)).toBe(true);
  });

  test('tries again after a failure, and the other shards go on', async () => {
    meta.apply(topicCommand('a', 3, 3));
    const [bad, ...good] = shards('a', 1);
    failing.add(bad as ShardId);
    const watcher = watch(1);
    await clock.advance(100);
    expect([...opened.keys()].sort()).toEqual(good.sort());
    expect(watcher.missing()).toBe(1);
    expect(failures).toBe(1);
    failing.clear();
    await clock.advance(1_100);
    expect(watcher.missing()).toBe(0);
  });

  test('a node that lost its disk opens only replicas that were given after its new meta replica', async () => {
    meta.apply(topicCommand('a', 2, 3));
    const watcher = watch(2, 1_900);
    await clock.advance(100);
    expect(opened.size).toBe(0);
    await watcher.stop();

    meta.apply({ type: 'replaceReplicas', node: 2 as NodeId, token: 'r', time: 1 });
    const metaReplica = meta.state(1).metaReplicas.find(({ node }) => node === 2)?.replica;
    watch(2, metaReplica);
    await clock.advance(100);
    expect(opened.size).toBe(2);
    for (const { initial, replica } of opened.values()) {
      expect(initial.voters).toEqual([]);
      expect(replica).toBeGreaterThan(metaReplica ?? Number.POSITIVE_INFINITY);
    }
  });

  test('puts a new replica in the place of a replaced one, files first removed', async () => {
    meta.apply(topicCommand('a', 1, 3));
    const [shard] = shards('a', 2);
    watch(2);
    await clock.advance(100);
    meta.apply({ type: 'replaceReplicas', node: 2 as NodeId, token: 'r', time: 1 });
    await clock.advance(100);
    expect(log).toEqual([`open ${shard}`, `close ${shard}`, `remove ${shard}`, `open ${shard}`]);
    expect(opened.get(shard as ShardId)?.initial.voters).toEqual([]);
  });
});
