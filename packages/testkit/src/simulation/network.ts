/** The network of a simulation, at the level of frames between nodes. */
import {
  type Channel,
  FRAME_RAFT,
  type NodeId,
  type PeerState,
  type PeerTransport,
} from '@seriatim/multiraft';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimulatedProcess } from './simulated-process.ts';

/** How the network behaves at the moment. */
export interface NetworkWeather {
  /** Delay of a frame, milliseconds. */
  readonly delayMin: number;
  readonly delayMax: number;
  /** A raft frame is lost without its connection breaking (a bug elsewhere; Raft must bear it). */
  readonly lose: number;
  /** A raft frame arrives twice. */
  readonly duplicate: number;
  /** A raft frame arrives late, behind later ones. */
  readonly reorder: number;
}

export const FAIR_WEATHER: NetworkWeather = { delayMin: 0.1, delayMax: 1, lose: 0, duplicate: 0, reorder: 0 };

/** A path that blocks frames for so long counts as a broken connection. */
const DOWN_AFTER_MILLISECONDS = 1_500;
/** How long a node needs to find out that its peer's process is gone, or back. */
const NOTICE_MILLISECONDS = 5;
/** Bytes waiting on one connection; above it frames are refused, as a socket's buffer would. */
const QUEUE_BYTES_MAX = 16 * 1024 * 1024;

interface Connection {
  lastArrival: number;
  queuedBytes: number;
  /** Rises when the connection breaks: frames of an older one are lost. */
  generation: number;
}

/** A node's end of the network. A new one is made for each incarnation of its process. */
class SimulatedTransport implements PeerTransport {
  readonly node: NodeId;
  readonly process: SimulatedProcess;
  readonly states: Map<NodeId, PeerState> = new Map();
  frameHandlers: ((from: NodeId, channel: Channel, frame: Uint8Array) => void)[] = [];
  stateHandlers: ((node: NodeId, state: PeerState) => void)[] = [];
  readonly #network: SimulatedNetwork;

  constructor(network: SimulatedNetwork, node: NodeId, process: SimulatedProcess) {
    this.#network = network;
    this.node = node;
    this.process = process;
  }

  send(to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean {
    return this.#network.send(this, to, channel, parts);
  }
  onFrame(handler: (from: NodeId, channel: Channel, frame: Uint8Array) => void): void {
    this.frameHandlers.push(handler);
  }
  onPeerState(handler: (node: NodeId, state: PeerState) => void): void {
    this.stateHandlers.push(handler);
  }
  drain(drained: () => void): void {
    // What waited during a pause is ready already, so it comes before this.
    this.process.clock.soon(drained);
  }
}

/**
 * Directed paths between nodes can be cut; each connection keeps its frames in order; `control` and `bulk` overtake each other.
 * A node whose process is gone refuses connections as long as the path to it is open.
 */
export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #ends = new Map<NodeId, SimulatedTransport>();
  readonly #cut = new Set<string>();
  readonly #connections = new Map<string, Connection>();
  readonly #nodes = new Set<NodeId>();
  weather: NetworkWeather = FAIR_WEATHER;
  framesSent = 0;

  constructor(scheduler: Scheduler, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  /** Makes a node known, whether its process runs or not. */
  introduce(node: NodeId): void {
    this.#nodes.add(node);
  }

  /** A node's process starts. */
  attach(node: NodeId, process: SimulatedProcess): PeerTransport {
    const end = new SimulatedTransport(this, node, process);
    this.#ends.set(node, end);
    this.#noticeSoon();
    return end;
  }

  /** A node's process is gone: its connections break, frames on the way to and from it are lost. */
  detach(node: NodeId): void {
    this.#ends.delete(node);
    for (const [key, connection] of this.#connections) {
      if (key.startsWith(`${node}>`) || key.includes(`>${node}/`)) this.#break(connection);
    }
    this.#noticeSoon();
  }

  /** Frames from one node to another vanish from now on. */
  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
    this.#scheduler.after(DOWN_AFTER_MILLISECONDS, 'world', null, () => this.#notice());
  }

