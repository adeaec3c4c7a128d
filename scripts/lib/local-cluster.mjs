/** Three nodes on this machine, as `npm start` runs them and tests do on other ports. */
import { join } from 'node:path';
import { NodeProcess, portIsFree } from './node-process.mjs';

/** The documented ports: node N listens at the base plus N. */
const basePorts = { client: 7100, peer: 7200, http: 7300 };

/**
 * @typedef {{ readonly client: number, readonly peer: number, readonly http: number, readonly advertised?: number }} NodePorts
 *   `advertised`: where clients are told to connect, when that is not `client`
 */

/**
 * @param {number} count
 * @returns {NodePorts[]} the documented ports of nodes 1 to `count`
 */
export const documentedPorts = (count) =>
  Array.from({ length: count }, (_, index) => ({
    client: basePorts.client + index + 1,
    peer: basePorts.peer + index + 1,
    http: basePorts.http + index + 1,
  }));

/** @param {number} port */
const local = (port) => `127.0.0.1:${port}`;

/**
 * The nodes of a cluster on loopback, not started.
 * @param {string} directory each node's data goes to `node-N` in it
 * @param {readonly NodePorts[]} ports one entry a node
 * @param {Readonly<Record<string, unknown>>} [settings] further settings, the same for all nodes
 * @returns {NodeProcess[]}
 */
export function localNodes(directory, ports, settings = {}) {
  const peers = ports.map((port, index) => ({ id: index + 1, address: local(port.peer) }));
  return ports.map((port, index) => {
    const id = index + 1;
    const data = join(directory, `node-${id}`);
    return new NodeProcess(id, data, {
      nodeId: id,
      dataDirectory: data,
      listen: { client: local(port.client), peer: local(port.peer), http: local(port.http) },
      ...(port.advertised === undefined ? {} : { advertise: { client: local(port.advertised) } }),
      peers,
      ...settings,
    });
  });
}

/**
 * @param {readonly NodePorts[]} ports
 * @returns {string[]} addresses for clients
 */
export const clientEndpoints = (ports) => ports.map((port) => local(port.client));

/**
 * Finds out what would keep nodes from listening.
 * @param {readonly NodePorts[]} ports
 * @returns {Promise<number[]>} ports that are taken
 */
export async function takenPorts(ports) {
  const wanted = ports.flatMap((port) => [port.client, port.peer, port.http]);
  const free = await Promise.all(wanted.map(portIsFree));
  return wanted.filter((_, index) => free[index] !== true);
}
