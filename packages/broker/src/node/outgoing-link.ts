/**
 * One connection to one node for one channel, dialled by this side and opened again for as long as the link lives. Frames go
 * only from the side that dialled; the other answers pings, so that a connection which is dead without a reset is noticed.
 */
import { connect, type Socket } from 'node:net';
import type { Channel, NodeId, PeerState } from '@seriatim/multiraft';
import { FRAME_HEADER_BYTES, FrameReader } from './frame-reader.ts';
import { decodeWelcome, encodeHello, HELLO_BYTES_MAX } from './handshake.ts';

/** Limits and times of the connections between nodes. */
export interface PeerLimits {
  /** Largest frame, both ways (32 MiB). Above it the connection is closed by the reader, refused by the sender. */
  readonly frameBytesMax: number;
  /** Most bytes waiting to be sent on a link; above it frames are dropped (control 4 MiB, bulk 64 MiB). */
  readonly queueBytesMax: { readonly control: number; readonly bulk: number };
  /** Pauses between attempts to connect double from the first to the last (50 to 500). */
  readonly reconnectMilliseconds: { readonly min: number; readonly max: number };
  /** Connecting and the first answer together may take this long (1,000). */
  readonly connectMilliseconds: number;
  /** A link is pinged this often (500) ... */
  readonly pingMilliseconds: number;
  /** ... and closed after this many pings without an answer (6). */
  readonly pingsUnansweredMax: number;
  /** Most accepted connections that have not said yet who they are (64). */
  readonly strangersMax: number;
}

/** What a link with default settings is held to. */
export const defaultPeerLimits: PeerLimits = {
  frameBytesMax: 32 * 1024 * 1024,
  queueBytesMax: { control: 4 * 1024 * 1024, bulk: 64 * 1024 * 1024 },
  reconnectMilliseconds: { min: 50, max: 500 },
  connectMilliseconds: 1_000,
  pingMilliseconds: 500,
  pingsUnansweredMax: 6,
  strangersMax: 64,
};

/** First byte of a ping and of its answer; the ports keep kinds from 1 on. */
export const FRAME_PING = 0;

/** What a link needs of its owner. */
export interface OutgoingLinkOptions {
  readonly to: NodeId;
  readonly channel: Channel;
  readonly limits: PeerLimits;
  /** host:port to dial, asked anew before each attempt. */
  readonly address: () => { readonly host: string; readonly port: number } | null;
  readonly identity: () => {
    readonly node: NodeId;
    readonly bootNumber: number;
    readonly clusterId: string;
  };
  /** The link's state changed; `reason` is for the log. */
  readonly onState: (state: PeerState, reason: string) => void;
}

/** Below this many bytes the parts of a flush are joined to one buffer: one copy costs less than many small writes. */
const JOIN_BYTES_MAX = 64 * 1024;

/** See the head of this file. Call {@link OutgoingLink.open} once. */
export class OutgoingLink {
  readonly #options: OutgoingLinkOptions;
  #state: PeerState = 'down';
  #socket: Socket | null = null;
  #greeted = false;
  #closed = false;
  #retry: NodeJS.Timeout | null = null;
  #backoff: number;
  #pings: NodeJS.Timeout | null = null;
  #unanswered = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #flushPlanned = false;

  constructor(options: OutgoingLinkOptions) {
    this.#options = options;
    this.#backoff = options.limits.reconnectMilliseconds.min;
  }

  get state(): PeerState {
    return this.#state;
  }

