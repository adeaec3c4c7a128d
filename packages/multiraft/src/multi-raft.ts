/** The host of all replicas on a node. */
import type { Message, ReplicaId } from '@seriatim/raft';
import { Checkpoints } from './checkpoints.ts';
import { DiskStall } from './disk-stall.ts';
import { ticks, validateHostConfig } from './host-config.ts';
import { decodeImageFrame, type ImageFrame } from './image-codec.ts';
import { ImageReceiver } from './image-receiver.ts';
import { ImageSender } from './image-sender.ts';
import { decodeRaftFrame } from './message-codec.ts';
import { Outbox } from './outbox.ts';
import {
  FRAME_IMAGE,
  FRAME_RAFT,
  type LogStore,
  type NodeId,
  type PeerState,
  type ShardId,
} from './ports.ts';
import { Pulse } from './pulse.ts';
import { type RunnerHost, readImage, ShardRunner } from './shard-runner.ts';
import type { HostConfig, HostOptions, Shard, ShardHost, ShardSpec } from './types.ts';

/** Ticks between two looks at whether a shard wants a checkpoint; shards take turns. */
const CHECKPOINT_REVIEW_TICKS = 40;
/** Ticks between two looks at image transfers and at the disk. */
const HOUSEKEEPING_TICKS = 4;

/**
 * Drives all replicas of one node: one timer, one flush of the store, one frame per node pair, channel and turn. In a turn of the
 * event loop each replica that has something to do is processed once; a fault in one closes that one only.
 */
export class MultiRaft implements ShardHost, RunnerHost {
  readonly config: HostConfig;
  readonly store: LogStore;
  readonly random: () => number;
  readonly #options: HostOptions;
  readonly #runners = new Map<ShardId, ShardRunner>();
  /** Shards that are being opened or closed. */
  readonly #opening = new Set<ShardId>();
  readonly #refused = new Set<NodeId>();
  readonly #outbox: Outbox;
  readonly #stall: DiskStall;
  readonly #checkpoints: Checkpoints;
  readonly #sender: ImageSender;
  readonly #receiver: ImageReceiver;
  readonly #pulse: Pulse;
  readonly #heartbeatTicks: number;
  #awake: ShardRunner[] = [];
  #turnPlanned = false;
  #ticksPassed = 0;
  #garbageFrames = 0;
  #stopped = false;

