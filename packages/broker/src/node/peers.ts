/** Opens the links to the other nodes, with this node's rules of who is let in and what it answers before there is a cluster. */
import type { NodeId } from '@seriatim/multiraft';
import { formationAnswer } from '../meta/formation.ts';
import { encodeFormationAnswer } from '../meta/forming.ts';
import { type NodeConfig, splitAddress } from './config.ts';
import type { Logger } from './log.ts';
import type { NodeStorage } from './open-storage.ts';
import { defaultPeerLimits } from './outgoing-link.ts';
import { PeerLinks } from './peer-links.ts';

/** Listens; connections are made once the cluster is known. */
export async function openPeerLinks(
  config: NodeConfig,
  storage: NodeStorage,
  log: Logger,
): Promise<PeerLinks> {
  const links = new PeerLinks({
    node: config.nodeId as NodeId,
    bootNumber: () => storage.bootNumber,
    listen: splitAddress(config.listen.peer),
    limits: defaultPeerLimits,
    admit: (peer, bootNumber) => admit(storage, peer, bootNumber),
    onStatus: (peer) =>
      encodeFormationAnswer(formationAnswer(storage.identity(), storage.store.identity.seenBoot(peer))),
    log: (event, fields) => log.info(fields, event),
  });
  await links.listen();
  return links;
}

async function admit(storage: NodeStorage, peer: NodeId, bootNumber: number): Promise<string | null> {
  const { identity } = storage.store;
  const noted = await identity.notePeer(peer, bootNumber);
  if (noted !== 'older') return null;
  return `boot number ${bootNumber}, but ${identity.seenBoot(peer)} was seen: the disk of node ${peer} went back in time`;
}
