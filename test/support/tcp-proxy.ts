import { connect, createServer, type Server, type Socket } from 'node:net';

/** What a {@link TcpProxy} does with bytes. `swallowing answers`: requests arrive, answers do not. `silent`: neither does. */
export type ProxyMode = 'open' | 'swallowing answers' | 'silent';

/** A port that leads to another one, until it is told not to. Connections are taken in every mode. */
export class TcpProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #mode: ProxyMode = 'open';

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Listens on a free port of the loopback; `target` is asked at each connection. */
  static open(target: () => number): Promise<TcpProxy> {
    return new Promise((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        const proxy = new TcpProxy(
          server,
          typeof address === 'object' && address !== null ? address.port : 0,
        );
        server.on('connection', (client) => proxy.#carry(client, target()));
        resolve(proxy);
      });
    });
  }

  /** From now on; what was swallowed is lost, so connections do not survive going back to `open`: see {@link reset}. */
  set mode(mode: ProxyMode) {
    this.#mode = mode;
  }

  /** Breaks all connections. */
  reset(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  close(): void {
    this.#server.close();
    this.reset();
  }

  #carry(client: Socket, port: number): void {
    const node = connect({ host: '127.0.0.1', port, noDelay: true });
    const pair = [client, node] as const;
    this.#pairs.add(pair);
    client.setNoDelay(true);
    client.on('data', (bytes) => {
      if (this.#mode !== 'silent') node.write(bytes);
    });
    node.on('data', (bytes) => {
      if (this.#mode === 'open') client.write(bytes);
    });
    for (const [one, other] of [pair, [node, client] as const]) {
      one.on('error', () => {});
      one.on('close', () => {
        this.#pairs.delete(pair);
        other.destroy();
      });
    }
  }
}
