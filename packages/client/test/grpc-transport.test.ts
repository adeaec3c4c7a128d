import { createServer, type Server as NetServer } from 'node:net';
import type { Server } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { Admin } from '../src/admin.ts';
import { Cluster } from '../src/cluster.ts';
import { UnreachableError } from '../src/error.ts';
import { grpcTransport } from '../src/grpc-transport.ts';
import { OrderedProducer } from '../src/producer.ts';
import { Reader } from '../src/reader.ts';
import { FakeBroker } from './fake-broker.ts';
import { serveFake } from './fake-server.ts';

const servers: Server[] = [];
const silent: NetServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.forceShutdown();
  for (const server of silent.splice(0)) server.close();
});

async function start(nodes: number): Promise<FakeBroker> {
  const broker = new FakeBroker(Array.from({ length: nodes }, (_, index) => `unbound:${index}`));
  for (let node = 0; node < nodes; node++) {
    const { port, server } = await serveFake(broker, node);
    broker.addresses[node] = `127.0.0.1:${port}`;
    servers.push(server);
  }
  return broker;
}

describe('the client over gRPC', () => {
  it('makes a topic, produces, reads back and looks at routes', async () => {
    const broker = await start(2);
    const cluster = new Cluster({ endpoints: [broker.addresses[0] as string] });
    const admin = new Admin({ cluster });
    await admin.createTopic({ name: 't', partitions: 4, replicas: 2 });
    expect(await admin.supports('ORDERED_PRODUCE')).toBe(true);
    const producer = new OrderedProducer({ cluster });
    const messages = Array.from({ length: 1000 }, (_, index) => ({
      messageGroup: `größe-${index % 10}`,
      value: `${index}`,
      headers: [{ name: 'n', value: 'v' }],
    }));
    const receipts = await producer.sendOrderedMessages('t', messages);
    expect(receipts.at(-1)).toMatchObject({ sequence: 100, duplicate: false });
    const read: number[] = [];
    for await (const message of new Reader({ cluster }).read({ topic: 't', untilEnd: true })) {
      expect(message.headers[0]?.name).toBe('n');
      read.push(Number(message.value.toString()));
    }
    expect(read.sort((a, b) => a - b)).toEqual(messages.map((_, index) => index));
    expect(await admin.getRoute('t', 'größe-3')).toMatchObject({ lastSequence: 100 });
    let routes = 0;
    for await (const route of admin.listRoutes({ topic: 't', prefix: 'größe-' }))
      routes += route.group === '' ? 0 : 1;
    expect(routes).toBe(10);
    await producer.close();
    cluster.close();
  });

  it('survives the end of the node that it talks to', async () => {
    const broker = await start(2);
    broker.createTopic('t', 2);
    const producer = new OrderedProducer({ endpoints: broker.addresses });
    await producer.sendOrderedMessages('t', [
      { messageGroup: 'a', value: '1' },
      { messageGroup: 'b', value: '1' },
    ]);
    servers[1]?.forceShutdown();
    for (const partition of broker.topic('t').partitions) partition.leader = 0;
    await producer.sendOrderedMessages('t', [
      { messageGroup: 'a', value: '2' },
      { messageGroup: 'b', value: '2' },
    ]);
    expect(broker.group('t', 'a')).toEqual(['1', '2']);
    expect(broker.group('t', 'b')).toEqual(['1', '2']);
    await producer.close();
  });

  it('knows that a call was never sent when there is no connection', async () => {
    const connection = grpcTransport.connect('127.0.0.1:1');
    for (let attempt = 0; attempt < 2; attempt++) {
      const error = await connection.call('ListTopics', {}, 5000).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UnreachableError);
      expect(error).toMatchObject({ code: 'PEER_UNREACHABLE', outcome: 'not-applied' });
    }
    expect(connection.ready()).toBe(false);
    const reading = connection.fetch({
      topic: 't',
      partition: 0,
      offset: 0,
      from: 1,
      untilEnd: false,
      group: '',
      responseBytes: 0,
    });
    expect(await reading.next().catch((thrown: unknown) => thrown)).toMatchObject({
      code: 'PEER_UNREACHABLE',
    });
    connection.close();
  });

  it('does not wait for a node that takes connections and says nothing, as a frozen one does', async () => {
    const server = createServer();
    silent.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const connection = grpcTransport.connect(`127.0.0.1:${port}`);
    const started = performance.now();
    const error = await connection.call('ListTopics', {}, 30_000).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'PEER_UNREACHABLE', outcome: 'not-applied' });
    expect(performance.now() - started).toBeLessThan(5000);
    connection.close();
  });

  it('says that a call which nobody answers in time may have been done', async () => {
    const broker = await start(1);
    const connection = grpcTransport.connect(broker.addresses[0] as string);
    await connection.call('InitProducer', {}, 5000);
    broker.stalled = true;
    const error = await connection.call('ListTopics', {}, 200).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'DEADLINE', outcome: 'unknown' });
    connection.close();
  });
});
