/** A connection that another node dialled: its hello is judged, then its frames are handed on. Garbage closes only itself. */
import type { Socket } from 'node:net';
import type { Channel } from '@seriatim/multiraft';
import { FrameReader } from './frame-reader.ts';
import { decodeHello, encodeWelcome, HELLO_BYTES_MAX, type Hello, type Welcome } from './handshake.ts';
import { FRAME_PING, frameHeader, type PeerLimits } from './outgoing-link.ts';

/** What the owner of an incoming link is asked and told. */
export interface IncomingLinkEvents {
  /** What to answer to a hello. */
  readonly judge: (hello: Hello) => Promise<Welcome>;
  /** The hello was accepted. */
  readonly greeted: (hello: Hello) => void;
  readonly frame: (from: Hello & { readonly purpose: Channel }, frame: Uint8Array) => void;
  /** Bytes came in, before they are cut into frames. */
  readonly received: (bytes: number) => void;
  /** `hello` is null when none was accepted; `reason` is null when the peer closed in order. */
  readonly closed: (hello: Hello | null, reason: string | null) => void;
}

/** See the head of this file. Lives as long as its socket. */
export class IncomingLink {
  readonly #socket: Socket;
  readonly #events: IncomingLinkEvents;
  readonly #limits: PeerLimits;
  readonly #reader: FrameReader;
  readonly #timeout: NodeJS.Timeout;
  #hello: Hello | null = null;
  #judging = false;
  #closing = false;
  #reason: string | null = null;

  constructor(socket: Socket, limits: PeerLimits, events: IncomingLinkEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#limits = limits;
    this.#reader = new FrameReader(HELLO_BYTES_MAX, (frame) => this.#onFrame(frame));
    this.#timeout = setTimeout(() => this.#fail('no hello in time'), limits.connectMilliseconds);
    socket.on('data', (chunk: Buffer) => {
      events.received(chunk.length);
      if (this.#closing) return;
      const wrong = this.#reader.push(chunk);
      if (wrong !== null) this.#fail(wrong);
    });
    socket.on('error', (error) => {
      this.#reason ??= error.message;
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(this.#timeout);
      events.closed(this.#hello, this.#reason);
    });
  }

  close(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  #fail(reason: string): void {
    this.#reason ??= reason;
    this.close();
  }

  #onFrame(frame: Uint8Array): void {
    if (this.#closing) return;
    const hello = this.#hello;
    if (this.#judging) {
      this.#fail('a frame before the hello was answered');
    } else if (hello === null) {
      void this.#greet(frame);
    } else if (frame[0] === FRAME_PING) {
      // A peer that sends pings but never reads their answers must not fill memory.
      if (this.#socket.writableLength < HELLO_BYTES_MAX) this.#write(frame);
    } else if (isChannel(hello)) {
      this.#events.frame(hello, frame);
    } else {
      this.#fail('a frame after a status question');
    }
  }

  async #greet(frame: Uint8Array): Promise<void> {
    const hello = decodeHello(frame);
    if (typeof hello === 'string') {
      this.#fail(hello);
      return;
    }
    this.#judging = true;
    const welcome = await this.#events.judge(hello);
    this.#judging = false;
    if (this.#closing || this.#socket.destroyed) return;
    this.#write(encodeWelcome(welcome));
    if (welcome.type === 'refused') {
      this.#reason = `refused node ${hello.node}: ${welcome.reason}`;
      this.#closing = true;
      this.#socket.end();
      return;
    }
    this.#hello = hello;
    clearTimeout(this.#timeout);
    if (hello.purpose !== 'status') this.#reader.allow(this.#limits.frameBytesMax);
    this.#events.greeted(hello);
  }

  #write(frame: Uint8Array): void {
    this.#socket.write(Buffer.concat([frameHeader(frame.length), frame]));
  }
}

const isChannel = (hello: Hello): hello is Hello & { readonly purpose: Channel } =>
  hello.purpose !== 'status';
