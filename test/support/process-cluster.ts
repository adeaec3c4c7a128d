import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Admin, Cluster } from '@seriatim/client';
import { everyShardLed } from '../../scripts/lib/cluster-status.mjs';
import { clientEndpoints, localNodes, type NodePorts } from '../../scripts/lib/local-cluster.mjs';
import type { NodeProcess } from '../../scripts/lib/node-process.mjs';
import { freePorts } from './free-ports.ts';

/** What differs from three nodes with default settings. */
export interface ProcessClusterOptions {
  readonly nodes?: number;
  /** Clients are told to connect to these ports, one a node, instead of where the nodes listen. */
  readonly advertised?: readonly number[];
  /** Told where the nodes will listen for clients, before they start. */
  readonly ports?: (client: readonly number[]) => void;
  /** Goes into every node's node.json. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/**
 * Real nodes as child processes on free ports, with data in a temporary directory. It knows which ends of processes were
 * asked for, so that one which was not is found.
 */
export class ProcessCluster {
  readonly directory: string;
  readonly ports: readonly NodePorts[];
  readonly nodes: readonly NodeProcess[];
  readonly endpoints: readonly string[];
  /** A connection for the test's own questions. */
  readonly cluster: Cluster;
  readonly admin: Admin;
  /** Nodes that ended without being asked to, with the end of their log. */
  readonly unexpectedEnds: string[] = [];
  readonly #askedToEnd = new Set<NodeProcess>();

  private constructor(directory: string, ports: readonly NodePorts[], options: ProcessClusterOptions) {
    this.directory = directory;
    this.ports = ports;
    this.nodes = localNodes(directory, ports, { logLevel: 'info', ...options.settings });
    this.endpoints = clientEndpoints(ports);
    this.cluster = new Cluster({ endpoints: this.endpoints });
    this.admin = new Admin({ cluster: this.cluster });
  }

  /** Starts a cluster and waits until every shard has a leader. */
  static async start(options: ProcessClusterOptions = {}): Promise<ProcessCluster> {
    const count = options.nodes ?? 3;
    const numbers = await freePorts(count * 3);
    const ports = Array.from({ length: count }, (_, node) => ({
      client: numbers[node * 3] ?? 0,
      peer: numbers[node * 3 + 1] ?? 0,
      http: numbers[node * 3 + 2] ?? 0,
      ...(options.advertised === undefined ? {} : { advertised: options.advertised[node] ?? 0 }),
    }));
    options.ports?.(ports.map(({ client }) => client));
    const directory = mkdtempSync(join(tmpdir(), 'seriatim-cluster-'));
    const cluster = new ProcessCluster(directory, ports, options);
    try {
      await cluster.startAll();
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
    return cluster;
  }

  /** The node with this id. */
  node(id: number): NodeProcess {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new RangeError(`node ${id} of ${this.nodes.length}`);
    return node;
  }

  /** Starts the nodes that do not run and waits until every shard has a leader. */
  async startAll(): Promise<void> {
    for (const node of this.nodes) if (!node.running) this.launch(node);
    await this.ready();
  }

  /** Starts one node's process without waiting until it serves. */
  launch(node: NodeProcess): void {
    this.#askedToEnd.delete(node);
    node.start();
    void node.ended.then(() => {
      if (this.#askedToEnd.has(node)) return;
      this.unexpectedEnds.push(`node ${node.id} ended by itself:\n${node.logTail()}`);
    });
  }

  /** Waits until all nodes are there and every shard has a leader. */
  async ready(milliseconds?: number): Promise<void> {
    const giveUp = (): string | undefined => this.unexpectedEnds[0];
    await everyShardLed(this.cluster, this.nodes.length, {
      giveUp,
      ...(milliseconds === undefined ? {} : { milliseconds }),
    });
  }

  /** kill -9 of one node. */
  async kill(node: NodeProcess): Promise<void> {
    this.#askedToEnd.add(node);
    await node.kill();
  }

  /** kill -9 of all nodes at once. */
  async killAll(): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.kill(node)));
  }

  /** SIGTERM to a node; true when it ended by itself in time with exit code 0. */
  stop(node: NodeProcess): Promise<boolean> {
    this.#askedToEnd.add(node);
    return node.stop();
  }

  /** The node that leads the partition now. */
  async leaderOf(topic: string, partition: number): Promise<NodeProcess> {
    const { partitions } = await this.admin.describeTopic(topic);
    const leader = partitions.find((one) => one.partition === partition)?.leader ?? 0;
    if (leader === 0) throw new Error(`${topic}/${partition} has no leader`);
    return this.node(leader);
  }

  /** The node that leads the meta shard now. */
  async metaLeader(): Promise<NodeProcess> {
    const { meta } = await this.admin.describeCluster();
    if (meta === null || meta.leader === 0) throw new Error('the meta shard has no leader');
    return this.node(meta.leader);
  }

  /** Asks a node's HTTP port. */
  http(node: NodeProcess, path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.ports[node.id - 1]?.http}${path}`);
  }

  /** Kills what runs and removes the data. */
  async destroy(): Promise<void> {
    this.cluster.close();
    await this.killAll();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
