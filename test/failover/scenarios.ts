/** What befalls a producer, one function a scenario. Each gives its figures and what was wrong. */
import { Cluster, OrderedProducer } from '@seriatim/client';
import { seededRandom } from '../support/change-history.ts';
import { ProcessCluster } from '../support/process-cluster.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { check, groupNames, Load, pause } from './load.ts';

/** What came of a scenario. */
export interface Outcome {
  readonly figures: Readonly<Record<string, number>>;
  readonly wrong: readonly string[];
}

const TOPIC = 'failover';

interface Stage {
  readonly cluster: ProcessCluster;
  readonly producer: OrderedProducer;
  readonly proxies: readonly TcpProxy[];
}

/** A cluster, optionally behind a proxy a node, and a producer of its own connection. */
async function onStage(
  options: {
    readonly nodes: number;
    readonly partitions: number;
    readonly replicas: number;
    readonly proxied: boolean;
  },
  play: (stage: Stage) => Promise<Outcome>,
): Promise<Outcome> {
  const { nodes, partitions, replicas, proxied } = options;
  const targets: number[] = [];
  const proxies = proxied
    ? await Promise.all(Array.from({ length: nodes }, (_, node) => TcpProxy.open(() => targets[node] ?? 1)))
    : [];
  const advertised = proxied ? { advertised: proxies.map(({ port }) => port) } : {};
  // The proxies' targets are free ports until the nodes listen there.
  const starting = ProcessCluster.start({ nodes, ...advertised, ports: (ports) => targets.push(...ports) });
  let cluster: ProcessCluster | undefined;
  let own: Cluster | undefined;
  try {
    cluster = await starting;
    await cluster.admin.createTopic({ name: TOPIC, partitions, replicas });
    const endpoints = proxied ? proxies.map(({ port }) => `127.0.0.1:${port}`) : cluster.endpoints;
    own = new Cluster({ endpoints });
    const producer = new OrderedProducer({ cluster: own });
    const outcome = await play({ cluster, producer, proxies });
    await producer.close();
    const wrong = [...outcome.wrong, ...cluster.unexpectedEnds];
    // What the nodes said of it goes with what went wrong.
    const logs = wrong.length === 0 ? [] : cluster.nodes.map((node) => `node ${node.id}:\n${node.logTail()}`);
    return { ...outcome, wrong: [...wrong, ...logs] };
  } finally {
    own?.close();
    for (const proxy of proxies) proxy.close();
    await cluster?.destroy();
  }
}

/** One partition has no leader: producers to the others keep their rate. */
export function leaderless(seconds: number): Promise<Outcome> {
  return onStage({ nodes: 4, partitions: 4, replicas: 1, proxied: false }, async ({ cluster, producer }) => {
    const load = new Load(producer, TOPIC, groupNames(10_000), 4);
    await pause(4_000);
    const before = performance.now();
    await pause(seconds * 1_000);
    const { partitions } = await cluster.admin.describeTopic(TOPIC);
    const meta = await cluster.metaLeader();
    const dead = partitions.find(({ leader }) => leader !== meta.id)?.partition ?? 0;
    const others = partitions.map(({ partition }) => partition).filter((partition) => partition !== dead);
    const stopped = performance.now();
    const node = await cluster.leaderOf(TOPIC, dead);
    await cluster.kill(node);
    await pause(1_000);
    const after = performance.now();
    await pause(seconds * 1_000);
    const until = performance.now();
    cluster.launch(node);
    await load.stop();
    const rate = load.count(others, before, stopped) / (stopped - before);
    const later = load.count(others, after, until) / (until - after);
    const figures = {
      messagesPerSecondBefore: Math.round(rate * 1_000),
      messagesPerSecondWithout: Math.round(later * 1_000),
      ratio: Number((later / rate).toFixed(2)),
      failed: load.failures.length,
    };
    await cluster.ready();
    return { figures, wrong: [...load.failures, ...(await check(cluster, TOPIC, [load]))] };
  });
}

