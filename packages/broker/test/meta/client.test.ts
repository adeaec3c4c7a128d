import { META_SHARD } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { beforeEach, describe, expect, test } from 'vitest';
import { REQUEST_META_COMMAND } from '../../src/contracts.ts';
import { MetaClient } from '../../src/meta/client.ts';
import type { MetaCommand } from '../../src/meta/model.ts';
import {
  FakeLeaders,
  FakeMetaShard,
  FakeNetwork,
  ids,
  ManualClock,
  registerNodes,
  settle,
  topicCommand,
} from './fakes.ts';

let clock: ManualClock;
let meta: FakeMetaShard;
let network: FakeNetwork;
let leaders: FakeLeaders;
let clients: MetaClient[];

beforeEach(() => {
  clock = new ManualClock();
  meta = new FakeMetaShard(3);
  network = new FakeNetwork();
  leaders = new FakeLeaders();
  registerNodes(meta, 3);
  clients = ids(3).map(
    (node) =>
      new MetaClient({
        node,
        clock,
        leaders,
        state: meta.state(node),
        shard: () => meta.shard(node),
        calls: network.callsOf(node),
      }),
  );
});

const ids1000: MetaCommand = { type: 'reserveProducerIds', count: 1000 };

function client(node: number): MetaClient {
  const found = clients[node - 1];
  if (found === undefined) throw new Error(`no node ${node}`);
  return found;
}

function submit(node: number, command: MetaCommand, milliseconds = 1_000): Promise<unknown> {
  return client(node)
    .submit(command, clock.now() + milliseconds)
    .catch((error: unknown) => error);
}

