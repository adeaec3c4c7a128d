import { pause } from '../../scripts/lib/node-process.mjs';
import type { ConsumerFleet } from '../support/consumer-fleet.ts';
import type { ProcessCluster } from '../support/process-cluster.ts';

/** What may be done to a cluster and its consumers, with how often relative to each other. */
const faults = [
  { name: 'kill a partition leader', weight: 5, run: killPartitionLeader },
  { name: 'kill the meta leader', weight: 3, run: killMetaLeader },
  { name: 'freeze a node', weight: 2, run: freezeNode },
  { name: 'restart a node in order', weight: 1, run: restartNode },
  { name: 'kill two nodes', weight: 1, run: killTwo },
  { name: 'kill all nodes', weight: 1, run: killAll },
  { name: 'kill a consumer', weight: 2, run: killConsumer },
  { name: 'freeze a consumer', weight: 2, run: freezeConsumer },
] as const;

/** Of the consumers' subscription. */
export const HOLD_MILLISECONDS = 3_000;

export interface FaultContext {
  readonly cluster: ProcessCluster;
  readonly topic: string;
  readonly partitions: number;
  readonly consumers: ConsumerFleet;
  readonly random: () => number;
}

export type FaultName = (typeof faults)[number]['name'];

/** Every fault once, in the order of the list, then at random by weight. */
export function* faultSequence(random: () => number): Generator<FaultName, never> {
  for (const fault of faults) yield fault.name;
  const total = faults.reduce((sum, fault) => sum + fault.weight, 0);
  for (;;) {
    let left = random() * total;
    for (const fault of faults) {
      left -= fault.weight;
      if (left < 0) {
        yield fault.name;
        break;
      }
    }
  }
}

/** Does it, and brings back what it took away. Does not wait until the cluster is whole. */
export async function inflict(name: FaultName, context: FaultContext): Promise<void> {
  await faults.find((fault) => fault.name === name)?.run(context);
}

const between = (random: () => number, low: number, high: number): number => low + random() * (high - low);

async function killPartitionLeader({ cluster, topic, partitions, random }: FaultContext): Promise<void> {
  const node = await cluster.leaderOf(topic, Math.floor(random() * partitions));
  await cluster.kill(node);
  await pause(between(random, 300, 3_000));
  cluster.launch(node);
}

async function killMetaLeader({ cluster, random }: FaultContext): Promise<void> {
  const node = await cluster.metaLeader();
  await cluster.kill(node);
  await pause(between(random, 300, 3_000));
  cluster.launch(node);
}

async function freezeNode({ cluster, random }: FaultContext): Promise<void> {
  const node = cluster.node(1 + Math.floor(random() * cluster.nodes.length));
  node.signal('SIGSTOP');
  await pause(between(random, 300, 4_000));
  node.signal('SIGCONT');
}

async function restartNode({ cluster, random }: FaultContext): Promise<void> {
  const node = cluster.node(1 + Math.floor(random() * cluster.nodes.length));
  if (!(await cluster.stop(node))) {
    cluster.unexpectedEnds.push(`node ${node.id} did not stop in order:\n${node.logTail()}`);
  }
  cluster.launch(node);
}

async function killTwo({ cluster, random }: FaultContext): Promise<void> {
  const spared = 1 + Math.floor(random() * cluster.nodes.length);
  const victims = cluster.nodes.filter((node) => node.id !== spared);
  await Promise.all(victims.map((node) => cluster.kill(node)));
  await pause(between(random, 200, 1_500));
  for (const node of victims) cluster.launch(node);
}

async function killAll({ cluster }: FaultContext): Promise<void> {
  await cluster.killAll();
  for (const node of cluster.nodes) cluster.launch(node);
}

async function killConsumer({ consumers, random }: FaultContext): Promise<void> {
  await consumers.kill(oneOf(consumers.names, random));
  consumers.start();
}

/** For less and for more than a hold. */
async function freezeConsumer({ consumers, random }: FaultContext): Promise<void> {
  const name = oneOf(consumers.names, random);
  consumers.signal(name, 'SIGSTOP');
  await pause(between(random, 500, 2 * HOLD_MILLISECONDS));
  consumers.signal(name, 'SIGCONT');
}

function oneOf(names: readonly string[], random: () => number): string {
  const name = names[Math.floor(random() * names.length)];
  if (name === undefined) throw new Error('no consumer is there');
  return name;
}