  /** All paths are open again; what was on the way while they were cut stays lost. */
  heal(): void {
    this.#cut.clear();
    this.#noticeSoon();
  }

  /** Breaks the connections between two nodes once: frames on the way are lost. */
  reset(a: NodeId, b: NodeId): void {
    for (const [key, connection] of this.#connections) {
      if (key.startsWith(`${a}>${b}/`) || key.startsWith(`${b}>${a}/`)) this.#break(connection);
    }
  }

  /** @internal */
  send(end: SimulatedTransport, to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean {
    if (end.process.dead || (end.states.get(to) ?? 'down') !== 'up') return false;
    const frame = concatenate(parts);
    const connection = this.#connection(end.node, to, channel);
    if (connection.queuedBytes > QUEUE_BYTES_MAX) return false;
    this.framesSent += 1;
    this.#scheduler.note(frame.length);
    if (this.#isCut(end.node, to)) return true;
    const raft = frame[0] === FRAME_RAFT;
    const { weather } = this;
    if (raft && weather.lose > 0 && this.#random.chance(weather.lose)) return true;
    const delay = this.#random.between(weather.delayMin, weather.delayMax);
    const arrival = Math.max(this.#scheduler.now + delay, connection.lastArrival);
    connection.lastArrival = arrival;
    this.#deliver(connection, end.node, to, channel, frame, arrival);
    if (raft && weather.duplicate > 0 && this.#random.chance(weather.duplicate)) {
      this.#deliver(connection, end.node, to, channel, frame, arrival + this.#random.between(0, 300));
    }
    return true;
  }

  #deliver(
    connection: Connection,
    from: NodeId,
    to: NodeId,
    channel: Channel,
    frame: Uint8Array,
    arrival: number,
  ): void {
    const receiver = this.#ends.get(to);
    if (receiver === undefined) return;
    const { generation } = connection;
    const late =
      frame[0] === FRAME_RAFT && this.weather.reorder > 0 && this.#random.chance(this.weather.reorder)
        ? this.#random.between(0, 200)
        : 0;
    connection.queuedBytes += frame.length;
    const wait = arrival + late - this.#scheduler.now;
    this.#scheduler.after(wait, 'frame', receiver.process, () => {
      if (connection.generation !== generation) return;
      connection.queuedBytes -= frame.length;
      if (this.#isCut(from, to) || this.#ends.get(to) !== receiver) return;
      for (const handler of receiver.frameHandlers) handler(from, channel, frame);
    });
  }

  #break(connection: Connection): void {
    connection.generation += 1;
    connection.queuedBytes = 0;
    connection.lastArrival = 0;
  }

  #connection(from: NodeId, to: NodeId, channel: Channel): Connection {
    const key = `${from}>${to}/${channel}`;
    let connection = this.#connections.get(key);
    if (connection === undefined) {
      connection = { lastArrival: 0, queuedBytes: 0, generation: 0 };
      this.#connections.set(key, connection);
    }
    return connection;
  }

  #isCut(from: NodeId, to: NodeId): boolean {
    return this.#cut.size > 0 && this.#cut.has(`${from}>${to}`);
  }

  #noticeSoon(): void {
    this.#scheduler.after(NOTICE_MILLISECONDS, 'world', null, () => this.#notice());
  }

  /** Every node learns what became of its connections. */
  #notice(): void {
    for (const end of this.#ends.values()) {
      for (const other of this.#nodesBesides(end.node)) {
        const state = this.#stateOf(end.node, other);
        if (end.states.get(other) === state) continue;
        end.states.set(other, state);
        this.#scheduler.soon('frame', end.process, () => {
          for (const handler of end.stateHandlers) handler(other, state);
        });
      }
    }
  }

  #nodesBesides(node: NodeId): NodeId[] {
    return [...this.#nodes].filter((other) => other !== node);
  }

  #stateOf(from: NodeId, to: NodeId): PeerState {
    if (this.#isCut(from, to)) return 'down';
    if (this.#ends.has(to)) return 'up';
    // A refusal has to find its way back.
    return this.#isCut(to, from) ? 'down' : 'refused';
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const frame = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}
