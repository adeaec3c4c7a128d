/**
 * Compares this node's wall clock with its peers'. What is decided by age (retention, expiry) waits while this node is more than
 * {@link SKEW_MILLISECONDS_MAX} from the median: one wrong clock must not throw records away.
 */
import { type Clock, FRAME_BROKER, type NodeId, type PeerTransport } from '@seriatim/multiraft';

/** Kind of a frame that says what time it is at the sender. */
export const FRAME_TIME: number = FRAME_BROKER + 3;
/** Farthest that this node may be from the median. */
export const SKEW_MILLISECONDS_MAX = 10_000;

const TELL_MILLISECONDS = 5_000;
/** What a peer said counts for this long. */
const FRESH_MILLISECONDS = 20_000;
const FRAME_BYTES = 9;

interface Heard {
  readonly offset: number;
  readonly at: number;
}

/** See the head of this file. */
export class PeerClocks {
  readonly #transport: PeerTransport;
  readonly #clock: Clock;
  readonly #peers: () => Iterable<NodeId>;
  readonly #heard = new Map<NodeId, Heard>();
  #cancel: (() => void) | null = null;

  constructor(transport: PeerTransport, clock: Clock, peers: () => Iterable<NodeId>) {
    this.#transport = transport;
    this.#clock = clock;
    this.#peers = peers;
    transport.onFrame((from, _channel, frame) => {
      if (frame[0] !== FRAME_TIME || frame.length !== FRAME_BYTES) return;
      const theirs = Buffer.from(frame.buffer, frame.byteOffset, frame.length).readDoubleLE(1);
      this.#heard.set(from, { offset: theirs - clock.wallTime(), at: clock.now() });
    });
  }

  /** Tells the peers the time now and again, until {@link stop}. */
  start(): void {
    const frame = Buffer.alloc(FRAME_BYTES);
    frame.writeUInt8(FRAME_TIME, 0);
    frame.writeDoubleLE(this.#clock.wallTime(), 1);
    for (const peer of this.#peers()) this.#transport.send(peer, 'control', [frame]);
    this.#cancel = this.#clock.after(TELL_MILLISECONDS, () => this.start());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  /** Milliseconds that the median of the clocks heard of lately, this node's included, is ahead of this node. */
  skewMilliseconds(): number {
    const since = this.#clock.now() - FRESH_MILLISECONDS;
    const offsets = [0];
    for (const { offset, at } of this.#heard.values()) if (at >= since) offsets.push(offset);
    offsets.sort((left, right) => left - right);
    const middle = Math.floor(offsets.length / 2);
    const upper = offsets[middle] ?? 0;
    return offsets.length % 2 === 1 ? upper : ((offsets[middle - 1] ?? 0) + upper) / 2;
  }

  /** True when age may decide. */
  trusted(): boolean {
    return Math.abs(this.skewMilliseconds()) <= SKEW_MILLISECONDS_MAX;
  }
}
