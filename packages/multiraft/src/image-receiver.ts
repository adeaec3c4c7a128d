/** Receives state images for replicas that fell behind the log. */
import type { SnapshotMeta } from '@seriatim/raft';
import type { Checkpoints } from './checkpoints.ts';
import {
  encodeImageFrame,
  type ImageChunk,
  type ImageEnd,
  type ImageFrame,
  type ImageInquiry,
  type ImageOffer,
} from './image-codec.ts';
import type { Clock, ImageWriter, LogStore, NodeId, PeerTransport, ShardId } from './ports.ts';
import type { ShardRunner } from './shard-runner.ts';

/** A transfer without a frame for so long is given up. */
const SILENCE_MILLISECONDS_MAX = 30_000;

interface Transfer {
  readonly offer: ImageOffer;
  readonly node: NodeId;
  readonly runner: ShardRunner;
  readonly writer: ImageWriter;
  /** Number of the chunk that must come next. */
  expected: number;
  heardAt: number;
  /** All chunks came; the writer is completing. */
  ending: boolean;
  over: boolean;
  /** Writes one after the other. */
  tail: Promise<void>;
}

/** What the receiver needs of its host. */
export interface ImageReceiverHost {
  readonly clock: Clock;
  readonly transport: PeerTransport;
  readonly store: LogStore;
  readonly checkpoints: Checkpoints;
  find(shard: ShardId): ShardRunner | undefined;
}

/** All incoming transfers of a node, one per shard. An image is installed only when it is whole and durable. */
export class ImageReceiver {
  readonly #host: ImageReceiverHost;
  readonly #transfers = new Map<ShardId, Transfer>();
  /** Complete in the store, not yet taken by the core (its leader changed meanwhile). */
  readonly #complete = new Map<ShardId, SnapshotMeta>();

  constructor(host: ImageReceiverHost) {
    this.#host = host;
  }

  offer(from: NodeId, offer: ImageOffer): void {
    const runner = this.#host.find(offer.shard);
    const { checkpoints, store, clock } = this.#host;
    if (runner === undefined || runner.replica !== offer.to || runner.restoring) {
      this.#answer(from, offer, false);
      return;
    }
    const status = runner.status();
    if (status.commit >= offer.meta.index) {
      confirm(runner, offer);
      this.#answer(from, offer, true);
      return;
    }
    const busy = this.#transfers.has(offer.shard) || this.#complete.has(offer.shard);
    if (busy || offer.term < status.term || checkpoints.isRunning(offer.shard)) {
      const stale = this.#transfers.get(offer.shard);
      // The sender began anew, or a later leader did: the former transfer will not go on.
      const superseded = stale !== undefined && (stale.node === from || stale.offer.term < offer.term);
      if (superseded && !stale.ending) this.#drop(stale);
      this.#answer(from, offer, false);
      return;
    }
    checkpoints.hold(offer.shard);
    const transfer: Transfer = {
      offer,
      node: from,
      runner,
      writer: store.receiveImage(offer.shard, offer.to, offer.meta),
      expected: 0,
      heardAt: clock.now(),
      ending: false,
      over: false,
      tail: Promise.resolve(),
    };
    this.#transfers.set(offer.shard, transfer);
  }

