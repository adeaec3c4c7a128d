/**
 * A cluster is formed once, and a node that lost its disk never takes part as if it were new. The decision is
 * a pure function of what the node finds on its own disk and of what its peers answer.
 */
import type { NodeId } from '@seriatim/multiraft';
import type { Configuration, ReplicaId } from '@seriatim/raft';

/** Voters of the meta shard; further nodes are learners of it. */
export const META_VOTERS_MAX = 5;

/** What a node finds on its own disk at start. */
export type OwnIdentity =
  | { readonly type: 'empty'; readonly bootNumber: number }
  | { readonly type: 'formed'; readonly clusterId: string; readonly bootNumber: number }
  /** It was told `lostIdentity` at an earlier start, noted that durably, and has no new meta replica yet. */
  | { readonly type: 'lost'; readonly clusterId: string; readonly bootNumber: number };

/**
 * What a peer answers: it is empty itself, or formed, with the highest boot number of the asker that it has seen (0: never). It
 * must remember a boot number durably before it exchanges its first frame of consensus with that node; a question like
 * this one is no start.
 */
export type FormationAnswer =
  | { readonly type: 'empty' }
  | { readonly type: 'formed'; readonly clusterId: string; readonly seen: number }
  /** It lost its identity and is not back yet: it belongs to this cluster, but remembers nobody. */
  | { readonly type: 'lost'; readonly clusterId: string };

/** What to do with these answers. */
export type FormationDecision =
  /** Not enough is known: `waitsFor` did not answer, or not with what is needed. */
  | { readonly type: 'wait'; readonly waitsFor: readonly NodeId[] }
  /** All are empty and this is the lowest node: draw a cluster id, make it durable, start. */
  | { readonly type: 'draw' }
  /** Take part, in this cluster. */
  | { readonly type: 'start'; readonly clusterId: string }
  /**
   * Peers have seen this node start before (or later than its disk says): it must neither vote nor count. It notes that durably and
   * goes on with `bootNumber`, which is above all that were seen.
   */
  | {
      readonly type: 'lostIdentity';
      readonly clusterId: string;
      readonly seenBy: readonly NodeId[];
      readonly bootNumber: number;
    }
  /** Nodes of different clusters are configured together; nothing is started until people have looked. */
  | { readonly type: 'mismatch'; readonly clusterIds: readonly string[] };

/** What {@link decideFormation} looks at. */
export interface FormationFacts {
  readonly node: NodeId;
  /** All configured nodes, with this one. */
  readonly configured: readonly NodeId[];
  readonly own: OwnIdentity;
  /** Answers of the peers that gave one. */
  readonly answers: ReadonlyMap<NodeId, FormationAnswer>;
}

/**
 * Decides. An empty node needs the answer of every peer, since any of them may be the one that remembers it. A formed node needs a
 * majority of formed ones (itself counted): its registration was committed by a majority, so one of these knows its latest
 * start; an empty peer knows nothing and does not count.
 */
export function decideFormation(facts: FormationFacts): FormationDecision {
  const { node, own, answers } = facts;
  const peers = facts.configured.filter((peer) => peer !== node);
  const forgetful = peers.filter((peer) => ['lost', undefined].includes(answers.get(peer)?.type));
  const formed = peers.filter((peer) => answers.get(peer)?.type === 'formed');
  const clusterIds = new Set<string>(own.type === 'empty' ? [] : [own.clusterId]);
  const seenBy: NodeId[] = [];
  let bootNumber = own.bootNumber;
  for (const peer of peers) {
    const answer = answers.get(peer);
    if (answer === undefined || answer.type === 'empty') continue;
    clusterIds.add(answer.clusterId);
    if (answer.type === 'lost') continue;
    if (answer.seen >= lowestLost(own)) seenBy.push(peer);
    bootNumber = Math.max(bootNumber, answer.seen + 1);
  }
  const [clusterId] = clusterIds;
  if (clusterIds.size > 1) return { type: 'mismatch', clusterIds: [...clusterIds].sort() };
  if (clusterId !== undefined && (seenBy.length > 0 || own.type === 'lost')) {
    return { type: 'lostIdentity', clusterId, seenBy, bootNumber };
  }
  if (own.type === 'formed') {
    const majority = Math.floor((peers.length + 1) / 2) + 1;
    if (formed.length + 1 < majority) {
      return { type: 'wait', waitsFor: peers.filter((peer) => !formed.includes(peer)) };
    }
    return { type: 'start', clusterId: own.clusterId };
  }
  if (forgetful.length > 0) return { type: 'wait', waitsFor: forgetful };
  if (clusterId !== undefined) return { type: 'start', clusterId };
  const lowest = Math.min(node, ...peers) as NodeId;
  return lowest === node ? { type: 'draw' } : { type: 'wait', waitsFor: [lowest] };
}

/** A peer that has seen this boot number or a higher one remembers more than this node's disk does. */
function lowestLost(own: OwnIdentity): number {
  return own.type === 'empty' ? 1 : own.bootNumber;
}

/**
 * What a node's identity file and journal say of it. `losses`: boot numbers at which its journal was lost or void; the file is
 * durable before a boot number above those is used. A loss is mended when the new meta replica is in the journal.
 */
export function ownIdentity(
  identity: { readonly clusterId: string; readonly bootNumber: number; readonly losses: readonly number[] },
  hasMetaReplica: boolean,
): OwnIdentity {
  const { clusterId, bootNumber, losses } = identity;
  if (clusterId === '') return { type: 'empty', bootNumber };
  return { type: losses.length > 0 && !hasMetaReplica ? 'lost' : 'formed', clusterId, bootNumber };
}

/** The answer of a node with this identity to one whose highest boot number seen here is `seen` (0: never). */
export function formationAnswer(own: OwnIdentity, seen: number): FormationAnswer {
  switch (own.type) {
    case 'empty':
      return { type: 'empty' };
    case 'formed':
      return { type: 'formed', clusterId: own.clusterId, seen };
    case 'lost':
      return { type: 'lost', clusterId: own.clusterId };
  }
}

/** Members that every node of a new cluster starts the meta shard with: replica ids are node ids. */
export function firstMetaConfiguration(configured: readonly NodeId[]): Configuration {
  const replicas = [...configured]
    .sort((left, right) => left - right)
    .map((node) => node as number as ReplicaId);
  return {
    voters: replicas.slice(0, META_VOTERS_MAX),
    outgoing: [],
    learners: replicas.slice(META_VOTERS_MAX),
    learnersNext: [],
  };
}