  constructor(options: HostOptions) {
    const { config, clock, transport, store } = options;
    validateHostConfig(config);
    this.config = Object.freeze({ ...config });
    this.store = store;
    this.random = options.random;
    this.#options = options;
    this.#heartbeatTicks = ticks(config.heartbeatMilliseconds, config);
    this.#stall = new DiskStall(clock);
    this.#outbox = new Outbox(transport, () => this.#stall.flushMilliseconds());
    this.#checkpoints = new Checkpoints(store, (runner, error) => this.fault(runner, error));
    const shared = { clock, transport, store, checkpoints: this.#checkpoints };
    this.#sender = new ImageSender({ ...shared, random: options.random });
    this.#receiver = new ImageReceiver({ ...shared, find: (shard) => this.#runners.get(shard) });
    transport.onFrame((from, _channel, frame) => this.#receive(from, frame));
    transport.onPeerState((node, state) => this.#peerState(node, state));
    this.#pulse = new Pulse({
      clock,
      transport,
      tickMilliseconds: config.tickMilliseconds,
      pauseMilliseconds: config.pauseMilliseconds,
      onTicks: (count) => this.#tick(count),
      onPause: () => this.#resume(),
    });
  }

  /** Frames of peers that could not be read since the start; each was ignored whole. */
  get garbageFrames(): number {
    return this.#garbageFrames;
  }

  /** Opens a replica; its state machine has the newest image loaded when this resolves, entries above it follow. */
  async open(spec: ShardSpec): Promise<Shard> {
    if (this.#stopped) throw new Error(`shard ${spec.shard} can't be opened: the host was stopped`);
    if (this.#runners.has(spec.shard) || this.#opening.has(spec.shard)) {
      throw new Error(`shard ${spec.shard} is open already on this node`);
    }
    this.#opening.add(spec.shard);
    try {
      const image = spec.recovered?.image ?? null;
      if (image !== null) spec.stateMachine.restore(await readImage(this.store, spec.shard, image));
      const runner = new ShardRunner(this, spec);
      if (this.#stopped) runner.close();
      else this.#runners.set(spec.shard, runner);
      this.wake(runner);
      return runner;
    } finally {
      this.#opening.delete(spec.shard);
    }
  }

  async close(shard: ShardId): Promise<void> {
    const runner = this.#runners.get(shard);
    if (runner === undefined) return;
    this.#runners.delete(shard);
    runner.close();
    await this.#settle(runner);
  }

  get(shard: ShardId): Shard | undefined {
    return this.#runners.get(shard);
  }

  shards(): Iterable<Shard> {
    return this.#runners.values();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pulse.stop();
    const runners = [...this.#runners.values()];
    this.#runners.clear();
    for (const runner of runners) runner.close();
    await Promise.all(runners.map((runner) => this.#settle(runner)));
  }

  pauses(): { readonly count: number; readonly lastMilliseconds: number } {
    return this.#pulse.pauses;
  }

  /** @internal */
  wake(runner: ShardRunner): void {
    if (runner.waiting) return;
    runner.waiting = true;
    this.#awake.push(runner);
    if (this.#turnPlanned) return;
    this.#turnPlanned = true;
    this.#options.clock.soon(() => {
      this.#turnPlanned = false;
      this.#turn();
    });
  }

  /** @internal */
  send(runner: ShardRunner, message: Message): void {
    const node = runner.spec.locate(message.to);
    if (node !== undefined && node !== this.#options.node) this.#outbox.add(node, runner.id, message);
  }

  /** @internal */
  wantImage(runner: ShardRunner, to: ReplicaId): void {
    this.#sender.start(runner, to, runner.spec.locate(to));
  }

  /** @internal */
  writeStarted(): void {
    this.#stall.writeStarted();
  }

  /** @internal */
  writeEnded(): void {
    this.#stall.writeEnded();
  }

  /** @internal */
  isRefused(node: NodeId): boolean {
    return this.#refused.has(node);
  }

  /** @internal */
  ticksToBeat(): number {
    return (this.#heartbeatTicks - (this.#ticksPassed % this.#heartbeatTicks)) % this.#heartbeatTicks;
  }

  /** @internal */
  mayHavePaused(): boolean {
    return this.#pulse.mayHavePaused();
  }

  /** @internal */
  fault(runner: ShardRunner, error: unknown): void {
    if (runner.closed) return;
    if (this.#runners.get(runner.id) === runner) this.#runners.delete(runner.id);
    runner.close();
    void this.#settle(runner);
    this.#options.onShardFault(runner.id, error instanceof Error ? error : new Error(String(error)));
  }

  async #settle(runner: ShardRunner): Promise<void> {
    this.#sender.abandon(runner);
    await this.#receiver.abandon(runner);
    await this.#checkpoints.settled(runner.id);
  }

  /** Processes each replica that is awake once. What they wake comes in the next turn. */
  #turn(): void {
    const awake = this.#awake;
    this.#awake = [];
    for (const runner of awake) {
      runner.waiting = false;
      try {
        runner.process();
      } catch (error) {
        this.fault(runner, error);
      }
    }
    this.#outbox.flush();
  }

  #tick(count: number): void {
    this.#ticksPassed += count;
    for (const runner of this.#runners.values()) {
      try {
        if (runner.tick(count)) this.wake(runner);
        this.#reviewCheckpoint(runner, count);
      } catch (error) {
        this.fault(runner, error);
      }
    }
    if (this.#ticksPassed % HOUSEKEEPING_TICKS < count) this.#keepHouse();
    // In the timer's own turn, so that the heartbeats of all shards leave in one frame.
    this.#turn();
  }

  #reviewCheckpoint(runner: ShardRunner, count: number): void {
    const phase = (this.#ticksPassed + runner.id) % CHECKPOINT_REVIEW_TICKS;
    if (phase < count) this.#checkpoints.review(runner);
  }

  #keepHouse(): void {
    this.#sender.tick();
    this.#receiver.tick();
    if (!this.#stall.takeHandover()) return;
    for (const runner of this.#runners.values()) {
      if (runner.soft.role === 'leader') this.#handOver(runner);
    }
  }

  /** To the voter that has most of the log among those whose disk is much faster. */
  #handOver(runner: ShardRunner): void {
    const candidates = runner
      .status()
      .progress.filter(({ replica, learner, active, state }) => {
        const node = runner.spec.locate(replica);
        return (
          !learner && active && state === 'replicate' && node !== undefined && this.#stall.isFaster(node)
        );
      })
      .sort((a, b) => b.match - a.match);
    const best = candidates[0];
    if (best !== undefined) runner.transfer(best.replica);
  }

  /** The process was away: what came in meanwhile is handled first, then every core is told. */
  #resume(): void {
    this.#turn();
    for (const runner of this.#runners.values()) runner.paused();
    this.#turn();
  }

  #receive(from: NodeId, frame: Uint8Array): void {
    if (this.#stopped) return;
    switch (frame[0]) {
      case FRAME_RAFT:
        this.#receiveMessages(from, frame);
        return;
      case FRAME_IMAGE: {
        const decoded = decodeImageFrame(frame);
        if (decoded.type === 'image') this.#receiveImage(from, decoded.frame);
        else this.#garbageFrames += 1;
        return;
      }
      default:
        // Frames of other kinds are the broker's.
        return;
    }
  }

  #receiveMessages(from: NodeId, frame: Uint8Array): void {
    const decoded = decodeRaftFrame(frame);
    if (decoded.type === 'garbage') {
      this.#garbageFrames += 1;
      return;
    }
    this.#stall.heard(from, decoded.flushMilliseconds);
    for (const { shard, message } of decoded.items) this.#runners.get(shard)?.receive(message);
  }

  #receiveImage(from: NodeId, frame: ImageFrame): void {
    switch (frame.type) {
      case 'offer':
        this.#receiver.offer(from, frame);
        return;
      case 'chunk':
      case 'records':
        this.#receiver.chunk(from, frame);
        return;
      case 'end':
        this.#receiver.end(from, frame);
        return;
      case 'inquiry':
        this.#receiver.inquiry(from, frame);
        return;
      case 'acknowledged':
        this.#sender.acknowledged(from, frame);
        return;
      case 'result':
        this.#sender.result(from, frame);
        return;
    }
  }

  #peerState(node: NodeId, state: PeerState): void {
    const refused = state === 'refused';
    if (refused === this.#refused.has(node)) return;
    if (refused) this.#refused.add(node);
    else this.#refused.delete(node);
    for (const runner of this.#runners.values()) runner.noteRefusedNodes();
  }
}
