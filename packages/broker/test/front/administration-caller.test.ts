import type { NodeId, ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Offset, Partition } from '../../src/contracts.ts';
import { LeaderAdministration, serveAdministration } from '../../src/front/administration-caller.ts';
import type {
  GroupAction,
  PartitionAdministration,
  PositionStep,
  SubscriptionId,
} from '../../src/subscription-contracts.ts';
import { REQUEST_SUBSCRIPTION } from '../../src/subscription-contracts.ts';
import { FakeLeaders, FakeNetwork, ids, ManualClock } from '../meta/fakes.ts';

const SHARD = 7 as ShardId;
const SUBSCRIPTION = 3 as SubscriptionId;
const STEP: PositionStep = {
  type: 'pin',
  operation: 4,
  subscription: SUBSCRIPTION,
  generation: 1,
  start: { kind: 2, offset: 5, time: 0 },
};

/** Notes what it was asked. */
class NotingAdministration implements PartitionAdministration {
  readonly asked: unknown[][] = [];
  refusal: RefusalError | null = null;
  silent = false;

  positionStep = (...all: unknown[]) => this.#note({ generation: 1, floor: 5 as Offset }, all);
  preview = (...all: unknown[]) => this.#note({ from: 1, to: 2, repeated: 0, skipped: 1 }, all);
  explain = (...all: unknown[]) => this.#note({ why: 'held' } as never, all);
  lag = (...all: unknown[]) => this.#note({ unsettled: 9 } as never, all);
  parked = (...all: unknown[]) => this.#note([], all);
  act = (...all: unknown[]) => this.#note({ settled: 1, waiting: 2 }, all);
  actions = (...all: unknown[]) => this.#note([], all);

  #note<T>(answer: T, asked: unknown[]): Promise<T> {
    this.asked.push(asked);
    if (this.silent) return new Promise(() => {});
    return this.refusal === null ? Promise.resolve(answer) : Promise.reject(this.refusal);
  }
}

let clock: ManualClock;
let network: FakeNetwork;
let leaders: FakeLeaders;
let partitions: Map<NodeId, NotingAdministration>;
let callers: LeaderAdministration[];

beforeEach(() => {
  clock = new ManualClock();
  network = new FakeNetwork();
  leaders = new FakeLeaders();
  partitions = new Map(ids(3).map((node) => [node, new NotingAdministration()]));
  callers = ids(3).map((node) => {
    const get = (shard: ShardId): Partition | undefined => {
      const administration = partitions.get(node);
      if (shard !== SHARD || administration === undefined) return undefined;
      return { administration } as unknown as Partition;
    };
    const ports = {
      node,
      clock,
      leaders,
      calls: network.callsOf(node),
      partitions: { get, all: () => [] },
    };
    serveAdministration(ports);
    return new LeaderAdministration(ports);
  });
});

const at = (node: number): PartitionAdministration => {
  const caller = callers[node - 1];
  if (caller === undefined) throw new Error(`no node ${node}`);
  return caller.at(SHARD);
};
const asked = (node: number): unknown[][] => partitions.get(node as NodeId)?.asked ?? [];
const partition = (node: number): NotingAdministration => {
  const found = partitions.get(node as NodeId);
  if (found === undefined) throw new Error(`no node ${node}`);
  return found;
};

describe('calls of a partition’s administration', () => {
  test('go to the partition on this node where that leads, without a question to others', async () => {
    leaders.set(SHARD, 1);
    expect(await at(1).positionStep(STEP, 2_000)).toEqual({ generation: 1, floor: 5 });
    expect(asked(1)).toEqual([[STEP, 2_000]]);
    expect(network.calls).toBe(0);
    expect(callers[0]?.leader(SHARD)).toBe(1);
  });

  test('go to the leader by one question, with every argument and the deadline', async () => {
    leaders.set(SHARD, 2);
    const replacement = new Uint8Array([0, 255, 7]);
    const action: GroupAction = { type: 'replace', headSequence: 8, replacement, who: 'ä', why: '' };
    expect(await at(1).positionStep(STEP, 2_000)).toEqual({ generation: 1, floor: 5 });
    expect(await at(1).act(SUBSCRIPTION, 'group', action, 2_001)).toEqual({ settled: 1, waiting: 2 });
    expect(await at(3).parked(SUBSCRIPTION, null, 2_002)).toEqual([]);
    expect(asked(2)).toEqual([
      [STEP, 2_000],
      [SUBSCRIPTION, 'group', action, 2_001],
      [SUBSCRIPTION, null, 2_002],
    ]);
    expect(network.calls).toBe(3);
    expect([...network.callers.keys()]).toEqual([REQUEST_SUBSCRIPTION]);
  });

  test('are refused with NO_LEADER at once when none is known', async () => {
    await expect(at(1).lag(SUBSCRIPTION, 0, 9_000)).rejects.toMatchObject({ code: 'NO_LEADER' });
    expect([network.calls, clock.timers]).toEqual([0, 0]);
  });

  test('are refused as the leader refuses, and by a node that has no replica or is about to open it', async () => {
    leaders.set(SHARD, 2);
    partition(2).refusal = new RefusalError('UNKNOWN_GROUP', 'no such group');
    await expect(at(1).explain(SUBSCRIPTION, 'g', 9_000)).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' });
    partitions.delete(2 as NodeId);
    await expect(at(1).explain(SUBSCRIPTION, 'g', 9_000)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    await expect(at(2).explain(SUBSCRIPTION, 'g', 9_000)).rejects.toMatchObject({ code: 'NOT_LEADER' });
  });

  test('to a frozen leader are given up soon after another one leads, their outcome unknown', async () => {
    leaders.set(SHARD, 2);
    partition(2).silent = true;
    const call = at(1).positionStep(STEP, 60_000);
    let outcome: unknown = null;
    call.catch((error: unknown) => {
      outcome = error;
    });
    await clock.advance(3_000);
    expect(outcome).toBeNull();
    leaders.set(SHARD, 3);
    await clock.advance(200);
    expect(outcome).toMatchObject({ code: 'NOT_LEADER', outcome: 'unknown' });
    expect(asked(3)).toEqual([]);
  });
});
