import type { Configuration, Entry, ReplicaId } from '@seriatim/raft';
import {
  PlainDisk,
  PlainLogStore,
  Random,
  Scheduler,
  SimulatedNetwork,
  SimulatedProcess,
} from '@seriatim/testkit';
import { describe, expect, it } from 'vitest';
import { defaultHostConfig } from '../src/host-config.ts';
import { MultiRaft } from '../src/multi-raft.ts';
import type { Leadership, NodeId, PeerTransport, ShardId, StateMachine } from '../src/ports.ts';
import type { Fate, Shard } from '../src/types.ts';

const NODES = [1, 2, 3] as NodeId[];
const SHARD = 1 as ShardId;

/** Keeps the commands; `poison` throws, as a command of an unknown version would. */
class Words implements StateMachine {
  words: string[] = [];
  restored = 0;
  leadership: Leadership | null = null;
  apply(entries: readonly Entry[]): void {
    for (const { type, data } of entries) {
      if (type !== 'command') continue;
      const word = Buffer.from(data).toString();
      if (word === 'poison') throw new Error('a command of version 9');
      this.words.push(word);
    }
  }
  *image(): Iterable<Uint8Array> {
    yield Buffer.from(JSON.stringify(this.words));
  }
  restore(chunks: Iterable<Uint8Array>): void {
    this.restored += 1;
    this.words = JSON.parse(Buffer.concat([...chunks]).toString()) as string[];
  }
  describe(): null {
    return null;
  }
  onLeadership(leadership: Leadership): void {
    this.leadership = leadership;
  }
}

interface Node {
  readonly process: SimulatedProcess;
  readonly host: MultiRaft;
  readonly machines: Map<ShardId, Words>;
  readonly faults: string[];
  frames: number;
}

/** Three nodes on a simulated network; shard s has replica s * 10 + n on node n. */
class Cluster {
  readonly scheduler = new Scheduler();
  readonly network = new SimulatedNetwork(this.scheduler, new Random('network'));
  readonly disks = new Map(NODES.map((id) => [id, new PlainDisk()]));
  readonly nodes = new Map<NodeId, Node>();
  readonly shards: ShardId[];

  constructor(shards = 1) {
    this.shards = Array.from({ length: shards }, (_, n) => (n + 1) as ShardId);
    for (const id of NODES) this.network.introduce(id);
  }

  static async started(shards = 1): Promise<Cluster> {
    const cluster = new Cluster(shards);
    for (const id of NODES) await cluster.start(id);
    await cluster.run(4_000);
    return cluster;
  }

  async start(id: NodeId): Promise<void> {
    const process = new SimulatedProcess(this.scheduler, id, 1);
    const random = new Random(`node/${id}`);
    const disk = this.disks.get(id) as PlainDisk;
    const store = new PlainLogStore({
      clock: process.clock,
      disk,
      flushMilliseconds: () => random.between(0.5, 1),
      checkpointEntries: 50,
      keptEntries: 5,
    });
    const faults: string[] = [];
    const network = this.network.attach(id, process);
    const counted: Node = {
      process,
      faults,
      frames: 0,
      machines: new Map(),
      host: null as unknown as MultiRaft,
    };
    const transport: PeerTransport = {
      send: (to, channel, parts) => {
        counted.frames += 1;
        return network.send(to, channel, parts);
      },
      onFrame: (handler) => network.onFrame(handler),
      onPeerState: (handler) => network.onPeerState(handler),
      drain: (drained) => network.drain(drained),
    };
    const host = new MultiRaft({
      node: id,
      clock: process.clock,
      transport,
      store,
      random: () => random.next(),
      // Old entries leave memory at once, so that what a follower lacks comes from the store or as an image.
      config: { ...defaultHostConfig, cacheBytesMax: 500 },
      onShardFault: (shard, error) => faults.push(`${shard}: ${error.message}`),
    });
    const node = Object.assign(counted, { host });
    this.nodes.set(id, node);
    for (const shard of this.shards) {
      const stateMachine = new Words();
      node.machines.set(shard, stateMachine);
      const recovered = store.recovered().find((found) => found.shard === shard) ?? null;
      const voters = NODES.map((other) => replicaOf(shard, other));
      const initial: Configuration = { voters, outgoing: [], learners: [], learnersNext: [] };
      const locate = (replica: ReplicaId): NodeId => (replica % 10) as NodeId;
      const replica = replicaOf(shard, id);
      await host.open({ shard, replica, stateMachine, initial, locate, recovered, followersRead: true });
    }
  }

