import type { DescribeClusterResponse } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { ClusterView } from '../src/cluster-view.ts';

const description = (leader: number, term: number): DescribeClusterResponse => ({
  clusterId: 'c',
  nodes: [1, 2].map((id) => ({ id, address: `n:${id}`, alive: true, pid: id })),
  meta: null,
  partitions: [
    {
      topic: 't',
      partition: 0,
      leader,
      term,
      replicas: [1, 2],
      highWatermark: 0,
      lowWatermark: 0,
      replicaStates: [],
      groups: 0,
    },
  ],
});

describe('ClusterView', () => {
  it('begins with the bootstrap addresses and learns those that nodes advertise', () => {
    const view = new ClusterView(['b:1', 'b:1', 'n:1']);
    expect(view.candidates).toEqual(['b:1', 'n:1']);
    view.learn(description(1, 1));
    expect(view.candidates).toEqual(['n:1', 'n:2', 'b:1']);
  });

  it('believes the later term, whichever node tells it', () => {
    const view = new ClusterView(['n:1']);
    view.learn(description(2, 5));
    view.learn(description(1, 4));
    expect(view.leader('t', 0)).toBe('n:2');
    view.learn(description(1, 6));
    expect(view.leader('t', 0)).toBe('n:1');
    view.learn(description(0, 7));
    expect(view.leader('t', 0)).toBeUndefined();
  });

  it('takes hints from answers, and forgets only the leader that failed', () => {
    const view = new ClusterView(['n:1']);
    view.learn(description(1, 1));
    view.learnLeader('t', 0, 'n:9');
    expect(view.leader('t', 0)).toBe('n:9');
    view.learnLeader('t', 0, 2);
    expect(view.leader('t', 0)).toBe('n:2');
    view.learnLeader('t', 0, 77);
    view.learnLeader('t', 0, '');
    view.forgetLeader('t', 0, 'n:1');
    expect(view.leader('t', 0)).toBe('n:2');
    view.forgetLeader('t', 0, 'n:2');
    expect(view.leader('t', 0)).toBeUndefined();
  });
});
