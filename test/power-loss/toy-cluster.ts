import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pause } from '../../scripts/lib/node-process.mjs';
import { freePorts } from '../support/free-ports.ts';
import { LineClient, toyShards } from './line-client.ts';

const program = fileURLToPath(new URL('./toy-node.ts', import.meta.url));
/** Puts that wait for an answer at a time. */
const inFlight = 96;
const startMilliseconds = 30_000;

/** Three toy nodes and what was acknowledged by them over all their lives. */
export class ToyCluster {
  readonly acknowledged = new Map<number, string>();
  readonly #directories: readonly string[];
  readonly #withoutSync: boolean;
  readonly #peerPorts: readonly number[];
  readonly #clientPorts: readonly number[];
  #processes: ChildProcess[] = [];
  #clients: LineClient[] = [];
  /** By shard: who leads it. */
  #leaders = new Map<number, LineClient>();
  #nextKey = 1;

  private constructor(directories: readonly string[], withoutSync: boolean, ports: readonly number[]) {
    this.#directories = directories;
    this.#withoutSync = withoutSync;
    this.#peerPorts = ports.slice(0, directories.length);
    this.#clientPorts = ports.slice(directories.length);
  }

  static async create(directories: readonly string[], withoutSync: boolean): Promise<ToyCluster> {
    return new ToyCluster(directories, withoutSync, await freePorts(directories.length * 2));
  }

  /** Starts all nodes and waits until every shard has a leader that has applied an entry of its own term. */
  async start(): Promise<void> {
    this.#processes = this.#directories.map((directory, index) => this.#spawn(directory, index + 1));
    const deadline = performance.now() + startMilliseconds;
    while (performance.now() < deadline) {
      const dead = this.#processes.filter((process) => process.exitCode !== null);
      if (dead.length > 1) throw new Error(`${dead.length} of 3 nodes ended at their start`);
      if (await this.#findLeaders()) return;
      await pause(50);
    }
    throw new Error(`not every shard had a leader within ${startMilliseconds / 1000} s`);
  }

  /** Puts as fast as `inFlight` allows; after `milliseconds` calls `cut` while puts are on their way. */
  async writeFor(milliseconds: number, cut: () => void): Promise<void> {
    let stopped = false;
    const lane = async (): Promise<void> => {
      while (!stopped) {
        const key = this.#nextKey++;
        const value = `${key}:${'x'.repeat(key % 500)}`;
        const answer = await this.#leaders.get(key % toyShards)?.request({ type: 'put', key, value });
        if (answer?.ok === true) this.acknowledged.set(key, value);
        else await pause(5);
      }
    };
    const lanes = Array.from({ length: inFlight }, lane);
    await pause(milliseconds);
    cut();
    await pause(50);
    stopped = true;
    for (const client of this.#clients) client.close();
    await Promise.all(lanes);
  }

  /** Reads everything back through the leaders; how many acknowledged pairs are missing or differ. */
  async countLost(): Promise<number> {
    const stored = new Map<number, string>();
    for (const [shard, leader] of this.#leaders) {
      const answer = await leader.request({ type: 'dump', shard });
      if (answer.pairs === undefined) throw new Error(`the leader of shard ${shard} did not answer a read`);
      for (const [key, value] of answer.pairs) stored.set(key, value);
    }
    let lost = 0;
    for (const [key, value] of this.acknowledged) {
      if (stored.get(key) !== value) lost++;
    }
    return lost;
  }

  /** kill -9 of all, and waits until they are gone. */
  async kill(): Promise<void> {
    this.#disconnect();
    const running = this.#processes.filter((child) => child.exitCode === null && child.signalCode === null);
    this.#processes = [];
    await Promise.all(
      running.map((child) => {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        return gone;
      }),
    );
  }

  #disconnect(): void {
    for (const client of this.#clients) client.close();
    this.#clients = [];
    this.#leaders = new Map();
  }

  #spawn(directory: string, node: number): ChildProcess {
    const settings = {
      node,
      directory: `${directory}/data`,
      peerPorts: this.#peerPorts,
      clientPort: this.#clientPorts[node - 1],
      withoutSync: this.#withoutSync,
    };
    const args = ['--import', 'tsx', '--conditions=seriatim-source', program, JSON.stringify(settings)];
    // Its input ends with this process: then the node ends as well, and holds no disk.
    return spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit'] });
  }

  async #findLeaders(): Promise<boolean> {
    this.#disconnect();
    for (const port of this.#clientPorts) {
      let client: LineClient;
      try {
        client = await LineClient.connect(port);
      } catch {
        continue;
      }
      this.#clients.push(client);
      const answer = await client.request({ type: 'status' });
      for (const shard of answer.leads ?? []) this.#leaders.set(shard, client);
    }
    return this.#leaders.size === toyShards;
  }
}
