/**
 * Sends state images to followers that the log can no longer serve, with the entries below them that are still kept: a follower that
 * leads later must be able to give to readers whatever they were promised.
 */
import type { Index, ReplicaId } from '@seriatim/raft';
import type { Checkpoints } from './checkpoints.ts';
import {
  encodeImageFrame,
  type ImageAcknowledged,
  type ImageFrame,
  type ImageResult,
} from './image-codec.ts';
import type { Clock, LogStore, NodeId, PeerTransport } from './ports.ts';
import type { ShardRunner } from './shard-runner.ts';

/** Parts under way and not yet stored by the receiver: 1 MiB of the largest chunks, about 4 MiB of records. */
const WINDOW_PARTS = 16;
/** Images sent at the same time by one node; more wait for the core's next try. */
const TRANSFERS_MAX = 4;
/** A transfer without any progress for so long is given up. */
const SILENCE_MILLISECONDS_MAX = 10_000;

/** After so long without an answer the receiver is asked whether it still knows of the transfer. */
const INQUIRY_MILLISECONDS = 500;

/** A chunk of the image, or records below it. */
interface Part {
  readonly type: 'chunk' | 'records';
  readonly bytes: Uint8Array;
}

interface Transfer {
  readonly id: number;
  readonly runner: ShardRunner;
  readonly to: ReplicaId;
  readonly node: NodeId;
  parts: AsyncIterator<Part> | null;
  /** A frame that the transport did not take yet. */
  unsent: ImageFrame | null;
  reading: boolean;
  ended: boolean;
  sent: number;
  stored: number;
  progressAt: number;
  inquiredAt: number;
  over: boolean;
}

/** What the sender needs of its host. */
export interface ImageSenderHost {
  readonly clock: Clock;
  readonly transport: PeerTransport;
  readonly store: LogStore;
  readonly checkpoints: Checkpoints;
  readonly random: () => number;
}

/** All outgoing transfers of a node. Parts wait for acknowledgements (flow control), a full transport for the next tick. */
export class ImageSender {
  readonly #host: ImageSenderHost;
  readonly #transfers = new Map<number, Transfer>();

  constructor(host: ImageSenderHost) {
    this.#host = host;
  }

