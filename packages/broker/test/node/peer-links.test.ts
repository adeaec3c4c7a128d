import { connect, createServer, type Socket } from 'node:net';
import type { NodeId, PeerState } from '@seriatim/multiraft';
import { afterEach, describe, expect, test } from 'vitest';
import { encodeHello } from '../../src/node/handshake.ts';
import { defaultPeerLimits, type PeerLimits } from '../../src/node/outgoing-link.ts';
import { PeerLinks } from '../../src/node/peer-links.ts';

const node = (id: number): NodeId => id as NodeId;
const limits: PeerLimits = {
  ...defaultPeerLimits,
  frameBytesMax: 1 << 20,
  queueBytesMax: { control: 1 << 16, bulk: 4 << 20 },
};
const opened: { close: () => unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

interface Running {
  readonly links: PeerLinks;
  readonly port: number;
  readonly frames: { from: number; channel: string; frame: Buffer }[];
  readonly states: { node: number; state: PeerState; at: number }[];
}

async function start(
  id: number,
  options: { admit?: () => Promise<string | null>; port?: number } = {},
): Promise<Running> {
  const links = new PeerLinks({
    node: node(id),
    bootNumber: () => 7,
    listen: { host: '127.0.0.1', port: options.port ?? 0 },
    limits,
    admit: options.admit ?? (async () => null),
    onStatus: (from, question) => Buffer.from(`${from} asked ${Buffer.from(question).toString()}`),
    log: () => undefined,
  });
  const frames: Running['frames'] = [];
  const states: Running['states'] = [];
  links.onFrame((from, channel, frame) => frames.push({ from, channel, frame: Buffer.from(frame) }));
  links.onPeerState((peer, state) => states.push({ node: peer, state, at: performance.now() }));
  opened.push(links);
  return { links, port: await links.listen(), frames, states };
}

async function pair(): Promise<[Running, Running]> {
  const [a, b] = [await start(1), await start(2)];
  a.links.formed('c1');
  b.links.formed('c1');
  a.links.addPeer(node(2), { host: '127.0.0.1', port: b.port });
  b.links.addPeer(node(1), { host: '127.0.0.1', port: a.port });
  await until(() => a.links.peerState(node(2)) === 'up' && b.links.peerState(node(1)) === 'up');
  return [a, b];
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 500) throw new Error('the condition did not come true');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('peer links', () => {
  test('carry frames in order on both channels, small and large ones', async () => {
    const [a, b] = await pair();
    const large = Buffer.alloc(900_000, 5);
    for (let i = 0; i < 200; i++) {
      expect(a.links.send(node(2), 'control', [Buffer.from([64]), Buffer.from([i])])).toBe(true);
      if (i % 100 === 0) expect(a.links.send(node(2), 'bulk', [Buffer.from([65]), large])).toBe(true);
    }
    await until(() => b.frames.length === 202);
    const control = b.frames.filter((one) => one.channel === 'control');
    expect(control.map((one) => one.frame[1])).toEqual(Array.from({ length: 200 }, (_, i) => i));
    const bulk = b.frames.filter((one) => one.channel === 'bulk');
    expect(bulk.map((one) => one.frame.length)).toEqual([900_001, 900_001]);
    expect(bulk[1]?.frame.subarray(1).equals(large)).toBe(true);
    expect(b.frames.every((one) => one.from === 1)).toBe(true);
  });

  test('drop a frame above the frame limit and frames above the queue limit', async () => {
    const [a] = await pair();
    expect(a.links.send(node(2), 'bulk', [Buffer.alloc((1 << 20) + 1, 1)])).toBe(false);
    const sent = Array.from({ length: 80 }, () => a.links.send(node(2), 'control', [Buffer.alloc(1024, 1)]));
    expect(sent.filter(Boolean).length).toBeLessThan(64);
    expect(sent[0]).toBe(true);
    expect(sent.at(-1)).toBe(false);
    expect(a.links.send(node(3), 'control', [Buffer.from([64])])).toBe(false);
  });

  test('report a node whose process is gone as refused at once, and as up when it is back', async () => {
    const [a, b] = await pair();
    await b.links.close();
    const gone = performance.now();
    await until(() => a.links.peerState(node(2)) === 'refused');
    expect((a.states.at(-1)?.at ?? 0) - gone).toBeLessThan(150);
    const again = await start(2, { port: b.port });
    again.links.formed('c1');
    await until(() => a.links.peerState(node(2)) === 'up');
    again.links.addPeer(node(1), { host: '127.0.0.1', port: a.port });
    await until(() => again.links.peerState(node(1)) === 'up');
    expect(a.links.send(node(2), 'bulk', [Buffer.from([64, 1])])).toBe(true);
    await until(() => again.frames.length === 1);
  });

  test('close only the connection that sends garbage', async () => {
    const [a, b] = await pair();
    const closed: string[] = [];
    const speak = (name: string, bytes: Uint8Array): Socket => {
      const socket = connect({ host: '127.0.0.1', port: b.port });
      socket.on('error', () => undefined);
      socket.on('close', () => closed.push(name));
      socket.write(bytes);
      return socket;
    };
    speak('http', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
    speak('zeros', Buffer.alloc(64));
    speak('long', Buffer.from([0xff, 0xff, 0xff, 0x7f, 1, 2, 3]));
    speak('half', Buffer.from([100, 0, 0, 0, 1, 2, 3])).end();
    await until(() => closed.length === 4);
    expect(closed.sort()).toEqual(['half', 'http', 'long', 'zeros']);
    expect(a.links.send(node(2), 'control', [Buffer.from([64, 9])])).toBe(true);
    await until(() => b.frames.length === 1);
  });

  test('cut a greeted connection that announces a frame above the limit', async () => {
    const b = await start(2);
    b.links.formed('c1');
    const socket = connect({ host: '127.0.0.1', port: b.port });
    opened.push({ close: () => socket.destroy() });
    const hello = Buffer.from(
      encodeHello({ purpose: 'bulk', node: node(1), bootNumber: 1, clusterId: 'c1', body: Buffer.alloc(0) }),
    );
    const length = Buffer.alloc(4);
    length.writeUInt32LE(hello.length);
    let closed = false;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      closed = true;
    });
    // The hello comes byte by byte: a frame may be cut anywhere.
    for (const byte of Buffer.concat([length, hello])) socket.write(Buffer.from([byte]));
    await new Promise((resolve) => socket.once('data', resolve));
    socket.write(Buffer.from([2, 0, 0]));
    socket.write(Buffer.from([0, 64, 1]));
    await until(() => b.frames.length === 1);
    expect([...(b.frames[0]?.frame ?? [])]).toEqual([64, 1]);
    socket.write(Buffer.from([1, 0, 16, 0]));
    await until(() => closed);
  });

  test('refuse another cluster, an unformed node, the own id and whoever is not admitted', async () => {
    const a = await start(1);
    const b = await start(2, { admit: async () => 'went back in time' });
    a.links.formed('c1');
    b.links.formed('c2');
    a.links.addPeer(node(2), { host: '127.0.0.1', port: b.port });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(a.links.peerState(node(2))).toBe('down');
    b.links.formed('c1');
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(a.links.peerState(node(2))).toBe('down');
  });

  test('answer a status question before any cluster is formed', async () => {
    const [a, b] = [await start(1), await start(2)];
    const answer = await a.links.status({ host: '127.0.0.1', port: b.port }, Buffer.from('who are you'));
    expect(answer).toMatchObject({ type: 'answer', node: 2, bootNumber: 7 });
    expect(answer.type === 'answer' ? Buffer.from(answer.body).toString() : '').toBe('1 asked who are you');
    await b.links.close();
    expect(await a.links.status({ host: '127.0.0.1', port: b.port }, Buffer.from(''))).toMatchObject({
      type: 'refused',
    });
  });

  test('close a link whose peer reads nothing and answers no pings', async () => {
    const deaf = createServer((socket) => {
      sockets.push(socket);
      socket.once('data', () => {
        const welcome = Buffer.alloc(17);
        welcome.writeUInt32LE(13, 0);
        welcome.writeUInt8(1, 4);
        welcome.writeUInt32LE(2, 5);
        socket.write(welcome);
      });
    });
    const sockets: Socket[] = [];
    await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
    const bound = deaf.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    const links = new PeerLinks({
      node: node(1),
      bootNumber: () => 1,
      listen: { host: '127.0.0.1', port: 0 },
      limits: { ...limits, pingMilliseconds: 10, pingsUnansweredMax: 3 },
      admit: async () => null,
      onStatus: () => new Uint8Array(0),
      log: () => undefined,
    });
    const states: PeerState[] = [];
    links.onPeerState((_, state) => states.push(state));
    await links.listen();
    links.addPeer(node(2), { host: '127.0.0.1', port });
    await until(() => states.includes('up') && states.lastIndexOf('down') > states.indexOf('up'));
    await links.close();
    for (const socket of sockets) socket.destroy();
    deaf.close();
  });

  test('drain hands over what lies in the sockets before it reports', async () => {
    const [a, b] = await pair();
    for (let i = 0; i < 50; i++) a.links.send(node(2), 'bulk', [Buffer.alloc(10_000, 64)]);
    await new Promise((resolve) => setImmediate(resolve));
    // The receiver's loop stands still while bytes arrive.
    const until = performance.now() + 30;
    while (performance.now() < until);
    await new Promise<void>((resolve) => b.links.drain(resolve));
    expect(b.frames.length).toBe(50);
  });
});
