import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/**
 * Ports of 127.0.0.1 that nobody listens at. All are held at once before any is let go, so they differ; below the range
 * that the kernel gives to outgoing connections, so that none of those takes one while a node is down.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  const servers: ReturnType<typeof createServer>[] = [];
  while (ports.length < count) {
    const server = createServer();
    const candidate = 10_000 + Math.floor(Math.random() * 20_000);
    server.listen({ port: candidate, host: '127.0.0.1', exclusive: true });
    try {
      await once(server, 'listening');
      servers.push(server);
      ports.push((server.address() as AddressInfo).port);
    } catch {
      // Taken: try another one.
    }
  }
  await Promise.all(
    servers.map((server) => {
      const closed = once(server, 'close');
      server.close();
      return closed;
    }),
  );
  return ports;
}