  kill(id: NodeId): void {
    this.nodes.get(id)?.process.kill();
    this.nodes.delete(id);
    this.network.detach(id);
  }

  run(milliseconds: number): Promise<void> {
    return this.scheduler.run(this.scheduler.now + milliseconds);
  }

  leader(shard = SHARD): { id: NodeId; node: Node; shard: Shard } {
    for (const [id, node] of this.nodes) {
      const replica = node.host.get(shard);
      if (replica?.leadsForSure()) return { id, node, shard: replica };
    }
    throw new Error('no leader');
  }

  followers(shard = SHARD): { id: NodeId; node: Node; shard: Shard }[] {
    const { id: leader } = this.leader(shard);
    return [...this.nodes].flatMap(([id, node]) => {
      const replica = node.host.get(shard);
      return id === leader || replica === undefined ? [] : [{ id, node, shard: replica }];
    });
  }

  words(id: NodeId, shard = SHARD): string[] {
    return this.nodes.get(id)?.machines.get(shard)?.words ?? [];
  }

  /** Proposes to the leader and runs until the fate is known. */
  async write(word: string, shard = SHARD): Promise<Fate | null> {
    let fate: Fate | null = null;
    this.leader(shard).shard.propose(Buffer.from(word), (settled) => {
      fate = settled;
    });
    for (let n = 0; n < 200 && fate === null; n += 1) await this.run(5);
    return fate;
  }
}

function replicaOf(shard: ShardId, node: NodeId): ReplicaId {
  return (shard * 10 + node) as ReplicaId;
}

