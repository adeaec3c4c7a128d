import { Admin, type NewTopic } from '@seriatim/client';
import type { PartitionInfo, TopicInfo } from '@seriatim/protocol';
import { note, type Terminal, writeJson, writeTable } from './terminal.ts';
import type { CommonOptions } from './usage.ts';

/** Runs `task` with an Admin that is closed afterwards. */
export async function withAdmin<T>(options: CommonOptions, task: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Admin({ endpoints: options.endpoints });
  try {
    return await task(admin);
  } finally {
    admin.close();
  }
}

const call = (options: CommonOptions): { readonly timeoutMilliseconds: number } => ({
  timeoutMilliseconds: options.timeout,
});

/** `topic create` */
export async function createTopic(
  terminal: Terminal,
  topic: NewTopic,
  options: CommonOptions,
): Promise<void> {
  const made = await withAdmin(options, (admin) => admin.createTopic(topic, call(options)));
  if (options.json) await writeJson(terminal, made);
  else await writeTopics(terminal, [made]);
}

/** `topic list` */
export async function listTopics(terminal: Terminal, options: CommonOptions): Promise<void> {
  const topics = await withAdmin(options, (admin) => admin.listTopics(call(options)));
  if (options.json) await writeJson(terminal, { topics });
  else await writeTopics(terminal, topics);
}

/** `topic describe`: each partition, and which replica is behind, by how much and why. */
export async function describeTopic(terminal: Terminal, name: string, options: CommonOptions): Promise<void> {
  const { topic, partitions } = await withAdmin(options, (admin) => admin.describeTopic(name, call(options)));
  if (options.json) {
    await writeJson(terminal, { topic, partitions: partitions.map(describedPartition) });
    return;
  }
  if (topic !== null) await writeTopics(terminal, [topic]);
  await writeTable(
    terminal,
    ['partition', 'leader', 'term', 'offsets', 'groups', 'replicas'],
    partitions.map((one) => [
      one.partition,
      one.leader === 0 ? 'none' : one.leader,
      one.term,
      `${one.lowWatermark}…${one.highWatermark}`,
      one.groups,
      one.replicaStates.map(replicaText).join('\n') || one.replicas.join(', '),
    ]),
  );
}

/** `topic delete` */
export async function deleteTopic(terminal: Terminal, name: string, options: CommonOptions): Promise<void> {
  await withAdmin(options, (admin) => admin.deleteTopic(name, call(options)));
  if (options.json) await writeJson(terminal, { deleted: name });
  else note(terminal, `topic ${name} deleted`);
}

function describedPartition(partition: PartitionInfo): object {
  const { topic: _, replicaStates, ...rest } = partition;
  return { ...rest, replicaStates };
}

function replicaText({ node, behind, reason }: PartitionInfo['replicaStates'][number]): string {
  const why = reason === '' ? '' : ` (${reason})`;
  return behind === 0 && reason === '' ? `node ${node}` : `node ${node}: ${behind} behind${why}`;
}

async function writeTopics(terminal: Terminal, topics: readonly TopicInfo[]): Promise<void> {
  const limit = (value: number, unit: string): string => (value === 0 ? 'none' : `${value} ${unit}`);
  await writeTable(
    terminal,
    ['topic', 'partitions', 'replicas', 'kept for', 'kept per partition'],
    topics.map((one) => [
      one.name,
      one.partitions,
      one.replicas,
      limit(one.retentionMs, 'ms'),
      limit(one.retentionBytes, 'bytes'),
    ]),
  );
}
