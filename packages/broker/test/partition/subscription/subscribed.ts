/** A partition that leads, with a subscription on it, driven by hand. */
import type { SubscriptionLimits } from '../../../src/consume-contracts.ts';
import { encodeRemoveBefore } from '../../../src/partition/command.ts';
import type { PartitionConfig } from '../../../src/partition/config.ts';
import type { SubscriptionId, SubscriptionView } from '../../../src/subscription-contracts.ts';
import { store } from '../appending.ts';
import { definition } from '../fake-definitions.ts';
import { type Setup, settle, setUp } from '../setup.ts';
import { FakeConsumer } from './fake-consumer.ts';

/** Lets everything happen that can without time passing. */
export async function turn(setup: Setup): Promise<void> {
  for (let round = 0; round < 6; round++) {
    setup.clock.turn();
    setup.shard.commit();
    setup.shard.confirmReads(setup.shard.leads);
    await settle();
  }
}

/** The next term begins; who is waited for is not there yet. */
export async function nextLeader(setup: Setup): Promise<void> {
  setup.shard.lose();
  await turn(setup);
  setup.shard.leadConfirmed();
  await turn(setup);
}

/** Lets time pass, with everything that happens in it. */
export async function pass(setup: Setup, milliseconds: number): Promise<void> {
  setup.clock.wall += milliseconds;
  setup.clock.advance(milliseconds);
  await turn(setup);
}

/** Progress is proposed after its time and committed. */
export async function progress(setup: Setup): Promise<void> {
  await pass(setup, 10);
}

export async function pin(setup: Setup, id = 1, generation = 1, start = { kind: 0, offset: 0, time: 0 }) {
  const done = setup.partition.administration.positionStep(
    { type: 'pin', operation: 1, subscription: id as SubscriptionId, generation, start },
    setup.clock.time + 1_000,
  );
  await turn(setup);
  return done;
}

/** Leads, with subscription 1 pinned at the beginning. */
export async function subscribed(
  settings: Partial<SubscriptionView> = {},
  limits: Partial<SubscriptionLimits> = {},
  config: Partial<PartitionConfig> = {},
): Promise<Setup> {
  const setup = await setUp(config, limits);
  setup.shard.leadConfirmed();
  setup.definitions.set(definition(1, settings));
  setup.partition.definitionsChanged();
  await pin(setup);
  return setup;
}

export async function consumer(setup: Setup, name: string, credit = 1_000): Promise<FakeConsumer> {
  const made = new FakeConsumer(name);
  made.creditMessages = credit;
  const attached = made.attach(setup.partition);
  await turn(setup);
  await attached;
  await turn(setup);
  return made;
}

/** Stores messages: `a1 a2 b1` are values 1 and 2 of group a and 1 of b, as one run for neighbours of a group. */
export async function produce(setup: Setup, words: string): Promise<void> {
  const runs: { group: string; values: string[] }[] = [];
  for (const word of words.split(' ')) {
    const group = word[0] ?? '';
    const last = runs.at(-1);
    if (last?.group === group) last.values.push(`:${word.slice(1)}`);
    else runs.push({ group, values: [`:${word.slice(1)}`] });
  }
  await store(setup, runs, { id: 0, epoch: 0 });
  await turn(setup);
}

/** Retention removes what lies below an offset. */
export async function remove(setup: Setup, lowWatermark: number): Promise<void> {
  const { shard, clock } = setup;
  shard.propose(
    encodeRemoveBefore({ timestamp: clock.wall, lowWatermark, firstIndex: shard.committed }),
    () => {},
  );
  await turn(setup);
}