  /** Dials now; also when a pause before the next attempt is running. */
  open(): void {
    if (this.#closed || this.#socket !== null) return;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#dial();
  }

  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    const socket = this.#socket;
    if (socket === null) return;
    if (this.#greeted) this.#flush();
    this.#release();
    socket.end();
    // What was queued gets a moment to leave; a peer that reads no more must not keep this process alive.
    setTimeout(() => socket.destroy(), 200).unref();
  }

  /** False: the frame was dropped. Parts are not copied before the next turn of the event loop. */
  send(parts: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    if (socket === null || !this.#greeted) return false;
    let length = 0;
    for (const part of parts) length += part.length;
    const { frameBytesMax, queueBytesMax } = this.#options.limits;
    if (length === 0 || length > frameBytesMax) return false;
    const queued = this.#waitingBytes + socket.writableLength;
    if (queued + length > queueBytesMax[this.#options.channel]) return false;
    this.#waiting.push(frameHeader(length), ...parts);
    this.#waitingBytes += length + FRAME_HEADER_BYTES;
    if (!this.#flushPlanned) {
      this.#flushPlanned = true;
      process.nextTick(() => this.#flush());
    }
    return true;
  }

  /** All frames of one turn of the event loop leave in one write. */
  #flush(): void {
    this.#flushPlanned = false;
    const parts = this.#waiting;
    const bytes = this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const socket = this.#socket;
    if (socket === null || parts.length === 0) return;
    if (bytes <= JOIN_BYTES_MAX) {
      socket.write(Buffer.concat(parts, bytes));
      return;
    }
    socket.cork();
    for (const part of parts) if (part.length > 0) socket.write(part);
    socket.uncork();
  }

  #dial(): void {
    const address = this.#options.address();
    if (address === null) {
      this.#dialLater('down', 'no address known');
      return;
    }
    const { limits, identity, to, channel } = this.#options;
    const socket = connect({ host: address.host, port: address.port, noDelay: true });
    this.#socket = socket;
    let failure = 'closed by the peer';
    let refused = false;
    const timeout = setTimeout(
      () => socket.destroy(new Error('no answer in time')),
      limits.connectMilliseconds,
    );
    const reader = new FrameReader(HELLO_BYTES_MAX, (frame) => {
      if (this.#greeted) {
        this.#unanswered = 0;
        return;
      }
      clearTimeout(timeout);
      const welcome = decodeWelcome(frame);
      if (typeof welcome === 'string') socket.destroy(new Error(welcome));
      else if (welcome.type === 'refused') socket.destroy(new Error(`refused: ${welcome.reason}`));
      else if (welcome.node !== to) socket.destroy(new Error(`node ${welcome.node} answered, not ${to}`));
      else this.#greet();
    });
    socket.on('connect', () => {
      const hello = encodeHello({ purpose: channel, ...identity(), body: new Uint8Array(0) });
      socket.write(Buffer.concat([frameHeader(hello.length), hello]));
    });
    socket.on('data', (chunk: Buffer) => {
      const wrong = reader.push(chunk);
      if (wrong !== null) socket.destroy(new Error(wrong));
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      failure = error.message;
      refused = error.code === 'ECONNREFUSED';
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(timeout);
      if (this.#socket !== socket) return;
      const wasGreeted = this.#greeted;
      this.#release();
      if (this.#closed) return;
      if (wasGreeted) {
        // A killed process answers the next attempt with "refused": that is how it is told from a cut network.
        this.#setState('down', failure);
        this.#dial();
      } else {
        this.#dialLater(refused ? 'refused' : 'down', failure);
      }
    });
  }

  #greet(): void {
    const { limits } = this.#options;
    this.#greeted = true;
    this.#backoff = limits.reconnectMilliseconds.min;
    this.#unanswered = 0;
    this.#pings = setInterval(() => this.#ping(), limits.pingMilliseconds);
    this.#setState('up', '');
  }

  #ping(): void {
    const socket = this.#socket;
    if (socket === null) return;
    // Counted in pings, not in elapsed time: after a pause of this process a single one was sent.
    if (this.#unanswered >= this.#options.limits.pingsUnansweredMax) {
      socket.destroy(new Error(`${this.#unanswered} pings were not answered`));
      return;
    }
    this.#unanswered++;
    this.send([PING]);
  }

  #dialLater(state: PeerState, reason: string): void {
    this.#setState(state, reason);
    const { max } = this.#options.limits.reconnectMilliseconds;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.#dial();
    }, this.#backoff);
    this.#backoff = Math.min(max, this.#backoff * 2);
  }

  #release(): void {
    this.#socket = null;
    this.#greeted = false;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (this.#pings !== null) clearInterval(this.#pings);
    this.#pings = null;
  }

  #setState(state: PeerState, reason: string): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onState(state, reason);
  }
}

const PING = new Uint8Array([FRAME_PING]);

/** The length in front of a frame. */
export function frameHeader(length: number): Uint8Array {
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  header.writeUInt32LE(length, 0);
  return header;
}
