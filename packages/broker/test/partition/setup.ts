import type { DeadLetter, DeadLetterResult, SubscriptionLimits } from '../../src/consume-contracts.ts';
import type { AppendAnswer, AppendReceipt, TopicId } from '../../src/contracts.ts';
import { defaultPartitionConfig, type PartitionConfig } from '../../src/partition/config.ts';
import { groupNames } from '../../src/partition/group-names.ts';
import { type OpenPartition, openPartition } from '../../src/partition/open-partition.ts';
import { PartitionState } from '../../src/partition/partition-state.ts';
import type { RetentionLimits } from '../../src/partition/retention.ts';
import { defaultSubscriptionLimits } from '../../src/partition/subscription/limits.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeDefinitions } from './fake-definitions.ts';
import { FakeShard } from './fake-shard.ts';
import { FakeSource } from './fake-source.ts';

export interface Setup {
  readonly clock: FakeClock;
  readonly shard: FakeShard;
  readonly source: FakeSource;
  readonly partition: OpenPartition;
  readonly definitions: FakeDefinitions;
  /** Dead letters written, and what the next ones come to. */
  readonly letters: DeadLetter[];
  letterResult: DeadLetterResult;
  /** Decides in place of {@link letterResult}. */
  judgeLetter: ((letter: DeadLetter) => DeadLetterResult) | null;
  retention: RetentionLimits;
  clockTrusted: boolean;
  diskHasRoom: boolean;
}

/** A partition on a shard that a test drives by hand. */
export async function setUp(
  config: Partial<PartitionConfig> = {},
  limits: Partial<SubscriptionLimits> = {},
): Promise<Setup> {
  const clock = new FakeClock();
  const source = new FakeSource();
  const found: { shard?: FakeShard } = {};
  const definitions = new FakeDefinitions();
  const letters: DeadLetter[] = [];
  const holder = {
    letterResult: { type: 'stored' } as DeadLetterResult,
    judgeLetter: null as Setup['judgeLetter'],
    retention: { retentionMilliseconds: 0, retentionBytes: 0 },
    clockTrusted: true,
    diskHasRoom: true,
  };
  const partition = await openPartition({
    shard: 7 as FakeShard['id'],
    topic: 1 as TopicId,
    partition: 0,
    clock,
    source,
    retention: () => holder.retention,
    clockTrusted: () => holder.clockTrusted,
    diskHasRoom: () => holder.diskHasRoom,
    openShard: (machine) => {
      found.shard = new FakeShard(machine);
      return Promise.resolve(found.shard);
    },
    config: { ...defaultPartitionConfig, ...config },
    definitions,
    deadLetters: {
      write: (letter) => {
        letters.push(letter);
        return Promise.resolve(holder.judgeLetter?.(letter) ?? holder.letterResult);
      },
    },
    subscriptionLimits: { ...defaultSubscriptionLimits, ...limits },
  });
  const shard = found.shard as FakeShard;
  source.shard = shard;
  return Object.assign(holder, { clock, shard, source, partition, definitions, letters });
}

/** State of another replica that applied the same log. */
export function replay(shard: FakeShard, upTo: number = shard.committed): PartitionState {
  const state = new PartitionState({ names: () => groupNames(5), tailBytesMax: 1_000 });
  state.apply(shard.log.slice(0, upTo));
  return state;
}

export function receipt(answer: AppendAnswer): AppendReceipt {
  if (answer.type !== 'receipt') throw new Error(`refused: ${answer.code} ${answer.message}`);
  return answer;
}

/** Lets promises that can settle do so. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

/** What a promise has come to by now; undefined: nothing. */
export function peek<T>(promise: Promise<T>): { value: T | undefined } {
  const seen: { value: T | undefined } = { value: undefined };
  promise.then(
    (value) => {
      seen.value = value;
    },
    () => {},
  );
  return seen;
}
