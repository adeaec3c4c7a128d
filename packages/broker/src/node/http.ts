/** The HTTP port: `/livez` (the process), `/readyz` (it can serve), `/metrics`. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

/** Why a node can't serve; null: it can. */
export type Readiness = () => string | null;

/** What the pages show. */
export interface HttpPages {
  readonly notReady: Readiness;
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
}

interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const TEXT = 'text/plain; charset=utf-8';
const REQUEST_MILLISECONDS = 5_000;
const CONNECTIONS_MAX = 256;

const text = (status: number, body: string): Page => ({ status, contentType: TEXT, body: `${body}\n` });

/** See the head of this file. */
export class HttpServer {
  readonly #pages: HttpPages;
  readonly #server: Server;

  constructor(pages: HttpPages) {
    this.#pages = pages;
    this.#server = createServer(
      { requestTimeout: REQUEST_MILLISECONDS, headersTimeout: REQUEST_MILLISECONDS },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Rejects when the address is taken. Resolves with the port. */
  listen(address: { readonly host: string; readonly port: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address.port, address.host, () => {
        this.#server.off('error', reject);
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : address.port);
      });
    });
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let page: Page;
    try {
      page = await this.#page(request);
    } catch (error) {
      page = text(500, error instanceof Error ? error.message : String(error));
    }
    request.resume();
    response.writeHead(page.status, { 'content-type': page.contentType });
    response.end(request.method === 'HEAD' ? undefined : page.body);
  }

  async #page(request: IncomingMessage): Promise<Page> {
    if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'use GET');
    const [path] = (request.url ?? '/').split('?');
    switch (path) {
      case '/livez':
        return text(200, 'ok');
      case '/readyz': {
        const reason = this.#pages.notReady();
        return reason === null ? text(200, 'ok') : text(503, reason);
      }
      case '/metrics':
        return { status: 200, ...(await this.#pages.metrics()) };
      default:
        return text(404, 'there are /livez, /readyz and /metrics');
    }
  }
}
