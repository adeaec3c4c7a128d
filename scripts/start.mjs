/**
 * `npm start`: three nodes on this machine. Installs and builds what is missing, starts the nodes on their data, waits until
 * every shard has a leader, runs a demonstration, and stays until Ctrl-C.
 */
import { once } from 'node:events';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { clientEndpoints, documentedPorts, localNodes, takenPorts } from './lib/local-cluster.mjs';
import { prepare, root } from './lib/prepare.mjs';

const usage = `npm start -- [--once] [--no-demo] [--data DIR]
  --once      end after the demonstration; exit 0 only if all of it held
  --no-demo   leave the demonstration out
  --data DIR  keep the nodes' data here instead of in .seriatim`;

/** @typedef {import('./lib/node-process.mjs').NodeProcess} NodeProcess */

/** @returns {{ once: boolean, demo: boolean, data: string }} */
function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: 'boolean', default: false },
        'no-demo': { type: 'boolean', default: false },
        data: { type: 'string', default: resolve(root, '.seriatim') },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    // npm runs scripts in the clone; a relative path means the directory the person is in.
    const from = process.env['INIT_CWD'] ?? process.cwd();
    return { once: values.once, demo: !values['no-demo'], data: resolve(from, values.data) };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    process.exit(2);
  }
}

/**
 * Stops all nodes at once, each in its own order.
 * @param {readonly NodeProcess[]} nodes
 * @returns {Promise<boolean>} true when all that ran ended by themselves
 */
async function stopAll(nodes) {
  const running = nodes.filter((node) => node.running);
  const results = await Promise.all(running.map((node) => node.stop()));
  return results.every((ok) => ok);
}

/**
 * Starts the nodes and waits until every shard has a leader; says why when that fails.
 * @param {readonly NodeProcess[]} nodes
 * @param {import('@seriatim/client').Cluster} cluster
 * @param {AbortSignal} stopping
 */
async function startAll(nodes, cluster, stopping) {
  const { everyShardLed } = await import('./lib/cluster-status.mjs');
  for (const node of nodes) {
    node.start();
    void node.ended.then(() => {
      if (!stopping.aborted) console.log(`Node ${node.id} has ended; its log: ${node.logFile}`);
    });
  }
  const giveUp = () => {
    if (stopping.aborted) return 'stopped before the cluster was ready';
    return nodes.every((node) => node.running) ? undefined : 'a node ended while it started';
  };
  try {
    const { nodes: found, meta, partitions } = await everyShardLed(cluster, nodes.length, { giveUp });
    const shards = `meta led by node ${meta?.leader}, ${partitions.length} partitions led`;
    console.log(`Ready: ${found.length} nodes, ${shards}.`);
  } catch (error) {
    if (!stopping.aborted) {
      for (const node of nodes) console.error(`--- ${node.logFile}\n${node.logTail()}`);
    }
    throw error;
  }
}

/**
 * Aborts when a person or the system asks to stop; the stop itself is bounded, a second request changes nothing.
 * @returns {AbortController}
 */
function stopRequests() {
  const controller = new AbortController();
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => controller.abort());
  }
  return controller;
}

/**
 * @param {{ once: boolean, demo: boolean, data: string }} options
 * @returns {Promise<boolean>} whether all held
 */
async function main(options) {
  const ports = documentedPorts(3);
  const taken = await takenPorts(ports);
  if (taken.length > 0) {
    console.error(`Port ${taken.join(', ')} of 127.0.0.1 is in use: is another npm start running?`);
    return false;
  }
  const { Cluster } = await import('@seriatim/client');
  const nodes = localNodes(options.data, ports);
  const endpoints = clientEndpoints(ports);
  const cluster = new Cluster({ endpoints });
  const stop = stopRequests();
  const stopping = stop.signal;
  let held = true;
  try {
    console.log(`Starting three nodes, data in ${options.data} ...`);
    await startAll(nodes, cluster, stopping);
    if (options.demo) {
      const { demonstrate } = await import('./lib/demonstration.mjs');
      held = await demonstrate(cluster);
    }
    if (!options.once && !stopping.aborted) {
      console.log(`\nClients: ${endpoints.join(',')}   metrics: http://127.0.0.1:${ports[0]?.http}/metrics`);
      console.log('Running. Ctrl-C stops all nodes.');
      await once(stopping, 'abort');
    }
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    held = false;
  } finally {
    stop.abort();
    cluster.close();
    console.log('Stopping the nodes ...');
    const clean = await stopAll(nodes);
    console.log(clean ? 'Stopped.' : 'A node had to be killed or ended with an error; see its log.');
    held &&= clean;
  }
  return held;
}

const options = readOptions();
prepare();
process.exitCode = (await main(options)) ? 0 : 1;