/** Only this client cannot reach the node that leads: it goes through another one. */
export function cutOff(): Promise<Outcome> {
  return onStage({ nodes: 3, partitions: 3, replicas: 3, proxied: true }, async (stage) => {
    const { cluster, producer, proxies } = stage;
    const load = new Load(producer, TOPIC, groupNames(60));
    await pause(2_000);
    const leader = await cluster.leaderOf(TOPIC, 0);
    const proxy = proxies[leader.id - 1];
    const cutAt = performance.now();
    if (proxy !== undefined) proxy.mode = 'silent';
    await pause(5_000);
    const gap = load.gap(0, cutAt + 1);
    const moved = (await cluster.leaderOf(TOPIC, 0)).id === leader.id ? 0 : 1;
    if (proxy !== undefined) proxy.mode = 'open';
    proxy?.reset();
    await pause(500);
    await load.stop();
    const wrong = [...load.failures, ...(await check(cluster, TOPIC, [load]))];
    return {
      figures: { gapMilliseconds: Math.round(gap), leaderMoved: moved, acknowledged: load.acknowledged },
      wrong,
    };
  });
}

/** The leader's process is stopped and goes on later. */
export function frozen(): Promise<Outcome> {
  return onStage({ nodes: 3, partitions: 3, replicas: 3, proxied: false }, async ({ cluster, producer }) => {
    const load = new Load(producer, TOPIC, groupNames(60));
    await pause(2_000);
    const leader = await cluster.leaderOf(TOPIC, 0);
    const stoppedAt = performance.now();
    leader.signal('SIGSTOP');
    await pause(6_000);
    leader.signal('SIGCONT');
    const gap = load.gap(0, stoppedAt + 1);
    await pause(2_000);
    await load.stop();
    const wrong = [...load.failures, ...(await check(cluster, TOPIC, [load]))];
    return { figures: { gapMilliseconds: Math.round(gap), acknowledged: load.acknowledged }, wrong };
  });
}

/** A leader is killed every five seconds and started again. */
export function killed(seconds: number): Promise<Outcome> {
  return onStage({ nodes: 3, partitions: 8, replicas: 3, proxied: false }, async ({ cluster, producer }) => {
    const load = new Load(producer, TOPIC, groupNames(1_000));
    const end = performance.now() + seconds * 1_000;
    let kills = 0;
    let worst = 0;
    await pause(2_000);
    while (performance.now() < end) {
      const partition = kills % 8;
      const leader = await cluster.leaderOf(TOPIC, partition);
      const at = performance.now();
      await cluster.kill(leader);
      kills++;
      await pause(2_500);
      worst = Math.max(worst, load.gap(partition, at + 1));
      cluster.launch(leader);
      await cluster.ready();
      await pause(Math.max(0, at + 5_000 - performance.now()));
    }
    await load.stop();
    const wrong = [...load.failures, ...(await check(cluster, TOPIC, [load]))];
    return {
      figures: {
        kills,
        worstGapMilliseconds: Math.round(worst),
        acknowledged: load.acknowledged,
        failed: load.failures.length,
      },
      wrong,
    };
  });
}

/** Requests arrive and their answers do not, while leaders are handed on, killed and started again: each message is there once. */
export function lostAnswers(rounds: number, seed: number): Promise<Outcome> {
  return onStage({ nodes: 3, partitions: 4, replicas: 3, proxied: true }, async (stage) => {
    const { cluster, producer, proxies } = stage;
    const random = seededRandom(seed);
    const load = new Load(producer, TOPIC, groupNames(40), 3);
    let restarts = 0;
    for (let round = 0; round < rounds; round++) {
      for (const proxy of proxies) proxy.mode = random() < 0.7 ? 'swallowing answers' : 'open';
      await pause(10 + random() * 60);
      for (const proxy of proxies) {
        proxy.mode = 'open';
        proxy.reset();
      }
      if (round % 20 === 10) {
        const node = await cluster.leaderOf(TOPIC, round % 4);
        await cluster.kill(node);
        await pause(random() * 1_000);
        cluster.launch(node);
        restarts++;
      }
      await pause(30 + random() * 100);
    }
    await cluster.ready();
    await load.stop();
    const wrong = [...load.failures, ...(await check(cluster, TOPIC, [load]))];
    const receipts = [...load.receipts.values()].flat();
    const duplicates = receipts.filter(({ duplicate }) => duplicate).length;
    return {
      figures: { rounds, restarts, acknowledged: receipts.length, repeatedAndRecognised: duplicates },
      wrong,
    };
  });
}