describe('MultiRaft', () => {
  it('elects a leader, replicates a command and settles it as applied', async () => {
    const cluster = await Cluster.started();
    expect(await cluster.write('hello')).toMatchObject({ type: 'applied' });
    await cluster.run(200);
    for (const id of NODES) expect(cluster.words(id)).toEqual(['hello']);
    expect(cluster.leader().node.machines.get(SHARD)?.leadership).toMatchObject({
      leads: true,
      confirmed: true,
    });
  });

  it('answers reads on the leader when a quorum confirms it, and refuses them on a follower', async () => {
    const cluster = await Cluster.started();
    await cluster.write('a');
    const answers: boolean[] = [];
    cluster.leader().shard.read((confirmed) => answers.push(confirmed));
    cluster.followers()[0]?.shard.read((confirmed) => answers.push(confirmed));
    await cluster.run(50);
    expect(answers.sort()).toEqual([false, true]);
  });

  it('settles what a cut-off leader took as overwritten once the others went on, and not before', async () => {
    const cluster = await Cluster.started();
    const { id, shard } = cluster.leader();
    const others = NODES.filter((other) => other !== id);
    for (const other of others) {
      cluster.network.cut(id, other);
      cluster.network.cut(other, id);
    }
    let fate: Fate | null = null;
    expect(shard.propose(Buffer.from('lost'), (settled) => (fate = settled)).type).toBe('accepted');
    await cluster.run(4_000);
    expect(fate).toBe(null);
    expect(await cluster.write('kept')).toMatchObject({ type: 'applied' });
    cluster.network.heal();
    await cluster.run(2_000);
    expect(fate).toEqual({ type: 'overwritten' });
    expect(cluster.words(id)).toEqual(['kept']);
  });

  it('replaces a leader whose process is gone in well under an election timeout', async () => {
    const cluster = await Cluster.started();
    cluster.kill(cluster.leader().id);
    await cluster.run(450);
    expect(await cluster.write('after')).toMatchObject({ type: 'applied' });
  });

  it('does not hold for sure after a pause until a quorum answered again', async () => {
    const cluster = await Cluster.started();
    const { node, shard } = cluster.leader();
    node.process.pause(600);
    await cluster.run(599);
    expect(shard.leadsForSure()).toBe(false);
    await cluster.run(300);
    expect(node.host.pauses().count).toBe(1);
    expect(cluster.leader().shard.leadsForSure()).toBe(true);
  });

  it('sends the heartbeats of all shards in one frame per node and interval', async () => {
    const cluster = await Cluster.started(24);
    await cluster.run(2_000);
    const before = [...cluster.nodes.values()].reduce((sum, { frames }) => sum + frames, 0);
    await cluster.run(1_000);
    const frames = [...cluster.nodes.values()].reduce((sum, node) => sum + node.frames, 0) - before;
    // Three nodes, two peers each, ten beats a second, requests and answers.
    expect(frames).toBeLessThanOrEqual(3 * 2 * 10 * 2 + 12);
  });

  it('closes a shard whose state machine breaks, and only that one', async () => {
    const cluster = await Cluster.started(2);
    const { node, shard } = cluster.leader();
    shard.propose(Buffer.from('poison'), () => undefined);
    await cluster.run(300);
    expect(node.faults).toEqual(['1: a command of version 9']);
    expect(node.host.get(SHARD)).toBeUndefined();
    expect(await cluster.write('fine', 2 as ShardId)).toMatchObject({ type: 'applied' });
  });

  it('brings a follower that fell behind the log up with an image', async () => {
    const cluster = await Cluster.started();
    const behind = cluster.followers()[0]?.id as NodeId;
    cluster.kill(behind);
    await cluster.run(1_000);
    const words = Array.from({ length: 120 }, (_, n) => `w${n}`);
    for (const word of words) await cluster.write(word);
    await cluster.run(3_000);
    await cluster.start(behind);
    await cluster.run(3_000);
    expect(cluster.words(behind)).toEqual(words);
    expect(cluster.nodes.get(behind)?.machines.get(SHARD)?.restored).toBe(1);
    expect(await cluster.write('more')).toMatchObject({ type: 'applied' });
    await cluster.run(200);
    expect(cluster.words(behind)).toEqual([...words, 'more']);
  });

  it('hands leadership over when asked', async () => {
    const cluster = await Cluster.started();
    const target = cluster.followers()[0];
    expect(cluster.leader().shard.transfer(target?.shard.replica as ReplicaId)).toBe(null);
    await cluster.run(300);
    expect(cluster.leader().id).toBe(target?.id);
  });

  it('changes members through a joint state and settles with the final one', async () => {
    const cluster = await Cluster.started();
    const { shard } = cluster.leader();
    const removed = cluster.followers()[0]?.shard.replica as ReplicaId;
    const voters = NODES.map((node) => replicaOf(SHARD, node)).filter((replica) => replica !== removed);
    let fate: Fate | null = null;
    shard.change({ voters, learners: [] }, (settled) => (fate = settled));
    await cluster.run(500);
    expect(fate).toMatchObject({ type: 'applied' });
    expect(shard.status().configuration).toMatchObject({ voters, outgoing: [] });
  });

  it('finds everything that was acknowledged after all nodes were killed', async () => {
    const cluster = await Cluster.started();
    const words = Array.from({ length: 80 }, (_, n) => `w${n}`);
    for (const word of words) await cluster.write(word);
    for (const id of NODES) cluster.kill(id);
    for (const id of NODES) await cluster.start(id);
    await cluster.run(4_000);
    for (const id of NODES) expect(cluster.words(id)).toEqual(words);
  });

  it('settles as unknown what is pending when it stops', async () => {
    const cluster = await Cluster.started();
    const { node, shard } = cluster.leader();
    const fates: (Fate | boolean)[] = [];
    shard.propose(Buffer.from('late'), (fate) => fates.push(fate));
    shard.read((confirmed) => fates.push(confirmed));
    await node.host.stop();
    expect(fates).toEqual([{ type: 'unknown' }, false]);
    expect(shard.propose(Buffer.from('more'), () => undefined).type).toBe('refused');
  });

  it('ignores garbage frames', async () => {
    const cluster = await Cluster.started();
    const { node, id } = cluster.leader();
    const other = NODES.find((candidate) => candidate !== id) as NodeId;
    const sender = cluster.network.attach(other, new SimulatedProcess(cluster.scheduler, other, 1));
    await cluster.run(50);
    sender.send(id, 'bulk', [Uint8Array.from([1, 1, 0, 99, 1, 2])]);
    sender.send(id, 'bulk', [Uint8Array.from([2, 7])]);
    await cluster.run(50);
    expect(node.host.garbageFrames).toBe(2);
    expect(node.faults).toEqual([]);
  });
});