describe('meta client', () => {
  test('proposes where it leads', async () => {
    meta.lead(1);
    expect(await submit(1, ids1000)).toEqual({ type: 'producerIds', first: 1, count: 1000 });
    expect(network.calls).toBe(0);
  });

  test('asks the leader from another node, once, and gives its typed answer', async () => {
    meta.lead(1);
    expect(await submit(2, ids1000)).toEqual({ type: 'producerIds', first: 1, count: 1000 });
    expect(network.calls).toBe(1);
    expect(await submit(3, topicCommand('x', 0, 1))).toMatchObject({
      type: 'refused',
      code: 'INVALID_PARTITION_COUNT',
    });
    const checked = client(3).submitChecked(topicCommand('x', 1, 9), clock.now() + 1_000);
    await expect(checked).rejects.toMatchObject({ code: 'INVALID_REPLICA_COUNT', outcome: 'not-applied' });
  });

  test('answers only when the local replica shows the effect', async () => {
    meta.lead(1);
    meta.slow.add(2);
    let answered = false;
    const submitted = submit(2, topicCommand('orders', 1, 3)).then(() => {
      answered = true;
    });
    await settle();
    expect(meta.state(1).topic('orders')).toBeDefined();
    expect(answered).toBe(false);
    meta.catchUp(2);
    await submitted;
    expect(meta.state(2).topic('orders')).toBeDefined();
  });

  test('says DEADLINE, outcome unknown, when it was applied but is not shown here in time', async () => {
    meta.lead(1);
    meta.slow.add(2);
    const submitted = submit(2, ids1000, 300);
    await clock.advance(300);
    expect(await submitted).toMatchObject({ code: 'DEADLINE', outcome: 'unknown' });
  });

  test('without a leader it waits, and goes on when there is one', async () => {
    const submitted = submit(2, ids1000);
    await clock.advance(400);
    meta.lead(3);
    await clock.advance(60);
    expect(await submitted).toMatchObject({ type: 'producerIds' });
  });

  test('without a leader until the deadline it says NO_META_LEADER, not applied', async () => {
    const submitted = submit(2, ids1000, 500);
    await clock.advance(500);
    expect(await submitted).toMatchObject({ code: 'NO_META_LEADER', outcome: 'not-applied' });
    expect(clock.timers).toBe(0);
  });

  test('a proposal that no quorum confirms is NOT_COMMITTED, outcome unknown', async () => {
    meta.lead(1);
    meta.held = true;
    const here = submit(1, ids1000, 500);
    const there = submit(2, ids1000, 500);
    await clock.advance(500);
    expect(await here).toMatchObject({ code: 'NOT_COMMITTED', outcome: 'unknown' });
    expect(await there).toMatchObject({ code: 'NOT_COMMITTED', outcome: 'unknown' });
  });

  test('a proposal whose fate is not known is NOT_COMMITTED, outcome unknown, also when nobody leads then', async () => {
    meta.lead(1);
    meta.held = true;
    const submitted = submit(1, ids1000, 500);
    await settle();
    meta.abandon();
    meta.held = false;
    meta.lead(0);
    await clock.advance(500);
    expect(await submitted).toMatchObject({ code: 'NOT_COMMITTED', outcome: 'unknown' });
  });

  test('a proposal that was overwritten is made again with the next leader', async () => {
    meta.lead(1);
    meta.held = true;
    const submitted = submit(1, topicCommand('orders', 1, 3));
    await settle();
    meta.lead(2);
    await clock.advance(60);
    expect(await submitted).toMatchObject({ type: 'topic' });
    expect(meta.state(1).topics()).toHaveLength(1);
  });

  test('an answer that was lost is asked again; the topic is created once and is no TOPIC_EXISTS', async () => {
    meta.lead(1);
    network.deaf.add(1);
    const submitted = submit(2, topicCommand('orders', 1, 3));
    await clock.advance(100);
    network.deaf.clear();
    await clock.advance(100);
    expect(await submitted).toEqual({ type: 'topic', topic: meta.state(2).topic('orders')?.id });
    expect(meta.propositions).toBeGreaterThan(1);
    expect(meta.state(2).topics()).toHaveLength(1);
  });

  test('a leader that stands still is given up when another one leads', async () => {
    meta.lead(1);
    network.frozen.add(1);
    const submitted = submit(2, topicCommand('orders', 1, 3), 10_000);
    await clock.advance(500);
    meta.lead(3);
    await clock.advance(60);
    expect(await submitted).toMatchObject({ type: 'topic' });
  });

  test('an answer that can not be read is an unknown outcome', async () => {
    meta.lead(1);
    for (const text of ['{', '{"version":2}', '{"version":1,"index":1,"result":{"type":"new"}}']) {
      network.garbage = Buffer.from(text);
      const submitted = submit(2, ids1000, 100);
      await clock.advance(100);
      expect(await submitted).toMatchObject({ code: 'NOT_COMMITTED', outcome: 'unknown' });
    }
  });

  test('a node that does not lead refuses a forwarded command and forwards it no further', async () => {
    meta.lead(1);
    leaders.set(META_SHARD, 3);
    leaders.set(META_SHARD, 3);
    const submitted = submit(2, ids1000, 100);
    await settle();
    expect(network.calls).toBe(1);
    await clock.advance(100);
    expect(await submitted).toMatchObject({ code: 'NO_META_LEADER' });
    expect(meta.propositions).toBe(0);
  });

  test('a forwarded command of an unknown version never gets into the log', async () => {
    meta.lead(1);
    const call = network
      .callsOf(2)
      .call(ids(1)[0] as never, REQUEST_META_COMMAND, [Buffer.from([9, 9])], 5_000);
    await expect(call).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    expect(meta.propositions).toBe(0);
  });

  test('above its limit of commands under way it refuses, not applied', async () => {
    const small = new MetaClient({
      node: 1 as never,
      clock,
      leaders,
      state: meta.state(1),
      shard: () => meta.shard(1),
      calls: network.callsOf(1),
      commandsMax: 2,
    });
    const first = [1, 2].map(() => small.submit(ids1000, clock.now() + 100).catch((error: unknown) => error));
    await expect(small.submit(ids1000, clock.now() + 100)).rejects.toMatchObject({ code: 'OVERLOADED' });
    small.stop();
    for (const outcome of await Promise.all(first)) {
      expect(outcome).toBeInstanceOf(RefusalError);
      expect(outcome).toMatchObject({ code: 'SHUTTING_DOWN' });
    }
  });
});
