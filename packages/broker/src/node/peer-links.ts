/**
 * The wire between nodes: {@link PeerTransport} over TCP. Each node dials each other one twice, for control and for bulk, and
 * sends on what it dialled; it receives on what it accepted. So no large frame ever stands before a heartbeat, and each
 * direction is opened again by the side that needs it.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Channel, NodeId, PeerState, PeerTransport } from '@seriatim/multiraft';
import type { Hello, Welcome } from './handshake.ts';
import { IncomingLink } from './incoming-link.ts';
import { OutgoingLink, type PeerLimits } from './outgoing-link.ts';
import { askStatus, type StatusAnswer } from './status-exchange.ts';

const CHANNELS: readonly Channel[] = ['control', 'bulk'];

/** An address to listen at or to dial. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** What the links need to know of their node. */
export interface PeerLinksOptions {
  readonly node: NodeId;
  /** Asked for each connection. */
  readonly bootNumber: () => number;
  readonly listen: HostPort;
  readonly limits: PeerLimits;
  /** Says why a node that greets is not let in; null: it is, and its boot number is remembered durably. Never rejects. */
  readonly admit: (node: NodeId, bootNumber: number) => Promise<string | null>;
  /** Answers the question of a status connection; also before the cluster is formed. */
  readonly onStatus: (from: NodeId, question: Uint8Array) => Uint8Array;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

interface Peer {
  address: HostPort;
  readonly links: ReadonlyMap<Channel, OutgoingLink>;
  state: PeerState;
}

/** See the head of this file. `listen`, then `formed` when the cluster id is known, then `addPeer`. */
export class PeerLinks implements PeerTransport {
  readonly #options: PeerLinksOptions;
  readonly #peers = new Map<NodeId, Peer>();
  readonly #incoming = new Map<string, IncomingLink>();
  readonly #strangers = new Set<IncomingLink>();
  readonly #frameHandlers: ((from: NodeId, channel: Channel, frame: Uint8Array) => void)[] = [];
  readonly #stateHandlers: ((node: NodeId, state: PeerState) => void)[] = [];
  readonly #server: Server;
  #clusterId = '';
  #bytesReceived = 0;
  #closed = false;

  constructor(options: PeerLinksOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Rejects when the address is taken. Resolves with the port (of use when 0 was asked for). */
  listen(): Promise<number> {
    const { host, port } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) =>
          this.#options.log('peer listener failed', { reason: error.message }),
        );
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  /** From now on links are opened and accepted with this cluster id, which both sides must name. */
  formed(clusterId: string): void {
    this.#clusterId = clusterId;
  }

