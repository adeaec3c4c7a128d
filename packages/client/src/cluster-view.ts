import type { DescribeClusterResponse } from '@seriatim/protocol';

interface KnownLeader {
  readonly address: string;
  readonly term: number;
}

/** What this client believes about the cluster: nodes, and who leads which partition. Wrong beliefs cost a hop, never correctness. */
export class ClusterView {
  readonly #bootstrap: readonly string[];
  readonly #addresses = new Map<number, string>();
  readonly #leaders = new Map<string, Map<number, KnownLeader>>();
  readonly #partitions = new Map<string, number>();
  #candidates: readonly string[];

  /** `bootstrap`: addresses (host:port) to begin with, at least one. */
  constructor(bootstrap: readonly string[]) {
    this.#bootstrap = [...new Set(bootstrap)];
    this.#candidates = this.#bootstrap;
  }

  /** Every address worth trying: those that the nodes advertise first, then the bootstrap ones. */
  get candidates(): readonly string[] {
    return this.#candidates;
  }

  /** Takes a node's description of the cluster. A partition's leader is replaced only by one of the same or a later term. */
  learn(description: DescribeClusterResponse): void {
    for (const node of description.nodes) {
      if (node.address !== '') this.#addresses.set(node.id, node.address);
    }
    this.#candidates = [...new Set([...this.#addresses.values(), ...this.#bootstrap])];
    for (const { topic, partition, leader, term } of description.partitions) {
      if (partition >= this.partitions(topic)) this.#partitions.set(topic, partition + 1);
      const known = this.#leaders.get(topic)?.get(partition);
      if (known !== undefined && known.term > term) continue;
      const address = this.#addresses.get(leader);
      if (address !== undefined) this.#set(topic, partition, { address, term });
      else if (leader === 0) this.#leaders.get(topic)?.delete(partition);
    }
  }

  /** How many partitions the topic has, as far as is known: none is ever removed. */
  partitions(topic: string): number {
    return this.#partitions.get(topic) ?? 0;
  }

  /** Address of the partition's leader; undefined: not known. */
  leader(topic: string, partition: number): string | undefined {
    return this.#leaders.get(topic)?.get(partition)?.address;
  }

  /** An answer named the leader. */
  learnLeader(topic: string, partition: number, leader: number | string): void {
    const address = typeof leader === 'string' ? leader : this.#addresses.get(leader);
    if (address === undefined || address === '') return;
    const known = this.#leaders.get(topic)?.get(partition);
    if (known?.address !== address) this.#set(topic, partition, { address, term: known?.term ?? 0 });
  }

  /** The believed leader refused or failed. */
  forgetLeader(topic: string, partition: number, address: string): void {
    const partitions = this.#leaders.get(topic);
    if (partitions?.get(partition)?.address === address) partitions.delete(partition);
  }

  /** The advertised address of a node, where known. */
  address(node: number): string | undefined {
    return this.#addresses.get(node);
  }

  #set(topic: string, partition: number, leader: KnownLeader): void {
    let partitions = this.#leaders.get(topic);
    if (partitions === undefined) {
      partitions = new Map();
      this.#leaders.set(topic, partitions);
    }
    partitions.set(partition, leader);
  }
}
