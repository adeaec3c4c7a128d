import { expect, test } from 'vitest';
import type { TopicId } from '../../src/contracts.ts';
import { groupColumns } from '../../src/meta/command-codec.ts';
import { Router } from '../../src/meta/router.ts';
import { FakeMetaShard, registerNodes, topicCommand, utf8 } from './fakes.ts';

test('the router finds rows by bytes, counts hits and misses, and shows how evenly groups lie', () => {
  const meta = new FakeMetaShard(1);
  registerNodes(meta, 3);
  meta.apply(topicCommand('orders', 4, 3));
  const topic = meta.state(1).topic('orders')?.id as TopicId;
  const router = new Router(meta.state(1));
  expect(router.hitRate()).toBe(1);
  expect(router.partitionLoads(topic)).toEqual({ loads: [0, 0, 0, 0], deviation: 0 });
  const bytes = utf8('..group..');
  expect(router.routeOf(topic, bytes, 2, 7)).toBe(-1);
  meta.apply({ type: 'assignRoutes', topics: [groupColumns(topic, ['group', 'a', 'b'].map(utf8))] });
  const row = router.routeOf(topic, bytes, 2, 7);
  expect(row).toBeGreaterThanOrEqual(0);
  expect(meta.state(1).routeEpoch(topic, row)).toBe(meta.log.length);
  router.routeOf(topic, bytes, 2, 7);
  router.routeOf(topic, bytes, 2, 7);
  expect(router.counters()).toEqual({ hits: 3, misses: 1 });
  expect(router.hitRate()).toBe(0.75);
  expect([...router.partitionLoads(topic).loads].sort()).toEqual([0, 1, 1, 1]);
  expect(router.partitionLoads(topic).deviation).toBe(1);
  expect(router.routeOf(99 as TopicId, bytes, 2, 7)).toBe(-1);
});
