import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pause } from '../../scripts/lib/node-process.mjs';
import { freePorts } from '../support/free-ports.ts';
import { LineClient } from './line-client.ts';

const program = fileURLToPath(new URL('./toy-node.ts', import.meta.url));
/** Puts that wait for an answer at a time. */
const inFlight = 64;

/** Three toy nodes and what was acknowledged by them over all their lives. */
export class ToyCluster {
  readonly acknowledged = new Map<number, string>();
  readonly #directories: readonly string[];
  readonly #withoutSync: boolean;
  readonly #peerPorts: readonly number[];
  readonly #clientPorts: readonly number[];
  #processes: ChildProcess[] = [];
  #leader: LineClient | undefined;
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

  /** Starts all nodes and waits for a leader that has applied an entry of its own term. */
  async start(): Promise<void> {
    this.#processes = this.#directories.map((directory, index) => this.#spawn(directory, index + 1));
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      const dead = this.#processes.filter((process) => process.exitCode !== null);
      if (dead.length > 1) throw new Error(`${dead.length} nodes ended at their start`);
      const leader = await this.#findLeader();
      if (leader !== undefined) {
        this.#leader = leader;
        return;
      }
      await pause(50);
    }
    throw new Error('no leader within 30 s');
  }

  /** Puts as fast as `inFlight` allows; after `milliseconds` calls `cut` while puts are on their way. */
  async writeFor(milliseconds: number, cut: () => void): Promise<void> {
    const client = this.#leader;
    if (client === undefined) throw new Error('not started');
    let failed = false;
    const lane = async (): Promise<void> => {
      while (!failed) {
        const key = this.#nextKey++;
        const value = `${key}:${'x'.repeat(key % 200)}`;
        const answer = await client.request({ type: 'put', key, value });
        if (answer.ok) this.acknowledged.set(key, value);
        else failed = true;
      }
    };
    const lanes = Array.from({ length: inFlight }, lane);
    await pause(milliseconds);
    cut();
    await pause(50);
    failed = true;
    client.close();
    await Promise.all(lanes);
  }

  /** Reads everything back through the leader; how many acknowledged pairs are missing or differ. */
  async countLost(): Promise<number> {
    const answer = await this.#leader?.request({ type: 'dump' });
    if (answer?.pairs === undefined) throw new Error('the leader did not answer a read');
    const stored = new Map(answer.pairs);
    let lost = 0;
    for (const [key, value] of this.acknowledged) {
      if (stored.get(key) !== value) lost++;
    }
    return lost;
  }

  /** kill -9 of all, and waits until they are gone. */
  async kill(): Promise<void> {
    this.#leader?.close();
    this.#leader = undefined;
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

  #spawn(directory: string, node: number): ChildProcess {
    const settings = {
      node,
      directory: `${directory}/data`,
      peerPorts: this.#peerPorts,
      clientPort: this.#clientPorts[node - 1],
      withoutSync: this.#withoutSync,
    };
    const args = ['--import', 'tsx', '--conditions=seriatim-source', program, JSON.stringify(settings)];
    return spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  async #findLeader(): Promise<LineClient | undefined> {
    for (const port of this.#clientPorts) {
      let client: LineClient;
      try {
        client = await LineClient.connect(port);
      } catch {
        continue;
      }
      const answer = await client.request({ type: 'status' });
      if (answer.leads === true) return client;
      client.close();
    }
    return undefined;
  }
}