  chunk(from: NodeId, frame: ImageChunk): void {
    const transfer = this.#expect(from, frame.transfer);
    if (transfer === undefined) return;
    if (frame.number !== transfer.expected) {
      this.#drop(transfer);
      return;
    }
    transfer.expected += 1;
    const count = transfer.expected;
    // The frame's memory belongs to the transport's buffer; the writer takes its own copy or is done before it resolves.
    this.#then(transfer, async () => {
      if (frame.type === 'chunk') await transfer.writer.add(frame.chunk);
      else await transfer.writer.addRecords(frame.chunk);
      this.#send(from, { type: 'acknowledged', transfer: frame.transfer, count });
    });
  }

  end(from: NodeId, frame: ImageEnd): void {
    const transfer = this.#expect(from, frame.transfer);
    if (transfer === undefined || transfer.ending) return;
    if (frame.count !== transfer.expected) {
      this.#drop(transfer);
      return;
    }
    transfer.ending = true;
    const { runner, writer, offer } = transfer;
    this.#then(transfer, async () => {
      if (runner.status().commit >= offer.meta.index) {
        await writer.abort();
        confirm(runner, offer);
      } else {
        await writer.complete();
        this.#complete.set(offer.shard, offer.meta);
      }
      this.#close(transfer);
      this.#answer(from, offer, true);
      this.#install(offer.shard);
    });
  }

  /** The sender heard nothing for a while: it is told when this transfer can't go on. */
  inquiry(from: NodeId, frame: ImageInquiry): void {
    const transfer = this.#expect(from, frame.transfer);
    if (transfer !== undefined && frame.count !== transfer.expected) this.#drop(transfer);
  }

  /** Gives up silent transfers, and brings complete images to cores that did not take them yet. */
  tick(): void {
    const now = this.#host.clock.now();
    for (const transfer of this.#transfers.values()) {
      if (now - transfer.heardAt > SILENCE_MILLISECONDS_MAX) this.#drop(transfer);
    }
    for (const shard of this.#complete.keys()) this.#install(shard);
  }

  /** The replica closes; resolves when its writer is at rest. */
  async abandon(runner: ShardRunner): Promise<void> {
    if (this.#complete.delete(runner.id)) this.#host.checkpoints.release(runner.id);
    const transfer = this.#transfers.get(runner.id);
    if (transfer === undefined) return;
    this.#drop(transfer);
    await transfer.tail;
  }

  /**
   * What an image holds was committed, so the log of every later leader has it as well: it may be installed in the name of the
   * leader of now, whoever sent it. Until then no checkpoint may put an older state in its place.
   */
  #install(shard: ShardId): void {
    const meta = this.#complete.get(shard);
    const runner = this.#host.find(shard);
    if (meta === undefined) return;
    const { commit, leader, role } = runner?.status() ?? { commit: 0, leader: 0, role: 'follower' };
    if (runner === undefined || runner.appliedMeta.index >= meta.index) {
      this.#complete.delete(shard);
      this.#host.checkpoints.release(shard);
    } else if (commit < meta.index && leader !== 0 && (role === 'follower' || role === 'learner')) {
      runner.installImage(meta);
    }
  }

  #find(from: NodeId, id: number): Transfer | undefined {
    for (const transfer of this.#transfers.values()) {
      if (transfer.offer.transfer !== id || transfer.node !== from || transfer.over) continue;
      transfer.heardAt = this.#host.clock.now();
      return transfer;
    }
    return undefined;
  }

  /** A transfer that is not known was lost here or is over: the sender has to begin anew, or learn that it is not needed. */
  #expect(from: NodeId, id: number): Transfer | undefined {
    const transfer = this.#find(from, id);
    if (transfer === undefined) this.#send(from, { type: 'result', transfer: id, ok: false });
    return transfer;
  }

  #then(transfer: Transfer, run: () => Promise<void>): void {
    transfer.tail = transfer.tail
      .then(() => (transfer.over ? undefined : run()))
      .catch(() => {
        // Disk faults end the node elsewhere; whatever else it was, the leader tries again.
        this.#drop(transfer);
      });
  }

  #drop(transfer: Transfer): void {
    if (transfer.over) return;
    transfer.over = true;
    transfer.tail = transfer.tail.then(() => transfer.writer.abort()).catch(() => undefined);
    transfer.tail = transfer.tail.then(() => {
      this.#transfers.delete(transfer.offer.shard);
      this.#host.checkpoints.release(transfer.offer.shard);
    });
    this.#answer(transfer.node, transfer.offer, false);
  }

  /** Ends a transfer that went well. The hold on checkpoints stays while its image is not installed. */
  #close(transfer: Transfer): void {
    transfer.over = true;
    this.#transfers.delete(transfer.offer.shard);
    if (!this.#complete.has(transfer.offer.shard)) this.#host.checkpoints.release(transfer.offer.shard);
  }

  #answer(to: NodeId, offer: ImageOffer, ok: boolean): void {
    this.#send(to, { type: 'result', transfer: offer.transfer, ok });
  }

  #send(to: NodeId, frame: ImageFrame): void {
    this.#host.transport.send(to, 'bulk', encodeImageFrame(frame));
  }
}

/**
 * The replica has what the image holds. Its core tells the leader how far it is: an earlier confirmation may have been lost, and the
 * leader's log no longer reaches back to where it could ask.
 */
function confirm(runner: ShardRunner, { from, to, term, meta }: ImageOffer): void {
  runner.receive({ type: 'snapshotRequest', from, to, term, meta });
}
