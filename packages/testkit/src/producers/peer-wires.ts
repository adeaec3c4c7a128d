import type { Channel, NodeId, PeerState, PeerTransport } from '@seriatim/multiraft';
import type { Random } from '../simulation/random.ts';
import type { EventOwner, Scheduler } from '../simulation/scheduler.ts';

const DELAY = [0.2, 4] as const;

interface Endpoint {
  readonly owner: EventOwner;
  readonly frames: ((from: NodeId, channel: Channel, frame: Uint8Array) => void)[];
  readonly states: ((node: NodeId, state: PeerState) => void)[];
}

/** Frames between nodes: in order, lost when either end dies. */
export class PeerWires {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #ends = new Map<NodeId, Endpoint>();
  readonly #lastAt = new Map<string, number>();

  constructor(scheduler: Scheduler, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  /** The transport of a node's new process. */
  open(node: NodeId, owner: EventOwner): PeerTransport {
    const end: Endpoint = { owner, frames: [], states: [] };
    this.#ends.set(node, end);
    return {
      send: (to, channel, parts) => this.#send(node, end, to, channel, parts),
      onFrame: (handler) => void end.frames.push(handler),
      onPeerState: (handler) => void end.states.push(handler),
      drain: (drained) => drained(),
    };
  }

  /** A node's process died: its peers notice. */
  close(node: NodeId): void {
    this.#ends.delete(node);
    for (const { owner, states } of this.#ends.values()) {
      this.#scheduler.after(this.#random.between(...DELAY), 'frame', owner, () => {
        for (const tell of states) tell(node, 'down');
      });
    }
  }

  #send(from: NodeId, sender: Endpoint, to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean {
    const target = this.#ends.get(to);
    if (target === undefined || sender.owner.dead) return false;
    const frame = Buffer.concat(parts);
    const wire = `${from} ${to} ${channel}`;
    const at = Math.max(this.#scheduler.now + this.#random.between(...DELAY), this.#lastAt.get(wire) ?? 0);
    this.#lastAt.set(wire, at);
    this.#scheduler.after(at - this.#scheduler.now, 'frame', target.owner, () => {
      for (const take of target.frames) take(from, channel, frame);
    });
    return true;
  }
}
