/** How a node comes to take part in its cluster: forming it, coming back to it, or coming back without its memory. */
import { randomUUID } from 'node:crypto';
import { type Clock, META_SHARD, type NodeId } from '@seriatim/multiraft';
import type { Configuration, ReplicaId } from '@seriatim/raft';
import type { PeerCalls, ReplicaPlacement } from '../contracts.ts';
import { type FormationAnswer, firstMetaConfiguration } from '../meta/formation.ts';
import { decodeFormationAnswer, formCluster } from '../meta/forming.ts';
import { askReplacement } from '../meta/rejoin.ts';
import { type NodeConfig, splitAddress } from './config.ts';
import type { Logger } from './log.ts';
import type { NodeStorage } from './open-storage.ts';
import type { PeerLinks } from './peer-links.ts';

/** What taking part needs. */
export interface JoiningOptions {
  readonly config: NodeConfig;
  readonly clock: Clock;
  readonly storage: NodeStorage;
  readonly links: PeerLinks;
  readonly calls: PeerCalls;
  readonly log: Logger;
}

/** The node's part. */
export interface ClusterPart {
  readonly clusterId: string;
  /** This node's replica of the meta shard. */
  readonly metaReplica: ReplicaId;
  /** Where the meta replicas are, as far as known before the meta state says so. */
  readonly metaMembers: readonly ReplicaPlacement[];
  /** Members that the meta replica starts with when it is new; none: it waits, as a learner, to be told. */
  readonly metaConfiguration: Configuration;
}

/** Resolves when the node may take part; its links are being opened then. Rejects with SHUTTING_DOWN when `signal` aborts. */
export async function takePart(options: JoiningOptions, signal: AbortSignal): Promise<ClusterPart> {
  const { config, clock, storage, links, calls, log } = options;
  const node = config.nodeId as NodeId;
  const configured = config.peers.map((peer) => peer.id as NodeId);
  const formed = await formCluster(
    {
      clock,
      node,
      configured,
      own: storage.identity(),
      ask: (peer) => askPeer(options, peer),
      drawClusterId: randomUUID,
      onDecision: (decision) => log.info({ decision }, 'forming'),
    },
    signal,
  );
  if (formed.type === 'lostIdentity') await storage.giveUp();
  await storage.takePart(formed.clusterId, formed.bootNumber);
  links.formed(formed.clusterId);
  for (const peer of config.peers) links.addPeer(peer.id as NodeId, splitAddress(peer.address));
  const { clusterId } = formed;
  if (formed.type === 'started') {
    const found = storage.recovered.find((shard) => shard.shard === META_SHARD);
    return {
      clusterId,
      metaReplica: found?.replica ?? (node as number as ReplicaId),
      metaMembers: configured.map((id) => ({ node: id, replica: id as number as ReplicaId })),
      metaConfiguration: firstMetaConfiguration(configured),
    };
  }
  log.warn(
    'this node lost its memory: it asks for new replicas and takes no part in decisions before it has caught up',
  );
  const replacement = await askReplacement(
    {
      clock,
      node,
      calls,
      peers: configured.filter((id) => id !== node),
      token: randomUUID(),
      onWait: (reason) => log.info({ reason }, 'waiting for new replicas'),
    },
    signal,
  );
  return {
    clusterId,
    metaReplica: replacement.replica,
    metaMembers: replacement.members,
    metaConfiguration: { voters: [], outgoing: [], learners: [], learnersNext: [] },
  };
}

async function askPeer({ config, links }: JoiningOptions, peer: NodeId): Promise<FormationAnswer | null> {
  const address = config.peers.find(({ id }) => id === peer)?.address;
  if (address === undefined) return null;
  const answer = await links.status(splitAddress(address), new Uint8Array(0));
  if (answer.type !== 'answer' || answer.node !== peer) return null;
  return decodeFormationAnswer(answer.body);
}