  /** Begins a transfer; its end is reported to the runner's core, so that the core tries again when it failed. */
  start(runner: ShardRunner, to: ReplicaId, node: NodeId | undefined): void {
    for (const transfer of this.#transfers.values()) {
      if (transfer.runner === runner && transfer.to === to) return;
    }
    if (node === undefined || this.#transfers.size >= TRANSFERS_MAX) {
      runner.imageSent(to, false);
      return;
    }
    const transfer: Transfer = {
      id: Math.floor(this.#host.random() * Number.MAX_SAFE_INTEGER),
      runner,
      to,
      node,
      parts: null,
      unsent: null,
      reading: false,
      ended: false,
      sent: 0,
      stored: 0,
      progressAt: this.#host.clock.now(),
      inquiredAt: this.#host.clock.now(),
      over: false,
    };
    this.#transfers.set(transfer.id, transfer);
    this.#host.checkpoints.hold(runner.id);
    this.#open(transfer).catch(() => this.#finish(transfer, false));
  }

  acknowledged(from: NodeId, frame: ImageAcknowledged): void {
    const transfer = this.#transfers.get(frame.transfer);
    if (transfer === undefined || transfer.node !== from || frame.count > transfer.sent) return;
    if (frame.count > transfer.stored) {
      transfer.stored = frame.count;
      transfer.progressAt = this.#host.clock.now();
    }
    this.#pump(transfer);
  }

  result(from: NodeId, frame: ImageResult): void {
    const transfer = this.#transfers.get(frame.transfer);
    if (transfer !== undefined && transfer.node === from) this.#finish(transfer, frame.ok);
  }

  /** Goes on where the transport was full; gives up what is silent, closed or no longer led here. */
  tick(): void {
    if (this.#transfers.size === 0) return;
    const now = this.#host.clock.now();
    for (const transfer of this.#transfers.values()) {
      const { runner, progressAt } = transfer;
      const idle = now - progressAt > SILENCE_MILLISECONDS_MAX;
      if (idle || runner.closed || runner.soft.role !== 'leader') this.#finish(transfer, false);
      else {
        this.#pump(transfer);
        this.#inquire(transfer, now);
      }
    }
  }

  /** The replica closes. */
  abandon(runner: ShardRunner): void {
    for (const transfer of this.#transfers.values()) {
      if (transfer.runner === runner) this.#finish(transfer, false);
    }
  }

  async #open(transfer: Transfer): Promise<void> {
    const { runner, to } = transfer;
    const { store, checkpoints } = this.#host;
    let image = await store.image(runner.id);
    if (image === null || image.meta.index < runner.status().first - 1) {
      // Nothing that the log could follow: the state of now becomes an image first.
      await checkpoints.run(runner);
      image = await store.image(runner.id);
    }
    if (transfer.over) return;
    if (image === null || image.meta.index === (0 as Index)) {
      this.#finish(transfer, false);
      return;
    }
    transfer.parts = partsOf(image.chunks, store.records(runner.id, image.meta.index));
    const { term } = runner.soft;
    const { meta } = image;
    transfer.unsent = {
      type: 'offer',
      transfer: transfer.id,
      shard: runner.id,
      from: runner.replica,
      to,
      term,
      meta,
    };
    this.#pump(transfer);
  }

  #pump(transfer: Transfer): void {
    while (!transfer.over && transfer.unsent !== null) {
      if (!this.#host.transport.send(transfer.node, 'bulk', encodeImageFrame(transfer.unsent))) return;
      transfer.unsent = null;
    }
    const { parts } = transfer;
    if (transfer.over || transfer.reading || transfer.ended || parts === null) return;
    if (transfer.sent - transfer.stored >= WINDOW_PARTS) return;
    transfer.reading = true;
    parts.next().then(
      (next) => {
        transfer.reading = false;
        if (next.done === true) {
          transfer.ended = true;
          transfer.unsent = { type: 'end', transfer: transfer.id, count: transfer.sent };
        } else {
          transfer.unsent = {
            type: next.value.type,
            transfer: transfer.id,
            number: transfer.sent,
            chunk: next.value.bytes,
          };
          transfer.sent += 1;
        }
        this.#pump(transfer);
      },
      () => this.#finish(transfer, false),
    );
  }

  /** Frames are lost with their connection, and a receiver that started anew knows nothing: waiting would help neither. */
  #inquire(transfer: Transfer, now: number): void {
    if (transfer.over || transfer.unsent !== null || transfer.parts === null || transfer.reading) return;
    if (now - Math.max(transfer.progressAt, transfer.inquiredAt) < INQUIRY_MILLISECONDS) return;
    transfer.inquiredAt = now;
    const type = transfer.ended ? 'end' : 'inquiry';
    const frame: ImageFrame = { type, transfer: transfer.id, count: transfer.sent };
    this.#host.transport.send(transfer.node, 'bulk', encodeImageFrame(frame));
  }

  #finish(transfer: Transfer, ok: boolean): void {
    if (transfer.over) return;
    transfer.over = true;
    this.#transfers.delete(transfer.id);
    this.#host.checkpoints.release(transfer.runner.id);
    transfer.parts?.return?.().catch(() => undefined);
    transfer.runner.imageSent(transfer.to, ok);
  }
}

async function* partsOf(
  chunks: AsyncIterable<Uint8Array>,
  records: AsyncIterable<Uint8Array>,
): AsyncGenerator<Part, void> {
  for await (const bytes of chunks) yield { type: 'chunk', bytes };
  for await (const bytes of records) yield { type: 'records', bytes };
}
