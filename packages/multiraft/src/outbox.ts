/** Messages on their way out: gathered over a turn into one frame per node and channel. */
import type { Message } from '@seriatim/raft';
import { ByteWriter } from './byte-writer.ts';
import { beginRaftFrame, encodeMessage } from './message-codec.ts';
import type { Channel, NodeId, PeerTransport, ShardId } from './ports.ts';

/** A frame that reached this size leaves before the turn ends. */
const FRAME_BYTES = 1024 * 1024;

interface Lane {
  readonly node: NodeId;
  readonly channel: Channel;
  readonly writer: ByteWriter;
}

/** Coalesces the messages of all shards. A frame that the transport drops is lost; Raft sends again what matters. */
export class Outbox {
  readonly #transport: PeerTransport;
  readonly #flushMilliseconds: () => number;
  readonly #lanes = new Map<NodeId, Record<Channel, Lane>>();
  #busy: Lane[] = [];

  constructor(transport: PeerTransport, flushMilliseconds: () => number) {
    this.#transport = transport;
    this.#flushMilliseconds = flushMilliseconds;
  }

  add(node: NodeId, shard: ShardId, message: Message): void {
    const lane = this.#lane(node)[channelOf(message)];
    if (lane.writer.length === 0) {
      beginRaftFrame(lane.writer, this.#flushMilliseconds());
      this.#busy.push(lane);
    }
    encodeMessage(lane.writer, shard, message);
    if (lane.writer.length >= FRAME_BYTES) {
      this.#busy.splice(this.#busy.indexOf(lane), 1);
      this.#transport.send(node, lane.channel, lane.writer.take());
    }
  }

  /** Sends everything gathered. */
  flush(): void {
    if (this.#busy.length === 0) return;
    const busy = this.#busy;
    this.#busy = [];
    for (const { node, channel, writer } of busy) this.#transport.send(node, channel, writer.take());
  }

  #lane(node: NodeId): Record<Channel, Lane> {
    let lanes = this.#lanes.get(node);
    if (lanes === undefined) {
      lanes = {
        control: { node, channel: 'control', writer: new ByteWriter() },
        bulk: { node, channel: 'bulk', writer: new ByteWriter() },
      };
      this.#lanes.set(node, lanes);
    }
    return lanes;
  }
}

/** Votes and heartbeats must not stand behind data. */
function channelOf(message: Message): Channel {
  return message.type === 'appendRequest' || message.type === 'appendResponse' ? 'bulk' : 'control';
}
