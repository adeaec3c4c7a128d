import { type Terminal, write, writeJson, writeTable } from './terminal.ts';
import { withAdmin } from './topic-command.ts';
import type { CommonOptions } from './usage.ts';

/** `cluster status`. Leaders are node ids; 0: none known. */
export async function clusterStatus(terminal: Terminal, options: CommonOptions): Promise<void> {
  const cluster = await withAdmin(options, (admin) =>
    admin.describeCluster({ timeoutMilliseconds: options.timeout }),
  );
  const nodes = cluster.nodes.map(({ id, address, alive, pid }) => ({ id, address, alive, pid }));
  const meta = { leader: cluster.meta?.leader ?? 0, term: cluster.meta?.term ?? 0 };
  const partitions = cluster.partitions.map(
    ({ topic, partition, leader, term, replicas, highWatermark }) => ({
      topic,
      partition,
      leader,
      term,
      replicas,
      highWatermark,
    }),
  );
  if (options.json) {
    await writeJson(terminal, { nodes, meta, partitions });
    return;
  }
  await writeTable(
    terminal,
    ['node', 'address', 'alive', 'pid', 'leads'],
    nodes.map(({ id, address, alive, pid }) => [
      id,
      address,
      alive ? 'yes' : 'no',
      pid,
      partitions.filter(({ leader }) => leader === id).length,
    ]),
  );
  await write(
    terminal.stdout,
    `meta: leader ${meta.leader === 0 ? 'none' : meta.leader}, term ${meta.term}\n`,
  );
  await writeTable(
    terminal,
    ['topic', 'partition', 'leader', 'term', 'replicas', 'high watermark'],
    partitions.map((one) => [
      one.topic,
      one.partition,
      one.leader === 0 ? 'none' : one.leader,
      one.term,
      one.replicas.join(', '),
      one.highWatermark,
    ]),
  );
}
