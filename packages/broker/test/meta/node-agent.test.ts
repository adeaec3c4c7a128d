import type { NodeId, Shard, ShardId } from '@seriatim/multiraft';
import type { ConfigurationChange, ProgressStatus, ReplicaId, Role } from '@seriatim/raft';
import { beforeEach, describe, expect, test } from 'vitest';
import { REQUEST_META_ADMIN } from '../../src/contracts.ts';
import { NodeAgent } from '../../src/meta/node-agent.ts';
import { FakeNetwork, ManualClock } from './fakes.ts';

const SHARD = 7 as ShardId;
const replicas = (...numbers: number[]): ReplicaId[] => numbers as ReplicaId[];

/** A shard led here, as the test says. */
class LedShard {
  role: Role = 'leader';
  voters: ReplicaId[] = replicas(11, 12, 13);
  learners: ReplicaId[] = [];
  outgoing: ReplicaId[] = [];
  readonly match: Map<number, Partial<ProgressStatus>> = new Map();
  readonly transfers: number[] = [];
  readonly changes: ConfigurationChange[] = [];

  asShard(): Shard {
    return {
      id: SHARD,
      replica: 11 as ReplicaId,
      transfer: (to: ReplicaId) => {
        this.transfers.push(to);
        return null;
      },
      change: (change: ConfigurationChange) => {
        this.changes.push(change);
        this.voters = [...change.voters];
        this.learners = [...change.learners];
        return { type: 'accepted', index: 1, term: 1 };
      },
      status: () => ({
        role: this.role,
        replica: 11,
        commit: 1_000,
        configuration: {
          voters: this.voters,
          learners: this.learners,
          outgoing: this.outgoing,
          learnersNext: [],
        },
        progress: [...this.voters, ...this.learners].map((replica) => ({
          replica,
          state: 'replicate',
          active: true,
          match: 1_000,
          ...this.match.get(replica),
        })),
      }),
    } as unknown as Shard;
  }
}

let shard: LedShard;
let network: FakeNetwork;
let agent: NodeAgent;
let asker: NodeAgent;

beforeEach(() => {
  shard = new LedShard();
  network = new FakeNetwork();
  const clock = new ManualClock();
  const common = { clock, shard: (id: ShardId) => (id === SHARD ? shard.asShard() : undefined) };
  agent = new NodeAgent({
    ...common,
    node: 1 as NodeId,
    calls: network.callsOf(1),
    holds: (id) => id === SHARD,
  });
  asker = new NodeAgent({ ...common, node: 2 as NodeId, calls: network.callsOf(2), holds: () => false });
});

describe('node agent', () => {
  test('answers another node as it answers itself', async () => {
    const question = { type: 'holds', shards: [SHARD, 8 as ShardId] } as const;
    expect(await asker.ask(1 as NodeId, question, 5_000)).toEqual(agent.answer(question));
    expect(agent.answer(question)).toMatchObject({ done: false, shards: [SHARD] });
    expect(await asker.ask(2 as NodeId, question, 5_000)).toMatchObject({ done: true, shards: [] });
    expect(network.calls).toBe(1);
  });

  test('hands a leadership over only where it leads, and only to an active voter that is caught up', () => {
    const transfer = (to: number) => agent.answer({ type: 'transfer', shard: SHARD, to: to as ReplicaId });
    expect(transfer(11)).toMatchObject({ done: true });
    expect(transfer(99)).toMatchObject({ done: false });
    shard.match.set(12, { active: false });
    expect(transfer(12)).toMatchObject({ done: false, reason: expect.stringContaining('12') });
    shard.match.set(12, { match: 100 as never });
    expect(transfer(12)).toMatchObject({ done: false, reason: expect.stringContaining('900 entries') });
    shard.match.set(12, { state: 'snapshot' });
    expect(transfer(12)).toMatchObject({ done: false });
    shard.match.delete(12);
    shard.role = 'follower';
    expect(transfer(12)).toMatchObject({ done: false });
    expect(shard.transfers).toEqual([]);
    shard.role = 'leader';
    expect(transfer(12)).toMatchObject({ done: true });
    expect(shard.transfers).toEqual([12]);
    expect(agent.answer({ type: 'transfer', shard: 9 as ShardId, to: 1 as ReplicaId }).done).toBe(false);
  });

  test('replaces a lost replica step by step: learner, caught up, voter', () => {
    const step = () =>
      agent.answer({ type: 'converge', shard: SHARD, voters: replicas(11, 22, 13), learners: [] });
    expect(step().done).toBe(false);
    expect(shard.changes).toEqual([{ voters: [11, 12, 13], learners: [22] }]);
    shard.match.set(22, { match: 10 as never });
    expect(step()).toMatchObject({ done: false, reason: expect.stringContaining('990 entries') });
    expect(shard.changes).toHaveLength(1);
    shard.match.delete(22);
    shard.outgoing = replicas(11);
    expect(step().done).toBe(false);
    expect(shard.changes).toHaveLength(1);
    shard.outgoing = [];
    expect(step().done).toBe(false);
    expect(shard.changes.at(-1)).toEqual({ voters: [11, 22, 13], learners: [] });
    expect(step()).toMatchObject({ done: true });
    expect(shard.changes).toHaveLength(2);
  });

  test('a learner that was given up on is dropped on the way', () => {
    shard.learners = replicas(21);
    const step = () =>
      agent.answer({ type: 'converge', shard: SHARD, voters: replicas(11, 22, 13), learners: [] });
    step();
    expect(shard.changes).toEqual([{ voters: [11, 12, 13], learners: [22] }]);
    step();
    expect(step().done).toBe(true);
  });

  test('an answer that can not be read is a refusal, outcome unknown', async () => {
    network.garbage = Buffer.from('{"done":1}');
    const asked = asker.ask(1 as NodeId, { type: 'holds', shards: [] }, 5_000);
    await expect(asked).rejects.toMatchObject({ code: 'INTERNAL', outcome: 'unknown' });
  });

  test('refuses a question it does not know', async () => {
    const calls = network.callsOf(2);
    for (const text of ['{"type":"explode"}', '{', '{"type":"transfer","shard":"x","to":1}']) {
      const call = calls.call(1 as NodeId, REQUEST_META_ADMIN, [Buffer.from(text)], 5_000);
      await expect(call).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    }
  });
});
