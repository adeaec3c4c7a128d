import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** One JSON object a line in both directions; an answer repeats the `id` of its request. */
export type ToyRequest =
  | { readonly type: 'put'; readonly key: number; readonly value: string }
  /** Every pair of one shard, read linearizably. */
  | { readonly type: 'dump'; readonly shard: number }
  /** Which shards this node leads for sure. */
  | { readonly type: 'status' };

export interface ToyAnswer {
  readonly ok: boolean;
  readonly leads?: readonly number[];
  readonly pairs?: readonly (readonly [number, string])[];
}

/** Shards of the toy cluster; a key belongs to shard `key % toyShards`. */
export const toyShards = 3;

/** Talks to one toy node. Every request is answered: `ok` false also when the connection ends first. */
export class LineClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (answer: ToyAnswer) => void>();
  #nextId = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const lines = createInterface(socket);
    // It hands the socket's errors on; the socket's `close` answers what waits.
    lines.on('error', () => {});
    lines.on('line', (line) => {
      const answer = JSON.parse(line) as ToyAnswer & { readonly id: number };
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#end());
  }

  /** Rejects when nobody listens. */
  static async connect(port: number): Promise<LineClient> {
    const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new LineClient(socket);
  }

  request(body: ToyRequest): Promise<ToyAnswer> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      if (this.#socket.destroyed) {
        resolve({ ok: false });
        return;
      }
      this.#waiting.set(id, resolve);
      this.#socket.write(`${JSON.stringify({ id, ...body })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #end(): void {
    for (const resolve of this.#waiting.values()) resolve({ ok: false });
    this.#waiting.clear();
  }
}
