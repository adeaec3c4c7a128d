/** Finds what a request names, or refuses it with the name in the message. */
import type { NodeId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { MetaView, PartitionView, TopicView } from '../contracts.ts';

/** UNKNOWN_TOPIC when there is none. */
export function requireTopic(view: MetaView, name: string): TopicView {
  const topic = view.topic(name);
  if (topic !== undefined) return topic;
  throw new RefusalError(
    'UNKNOWN_TOPIC',
    `topic ${JSON.stringify(name.slice(0, 300))} does not exist; nothing was applied`,
  );
}

/** TOPIC_NOT_READY while it is being created or deleted. */
export function readyTopic(view: MetaView, name: string): TopicView {
  const topic = requireTopic(view, name);
  if (topic.ready) return topic;
  throw new RefusalError('TOPIC_NOT_READY', `topic "${name}" is being created or deleted; try again`);
}

/** UNKNOWN_PARTITION when the topic has no such number. */
export function requirePartition(topic: TopicView, partition: number): PartitionView {
  const found = topic.partitions[partition];
  if (found !== undefined) return found;
  throw new RefusalError(
    'UNKNOWN_PARTITION',
    `partition ${partition} of topic "${topic.name}" does not exist; it has 0 to ${topic.partitions.length - 1}; nothing was applied`,
  );
}

/** Where clients reach a node, or the empty string. */
export function leaderAddress(view: MetaView, node: number): string {
  return node === 0 ? '' : (view.node(node as NodeId)?.clientAddress ?? '');
}
