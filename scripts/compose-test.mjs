/**
 * `npm run test:compose`: builds the image, brings the three nodes of docker-compose.yml up, produces and reads through the
 * published ports, kills a node under load, starts it again, and checks. Starts a Docker engine of its own where none runs
 * (root on Debian), and leaves nothing behind.
 */
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { dockerEngine, needPrograms, nodeImage } from './lib/docker-engine.mjs';
import { buildImage } from './lib/image.mjs';
import { clientEndpoints, documentedPorts, takenPorts } from './lib/local-cluster.mjs';
import { pause, until } from './lib/node-process.mjs';
import { prepare, root } from './lib/prepare.mjs';

const execute = promisify(execFile);
const project = 'seriatim-compose-test';
const topic = 'compose-orders';

/** @typedef {import('@seriatim/client').Cluster} Cluster */
/** @typedef {(...args: string[]) => Promise<string>} Compose runs a compose command and gives what it printed */

/**
 * docker-compose (1.29) or docker compose (2), whichever is there.
 * @param {NodeJS.ProcessEnv} env
 * @returns {Compose}
 */
function composeCommand(env) {
  const plugin = spawnSync('docker', ['compose', 'version'], { env, stdio: 'ignore' }).status === 0;
  if (!plugin) needPrograms({ 'docker-compose': 'docker-compose' });
  const [program, ...first] = plugin ? ['docker', 'compose'] : ['docker-compose'];
  const options = { cwd: root, env };
  return async (...args) => {
    const { stdout } = await execute(program ?? '', [...first, '-p', project, ...args], options);
    return stdout;
  };
}

/**
 * @param {Compose} compose
 * @param {NodeJS.ProcessEnv} env
 * @param {string} service
 */
async function health(compose, env, service) {
  const container = (await compose('ps', '-q', service)).trim();
  const { stdout } = await execute('docker', ['inspect', '--format', '{{.State.Health.Status}}', container], {
    env,
  });
  return stdout.trim();
}

/**
 * @param {Compose} compose
 * @param {NodeJS.ProcessEnv} env
 */
async function allHealthy(compose, env) {
  await until('the health of all three containers', 60_000, async () => {
    const states = await Promise.all([1, 2, 3].map((node) => health(compose, env, `seriatim-${node}`)));
    if (states.every((state) => state === 'healthy')) return true;
    throw new Error(states.join(', '));
  });
}

/**
 * Produces while the node that leads partition 0 is killed, starts it again, reads everything back.
 * @param {Cluster} cluster
 * @param {Compose} compose
 * @returns {Promise<string[]>} what is wrong
 */
async function killUnderLoad(cluster, compose) {
  const { Admin } = await import('@seriatim/client');
  const { orderEvents, problems, produceEvents, readBack } = await import('./lib/order-events.mjs');
  const { everyShardLed } = await import('./lib/cluster-status.mjs');
  const admin = new Admin({ cluster });
  await admin.createTopic({ name: topic, partitions: 8, replicas: 3 });
  const calm = orderEvents('calm', { users: 100, orders: 4 });
  const first = await produceEvents(cluster, topic, calm);
  const { partitions } = await admin.describeTopic(topic);
  const victim = `seriatim-${partitions[0]?.leader}`;
  const storm = orderEvents('storm', { users: 200, orders: 100 });
  const producing = produceEvents(cluster, topic, storm);
  console.log(`Killing ${victim}, the leader of partition 0 ...`);
  await compose('kill', '-s', 'KILL', victim);
  let before = true;
  void producing.then(() => {
    before = false;
  });
  await pause(0);
  const underLoad = before;
  const second = await producing;
  console.log(`Produced ${storm.length} messages through it in ${second.seconds.toFixed(1)} s.`);
  await compose('start', victim);
  await everyShardLed(cluster, 3);
  const wrong = [
    ...(underLoad ? [] : ['all was produced before the node was killed']),
    ...problems(await readBack(cluster, topic, 'calm', calm), first.failures),
    ...problems(await readBack(cluster, topic, 'storm', storm), second.failures),
  ];
  await until('the return of the killed node', 30_000, async () => {
    const { partitions: now } = await admin.describeTopic(topic);
    return now.every((partition) => partition.replicaStates.every((replica) => replica.behind === 0));
  });
  return wrong;
}

/** @returns {Promise<boolean>} */
async function test() {
  const ports = documentedPorts(3);
  const taken = await takenPorts(ports.map((port) => ({ ...port, peer: 0 })));
  if (taken.length > 0) throw new Error(`port ${taken.join(', ')} of 127.0.0.1 is in use`);
  const engine = await dockerEngine();
  /** @type {Compose | undefined} */
  let compose;
  try {
    buildImage(nodeImage(engine.env), engine.env);
    compose = composeCommand(engine.env);
    await compose('up', '-d');
    await allHealthy(compose, engine.env);
    console.log('Three containers are healthy.');
    const { Cluster } = await import('@seriatim/client');
    const cluster = new Cluster({ endpoints: clientEndpoints(ports) });
    const wrong = await killUnderLoad(cluster, compose);
    cluster.close();
    await allHealthy(compose, engine.env);
    for (const problem of wrong) console.error(problem);
    return wrong.length === 0;
  } catch (error) {
    if (compose !== undefined) console.error(await compose('logs', '--tail', '20'));
    throw error;
  } finally {
    await compose?.('down', '--volumes', '--timeout', '15');
    await engine.stop();
  }
}

prepare();
try {
  const held = await test();
  console.log(held ? 'Held: nothing missing, nothing twice, every user in order.' : 'DID NOT HOLD.');
  process.exitCode = held ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
