import { connect } from 'node:net';
import type { NodeId, ShardHost } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import type { MetaView } from '../../src/contracts.ts';
import { HttpServer } from '../../src/node/http.ts';
import { NodeMetrics } from '../../src/node/metrics.ts';
import { FakeDefinitions } from '../partition/fake-definitions.ts';

const servers: HttpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

function metrics(): NodeMetrics {
  const topic = { id: 1, name: 'orders', partitions: [] };
  const view = {
    topics: () => [topic],
    routeCount: () => 12,
    loads: () => [7, 5],
    shardOwner: () => ({ topic, partition: { partition: 3 } }),
  } as unknown as MetaView;
  const status = {
    role: 'leader',
    replica: 8,
    term: 4,
    commit: 20,
    applied: 19,
    last: 21,
    progress: [
      { replica: 8, match: 21 },
      { replica: 9, match: 15 },
    ],
  };
  const shard = { id: 5, status: () => status };
  const host = { shards: () => [shard], pauses: () => ({ count: 2 }) } as unknown as ShardHost;
  return new NodeMetrics({
    view,
    host,
    partitions: { get: () => undefined, all: () => [] },
    routingHitRate: () => 0.75,
    definitions: new FakeDefinitions(),
    consumed: () => ({ streams: 2, delivered: 30, settlements: 20, refusedSettlements: 1 }),
    produced: () => ({ requests: 1, messages: 2, bytes: 3 }),
    peers: () => [{ id: 2 as NodeId, state: 'up' }],
    callsInFlight: () => 4,
    requestBytesInFlight: () => 5,
    storage: () => ({
      journal: { flushes: 6, bytes: 7, files: 1, lastFlushMilliseconds: 1 },
      journalFileBytes: 8,
      freeBytes: 9,
      status: 'ok',
    }),
  });
}

async function serve(notReady: string | null): Promise<{ url: string; port: number; page: NodeMetrics }> {
  const page = metrics();
  const server = new HttpServer({ notReady: () => notReady, metrics: () => page.scrape() });
  servers.push(server);
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  return { url: `http://127.0.0.1:${port}`, port, page };
}

describe('the HTTP port', () => {
  test('says that the process lives, and whether it can serve', async () => {
    const { url } = await serve('the node waits for its peers');
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    const ready = await fetch(`${url}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([503, 'the node waits for its peers\n']);
    const other = await serve(null);
    expect((await fetch(`${other.url}/readyz?verbose`)).status).toBe(200);
  });

  test('refuses other pages and methods, and lives on after garbage', async () => {
    const { url, port } = await serve(null);
    expect((await fetch(`${url}/`)).status).toBe(404);
    expect((await fetch(`${url}/livez`, { method: 'POST', body: 'x' })).status).toBe(405);
    await new Promise<void>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
      socket.resume();
      socket.end(Buffer.alloc(100, 1));
    });
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  test('shows the metrics of routing, shards, disk and refusals', async () => {
    const { url, page } = await serve(null);
    page.refused('/seriatim.v1.Broker/Produce', new RefusalError('GROUP_NOT_ALLOWED', 'no'));
    page.refused('/seriatim.v1.Broker/Produce', new Error('a bug'));
    page.synced(3);
    const text = await (await fetch(`${url}/metrics`)).text();
    const lines = [
      'seriatim_total_mapped_groups 12',
      'seriatim_partition_loads{topic="orders",partition="1"} 5',
      'seriatim_routing_cache_hit_rate 0.75',
      'seriatim_cleanup_execution_time 0',
      'seriatim_is_leader{shard="5",topic="orders",partition="3"} 1',
      'seriatim_follower_lag{shard="5",topic="orders",partition="3",replica="9"} 6',
      'seriatim_refused_requests_total{method="Produce",code="GROUP_NOT_ALLOWED"} 1',
      'seriatim_refused_requests_total{method="Produce",code="INTERNAL"} 1',
      'seriatim_fsync_duration_seconds_bucket{le="0.005"} 1',
      'seriatim_appended_messages_total 2',
      'seriatim_peer_up{node="2"} 1',
      'seriatim_pauses_total 2',
    ];
    for (const line of lines) expect(text.split('\n')).toContain(line);
    expect(text).toMatch(/^process_cpu_user_seconds_total /m);
    // A second scrape must not add the counters up.
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('\nseriatim_appended_messages_total 2\n');
  });
});
