import type { NodeId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { expect, test } from 'vitest';
import { Random } from '../../../testkit/src/simulation/random.ts';
import { ids, imageBytes, utf8 } from './fakes.ts';
import { RaftCluster } from './raft-cluster.ts';
import { settings } from './subscription-command.ts';

const STEPS = 60;
/** Enough for elections, replacements and the balancer's longest pauses in a run of this length. */
const CALM_MILLISECONDS = 90_000;

/** Clients that ask for anything while nodes are killed, started again, and lose their disks one after the other. */
class Soak {
  readonly cluster: RaftCluster;
  readonly #random: Random;
  readonly #wrong: unknown[] = [];
  #answered = 0;
  #asked = 0;

  constructor(seed: number) {
    this.cluster = new RaftCluster(3, seed);
    this.#random = new Random(`soak ${seed}`);
  }

  async run(): Promise<void> {
    const { cluster } = this;
    for (const node of ids(3)) await cluster.start(node);
    await cluster.run(3_000);
    for (let step = 0; step < STEPS; step++) {
      await this.#step();
      await cluster.run(this.#random.below(1_500));
    }
    await this.#startAll();
    await cluster.run(CALM_MILLISECONDS);
  }

  check(): void {
    const { cluster } = this;
    const { state } = cluster.node(1);
    const partitions = state.topics().flatMap((topic) => topic.partitions).length;
    const images = [...cluster.nodes.values()].map((node) => imageBytes(node.state).toString('hex'));
    expect(new Set(images).size).toBe(1);
    expect(state.operations().filter((operation) => operation.state === 'running')).toEqual([]);
    for (const { host } of cluster.nodes.values()) expect([...host.shards()]).toHaveLength(partitions + 1);
    expect(cluster.led(2).reduce((sum, led) => sum + led, 0)).toBe(partitions);
    expect(state.topics().every(({ ready }) => ready)).toBe(true);
    this.#checkPositions();
    expect(cluster.events.filter((event) => event.includes('Error'))).toEqual([]);
    expect(this.#wrong).toEqual([]);
    // What is missing was asked of a process that was killed.
    expect(this.#answered).toBeGreaterThan(this.#asked / 2);
  }

  async #step(): Promise<void> {
    const { cluster } = this;
    const random = this.#random;
    const id = random.pick([...cluster.nodes.keys()]);
    const { service, process, state } = cluster.node(id);
    const deadline = process.clock.now() + 3_000;
    const name = `t${random.below(6)}`;
    switch (random.below(9)) {
      case 0: {
        const sizes = { partitions: 1 + random.below(6), replicas: 3 };
        const retention = { retentionMilliseconds: 0, retentionBytes: 0 };
        return this.#ask(service.admin.createTopic({ name, ...sizes, ...retention }, deadline));
      }
      case 1:
        return this.#ask(service.admin.deleteTopic(name, deadline));
      case 2:
      case 3: {
        const [topic] = state.topics();
        const groups = Array.from({ length: 50 }, () => utf8(`g${random.below(2_000)}`));
        return topic === undefined
          ? undefined
          : this.#ask(service.assigner.assign(topic.id, groups, deadline));
      }
      case 4:
        return cluster.nodes.size === 3 ? cluster.kill(id) : undefined;
      case 5:
        return this.#startAll();
      case 6:
      case 7:
        return this.#subscribe(id);
      default:
        return this.#whole() ? this.#loseDisk(id) : undefined;
    }
  }

  /** Creates, resets, deletes or pauses a subscription through a node. */
  #subscribe(id: NodeId): void {
    const random = this.#random;
    const { service, process, state } = this.cluster.node(id);
    const deadline = process.clock.now() + 3_000;
    const actor = { who: `node ${id}`, why: 'soak' };
    const topic = state.topics()[random.below(6)];
    if (topic === undefined) return;
    const subscription = state.subscription(topic.id, `s${random.below(2)}`)?.id;
    const { subscriptions } = service;
    if (subscription === undefined) {
      this.#ask(subscriptions.create(topic.id, `s${random.below(2)}`, settings(), deadline));
    } else if (random.below(3) === 0) {
      this.#ask(subscriptions.delete(subscription, actor, deadline));
    } else if (random.below(2) === 0) {
      this.#ask(subscriptions.reset(subscription, { kind: 1, offset: 0, time: 0 }, actor, deadline));
    } else {
      this.#ask(subscriptions.pause(subscription, random.below(2) === 0, actor, deadline));
    }
  }

  /** Every partition has the generation of its topic's subscriptions, and no other subscription. */
  #checkPositions(): void {
    const { positions } = this.cluster;
    const { state } = this.cluster.node(1);
    for (const { id, partitions } of state.topics()) {
      const wanted = state.subscriptions(id).map((view) => [view.id, view.generation]);
      expect(state.subscriptions(id).every(({ ready }) => ready)).toBe(true);
      for (const { shard } of partitions) {
        expect([...(positions.get(shard) ?? [])].sort(([left], [right]) => left - right)).toEqual(wanted);
      }
    }
  }

  #ask(asked: Promise<unknown>): void {
    this.#asked += 1;
    asked.then(
      () => {
        this.#answered += 1;
      },
      (error: unknown) => {
        this.#answered += 1;
        if (!(error instanceof RefusalError)) this.#wrong.push(error);
      },
    );
  }

  /** A second disk may only be lost when the first is made up for: else a majority is gone. */
  #whole(): boolean {
    const running = [...this.cluster.nodes.values()].flatMap(({ state }) =>
      state.operations().filter(({ kind, state: at }) => kind === 'replaceReplicas' && at === 'running'),
    );
    return this.cluster.nodes.size === 3 && running.length === 0;
  }

  async #loseDisk(id: Parameters<RaftCluster['start']>[0]): Promise<void> {
    const { cluster } = this;
    cluster.kill(id);
    await cluster.run(500);
    let back = false;
    const coming = cluster.startLost(id).then(() => {
      back = true;
    });
    for (let turn = 0; turn < 400 && !back; turn++) await cluster.run(50);
    if (!back) throw new Error(`node ${id} got no new replicas`);
    await coming;
  }

  async #startAll(): Promise<void> {
    for (const id of ids(3)) if (!this.cluster.nodes.has(id)) await this.cluster.start(id);
  }
}

test.each([101, 113, 127, 140, 203, 211])(
  'seed %d: whatever happens, all nodes end with the same state and nothing is left half done',
  async (seed) => {
    const soak = new Soak(seed);
    await soak.run();
    soak.check();
  },
);