  /** Opens the links to a node, or tells them its new address. */
  addPeer(node: NodeId, address: HostPort): void {
    if (node === this.#options.node || this.#closed) return;
    const known = this.#peers.get(node);
    if (known !== undefined) {
      known.address = address;
      return;
    }
    const links = new Map<Channel, OutgoingLink>();
    const peer: Peer = { address, links, state: 'down' };
    this.#peers.set(node, peer);
    for (const channel of CHANNELS) {
      const link = new OutgoingLink({
        to: node,
        channel,
        limits: this.#options.limits,
        address: () => peer.address,
        identity: () => ({
          node: this.#options.node,
          bootNumber: this.#options.bootNumber(),
          clusterId: this.#clusterId,
        }),
        onState: (state, reason) => this.#onLinkState(node, peer, channel, state, reason),
      });
      links.set(channel, link);
      link.open();
    }
  }

  send(to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean {
    return this.#peers.get(to)?.links.get(channel)?.send(parts) ?? false;
  }

  onFrame(handler: (from: NodeId, channel: Channel, frame: Uint8Array) => void): void {
    this.#frameHandlers.push(handler);
  }

  onPeerState(handler: (node: NodeId, state: PeerState) => void): void {
    this.#stateHandlers.push(handler);
  }

  /** State of a node as last told to the handlers. */
  peerState(node: NodeId): PeerState {
    return this.#peers.get(node)?.state ?? 'down';
  }

  /** Asks a node's status over a connection of its own; never rejects. */
  status(address: HostPort, question: Uint8Array): Promise<StatusAnswer> {
    const { node, bootNumber, limits } = this.#options;
    return askStatus(
      address,
      { node, bootNumber: bootNumber(), clusterId: this.#clusterId },
      question,
      limits,
    );
  }

  /** Lets the event loop poll its sockets until a round brings nothing, at most {@link DRAIN_ROUNDS_MAX} times. */
  drain(drained: () => void): void {
    let rounds = 0;
    let seen = this.#bytesReceived;
    const round = (): void => {
      rounds++;
      if (rounds >= 2 && (this.#bytesReceived === seen || rounds >= DRAIN_ROUNDS_MAX)) {
        drained();
        return;
      }
      seen = this.#bytesReceived;
      setImmediate(round);
    };
    setImmediate(round);
  }

  /** Closes all connections and stops listening. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const peer of this.#peers.values()) for (const link of peer.links.values()) link.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const link of this.#incoming.values()) link.close();
    for (const link of this.#strangers) link.close();
    await closed;
  }

  #accept(socket: Socket): void {
    const { limits } = this.#options;
    if (this.#closed || this.#strangers.size >= limits.strangersMax) {
      socket.destroy();
      return;
    }
    const link: IncomingLink = new IncomingLink(socket, limits, {
      judge: (hello) => this.#judge(hello),
      greeted: (hello) => this.#admitted(link, hello),
      frame: (hello, frame) => {
        for (const handler of this.#frameHandlers) handler(hello.node, hello.purpose, frame);
      },
      received: (bytes) => {
        this.#bytesReceived += bytes;
      },
      closed: (hello, reason) => {
        this.#strangers.delete(link);
        if (hello !== null && this.#incoming.get(linkKey(hello)) === link)
          this.#incoming.delete(linkKey(hello));
        if (reason !== null)
          this.#options.log('peer connection closed', { reason, node: hello?.node ?? null });
      },
    });
    this.#strangers.add(link);
  }

  async #judge(hello: Hello): Promise<Welcome> {
    const { node, bootNumber, admit, onStatus } = this.#options;
    const accepted = { type: 'accepted', node, bootNumber: bootNumber(), body: new Uint8Array(0) } as const;
    if (hello.purpose === 'status') return { ...accepted, body: onStatus(hello.node, hello.body) };
    if (hello.node === node) return { type: 'refused', reason: `node id ${node} is this node's own` };
    if (this.#clusterId === '') return { type: 'refused', reason: 'this node has no cluster yet' };
    if (hello.clusterId !== this.#clusterId) {
      return {
        type: 'refused',
        reason: `cluster ${hello.clusterId}, this node belongs to ${this.#clusterId}`,
      };
    }
    const reason = await admit(hello.node, hello.bootNumber);
    return reason === null ? accepted : { type: 'refused', reason };
  }

  #admitted(link: IncomingLink, hello: Hello): void {
    this.#strangers.delete(link);
    if (hello.purpose === 'status') return;
    const key = linkKey(hello);
    // A newer connection of the same node replaces the older one, which is dead without having said so.
    const older = this.#incoming.get(key);
    this.#incoming.set(key, link);
    older?.close();
    // It is there: a pause before the next attempt to reach it makes no sense any more.
    for (const outgoing of this.#peers.get(hello.node)?.links.values() ?? []) outgoing.open();
  }

  #onLinkState(node: NodeId, peer: Peer, channel: Channel, state: PeerState, reason: string): void {
    const states = [...peer.links.values()].map((link) => link.state);
    const merged: PeerState = states.includes('refused')
      ? 'refused'
      : states.length === CHANNELS.length && states.every((one) => one === 'up')
        ? 'up'
        : 'down';
    if (merged === peer.state) return;
    peer.state = merged;
    this.#options.log('peer state', { node, state: merged, channel, linkState: state, reason });
    for (const handler of this.#stateHandlers) handler(node, merged);
  }
}

/** Most rounds of {@link PeerLinks.drain}. */
const DRAIN_ROUNDS_MAX = 16;

const linkKey = (hello: Hello): string => `${hello.node}/${hello.purpose}`;
