/** Waiting until a cluster is whole. */
import { Admin } from '@seriatim/client';
import { until } from './node-process.mjs';

/** A cold start forms the cluster and elects; the slowest machines get this long. */
const startMilliseconds = 60_000;

/** @typedef {Awaited<ReturnType<Admin['describeCluster']>>} ClusterDescription */

/**
 * What a cluster still lacks, in words; empty when every node lives and every shard is led.
 * @param {ClusterDescription} description
 * @param {number} count how many nodes there should be
 */
export function whatIsMissing({ nodes, meta, partitions }, count) {
  const alive = nodes.filter((node) => node.alive).length;
  if (alive < count) return `${alive} of ${count} nodes are there`;
  if (meta === null || meta.leader === 0) return 'the meta shard has no leader';
  const without = partitions.filter((partition) => partition.leader === 0);
  const [first] = without;
  if (first === undefined) return '';
  return `${without.length} of ${partitions.length} partitions have no leader, ${first.topic}/${first.partition} for one`;
}

/**
 * Waits until every node is there and every shard has a leader.
 * @param {import('@seriatim/client').Cluster} cluster
 * @param {number} nodes how many there should be
 * @param {{ readonly milliseconds?: number, readonly giveUp?: () => string | undefined }} [options] `giveUp` says why to wait no longer
 * @returns {Promise<ClusterDescription>}
 */
export async function everyShardLed(cluster, nodes, options = {}) {
  const admin = new Admin({ cluster });
  /** @type {ClusterDescription | undefined} */
  let description;
  await until('a leader for every shard', options.milliseconds ?? startMilliseconds, async () => {
    const reason = options.giveUp?.();
    if (reason !== undefined) return true;
    description = await admin.describeCluster({ timeoutMilliseconds: 2_000 });
    const missing = whatIsMissing(description, nodes);
    if (missing !== '') throw new Error(missing);
    return true;
  });
  const reason = options.giveUp?.();
  if (reason !== undefined) throw new Error(reason);
  if (description === undefined) throw new Error('the cluster was never asked');
  return description;
}
