/** Where the replicas of a new topic go. Pure: every replica of the meta shard computes the same. */
import type { NodeId } from '@seriatim/multiraft';

/** What one node carries already. */
interface Burden {
  readonly node: NodeId;
  /** Position in the ring of nodes, by id. */
  readonly place: number;
  replicas: number;
  preferred: number;
}

/** Replicas as placed: the first is the preferred leader. */
export type Placed = readonly { readonly node: NodeId }[];

/**
 * Chooses nodes for `partitions` × `replicas`. The first node of each row is its preferred leader: the node with the fewest
 * preferred leaderships; the others are the nodes with the fewest replicas. Ties go round the ring of node ids, so that
 * the rows differ and the load of a lost leader spreads over the others.
 *
 * @param nodes all candidates, at least `replicas`.
 * @param existing the partitions that exist already.
 */
export function placeReplicas(
  nodes: readonly NodeId[],
  existing: Iterable<Placed>,
  partitions: number,
  replicas: number,
): NodeId[][] {
  const ring = [...nodes].sort((left, right) => left - right);
  const burdens = ring.map((node, place): Burden => ({ node, place, replicas: 0, preferred: 0 }));
  const byNode = new Map(burdens.map((burden) => [burden.node, burden]));
  for (const row of existing) {
    for (const [position, { node }] of row.entries()) {
      const burden = byNode.get(node);
      if (burden === undefined) continue;
      burden.replicas += 1;
      if (position === 0) burden.preferred += 1;
    }
  }
  const placed: NodeId[][] = [];
  for (let partition = 0; partition < partitions; partition++) {
    placed.push(placeRow(burdens, replicas, partition));
  }
  return placed;
}

function placeRow(burdens: readonly Burden[], replicas: number, partition: number): NodeId[] {
  const size = burdens.length;
  const leader = least(burdens, (burden) => [burden.preferred, burden.replicas, burden.place]);
  if (leader === undefined) return [];
  leader.preferred += 1;
  leader.replicas += 1;
  const row = [leader];
  // Rounds of a full ring shift by one, so that a leader's followers are not always the same nodes.
  const shift = 1 + (Math.floor(partition / size) % Math.max(1, size - 1));
  while (row.length < replicas) {
    const next = least(
      burdens.filter((burden) => !row.includes(burden)),
      (burden) => [burden.replicas, (burden.place - leader.place - shift + 2 * size) % size],
    );
    if (next === undefined) break;
    next.replicas += 1;
    row.push(next);
  }
  return row.map((burden) => burden.node);
}

/** The item with the smallest key, keys compared part by part. */
function least<T>(items: readonly T[], key: (item: T) => readonly number[]): T | undefined {
  let best: { readonly item: T; readonly key: readonly number[] } | undefined;
  for (const item of items) {
    const candidate = key(item);
    if (best === undefined || isLess(candidate, best.key)) best = { item, key: candidate };
  }
  return best?.item;
}

function isLess(left: readonly number[], right: readonly number[]): boolean {
  for (let part = 0; part < left.length; part++) {
    const difference = (left[part] ?? 0) - (right[part] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
