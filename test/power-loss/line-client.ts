import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** One JSON object a line in both directions; an answer repeats the `id` of its request. */
export interface ToyRequest {
  readonly id: number;
  /** `put` stores `value` under `key`; `dump` answers every pair, read linearizably; `status` says who leads. */
  readonly type: 'put' | 'dump' | 'status';
  readonly key?: number;
  readonly value?: string;
}
export interface ToyAnswer {
  readonly id: number;
  readonly ok: boolean;
  readonly leads?: boolean;
  readonly pairs?: readonly (readonly [number, string])[];
}

/** Talks to one toy node. Every request is answered: `ok` false also when the connection ends first. */
export class LineClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (answer: ToyAnswer) => void>();
  #nextId = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    createInterface(socket).on('line', (line) => {
      const answer = JSON.parse(line) as ToyAnswer;
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

  request(body: Omit<ToyRequest, 'id'>): Promise<ToyAnswer> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      if (this.#socket.destroyed) {
        resolve({ id, ok: false });
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
    for (const [id, resolve] of this.#waiting) resolve({ id, ok: false });
    this.#waiting.clear();
  }
}
