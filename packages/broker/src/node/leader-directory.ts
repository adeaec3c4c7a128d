/**
 * Which node leads a shard: {@link LeaderDirectory}. A node that has a replica knows from its own Raft core; the others are told
 * by the leader's node, at once when it begins or ends to lead and in full once a second.
 */
import {
  type Clock,
  FRAME_BROKER,
  type Leadership,
  type NodeId,
  type PeerTransport,
  type ShardId,
} from '@seriatim/multiraft';
import { NO_REPLICA, type ReplicaId } from '@seriatim/raft';
import type { LeaderDirectory } from '../contracts.ts';

/** Kind of a frame that tells which shards the sender leads. */
export const FRAME_LEADERS: number = FRAME_BROKER + 2;

/** Milliseconds between two full lists. */
const ANNOUNCE_MILLISECONDS = 1_000;
const HEAD_BYTES = 2;
const ROW_BYTES = 12;

interface Claim {
  readonly node: NodeId;
  readonly term: number;
}
interface Own {
  readonly leadership: Leadership;
  readonly locate: (replica: ReplicaId) => NodeId | undefined;
}

/** See the head of this file. */
export class SharedLeaderDirectory implements LeaderDirectory {
  readonly #node: NodeId;
  readonly #transport: PeerTransport;
  readonly #clock: Clock;
  readonly #peers: () => Iterable<NodeId>;
  readonly #own = new Map<ShardId, Own>();
  readonly #heard = new Map<ShardId, Claim>();
  readonly #listeners = new Set<(shard: ShardId) => void>();
  #cancel: (() => void) | null = null;

  /** `peers`: the other nodes, asked before each announcement. */
  constructor(node: NodeId, transport: PeerTransport, clock: Clock, peers: () => Iterable<NodeId>) {
    this.#node = node;
    this.#transport = transport;
    this.#clock = clock;
    this.#peers = peers;
    transport.onFrame((from, _channel, frame) => {
      if (frame[0] === FRAME_LEADERS) this.#onAnnouncement(from, frame);
    });
    transport.onPeerState((peer, state) => {
      if (state === 'up') this.#announce([peer]);
      else this.#forget(peer);
    });
  }

  /** Announces from now on once a second, until {@link stop}. */
  start(): void {
    this.#cancel = this.#clock.after(ANNOUNCE_MILLISECONDS, () => {
      this.start();
      this.#announce(this.#peers());
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  leader(shard: ShardId): Claim | undefined {
    const own = this.#own.get(shard);
    const heard = this.#heard.get(shard);
    if (own === undefined) return heard;
    const { leadership, locate } = own;
    if (leadership.leads) return { node: this.#node, term: leadership.term };
    if (heard !== undefined && heard.term > leadership.term) return heard;
    if (leadership.leader !== NO_REPLICA) {
      const node = locate(leadership.leader);
      if (node !== undefined) return { node, term: leadership.term };
    }
    return heard !== undefined && heard.term === leadership.term ? heard : undefined;
  }

  /** True when this node leads the shard and may answer for it. */
  confirmedHere(shard: ShardId): boolean {
    return this.#own.get(shard)?.leadership.confirmed ?? false;
  }

  onChange(listener: (shard: ShardId) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What this node's replica of a shard sees. */
  observed(shard: ShardId, leadership: Leadership, locate: Own['locate']): void {
    const led = this.#own.get(shard)?.leadership.leads ?? false;
    this.#own.set(shard, { leadership, locate });
    if (led !== leadership.leads) this.#announce(this.#peers());
    this.#tell(shard);
  }

  /** This node's replica is gone. */
  closed(shard: ShardId): void {
    const led = this.#own.get(shard)?.leadership.leads ?? false;
    this.#own.delete(shard);
    if (led) this.#announce(this.#peers());
    this.#tell(shard);
  }

  #announce(to: Iterable<NodeId>): void {
    const led = [...this.#own].filter(([, own]) => own.leadership.leads);
    const frame = Buffer.alloc(HEAD_BYTES + led.length * ROW_BYTES);
    frame.writeUInt8(FRAME_LEADERS, 0);
    frame.writeUInt8(1, 1);
    let at = HEAD_BYTES;
    for (const [shard, own] of led) {
      frame.writeUInt32LE(shard, at);
      frame.writeDoubleLE(own.leadership.term, at + 4);
      at += ROW_BYTES;
    }
    for (const node of to) if (node !== this.#node) this.#transport.send(node, 'control', [frame]);
  }

  #onAnnouncement(from: NodeId, frame: Uint8Array): void {
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
    if (bytes.length < HEAD_BYTES || bytes[1] !== 1 || (bytes.length - HEAD_BYTES) % ROW_BYTES !== 0) return;
    const led = new Map<ShardId, number>();
    for (let at = HEAD_BYTES; at < bytes.length; at += ROW_BYTES) {
      led.set(bytes.readUInt32LE(at) as ShardId, bytes.readDoubleLE(at + 4));
    }
    for (const [shard, claim] of this.#heard) {
      if (claim.node === from && !led.has(shard)) {
        this.#heard.delete(shard);
        this.#tell(shard);
      }
    }
    for (const [shard, term] of led) {
      const known = this.#heard.get(shard);
      if (known !== undefined && known.term >= term) continue;
      this.#heard.set(shard, { node: from, term });
      this.#tell(shard);
    }
  }

  #forget(node: NodeId): void {
    for (const [shard, claim] of this.#heard) {
      if (claim.node !== node) continue;
      this.#heard.delete(shard);
      this.#tell(shard);
    }
  }

  #tell(shard: ShardId): void {
    for (const listener of this.#listeners) listener(shard);
  }
}
